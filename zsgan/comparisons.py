"""One row against another, with intervals: at the end of the runs, and at the same adaptation."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from zsgan.bench import Bench
from zsgan.metrics.matched import Course, highest_common, matched_difference
from zsgan.metrics.statistics import paired_difference


def differences(
    bench: Bench,
    measures: Sequence[str] = ("evaluator_rate", "clip_score", "lpips_all", "clip_variance"),
    baseline: str | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences of the rows to one of them, with a paired bootstrap's interval over seeds and latents.

    Args:
        bench: of the scenario.
        measures: names of :meth:`Judges.each <zsgan.judges.Judges.each>`.
        baseline: a row; the profile's first by default.
        level: of confidence, in (0, 1).

    Returns:
        a line for each other row and measure, with columns row, baseline, measure, seeds, n, difference,
        low and high.

    Raises:
        ValueError: the baseline or a measure is unknown.
    """
    baseline = _baseline(bench, baseline)
    values: dict[str, dict[str, list[Tensor]]] = {}
    for row, _, found in bench.runs:
        each = bench.final(found).each
        for name in measures:
            values.setdefault(name, {}).setdefault(row, []).append(_of(each, name))
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
    adaptation: str = "evaluator_rate",
    diversity: str = "clip_variance",
    target: float | None = None,
    baseline: str | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Differences of the rows' diversity to one of them, where their runs have adapted equally far.

    Args:
        bench: of the scenario.
        adaptation: name of :meth:`Judges.each <zsgan.judges.Judges.each>` that says how far.
        diversity: name of one that says how varied.
        target: how far; by default nine tenths of the way from the source to what all runs reach.
        baseline: a row; the profile's first by default.
        level: of confidence, in (0, 1).

    Returns:
        as :func:`differences`, with a column target.

    Raises:
        ValueError: the baseline or a measure is unknown, or a run never comes as far as ``target``.
    """
    baseline = _baseline(bench, baseline)
    courses = _courses(bench, adaptation, diversity)
    if target is None:
        start = courses[baseline].adaptation[:, 0].mean().item()
        target = start + 0.9 * (highest_common(list(courses.values())) - start)
    lines = []
    for row, course in courses.items():
        if row != baseline:
            found = matched_difference(course, courses[baseline], target, level=level)
            line = _line(row, baseline, diversity, course.diversity[:, 0], found)
            lines.append(line | {"target": target})
    return pd.DataFrame(lines)


def _courses(bench: Bench, adaptation: str, diversity: str) -> dict[str, Course]:
    """Row -> its runs' snapshots."""
    runs: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for row, _, found in bench.runs:
        each = [bench.snapshot(found, step).each for step in [0, *found.snapshots]]
        values = [torch.stack([_of(step, name) for step in each]) for name in (adaptation, diversity)]
        runs.setdefault(row, []).append((values[0], values[1]))
    return {row: Course(*(torch.stack(part) for part in zip(*of, strict=True))) for row, of in runs.items()}


def _of(each: Mapping[str, list[float]], name: str) -> Tensor:
    if name not in each:
        raise ValueError(f"measure={name!r} is not known image by image; choose of {', '.join(sorted(each))}")
    return torch.tensor(each[name], dtype=torch.float64)


def _baseline(bench: Bench, baseline: str | None) -> str:
    rows = list(bench.profile.rows)
    if baseline is not None and baseline not in rows:
        raise ValueError(f"baseline={baseline!r} is unknown; choose one of {', '.join(rows)}")
    return baseline or rows[0]


def _line(
    row: str, baseline: str, measure: str, values: Tensor, found: tuple[float, float, float]
) -> dict[str, object]:
    seeds, n = values.shape
    place = {"row": row, "baseline": baseline, "measure": measure, "seeds": seeds, "n": n}
    return place | dict(zip(("difference", "low", "high"), found, strict=True))
