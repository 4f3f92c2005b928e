"""Generators between a source and an adapted one."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from zsgan.base.settings import Finite, checked
from zsgan.networks.stylegan2 import Generator


@torch.no_grad()
def between(source: Generator, adapted: Generator, strength: float) -> Generator:
    """The generator whose weights lie on the line from a source to the generator adapted from it.

    Args:
        source: the source generator.
        adapted: the adapted generator, of the same architecture and on the same device.
        strength: 0 for the source's weights, 1 for the adapted ones; values above 1 go further on that line.

    Returns:
        a new generator; neither of the two is changed.

    Raises:
        ValueError: the strength is not a number, or the architectures differ.
    """
    strength = checked("strength", strength, Finite)
    first, second = source.state_dict(), adapted.state_dict()
    check_alike(first, second)
    mixed = copy.deepcopy(adapted)
    mixed.load_state_dict({name: torch.lerp(first[name], second[name], strength) for name in first})
    return mixed


def check_alike(source: Mapping[str, Tensor], adapted: Mapping[str, Tensor]) -> None:
    """Check that two generators have weights of the same names and shapes; a ValueError if not."""
    shapes = [{name: value.shape for name, value in weights.items()} for weights in (source, adapted)]
    if shapes[0] != shapes[1]:
        raise ValueError("source and adapted must have the same architecture: weights of one shape and name")
