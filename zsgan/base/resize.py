"""Resizing images, the same bits in every run, backward too."""

from functools import lru_cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["bicubic", "bilinear"]


def resize(images: Tensor, size: int, mode: Mode, antialias: bool = True) -> Tensor:
    """What ``torch.nn.functional.interpolate`` makes of images, as two fixed products of matrices.

    Resizing is linear in the pixels and separable: W_h x W_w^T for each channel. Products of matrices are
    deterministic on a GPU; the backward of ``interpolate`` adds up in whatever order its threads arrive
    there. The matrices are those of float64, so float32 images come out nearer to the truth than its own.

    Args:
        images: (N, C, H, W), floating point; also where H is not W.
        size: height and width of the result in pixels.
        mode: "bicubic" or "bilinear", as in ``interpolate``.
        antialias: low-pass filter where the image shrinks, as PIL does.

    Returns:
        (N, C, size, size), in the dtype of the images and differentiable any number of times. Bicubic results
        may lie a little outside the range of the images.

    Raises:
        ValueError: the images have another shape or are integers, the size is not a positive integer, or the
            mode is unknown.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
    if images.ndim != 4 or 0 in images.shape[2:]:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}; add or fill the axes")
    if not images.is_floating_point():
        raise ValueError(f"images must be floating point, got {images.dtype}; convert and scale them first")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a positive number of pixels, got {size!r}")
    rows, columns = (_matrix(length, size, mode, antialias).to(images) for length in images.shape[2:])
    with torch.autocast(images.device.type, enabled=False):
        return rows @ images @ columns.mT


@lru_cache(maxsize=64)
def _matrix(length: int, size: int, mode: Mode, antialias: bool) -> Tensor:
    """What ``interpolate`` does to one axis: (size, length), float64, on the CPU."""
    # Outside inference mode whatever the caller's: autograd refuses what was made inside it.
    with torch.inference_mode(False), torch.no_grad():
        columns = torch.eye(length, dtype=torch.float64, device="cpu")[None, None]
        return F.interpolate(columns, (size, length), mode=mode, antialias=antialias)[0, 0]
