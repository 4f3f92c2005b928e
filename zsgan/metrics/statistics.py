"""Confidence intervals over seeds, and for differences between rows that share seeds and latents.

Three spreads must not be confused. The paper's ± is the spread of clusters or images inside one run
(:class:`zsgan.metrics.diversity.IntraClusterLpips`); it does not shrink with more images, and is no measure
of the variation over seeds. :func:`over_seeds` estimates the mean over all seeds. Since all rows have the
same seeds and are measured on the same latents, variation common to two rows cancels in
:func:`paired_difference`.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

_ROUNDING = 1e-12  # two ranks exchanged among n change a correlation by 12 / n^3 or more


class Interval(NamedTuple):
    """An estimate with the limits of its confidence interval."""

    estimate: float
    low: float
    high: float


def over_seeds(values: Tensor, level: float = 0.95) -> Interval:
    """Mean over the runs of a row with Student's t interval, exact if runs are normally distributed.

    Args:
        values: (S,) a measurement of each run, S >= 2.
        level: confidence level, in (0, 1).

    Returns:
        the mean, with limits symmetric about it.

    Raises:
        ValueError: there is only one run, or the level is not in (0, 1).
    """
    check_level(level)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(
            f"values must be (S,) for at least 2 runs, got {tuple(values.shape)}; one run has no spread over "
            "seeds"
        )
    from scipy.special import stdtrit  # imported here, since no command should wait for scipy

    values = values.double()
    mean, error = values.mean().item(), values.std().item() / math.sqrt(len(values))
    reach = float(stdtrit(len(values) - 1, (1 + level) / 2)) * error
    return Interval(mean, mean - reach, mean + reach)


def paired_difference(
    row: Tensor, other: Tensor, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Difference of two rows' means, with a percentile interval of a paired bootstrap over seeds and latents.

    Seeds and latents are drawn with replacement, independently of each other, and the same for both rows. Few
    seeds, such as three, make the interval too narrow. With a single seed only latents are resampled, and the
    interval holds for these runs alone.

    Args:
        row: (S, N) contribution of each latent of each run to a mean: hits of a target rate, distances to
            the medoid (``IntraClusterLpips.each``), cosines of a CLIP score.
        other: (S, N) contributions of the other row, for the same seeds and latents.
        level: confidence level, in (0, 1).
        resamples: number of draws.
        seed: seed of the draws.

    Returns:
        mean of ``row`` - mean of ``other``.

    Raises:
        ValueError: the shapes differ or are not (S, N), a value is not finite, or the level is not in (0, 1).
    """
    check_level(level)
    if row.ndim != 2 or row.shape != other.shape or not row.numel():
        raise ValueError(
            f"row and other must be of one shape (S, N), got {tuple(row.shape)} and {tuple(other.shape)}"
        )
    differences = row.double() - other.double()
    if not bool(differences.isfinite().all()):
        raise ValueError("row and other must be finite; leave out the latents that a measure does not count")
    seeds, latents = draws(len(row), row.shape[1], resamples, seed)
    means = torch.einsum("rs,sn,rn->r", seeds, differences, latents)
    return percentiles(differences.mean().item(), means, level)


def rank_correlation(x: ArrayLike | Tensor, y: ArrayLike | Tensor) -> Interval:
    """Spearman's rank correlation, with a 95 % interval by Fisher's transformation (Fieller et al. 1957).

    Args:
        x: (n,) values, n >= 5: a tensor, an array, a column of a table...; ties have their mean rank.
        y: (n,) other values of the same things, in the same order.

    Returns:
        the correlation, in [-1, 1]; nan if all values of one are equal.

    Raises:
        ValueError: the shapes differ or are not (n,), there are too few values, or a value is nan.
    """
    first, second = (
        np.asarray(values.detach().cpu().double() if isinstance(values, Tensor) else values, dtype="float64")
        for values in (x, y)
    )
    if first.ndim != 1 or first.shape != second.shape or len(first) < 5:
        raise ValueError(f"x and y must be (n,) with n >= 5, got {first.shape} and {second.shape}")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("x and y must not hold nan, which has no rank; leave out what was not measured")
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = torch.stack([torch.from_numpy(rankdata(values)) for values in (first, second)])
    estimate = float(torch.corrcoef(ranks)[0, 1])
    if 1 - abs(estimate) < _ROUNDING:
        return Interval(*[float(round(estimate))] * 3)
    centre, reach = math.atanh(estimate), float(ndtri(0.975)) * math.sqrt(1.06 / (len(first) - 3))
    return Interval(estimate, math.tanh(centre - reach), math.tanh(centre + reach))


def draws(n_seeds: int, n_latents: int, resamples: int, seed: int) -> tuple[Tensor, Tensor]:
    """Weights of a bootstrap over two crossed factors.

    Args:
        n_seeds: S.
        n_latents: N.
        resamples: R.
        seed: seed of the draws.

    Returns:
        float64 (R, S) and (R, N): relative frequencies of the draws; every row sums to 1.
    """
    random = torch.Generator().manual_seed(seed)

    def weights(n: int) -> Tensor:
        drawn = torch.randint(n, (resamples, n), generator=random)
        counts = torch.zeros(resamples, n, dtype=torch.float64)
        return counts.scatter_add_(1, drawn, torch.ones_like(counts)) / n

    return weights(n_seeds), weights(n_latents)


def percentiles(estimate: float, values: Tensor, level: float) -> Interval:
    """Central interval that contains a share ``level`` of the resampled ``values`` (R,)."""
    outside = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64)
    low, high = values.quantile(outside).tolist()
    return Interval(estimate, low, high)


def check_level(level: float) -> None:
    """Reject a confidence level outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95, got {level}")
