"""The stopping rule graded: what it picks, a fixed number of steps, and the best step by the truth."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from zsgan.evaluation.comparisons import Change, change_of
from zsgan.metrics.matched import ROUNDING
from zsgan.report.tables import ABSENT

CHOICES = ("rule", "fixed", "common", "best")
"""By the run's own features (:mod:`zsgan.adaptation.stopping`), the number of steps that the profile sets,
the best number for all runs of other scenarios, and the best for each run; the last two know the truth."""
_PLACE = ["scenario", "row", "seed"]


def stops(finals: pd.DataFrame, course: pd.DataFrame) -> pd.DataFrame:
    """Grade the rule on runs that went on to their profile's number of steps, whatever it says.

    What is measured are the runs' snapshots, so every choice counts as the first snapshot at or after it.

    Args:
        finals: a line for each run, of :func:`zsgan.evaluation.results.results`; those of other kinds than
            text are left out, for the rule says nothing about them.
        course: of the same runs, of :func:`zsgan.evaluation.results.course`, with snapshots at the same
            steps.

    Returns:
        a line for each run, see :func:`graded` and :func:`with_common`.

    Raises:
        ValueError: there is no run that the rule says anything about.
    """
    lines = []
    for _, run in finals[finals["levelled_off"].notna()].iterrows():
        place = {name: run[name] for name in _PLACE}
        of_run = course[(course[_PLACE] == pd.Series(place)).all(axis=1)]
        lines.append({**place, **graded(of_run, run["levelled_off"], run["iterations"])})
    if not lines:
        raise ValueError("finals has no run that follows a text, and of others the rule says nothing")
    return with_common(pd.DataFrame(lines), course)


def graded(course: pd.DataFrame, levelled_off: float, usual: int) -> dict[str, Any]:
    """What a run was like at each choice.

    Args:
        course: of one run, columns step, fid and evaluator_rate; step 0, the source, is no choice.
        levelled_off: the rule's step; inf for a run that goes on to its end.
        usual: the fixed number of steps, those of the run.

    Returns:
        picked, and for rule, fixed and best <choice>_step (of the snapshot), <choice>_fid and
        <choice>_rate (the evaluator's target rate).
    """
    after = course[course["step"] > 0].reset_index(drop=True)
    picked = usual if math.isinf(levelled_off) else int(levelled_off)
    # The first snapshot from there on; the last step of a run always has one.
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
    """Add the number of steps that other scenarios recommend: what whoever knows their truth would set here.

    It is the one of least FID, on the mean over all scenarios but the run's own, among those that reach the
    rule's target rate there; if none does, the one of the highest rate. FID alone would praise whoever adapts
    least.

    Args:
        stops: lines of :func:`graded`, with scenario, row and seed.
        courses: of all these runs, with snapshots at the same steps.

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
    """What the rule changes against another choice, seed by seed.

    Args:
        stops: of :func:`stops`. Every scenario counts the same, however many rows it has.
        choice: one of :data:`CHOICES`.
        measure: "fid" or "rate".

    Returns:
        the change over the seeds.
    """
    difference = stops[f"rule_{measure}"] - stops[f"{choice}_{measure}"]
    by_place = difference.groupby([stops["scenario"], stops["seed"]]).mean()
    return change_of(by_place.groupby("seed").mean())


def rule_wins(stops: pd.DataFrame) -> bool:
    """Whether the rule is worth having: it beats the fixed number, and the common one does not beat it.

    Args:
        stops: of :func:`stops`.

    Returns:
        whether its FID is decidedly lower than that of the fixed number, and neither this nor the target rate
        is decidedly worse than the others'.
    """
    fid, rate = (
        {choice: rule_against(stops, choice, measure).verdict for choice in ("fixed", "common")}
        for measure in ("fid", "rate")
    )
    return fid["fixed"] == "lower" and fid["common"] != "higher" and "lower" not in rate.values()


def over_scenarios(stops: pd.DataFrame) -> pd.Series:
    """Mean of every number of :func:`stops`, in which each scenario counts the same."""
    return stops.groupby("scenario").mean(numeric_only=True).mean()


def stops_table(stops: pd.DataFrame) -> pd.DataFrame:
    """A line for each scenario, means over its runs, and a last one for the mean of these lines.

    Args:
        stops: of :func:`stops`.

    Returns:
        finished cells: "rule: steps" (least and most of the runs), and for each choice "FID (rate)".
    """
    means = stops.groupby("scenario", sort=False).mean(numeric_only=True)
    picked = stops.groupby("scenario", sort=False)["picked"]
    lines = {
        scenario: {"rule: steps": _span(picked.get_group(scenario)), **_cells(mean)}
        for scenario, mean in means.iterrows()
    }
    lines["mean"] = {"rule: steps": ABSENT, **_cells(over_scenarios(stops))}
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("scenario")


def _cells(mean: Mapping[Any, float]) -> dict[str, str]:
    return {
        f"{choice}: FID (rate)": f"{mean[f'{choice}_fid']:.1f} ({mean[f'{choice}_rate']:.2f})"
        for choice in CHOICES
        if not math.isnan(mean[f"{choice}_fid"])
    }


def _span(picked: pd.Series) -> str:
    low, high = picked.min(), picked.max()
    return f"{low}" if low == high else f"{low} to {high}"
