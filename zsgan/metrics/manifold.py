"""Generated and real images as two manifolds: precision and recall, density and coverage.

A set's manifold is the union of balls around its points, each reaching to the point's k-th nearest neighbour
in the set. Duplicate images are allowed; a radius can then be 0, and the ball is its centre. Distances are
therefore computed from differences in float64, and are 0 between features that differ by rounding alone
(:func:`zsgan.metrics.rounding.rounding`). No result depends on the order of the images.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from zsgan.metrics.checks import check_two_sets
from zsgan.metrics.progress import Advance, silent
from zsgan.metrics.rounding import rounding

_ROWS = 250  # rows of a distance matrix held at a time


class PrecisionRecall(NamedTuple):
    """Precision: share of generated images that look real. Recall: share of real images that are covered."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density: mean number of real balls around a generated image. Coverage: share of real images met.

    Density is divided by k: it is 1 on average for two sets of one distribution, and may be larger. Coverage
    is in [0, 1]; for two large sets of one distribution and of one size it is 1 - 2^-k.
    """

    density: float
    coverage: float


class Manifolds(NamedTuple):
    """The measures of :class:`PrecisionRecall` and of :class:`DensityCoverage`."""

    precision: float
    recall: float
    density: float
    coverage: float


def precision_recall(generated: Tensor, real: Tensor, k: int = 3) -> PrecisionRecall:
    """Improved precision and recall (Kynkaanniemi et al. 2019).

    Precision is the share of generated points in the real manifold, recall the share of real points in the
    generated one. A ball includes its surface.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k. Swapping the two swaps precision and recall.
        k: which neighbour.

    Returns:
        precision and recall.

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    found = manifolds(generated, real, k)
    return PrecisionRecall(found.precision, found.recall)


def density_coverage(generated: Tensor, real: Tensor, k: int = 5) -> DensityCoverage:
    """Density and coverage (Naeem et al. 2020).

    Both use the balls around real points alone, which generated outliers cannot enlarge.
    Density is the mean number of balls that a generated point lies in, divided by k; coverage is the share of
    real points whose ball holds a generated point.

    A ball excludes its surface, as in the paper's code, but includes its centre even if the radius is 0: a
    copy of a real image lies in that image's ball. So a set of distinct images has density 1 to itself, and a
    set with m > k copies of each has m / k.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k.
        k: which neighbour.

    Returns:
        density and coverage.

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    found = manifolds(generated, real, k)
    return DensityCoverage(found.density, found.coverage)


def manifolds(generated: Tensor, real: Tensor, k: int = 3, advance: Advance = silent) -> Manifolds:
    """:func:`precision_recall` and :func:`density_coverage`, from the same distances.

    Args:
        generated: (N, D) features of generated images, N > k.
        real: (M, D) features of real images, M > k.
        k: which neighbour.
        advance: called with the share that is done.

    Returns:
        the four measures.

    Raises:
        ValueError: a set has no k-th neighbour.
    """
    check_two_sets(generated, real)
    n, m = len(generated), len(real)
    if k < 1 or min(n, m) <= k:
        raise ValueError(f"k={k} must be >= 1 and smaller than both sets, of {n} and {m}")
    work = float(n * n + m * m + n * m)
    radii_real = _radii(real, k, lambda share: advance(share * m * m / work))
    radii_generated = _radii(generated, k, lambda share: advance((m * m + share * n * n) / work))
    inside, balls = 0, 0
    recalled, met = (torch.zeros(m, dtype=torch.bool, device=real.device) for _ in range(2))
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        distances = _distances(generated[rows], real)
        inside += int((distances <= radii_real).any(1).sum())
        recalled |= (distances <= radii_generated[rows, None]).any(0)
        held = (distances < radii_real) | (distances == 0)
        balls += int(held.sum())
        met |= held.any(0)
        advance(1 - max(0, n - start - _ROWS) * m / work)
    return Manifolds(inside / n, float(recalled.double().mean()), balls / (k * n), float(met.double().mean()))


def _radii(points: Tensor, k: int, advance: Advance) -> Tensor:
    """(N,) distance of each point to its k-th nearest neighbour among the others."""
    found = []
    for start in range(0, len(points), _ROWS):
        # k + 1: a point's nearest neighbour in its own set is itself.
        found.append(_distances(points[start : start + _ROWS], points).kthvalue(k + 1).values)
        advance(min(1.0, (start + _ROWS) / len(points)))
    return torch.cat(found)


def _distances(points: Tensor, others: Tensor) -> Tensor:
    """(n, M) in float64, equal to the bit for equal features; 0 where they differ by rounding alone."""
    share = max(rounding(points.dtype), rounding(others.dtype))
    a, b = points.double(), others.double()
    distances = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    smallest = share / 2 * (a.norm(dim=1)[:, None] + b.norm(dim=1))
    return distances.masked_fill(distances <= smallest, 0)
