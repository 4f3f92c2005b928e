"""Leaderboard of a grid of rows, scenarios and seeds: where every row stands, and which rows differ.

Every run is read at three places (:data:`PLACES`). Intervals are Student's 95 % intervals of differences to
the baseline that are paired by scenario and seed, over several scenarios with the spread within each. A row
that lacks a value in any of its runs has nan there: a mean over the runs that happen to arrive would not be
comparable.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from zsgan.evaluation.comparisons import Change, at_rate
from zsgan.report.shipped import RATES

PLACES = ("end", "best step", "matched rate")
"""Where a run is read: after its last step; at the row's best step, see :func:`at_best_step`; where it first
reaches the scenario's rate, see :func:`matched_rate`, by linear interpolation between snapshots."""
BETTER = {
    "fid": "lower", "lpips_avg": "higher", "evaluator_rate": "higher",
    "ideal_distance": "lower", "factors_kept": "higher", "seconds": "lower",
}  # fmt: skip
"""Measure -> the side on which it is better. ``seconds`` is the median time of a step times the steps taken,
as a machine with other work measured it, without what a method prepares before its first step or in few of
its steps, such as AIR's anchors."""
_RUN = ["scenario", "row", "seed"]
_READ = ["step", *(measure for measure in BETTER if measure != "seconds")]


