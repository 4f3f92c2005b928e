"""Rounding error of the features of one image."""

import torch


def rounding(dtype: torch.dtype) -> float:
    """Upper bound of the distance of two features of one image, relative to their norm.

    The order of a network's sums depends on the batch, so the features of two copies of an image may differ
    in their last bits. Two images that differ by one level of one pixel are
    about ten times as far apart (the demo's evaluator at 64 px, float32).

    Args:
        dtype: type of the features.

    Returns:
        32 units in the last place: 4e-6 for float32.
    """
    return 32 * torch.finfo(dtype).eps
