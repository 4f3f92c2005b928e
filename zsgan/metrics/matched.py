"""Diversity of two rows at the same degree of adaptation.

A row that adapts less keeps more of the source's diversity. A fair comparison therefore takes every run's
diversity at the point of its course where it reaches a given degree of adaptation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.metrics.statistics import Interval, check_level, draws, percentiles

ROUNDING = 1e-9
"""Tolerance for reaching a target: two sums of the same numbers can differ in their last bits."""


@dataclass(frozen=True, eq=False)
class Course:
    """Adaptation and diversity along the runs of a row, at T snapshots.

    Attributes:
        adaptation: (S, T, N) contribution of each latent of each run to the degree of adaptation, a mean over
            latents; N = 1 for a measure that exists only for all latents together.
        diversity: (S, T, N) contributions to a measure of diversity.

    Raises:
        ValueError: the shapes differ or are not (S, T, N).
    """

    adaptation: Tensor
    diversity: Tensor

    def __post_init__(self) -> None:
        if self.adaptation.ndim != 3 or self.adaptation.shape != self.diversity.shape:
            raise ValueError(
                "adaptation and diversity must be of one shape (S, T, N), got "
                f"{tuple(self.adaptation.shape)} and {tuple(self.diversity.shape)}"
            )


def at_matched(adaptation: Tensor, diversity: Tensor, target: float) -> Tensor:
    """Diversity where a course first reaches a degree of adaptation, by linear interpolation.

    Args:
        adaptation: (..., T) along each course, in the order of steps.
        diversity: (..., T) at the same steps.
        target: degree of adaptation.

    Returns:
        float64 (...); nan for a course that never reaches it.
    """
    x, y = adaptation.double(), diversity.double()
    reached = x >= target - ROUNDING
    after = reached.int().argmax(-1, keepdim=True)  # the first of them
    before = (after - 1).clamp_min(0)
    x0, x1, y0, y1 = (v.gather(-1, i) for v in (x, y) for i in (before, after))
    share = torch.where(after == 0, 1.0, (target - x0) / (x1 - x0)).clamp(max=1)  # x1 may be a rounding short
    value = torch.where(after == 0, y1, y0 + share * (y1 - y0))
    return torch.where(reached.any(-1), value[..., 0], torch.nan)


def highest_common(courses: Sequence[Course]) -> float:
    """Highest degree of adaptation that every run of every row reaches.

    Args:
        courses: courses of the rows.

    Returns:
        the smallest of the runs' maxima.
    """
    return min(course.adaptation.double().mean(2).amax(1).min().item() for course in courses)


def matched_difference(
    row: Course,
    other: Course,
    target: float,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Difference of two rows' diversity at the same adaptation, with a paired bootstrap's interval.

    Seeds and latents are resampled as in :func:`zsgan.metrics.statistics.paired_difference`, with a new
    interpolation for every draw. A run that misses the target on the latents of a draw is left out of that
    draw's mean, and a draw in which no run of a row reaches it is left out entirely: choose a target below
    :func:`highest_common`.

    Args:
        row: course of a row.
        other: course of another row, with the same seeds and latents; its snapshots may differ.
        target: degree of adaptation.
        level: confidence level, in (0, 1).
        resamples: number of draws.
        seed: seed of the draws.

    Returns:
        mean over the seeds of ``row``'s diversity at ``target``, minus ``other``'s.

    Raises:
        ValueError: seeds or latents differ in number, or a run never reaches ``target``.
    """
    check_level(level)
    (s, _, n), (s_other, _, n_other) = row.adaptation.shape, other.adaptation.shape
    if (s, n) != (s_other, n_other):
        raise ValueError(f"both rows must have the same seeds and latents, got {s, n} and {s_other, n_other}")
    highest = highest_common([row, other])
    if target > highest + ROUNDING:
        raise ValueError(f"target={target} is reached by some runs only; all of them reach {highest:.4g}")
    seeds, latents = draws(s, n, resamples, seed)
    alike = torch.full((1, n), 1 / n, dtype=torch.float64)
    every = torch.full((1, s), 1 / s, dtype=torch.float64)
    ours, theirs = (_mean_at(course, target, every, alike) for course in (row, other))
    differences = _mean_at(row, target, seeds, latents) - _mean_at(other, target, seeds, latents)
    return percentiles((ours - theirs).item(), differences[differences.isfinite()], level)


def _mean_at(course: Course, target: float, seeds: Tensor, latents: Tensor) -> Tensor:
    """(R,) mean diversity at the target for each draw's weights of seeds (R, S) and latents (R, N)."""
    x, y = (torch.einsum("stn,rn->rst", v.double(), latents) for v in (course.adaptation, course.diversity))
    found = at_matched(x, y, target)
    known = found.isfinite() * seeds
    return (found.nan_to_num() * known).sum(1) / known.sum(1)
