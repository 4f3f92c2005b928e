"""Frechet distance between two sets of features; FID for those of Inception."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_two_sets


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (FID, Heusel et al. 2017).

    In float64, ``|mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)``. With S = R^T R, R from the QR
    decomposition of the centred features, the last trace is the sum of the singular values of R_a R_b^T,
    which avoids the square root of a product of nearly singular matrices.

    With few images it is biased upwards, by an amount that depends on the images (Chong and Forsyth 2020):
    compare it only at equal N, and together with :func:`zsgan.metrics.kernel.kernel_distance`.

    Args:
        features_a: (N, D), N >= 2.
        features_b: (M, D), M >= 2. The result is symmetric in the two sets.

    Returns:
        the distance, >= 0, in squared units of the features.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_two_sets(features_a, features_b, 2)
    mean_a, root_a = _gaussian(features_a)
    mean_b, root_b = _gaussian(features_b)
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    squares = (mean_a - mean_b).square().sum() + root_a.square().sum() + root_b.square().sum()
    return float((squares - 2 * overlap).clamp_min(0))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and R with R^T R = the unbiased covariance."""
    x = features.double()
    mean = x.mean(0)
    root = torch.linalg.qr((x - mean) / (len(x) - 1) ** 0.5, mode="r")[1]
    return mean, root
