"""Kernel distances between two sets of features: KID for those of Inception, CMMD for those of CLIP."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_two_sets

SIGMA, SCALE = 10.0, 1000.0
"""Bandwidth of CMMD's kernel, and the factor that its numbers are multiplied with."""

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


def cmmd(features_a: Tensor, features_b: Tensor) -> float:
    """CLIP maximum mean discrepancy (CMMD, Jayasumana et al. 2024), already times 1,000.

    The squared discrepancy with the kernel exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, in the published code's
    biased estimate: means over all pairs, those of an image with itself included. It is 0 for two equal sets,
    and not below. The published numbers are of CLIP ViT-L/14 at 336 px; those of other CLIPs are on another
    scale.

    Args:
        features_a: (N, D) unit-norm features of a CLIP.
        features_b: (M, D) unit-norm features of the same CLIP. The result is symmetric in the two sets.

    Returns:
        the estimate of a square, times 1,000.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_two_sets(features_a, features_b)
    a, b = features_a.double(), features_b.double()
    return SCALE * (_gaussian(a, a) + _gaussian(b, b) - 2 * _gaussian(a, b))


def _gaussian(x: Tensor, y: Tensor) -> float:
    """Mean of the Gaussian kernel over all pairs."""

    def rows(part: Tensor) -> Tensor:
        squares = part.square().sum(1)[:, None] + y.square().sum(1) - 2 * part @ y.T
        return (-squares / (2 * SIGMA**2)).exp().mean(1)

    return torch.cat([rows(part) for part in x.split(_ROWS)]).mean().item()


def _inside(x: Tensor) -> float:
    """Sum of the kernel over pairs of different rows."""
    own = (x.square().sum(1) / x.shape[1] + 1) ** 3
    return _sum(x, x) - own.sum().item()


def _sum(x: Tensor, y: Tensor) -> float:
    parts = [((part @ y.T / x.shape[1] + 1) ** 3).sum() for part in x.split(_ROWS)]
    return torch.stack(parts).sum().item()
