"""Comparison of rows, with intervals: at the end of the runs, and at equal adaptation.

There are two kinds of interval. Measures that are known for each image (a Bench's ``each``) have that of a
paired bootstrap over seeds and latents. Measures of a whole run (a column of ``Measurements.table``) have
Student's interval over the seeds, which is wide for few seeds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from zsgan.evaluation.bench import Bench, Numbers
from zsgan.metrics.matched import Course, at_matched, highest_common, matched_difference
from zsgan.metrics.statistics import over_seeds, paired_difference

PRICE = {
    "lpips_avg": ("diversity", ".3f"),
    "evaluator_rate": ("target rate", ".2f"),
    "clip_rate": ("target rate", ".2f"),
    "fid": ("FID", ".1f"),
}
"""Column of the results that summarises a row -> its name in prose, and its number format. Of the two target
rates one is shown, :func:`known_rate`."""


def known_rate(measured: pd.DataFrame) -> str:
    """Column of the strictest known target rate: the evaluator's, or CLIP's where no factors are read."""
    return "evaluator_rate" if measured["evaluator_rate"].notna().any() else "clip_rate"


def price_columns(measured: pd.DataFrame) -> list[str]:
    """The columns of :data:`PRICE` that are known: diversity, one target rate and, with true images, FID."""
    return ["lpips_avg", known_rate(measured), *(["fid"] if measured["fid"].notna().any() else [])]


@dataclass(frozen=True)
class Change:
    """Difference of one number between two rows.

    Attributes:
        mean: mean over the seeds that both rows have; nan without any.
        low: lower end of Student's 95 % interval; nan for fewer than two seeds.
        high: upper end of the interval.
        seeds: number of seeds.
    """

    mean: float
    low: float
    high: float
    seeds: int

    def __format__(self, form: str) -> str:
        """Text such as "+0.014 (+0.002 to +0.025)", each number formatted by ``form``, or the mean alone."""
        mean, low, high = (format(value, form) for value in (self.mean, self.low, self.high))
        return mean if math.isnan(self.low) else f"{mean} ({low} to {high})"

    @property
    def verdict(self) -> str:
        """Whether the whole interval is above 0 ("higher") or below ("lower"); else "undecided"."""
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "undecided"


def changes(
    measured: pd.DataFrame, before: str, after: str, columns: Iterable[str] | None = None
) -> dict[str, Change]:
    """Paired differences of two rows over their common seeds.

    Args:
        measured: a line for each run, of one scenario, with columns row, seed and ``columns``.
        before: the row to compare with.
        after: the other row.
        columns: columns to compare; by default those of :func:`price_columns`.

    Returns:
        column -> change.

    Raises:
        ValueError: the rows have no seed in common.
    """
    columns = price_columns(measured) if columns is None else list(columns)
    one, two = (measured[measured["row"] == row].set_index("seed")[columns] for row in (before, after))
    difference = (two - one).dropna(how="all")
    if difference.empty:
        raise ValueError(f"rows {before!r} and {after!r} have no seed in common: nothing to compare")
    return {str(column): change_of(values.dropna()) for column, values in difference.items()}


def change_of(values: pd.Series) -> Change:
    """The change from the differences of all seeds."""
    if len(values) < 2:
        return Change(values.mean(), math.nan, math.nan, len(values))
    return Change(*over_seeds(torch.tensor(values.to_numpy(float))), len(values))


def at_rate(
    course: pd.DataFrame, rate: float, values: Sequence[str], adaptation: str = "evaluator_rate"
) -> pd.DataFrame:
    """Values of every run when it first reaches ``rate``, interpolated linearly between snapshots.

    Args:
        course: a line for each snapshot of one scenario, with columns row, seed, step, ``values`` and
            ``adaptation``.
        rate: the rate to reach.
        values: the columns to interpolate.
        adaptation: the column of the rate.

    Returns:
        columns row, seed and ``values``, a line for each run; nan for a run that never reaches the rate.

    Raises:
        ValueError: the adaptation is nan for some snapshots.
    """
    _known(course, adaptation)
    lines = []
    for (row, seed), path in course.sort_values("step").groupby(["row", "seed"], sort=False):
        x, y = (torch.tensor(path[columns].to_numpy(float).T) for columns in ([adaptation], list(values)))
        found = at_matched(x.expand_as(y), y, rate).tolist()
        lines.append({"row": row, "seed": seed} | dict(zip(values, found, strict=True)))
    return pd.DataFrame(lines)


def at_common_rate(
    course: pd.DataFrame, rows: Sequence[str], value: str = "sse", adaptation: str | None = None
) -> tuple[float, pd.DataFrame]:
    """A value of every row at the highest rate that all of their runs reach.

    Args:
        course: see :func:`at_rate`, also for errors.
        rows: rows to compare.
        value: the column to compare.
        adaptation: the column of the rate; by default :func:`known_rate`.

    Returns:
        the rate, and columns mean, low and high over the seeds, a line for each row.
    """
    chosen = course[course["row"].isin(rows)]
    adaptation = known_rate(chosen) if adaptation is None else adaptation
    _known(chosen, adaptation)
    rate = float(chosen.groupby(["row", "seed"])[adaptation].max().min())
    found = at_rate(chosen, rate, [value], adaptation).groupby("row")[value].agg(["mean", "min", "max"])
    return rate, found.set_axis(["mean", "low", "high"], axis=1).loc[list(rows)]


def _known(course: pd.DataFrame, adaptation: str) -> None:
    unknown = course.loc[course[adaptation].isna(), "row"].unique()
    if len(unknown):
        raise ValueError(
            f"adaptation={adaptation!r} is nan for {', '.join(unknown)}: that target domain has no labels "
            "that an evaluator can read; compare at another rate, such as adaptation='clip_rate'"
        )


def differences(
    bench: Bench,
    measures: Sequence[str] = ("evaluator_rate", "clip_score", "lpips_all", "clip_variance"),
    baseline: str | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences of the rows to one of them, with a paired bootstrap's interval over seeds and latents.

    Args:
        bench: bench of the scenario.
        measures: names of :meth:`Judges.each <zsgan.evaluation.judges.Judges.each>`.
        baseline: a row; the profile's by default.
        level: confidence level, in (0, 1).

    Returns:
        a line for each other row and measure, with columns row, baseline, measure, seeds, n, difference,
        low and high.

    Raises:
        ValueError: the baseline or a measure is unknown.
    """
    baseline = _baseline(bench, baseline)
    values: dict[str, dict[str, list[Tensor]]] = {}
    for row, _, found in bench.runs:
        measured = bench.at(found)
        for name in measures:
            values.setdefault(name, {}).setdefault(row, []).append(_of(measured, name))
    lines = []
    for name, of_row in values.items():
        tensors = {row: torch.stack(runs) for row, runs in of_row.items()}
        for row in bench.profile.rows:
            if row == baseline:
                continue
            found_ = paired_difference(tensors[row], tensors[baseline], level=level)
            lines.append(_line(row, baseline, name, tensors[row], found_))
    return pd.DataFrame(lines)


