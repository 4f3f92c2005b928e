"""Selective cross-domain consistency of DiFa (Zhang et al., NeurIPS 2022).

An encoder reads the latents of both generators' images. Of their coordinates, those that the adaptation moves
most on average belong to the target; the others are to stay as they are, image by image.
"""

import torch
from torch import Tensor


def kept_coordinates(shift: Tensor, share: float) -> Tensor:
    """The coordinates that a domain moves least.

    Args:
        shift: (D,) mean of the target's codes minus mean of the source's.
        share: share of the coordinates to keep, in [0, 1].

    Returns:
        (D,) of 1.0 for those kept, int(share D) of them, and 0.0.
    """
    kept = torch.zeros_like(shift)
    kept[shift.abs().argsort(stable=True)[: int(share * len(shift))]] = 1
    return kept


def selective_loss(codes_trg: Tensor, codes_src: Tensor, kept: Tensor) -> Tensor:
    """Mean absolute difference of the codes (N, D) in the kept coordinates; a mean over all N D entries."""
    return (kept * (codes_trg - codes_src)).abs().mean()


def ramp(step: int, steps: int, window: int) -> float:
    """Share of the loss's weight in a step: 0 until the window of means is full, then rising towards 1."""
    return max(0.0, (step - window) / (steps - window)) if steps > window else 0.0
