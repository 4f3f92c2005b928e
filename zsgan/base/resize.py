"""Deterministic resizing of images, forward and backward."""

from functools import lru_cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["bicubic", "bilinear"]


def resize(images: Tensor, size: int, mode: Mode, antialias: bool = True) -> Tensor:
    """Resize as ``torch.nn.functional.interpolate`` does, by two matrix products.

    Resizing is linear in the pixels and separable: W_h x W_w^T for each channel. Matrix products are
    deterministic on a GPU, while the backward pass of ``interpolate`` sums in the order in which its threads
    finish. The matrices are computed in float64, so float32 results are more exact than those of
    ``interpolate``.

    Args:
        images: (N, C, H, W), floating point; H and W may differ.
        size: height and width of the result in pixels.
        mode: "bicubic" or "bilinear", as in ``interpolate``.
        antialias: low-pass filter where the image shrinks, as PIL does.

    Returns:
        (N, C, size, size), in the dtype of the images and differentiable any number of times. Bicubic results
        may slightly exceed the range of the images.

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
    """The matrix by which ``interpolate`` resizes one axis: (size, length), float64, on the CPU."""
    # Tensors made in inference mode cannot take part in autograd later.
    with torch.inference_mode(False), torch.no_grad():
        columns = torch.eye(length, dtype=torch.float64, device="cpu")[None, None]
        return F.interpolate(columns, (size, length), mode=mode, antialias=antialias)[0, 0]
