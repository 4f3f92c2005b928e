"""The stopping rule graded: what it picks, a fixed number of steps, and the best step by the truth."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from zsgan.bench import Bench
from zsgan.checking import merge
from zsgan.metrics.stopping import alignment, plateau
from zsgan.profiles import Profile
from zsgan.results import course
from zsgan.runs import RUNS
from zsgan.tables import ABSENT

CHOICES = ("rule", "fixed", "common", "best")
"""By the run's own features (:mod:`zsgan.metrics.stopping`), by the profile, the best number for all runs
alike, and the best for each run; the last two know the truth."""


def stops(
    profile: Profile,
    longest: int,
    *,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Grade the rule on all scenarios of a profile, in runs that go on for longer than the profile's.

    What is measured are the runs' snapshots, so every choice counts as the snapshot nearest to it.

    Args:
        profile: whose scenarios, seeds and rows, without those that adapt to images.
        longest: steps of the runs, and what the rule picks where it does not stop before.
        folder: of runs; missing ones are made.
        device: where runs are made and measured.
        progress: show a progress bar.

    Returns:
        a line for each run, see :func:`graded` and :func:`with_common`.
    """
    rows = {name: row for name, row in profile.rows.items() if row.get("few_shot") is None}
    fixed, lines, courses = replace(profile, rows=rows), [], []
    steps = {"optimiser": {"iterations": longest}}
    long = replace(fixed, overrides=merge(profile.overrides, steps))
    for scenario in long.scenarios:
        courses.append(course(long, scenario, folder=folder, device=device, progress=progress))
        for row, seed, found in Bench(long, scenario, folder, device).runs:
            of_run = courses[-1][(courses[-1]["row"] == row) & (courses[-1]["seed"] == seed)]
            usual = fixed.config(scenario, row).optimiser.iterations
            picked = plateau(alignment(found.history)) or longest
            lines.append({"scenario": scenario, "row": row, "seed": seed, **graded(of_run, picked, usual)})
    return with_common(pd.DataFrame(lines), pd.concat(courses))


def graded(course: pd.DataFrame, picked: int, usual: int) -> dict[str, Any]:
    """What a run was like at each choice.

    Args:
        course: of one run, columns step, fid and evaluator_rate; step 0, the source, is no choice.
        picked: the rule's step.
        usual: the fixed number of steps.

    Returns:
        picked, and for rule, fixed and best <choice>_step (of the nearest snapshot), <choice>_fid and
        <choice>_rate (the evaluator's target rate).
    """
    after = course[course["step"] > 0].reset_index(drop=True)
    chosen = {
        "rule": (after["step"] - picked).abs().idxmin(),
        "fixed": (after["step"] - usual).abs().idxmin(),
        "best": after["fid"].idxmin(),
    }
    line: dict[str, Any] = {"picked": picked}
    for choice, index in chosen.items():
        found = after.loc[index]
        line |= {f"{choice}_step": int(found["step"]), f"{choice}_fid": found["fid"]}
        line[f"{choice}_rate"] = found["evaluator_rate"]
    return line


def with_common(stops: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    """Add the best number of steps for all runs alike: what a rule must match to be worth having.

    It is the one of least FID, on the mean over the scenarios, among those that reach the rule's target
    rate; if none does, the one of the highest rate. FID alone would praise whoever adapts least.

    Args:
        stops: lines of :func:`graded`, with scenario, row and seed.
        courses: of all these runs, with snapshots at the same steps.

    Returns:
        ``stops`` with common_step, common_fid and common_rate.
    """
    measures = ["fid", "evaluator_rate"]
    after = courses[courses["step"] > 0]
    means = after.groupby(["scenario", "step"])[measures].mean().groupby("step").mean()
    able = means[means["evaluator_rate"] >= _over_scenarios(stops)["rule_rate"]]
    step = able["fid"].idxmin() if len(able) else means["evaluator_rate"].idxmax()
    place = ["scenario", "row", "seed"]
    names = {"step": "common_step", "fid": "common_fid", "evaluator_rate": "common_rate"}
    common = after[after["step"] == step][[*place, "step", *measures]].rename(columns=names)
    return stops.merge(common, on=place, how="left")


def rule_wins(stops: pd.DataFrame) -> bool:
    """Whether the rule is worth having.

    Args:
        stops: of :func:`stops`. Every scenario counts the same, however many runs it has.

    Returns:
        whether no number for all, fixed or common, has a lower FID, nor the fixed one a higher target rate.
    """
    mean = _over_scenarios(stops)
    nearer = mean["rule_fid"] <= min(mean["fixed_fid"], mean["common_fid"])
    return bool(nearer and mean["rule_rate"] >= mean["fixed_rate"])


def _over_scenarios(stops: pd.DataFrame) -> pd.Series:
    return stops.groupby("scenario").mean(numeric_only=True).mean()


def stops_table(stops: pd.DataFrame) -> pd.DataFrame:
    """A line for each scenario and row, means over the seeds, and a last one for the mean of these lines.

    Args:
        stops: of :func:`stops`.

    Returns:
        finished cells: for each choice "steps", "FID" and "target rate"; steps are those of snapshots, but
        for the rule, whose own are shown (the range over the seeds).
    """
    groups = stops.groupby(["scenario", "row"], sort=False)
    means = groups.mean(numeric_only=True)
    lines = {f"{scenario}, {row}": _cells(means.loc[scenario, row]) for scenario, row in means.index}
    for (scenario, row), runs in groups:
        lines[f"{scenario}, {row}"]["rule: steps"] = _span(runs["picked"])
    lines["mean"] = _cells(means.mean()) | {f"{choice}: steps": ABSENT for choice in CHOICES}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("scenario, row")


def _cells(mean: Mapping[Any, float]) -> dict[str, str]:
    cells = {}
    for choice in CHOICES:
        cells[f"{choice}: steps"] = f"{mean[f'{choice}_step']:.0f}"
        cells[f"{choice}: FID"] = f"{mean[f'{choice}_fid']:.1f}"
        cells[f"{choice}: target rate"] = f"{mean[f'{choice}_rate']:.2f}"
    return cells


def _span(picked: pd.Series) -> str:
    low, high = picked.min(), picked.max()
    return f"{low}" if low == high else f"{low} to {high}"
