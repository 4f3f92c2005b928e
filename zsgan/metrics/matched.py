"""Diversity at the same adaptation: what two rows have where they have come equally far.

A row that adapts less keeps more of the source's diversity; a fair comparison reads every run's diversity off
its own course, at the point where it reached a given degree of adaptation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.metrics.statistics import Interval, check_level, draws, percentiles

ROUNDING = 1e-9
"""How far below a target a mean still reaches it: two sums of the same numbers differ in their last bits."""


@dataclass(frozen=True, eq=False)
class Course:
    """How the runs of a row went, by T snapshots.

    Attributes:
        adaptation: (S, T, N) what each latent of each run contributes to the degree of adaptation, a mean
            over latents; N = 1 for a measure that is known for all latents together only.
        diversity: (S, T, N) the same of a measure of diversity.

    Raises:
        ValueError: the shapes differ or are others.
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
    """Diversity at the first point where a course reaches a degree of adaptation, by linear interpolation.

    Args:
        adaptation: (..., T) along each course, in the order of steps.
        diversity: (..., T) at the same steps.
        target: degree of adaptation.

    Returns:
        float64 (...); nan for a course that never comes so far.
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
    """The highest degree of adaptation that every run of every row reaches.

    Args:
        courses: of the rows.

    Returns:
        the least of the runs' maxima.
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

    Seeds and latents are drawn as by :func:`zsgan.metrics.statistics.paired_difference`, and every draw is
    interpolated anew. On the latents of a draw a run may miss the target; it is left out of that draw's mean,
    and a draw in which no run of a row comes so far is left out altogether: stay below
    :func:`highest_common`.

    Args:
        row: a row's course.
        other: another's, with the same seeds and latents; its snapshots may be others.
        target: degree of adaptation.
        level: of confidence, in (0, 1).
        resamples: draws.
        seed: of the draws.

    Returns:
        mean over the seeds of ``row``'s diversity at ``target``, minus ``other``'s.

    Raises:
        ValueError: seeds or latents differ in number, or a run never comes as far as ``target``.
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
