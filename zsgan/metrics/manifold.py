"""Generated and real images as two manifolds: precision and recall, density and coverage.

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest neighbour
in the set.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zsgan.metrics.checks import check_two_sets

_ROWS = 1000  # rows of a distance matrix held at a time


class PrecisionRecall(NamedTuple):
    """Precision: share of generated images that look real. Recall: share of real images that are covered."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density: how crowded the real places are where generated images lie. Coverage: share of real ones met.

    Density is 1 on average for two sets of one distribution, and may be larger. Coverage is in [0, 1]; for
    two large sets of one distribution and of one size it is 1 - 2^-k.
    """

    density: float
    coverage: float


def precision_recall(generated: Tensor, real: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    Precision is the share of generated points in the real manifold, recall the share of real points in the
    generated one.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k. Swapping the two swaps precision and recall.
        k: which neighbour.

    Returns:
        precision and recall.

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    generated, real = _checked(generated, real, k)
    return PrecisionRecall(_share_inside(generated, real, k), _share_inside(real, generated, k))


def density_coverage(generated: Tensor, real: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020).

    Both look at the balls around real points alone, which an outlier among the generated ones cannot blow up.
    Density is the mean number of balls that a generated point lies in, divided by k; coverage is the share of
    real points whose ball holds a generated point.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k.
        k: which neighbour.

    Returns:
        density and coverage.

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    generated, real = _checked(generated, real, k)
    radii, balls = _radii(real, k), torch.zeros((), dtype=torch.float64, device=real.device)
    nearest = torch.full_like(radii, torch.inf)
    for part in generated.split(_ROWS):
        distances = torch.cdist(part, real)
        balls += (distances < radii).sum()
        nearest = torch.minimum(nearest, distances.amin(0))
    return DensityCoverage(
        float(balls / (k * len(generated))), float((nearest < radii).double().mean())
    )  # fmt: skip


def _checked(generated: Tensor, real: Tensor, k: int) -> tuple[Tensor, Tensor]:
    check_two_sets(generated, real)
    if k < 1 or min(len(generated), len(real)) <= k:
        raise ValueError(
            f"k={k} must be >= 1 and smaller than both sets, of {len(generated)} and {len(real)}"
        )
    return generated.double(), real.double()


def _radii(points: Tensor, k: int) -> Tensor:
    """(N,) distance of each point to its k-th nearest neighbour among the others."""
    # k + 1: a point's nearest neighbour in its own set is itself.
    return torch.cat([torch.cdist(part, points).kthvalue(k + 1).values for part in points.split(_ROWS)])


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    radii = _radii(manifold, k)
    inside = [(torch.cdist(part, manifold) <= radii).any(1) for part in points.split(_ROWS)]
    return float(torch.cat(inside).double().mean())