def matched_differences(
    bench: Bench,
    target: float,
    diversity: str = "lpips_all",
    adaptation: str = "evaluator_rate",
    baseline: str | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences of the rows' diversity to one of them, at equal adaptation.

    Args:
        bench: bench of the scenario.
        target: adaptation at which to compare.
        diversity: measure of diversity in :meth:`Judges.each <zsgan.evaluation.judges.Judges.each>`.
        adaptation: measure of adaptation there.
        baseline: a row; the profile's by default.
        level: confidence level, in (0, 1).

    Returns:
        the columns of :func:`differences`, and target and arrived, the number of the row's runs that reach
        it. Unless all runs of both rows do, difference, low and high are nan.

    Raises:
        ValueError: the baseline or a measure is unknown.
    """
    baseline = _baseline(bench, baseline)
    courses = _courses(bench, adaptation, diversity)
    lines = []
    for row, course in courses.items():
        if row == baseline:
            continue
        arrived = int((course.adaptation.mean(2).amax(1) >= target).sum())
        found = (math.nan,) * 3
        if highest_common([course, courses[baseline]]) >= target:
            found = matched_difference(course, courses[baseline], target, level=level)
        line = _line(row, baseline, diversity, course.diversity[:, 0], found)
        lines.append(line | {"target": target, "arrived": arrived})
    return pd.DataFrame(lines)


def _courses(bench: Bench, adaptation: str, diversity: str) -> dict[str, Course]:
    """Row -> its runs' snapshots."""
    runs: dict[str, list[Tensor]] = {}
    for row, _, found in bench.runs:
        points = [bench.at(found, step) for step in bench.steps(found)]
        values = [torch.stack([_of(point, name) for point in points]) for name in (adaptation, diversity)]
        runs.setdefault(row, []).append(torch.stack(values))
    return {row: Course(*_as_long_as_the_longest(of)) for row, of in runs.items()}


def _as_long_as_the_longest(runs: Sequence[Tensor]) -> Tensor:
    """(2, R, T, N) of R runs (2, T_r, N); a shorter run is padded with its last values."""
    longest = max(run.shape[1] for run in runs)
    ends = [run[:, -1:].expand(-1, longest - run.shape[1], -1) for run in runs]
    return torch.stack([torch.cat(parts, 1) for parts in zip(runs, ends, strict=True)], 1)


def _of(numbers: Numbers, name: str) -> Tensor:
    if name not in numbers.each:
        known = ", ".join(sorted(numbers.each))
        raise ValueError(f"measure={name!r} is not known image by image; choose one of {known}")
    return torch.tensor(numbers.each[name], dtype=torch.float64)


def _baseline(bench: Bench, baseline: str | None) -> str:
    rows = list(bench.profile.rows)
    baseline = baseline or bench.profile.baseline or rows[0]
    if baseline not in rows:
        raise ValueError(f"baseline={baseline!r} is unknown; choose one of {', '.join(rows)}")
    return baseline


def _line(row: str, baseline: str, measure: str, values: Tensor, found: Sequence[float]) -> dict[str, object]:
    seeds, n = values.shape
    place = {"row": row, "baseline": baseline, "measure": measure, "seeds": seeds, "n": n}
    return place | dict(zip(("difference", "low", "high"), found, strict=True))
