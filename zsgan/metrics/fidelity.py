"""Closeness of generated to real images: Frechet distance, precision and recall of features."""

from typing import NamedTuple

import torch
from torch import Tensor

_ROWS = 1000  # rows of a distance matrix held at a time


def frechet_distance(features_a: Tensor, features_b: Tensor) -> float:
    """Frechet distance between Gaussians fitted to two sets of features (FID, Heusel et al. 2017).

    In float64, ``|mu_a - mu_b|^2 + tr S_a + tr S_b - 2 tr (S_a S_b)^(1/2)``. With S = R^T R, R from the QR
    decomposition of the centred features, the last trace is the sum of the singular values of R_a R_b^T: no
    square root of a product of nearly singular matrices is taken.

    Args:
        features_a: (N, D), N >= 2.
        features_b: (M, D), M >= 2. The result is symmetric in the two sets.

    Returns:
        the distance, >= 0; a squared one, as is usual.

    Raises:
        ValueError: the shapes do not fit.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(
            f"features must be (N, D) and (M, D), got {tuple(features_a.shape)} and {tuple(features_b.shape)}"
        )
    if min(len(features_a), len(features_b)) < 2:
        raise ValueError(f"each set needs at least 2 images, got {len(features_a)} and {len(features_b)}")
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


class PrecisionRecall(NamedTuple):
    """Precision: share of generated images that look real. Recall: share of real images that are covered."""

    precision: float
    recall: float


def precision_recall(generated: Tensor, real: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest
    neighbour in the set. Precision is the share of generated points in the real manifold, recall the share of
    real points in the generated one.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k. Swapping the two swaps precision and recall.
        k: which neighbour.

    Returns:
        both in [0, 1].

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    if k < 1 or min(len(generated), len(real)) <= k:
        raise ValueError(
            f"k={k} must be >= 1 and smaller than both sets, of {len(generated)} and {len(real)}"
        )
    generated, real = generated.double(), real.double()
    return PrecisionRecall(_share_inside(generated, real, k), _share_inside(real, generated, k))


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    # k + 1: a point's nearest neighbour in its own set is itself.
    radii = torch.cat([torch.cdist(part, manifold).kthvalue(k + 1).values for part in manifold.split(_ROWS)])
    inside = [(torch.cdist(part, manifold) <= radii).any(1) for part in points.split(_ROWS)]
    return float(torch.cat(inside).double().mean())
