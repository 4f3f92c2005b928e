"""Evaluation of the stopping rule against a fixed number of steps and the best step by the truth."""

import math
from typing import Any

import pandas as pd

from zsgan.evaluation.comparisons import Change, change_of
from zsgan.metrics.matched import ROUNDING
from zsgan.report.tables import span

CHOICES = ("rule", "fixed", "common", "best")
"""The rule (:mod:`zsgan.adaptation.stopping`), the profile's number of steps, the best number over all other
scenarios, and the best number for each run; the last two use the truth."""
_PLACE = ["scenario", "row", "seed"]


def stops(finals: pd.DataFrame, course: pd.DataFrame) -> pd.DataFrame:
    """Evaluate the rule on runs of the profile's full number of steps.

    Only snapshots are measured, so every choice is represented by the first snapshot at or after it.

    Args:
        finals: a row for each run, from ``Measurements.table``; runs that do not follow a
            text are left out, since the rule does not apply to them.
        course: courses of the same runs, from ``Measurements.course``, with snapshots at the
            same steps.

    Returns:
        a row for each run, see :func:`graded` and :func:`with_common`.

    Raises:
        ValueError: the rule applies to none of the runs.
    """
    lines = []
    for _, run in finals[finals["levelled_off"].notna()].iterrows():
        place = {name: run[name] for name in _PLACE}
        of_run = course[(course[_PLACE] == pd.Series(place)).all(axis=1)]
        lines.append({**place, **graded(of_run, run["levelled_off"], run["iterations"])})
    if not lines:
        raise ValueError("finals has no run that follows a text; the rule applies only to those")
    return with_common(pd.DataFrame(lines), course)


def graded(course: pd.DataFrame, levelled_off: float, usual: int) -> dict[str, Any]:
    """Measures of a run at each choice.

    Args:
        course: course of one run, columns step, fid and evaluator_rate; step 0, the source, is not a choice.
        levelled_off: the rule's step; inf for a run that never levels off.
        usual: the fixed number of steps, that of the run.

    Returns:
        picked, and for rule, fixed and best <choice>_step (of the snapshot), <choice>_fid and
        <choice>_rate (the evaluator's target rate).
    """
    after = course[course["step"] > 0].reset_index(drop=True)
    picked = usual if math.isinf(levelled_off) else int(levelled_off)
    # The first snapshot at or after the step; the last step of a run always has one.
    chosen = {
        "rule": (after["step"] >= picked).idxmax(),
        "fixed": (after["step"] >= usual).idxmax(),
        "best": after["fid"].idxmin(),
    }
    line: dict[str, Any] = {"picked": picked}
    for choice, index in chosen.items():
        found = after.loc[index]
        line |= {f"{choice}_step": int(found["step"]), f"{choice}_fid": found["fid"]}
        line[f"{choice}_rate"] = found["evaluator_rate"]
    return line


def with_common(stops: pd.DataFrame, courses: pd.DataFrame) -> pd.DataFrame:
    """Add the number of steps that is best on all other scenarios, by their truth.

    It has the lowest FID, averaged over all scenarios except the run's own, among the numbers that reach the
    rule's target rate there; if none does, it has the highest rate. FID alone would favour runs that hardly
    adapt.

    Args:
        stops: rows from :func:`graded`, with scenario, row and seed.
        courses: courses of all these runs, with snapshots at the same steps.

    Returns:
        ``stops`` with common_step, common_fid and common_rate; nan if there is no other scenario.
    """
    measures = ["fid", "evaluator_rate"]
    after = courses[courses["step"] > 0].merge(stops[_PLACE])
    means = after.groupby(["scenario", "step"])[measures].mean()
    chosen = []
    for scenario, runs in after.groupby("scenario"):
        others = means.drop(index=scenario, level="scenario").groupby("step").mean()
        if others.empty:
            continue
        rate = over_scenarios(stops[stops["scenario"] != scenario])["rule_rate"]
        able = others[others["evaluator_rate"] >= rate - ROUNDING]
        step = able["fid"].idxmin() if len(able) else others["evaluator_rate"].idxmax()
        chosen.append(runs[runs["step"] == step])
    names = {"step": "common_step", "fid": "common_fid", "evaluator_rate": "common_rate"}
    common = pd.concat(chosen) if chosen else after.head(0)
    return stops.merge(common[[*_PLACE, *names]].rename(columns=names), on=_PLACE, how="left")


def rule_against(stops: pd.DataFrame, choice: str, measure: str) -> Change:
    """Change of "fid" or "rate" by the rule against another of :data:`CHOICES`, paired by seed.

    Every scenario has the same weight, for any number of rows.
    """
    difference = stops[f"rule_{measure}"] - stops[f"{choice}_{measure}"]
    by_place = difference.groupby([stops["scenario"], stops["seed"]]).mean()
    return change_of(by_place.groupby("seed").mean())


def over_scenarios(stops: pd.DataFrame) -> pd.Series:
    """Mean of every number of :func:`stops`, with the same weight for each scenario."""
    return stops.groupby("scenario").mean(numeric_only=True).mean()


def stops_table(stops: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`stops`: FID and target rate of each choice.

    Args:
        stops: a row for each run.

    Returns:
        formatted cells "FID (rate)", a row for each scenario and a last one of their mean, a column for each
        of :data:`CHOICES` that exists.
    """
    means = stops.groupby("scenario", sort=False).mean(numeric_only=True)
    means.loc["mean"] = over_scenarios(stops)
    cells = {
        choice: [
            f"{fid:.1f} ({rate:.2f})" for fid, rate in means[[f"{choice}_fid", f"{choice}_rate"]].to_numpy()
        ]
        for choice in CHOICES
        if means[f"{choice}_fid"].notna().any()
    }
    return pd.DataFrame(cells, index=means.index)


def steps_table(stops: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`stops`: the steps of each choice.

    Args:
        stops: a row for each run.

    Returns:
        formatted cells, the lowest and the highest step of the runs; a row for each scenario, a column for
        each of :data:`CHOICES` that exists.
    """
    columns = {choice: "picked" if choice == "rule" else f"{choice}_step" for choice in CHOICES}
    by_scenario = stops.groupby("scenario", sort=False)
    return pd.DataFrame(
        {
            choice: by_scenario[column].agg(span)
            for choice, column in columns.items()
            if stops[column].notna().any()
        }
    )
