"""Precision of floating-point arithmetic: sums are never rounded to half precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """A tensor of float16 or bfloat16 as float32; others as they are.

    A sum of float16 is infinite above 65,504, and the 8 or 11 bits of half precision round away what a mean
    or a small difference consists of.

    Args:
        x: floating point, of any shape.

    Returns:
        ``x`` itself, or its values in float32, through which gradients flow.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def autocast(name: str | None, device: torch.device | str) -> torch.autocast:
    """Autocast context for a precision by its name: "bfloat16"; "float32" and ``None`` switch it off."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=name == "bfloat16")


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TensorFloat32 in the products and convolutions of NVIDIA's GPUs inside the block.

    Its products round their factors to 10 of 23 bits; they are summed in float32.
    """
    places: tuple[Any, ...] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for place in places:
        place.allow_tf32 = allowed
    try:
        yield
    finally:
        for place, flag in zip(places, before, strict=True):
            place.allow_tf32 = flag
