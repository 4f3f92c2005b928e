"""A step of an optimiser that refuses gradients that are not finite, and moving averages of weights."""

from collections.abc import Iterable

import torch
from torch import Tensor

from zsgan.base.precision import at_least_float32


def descend(
    optimiser: torch.optim.Optimizer, loss: Tensor, remedy: str = "lower the learning rate"
) -> Tensor:
    """Take one step of an optimiser down the gradient of a loss.

    Args:
        optimiser: holds the parameters.
        loss: a scalar with gradients.
        remedy: what to do about a gradient that is not finite, for the message.

    Returns:
        the norm of the whole gradient, a scalar.

    Raises:
        FloatingPointError: the gradient is not finite; the parameters are unchanged.
    """
    optimiser.zero_grad()
    loss.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.stack([at_least_float32(parameter.grad).norm() for parameter in parameters]).norm()
    if not norm.isfinite():
        raise FloatingPointError(f"the gradient is not finite (loss {loss.item():.3g}); {remedy}")
    optimiser.step()
    return norm


@torch.no_grad()
def follow(averages: Iterable[Tensor], values: Iterable[Tensor], weight: float) -> None:
    """Move every average towards its value by ``weight`` times their difference, in place."""
    for average, value in zip(averages, values, strict=True):
        average.lerp_(value, weight)