def placed(finals: pd.DataFrame, course: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Every run at every place.

    Args:
        finals: a line for each run at its end, see :class:`zsgan.report.shipped.Summary`.
        course: a line for each snapshot of the same runs.
        baseline: the row that the rate is chosen for and whose scenarios and seeds every row needs.

    Returns:
        columns scenario, row, seed, place, step (a fraction at the matched rate) and those of
        :data:`BETTER`; nan at the matched rate for a run that never reaches it.

    Raises:
        ValueError: the evaluator's target rate is unknown, there is no run of the baseline, or a row has
            other runs than it.
    """
    if baseline not in set(finals["row"]):
        raise ValueError(
            f"baseline={baseline!r} has no run; choose one of {', '.join(finals['row'].unique())}"
        )
    wanted = sorted(finals.loc[finals["row"] == baseline, ["scenario", "seed"]].itertuples(index=False))
    for row, part in finals.groupby("row", sort=False):
        if (got := sorted(part[["scenario", "seed"]].itertuples(index=False))) != wanted:
            other = sorted(set(wanted) ^ set(got)) or [one for one in got if got.count(one) > 1]
            raise ValueError(
                f"row {row!r} must have one run of every scenario and seed of {baseline!r}, but differs in "
                f"{other[0].scenario}, seed {other[0].seed}; give each row its own name and all of these runs"
            )
    parts = [finals.rename(columns={"iterations": "step"}).assign(place="end")]
    for scenario, path in course.groupby("scenario", sort=False):
        at = at_rate(path, matched_rate(path, baseline), _READ).assign(scenario=scenario)
        parts += [at_best_step(path).assign(place="best step"), at.assign(place="matched rate")]
    runs = pd.concat(parts)[[*_RUN, "place", *_READ]]
    runs = runs.merge(finals[[*_RUN, "step_seconds"]], on=_RUN)
    runs["seconds"] = runs.pop("step_seconds") * runs["step"]
    return runs


def at_best_step(course: pd.DataFrame) -> pd.DataFrame:
    """Every run of a scenario at its row's best step, the one with the lowest mean FID over the row's seeds.

    A row has one step for all its seeds, chosen by the truth. Step 0, the source, is no choice. A run that
    was not measured at a step, since it had ended or ends elsewhere, counts with its last snapshot before it.

    Args:
        course: a line for each snapshot of one scenario.

    Returns:
        a line of ``course`` for each run.
    """
    found = []
    for _, path in course[course["step"] > 0].groupby("row", sort=False):
        mean = path.pivot(index="step", columns="seed", values="fid").ffill().mean(axis=1, skipna=False)
        until = path[path["step"] <= mean.idxmin()]
        found.append(until.loc[until.groupby("seed", sort=False)["step"].idxmax()])
    return pd.concat(found)


def matched_rate(course: pd.DataFrame, baseline: str) -> float:
    """Target rate at which the rows of a scenario are compared.

    Args:
        course: a line for each snapshot of one scenario.
        baseline: the row that must reach the rate.

    Returns:
        the largest that the baseline reaches in all its seeds, so that no other row moves it; nan for none.
    """
    highest = course[course["row"] == baseline].groupby("seed")["evaluator_rate"].max().min()
    return max((rate for rate in RATES if highest >= rate), default=math.nan)


def standings(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Means and differences to the baseline of every scenario, row, place and measure, over the seeds.

    Args:
        runs: every run at every place, see :func:`placed`.
        baseline: the row to compare with.

    Returns:
        columns scenario, row, place, measure, mean, difference, low, high and seeds (how many runs have the
        value); nan if a run of the row lacks it, or for the differences one of the baseline.
    """
    return _compared(runs, baseline, ["scenario", "row", "place", "measure"])


def overall(runs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The columns of :func:`standings` without scenario, over all pairs of a scenario and a seed.

    The interval is one of the mean over these very scenarios, for other seeds: from the spread of the seeds
    within each scenario, which may differ from one to another (Satterthwaite's degrees of freedom). How much
    scenarios differ has no part in it, and of other scenarios it says nothing.

    Args:
        runs: every run at every place, see :func:`placed`.
        baseline: the row to compare with.

    Returns:
        a line for each row, place and measure; seeds counts pairs.
    """
    return _compared(runs, baseline, ["row", "place", "measure"])


def _compared(runs: pd.DataFrame, baseline: str, by: Sequence[str]) -> pd.DataFrame:
    """Means and differences of a stratified sample: a stratum for each scenario."""
    from scipy.special import stdtrit  # imported here, since no command should wait for scipy

    long = runs.melt([*_RUN, "place"], list(BETTER), "measure", "value")
    theirs = long[long["row"] == baseline].drop(columns="row")
    both = long.merge(theirs, "left", ["scenario", "seed", "place", "measure"], suffixes=("", "_of_baseline"))
    both["difference"] = both["value"] - both["value_of_baseline"]
    both["missing"] = both["difference"].isna()
    keys = [*by, *({"scenario"} - {*by})]
    strata = both.groupby(keys, sort=False).agg(
        mean=("difference", "mean"), variance=("difference", "var"), n=("difference", "size"),
        missing=("missing", "any"),
    )  # fmt: skip
    strata["error"] = strata["variance"] / strata["n"]
    strata["share"] = strata["error"] ** 2 / (strata["n"] - 1)
    whole = strata.groupby(list(by), sort=False).agg(
        difference=("mean", "mean"), error=("error", lambda values: values.sum(skipna=False)),
        share=("share", "sum"),
        n=("n", "sum"), scenarios=("n", "size"), missing=("missing", "any"),
    )  # fmt: skip
    satterthwaite = whole["error"] ** 2 / whole["share"].where(whole["share"] > 0)
    freedom = satterthwaite.fillna(whole["n"] - whole["scenarios"]).clip(lower=1)  # without spread, the most
    reach = stdtrit(freedom, 0.975) * whole["error"] ** 0.5 / whole["scenarios"]
    ends = {"low": whole["difference"] - reach, "high": whole["difference"] + reach}
    values = both.assign(unknown=both["value"].isna()).groupby(list(by), sort=False)
    found = values.agg(mean=("value", "mean"), unknown=("unknown", "any"), seeds=("value", "count"))
    found = found.assign(difference=whole["difference"], **ends)
    found.loc[whole["missing"], ["difference", "low", "high"]] = math.nan
    found.loc[found["unknown"], "mean"] = math.nan
    return found[["mean", "difference", "low", "high", "seeds"]].reset_index()


@dataclass(frozen=True)
class Verdict:
    """What a leaderboard says, as data.

    Attributes:
        better: measure -> rows whose interval at the end is all on the better side of the baseline.
        worse: measure -> rows whose interval at the end is all on the worse side.
        lowest_fid: place -> the row with the lowest mean FID there.
    """

    better: Mapping[str, Sequence[str]]
    worse: Mapping[str, Sequence[str]]
    lowest_fid: Mapping[str, str]


def verdict(compared: pd.DataFrame) -> Verdict:
    """Which rows are decidedly better or worse than the baseline at the end, and which are nearest the truth.

    Args:
        compared: the rows over all scenarios, see :func:`overall`.

    Returns:
        rows in the order of the table.
    """
    end = compared[compared["place"] == "end"]
    better: dict[str, list[str]] = {measure: [] for measure in BETTER}
    worse: dict[str, list[str]] = {measure: [] for measure in BETTER}
    for line in end.itertuples():
        side = Change(line.difference, line.low, line.high, line.seeds).verdict
        if side != "undecided":
            (better if side == BETTER[line.measure] else worse)[line.measure].append(line.row)
    fid = compared[(compared["measure"] == "fid") & compared["mean"].notna()]
    lowest = fid.loc[fid.groupby("place", sort=False)["mean"].idxmin()]
    return Verdict(better, worse, dict(zip(lowest["place"], lowest["row"], strict=True)))


def ranks(runs: pd.DataFrame, measure: str, blocks: Sequence[str] = ("scenario", "seed")) -> pd.DataFrame:
    """Ranks of the rows at the end, from 1 for the best; equal rows share the mean of their ranks.

    With a block for each scenario and seed, the ranks say what to expect of other seeds in these scenarios:
    given a scenario, its seeds are independent runs. They are not independent as samples of scenarios; for
    those, take the scenarios as blocks, in which the rows' means over the seeds are ranked.

    Args:
        runs: every run at every place, see :func:`placed`.
        measure: one of :data:`BETTER`.
        blocks: columns that tell the blocks apart.

    Returns:
        a line for each block in which every row has all its values, a column for each row.
    """
    end = runs[runs["place"] == "end"]
    means = end.groupby([*blocks, "row"], sort=False)[measure].agg(lambda values: values.mean(skipna=False))
    values = means.unstack("row")[list(end["row"].unique())].dropna()
    return values.rank(axis=1, ascending=BETTER[measure] == "lower")


def critical_difference(rows: int, blocks: int) -> float:
    """Nemenyi's critical difference of two mean ranks, for all pairs at once (Demšar 2006, section 3.2.2).

    Args:
        rows: number of rows k, at least 2.
        blocks: number of independent blocks N.

    Returns:
        q sqrt(k (k + 1) / 6N), where q is the 95 % quantile of the studentised range for k groups and
        infinite degrees of freedom, divided by sqrt(2): some two of k equal rows differ by more in 5 % of the
        cases.
    """
    from scipy.stats import studentized_range  # imported here, since no command should wait for scipy

    q = float(studentized_range.ppf(0.95, rows, math.inf)) / math.sqrt(2)
    return q * math.sqrt(rows * (rows + 1) / (6 * blocks))


def as_json(table: pd.DataFrame) -> dict[str, Any]:
    """The standings for machines.

    Args:
        table: see :func:`standings`.

    Returns:
        scenario -> row -> place -> measure -> mean, difference, low, high and seeds, with five significant
        digits like a summary's; None in place of nan.
    """
    found: dict[str, Any] = {}
    for line in table.to_dict("records"):
        place = found
        for name in ("scenario", "row", "place"):
            place = place.setdefault(line[name], {})
        numbers = {name: _number(line[name]) for name in ("mean", "difference", "low", "high")}
        place[line["measure"]] = {**numbers, "seeds": int(line["seeds"])}
    return found


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None
