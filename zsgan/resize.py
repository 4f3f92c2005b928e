"""Resizing as two matrix products: the same as torch's own, with a backward pass that is deterministic on CUDA too."""

from functools import lru_cache
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["bicubic", "bilinear"]


def resize(images: Tensor, size: int, mode: Mode = "bicubic", antialias: bool = True) -> Tensor:
    """Images of another size; linear in the images, and differentiable.

    ``F.interpolate`` adds up the gradient on CUDA in an order that changes from call to call, so that the same
    adaptation would not give the same bits.

    Args:
        images: (N, C, H, W).
        size: height and width of the result, at least 1.
        mode: "bicubic" or "bilinear", as torch means them (without aligned corners).
        antialias: widen the filter when shrinking.

    Returns:
        (N, C, size, size), in the images' dtype; the images themselves if they have that size.

    Raises:
        ValueError: The shape, the size or the mode is not one of these.
    """
    if images.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
    if images.shape[-2:] == (size, size):
        return images
    vertical, horizontal = (_weights(n, size, mode, antialias).to(images) for n in images.shape[-2:])
    return vertical @ images @ horizontal.T


@lru_cache(maxsize=64)
def _weights(n: int, size: int, mode: Mode, antialias: bool) -> Tensor:
    """What each of n pixels of a line gives to each of ``size`` new ones, (size, n), float64.

    Taken from what torch makes of the unit vectors, so it cannot differ from torch's filters.
    """
    lines = torch.eye(n, dtype=torch.float64)[None, None]
    weights: Tensor = F.interpolate(lines, (size, n), mode=mode, antialias=antialias)[0, 0]
    return weights
