"""How far apart the features of one image can be."""

import torch


def rounding(dtype: torch.dtype) -> float:
    """The most by which two features of one image differ, as a share of their norm.

    A network's sums are taken in an order that depends on the batch, so that an image which is there twice
    may have features that differ in their last bits. Two images that differ by one level of one pixel are
    about ten times as far apart (the demo's evaluator at 64 px, float32).

    Args:
        dtype: in which the features were computed.

    Returns:
        32 units in the last place: 4e-6 for float32.
    """
    return 32 * torch.finfo(dtype).eps
