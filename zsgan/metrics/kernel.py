"""Kernel distance between two sets of features; KID for those of Inception."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_two_sets

_ROWS = 1000  # rows of a kernel matrix held at a time


def kernel_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3 (KID, Binkowski et al. 2018).

    This is the unbiased estimate over all pairs: its expectation is the same for every number of images, and
    0 for two sets of one distribution, so it can be negative. The often reported mean over random subsets
    estimates the same quantity with more noise.

    Args:
        features_a: (N, D), N >= 2.
        features_b: (M, D), M >= 2. The result is symmetric in the two sets.

    Returns:
        the estimate of a square; often reported times 1,000.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_two_sets(features_a, features_b, 2)
    a, b = features_a.double(), features_b.double()
    n, m = len(a), len(b)
    return _inside(a) / (n * (n - 1)) + _inside(b) / (m * (m - 1)) - 2 * _sum(a, b) / (n * m)


def _inside(x: Tensor) -> float:
    """Sum of the kernel over pairs of different rows."""
    own = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return _sum(x, x) - own.sum().item()


def _sum(x: Tensor, y: Tensor) -> float:
    parts = [((part @ y.T / x.shape[1] + 1) ** 3).sum() for part in x.split(_ROWS)]
    return torch.stack(parts).sum().item()
