"""Figures and tables of shipped summaries: courses of the rows, effects of the switches with intervals."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from zsgan.evaluation.comparisons import PRICE, Change, changes, known_rate
from zsgan.report.figures import draw_curves, stretch_rates
from zsgan.report.published import PAPER_SCENARIO, PAPER_TABLE_1
from zsgan.report.shipped import Summary
from zsgan.report.tables import ABSENT

MEASURES = {
    "evaluator_rate": "target rate at the end",
    "clip_rate": "target rate (CLIP) at the end",
    "fid": "FID at the end",
    "lpips_all": "diversity at the same target rate",
    "lpips_end": "diversity at the end",
}
"""Measure of a switch's effect -> its label. Of the two target rates one is shown,
:func:`zsgan.evaluation.comparisons.known_rate`, and of the two diversities one."""
STEPS = (
    ("L_dir", "StyleGAN-NADA"),
    ("L_dir", "L_dir + L_EWC"),
    ("L_dir", "L_dm"),
    ("L_dm", "L_dm + L_EWC"),
    ("L_dm + L_EWC", "L_dm + L_EWC + L_rel"),
    ("L_dir", "L_dm + L_EWC + L_rel"),
)
"""Rows of the paper's Table 1 that differ in one component, and the whole method."""


def frontiers(course: pd.DataFrame, rows: Sequence[str], measures: Mapping[str, str]) -> Figure:
    """Small multiples of measures over the iterations: means over the seeds, bands from lowest to highest.

    Each measure has a line of panels with at most three rows each; the other rows' means are grey in them.

    Args:
        course: course of one scenario, see :class:`zsgan.report.shipped.Summary`.
        rows: rows to draw, in their order.
        measures: column -> label of its panels; one that is nan throughout has none. The axis of a column
            that ends in "_rate" is stretched near 1.

    Returns:
        the figure.
    """
    measures = {column: label for column, label in measures.items() if course[column].notna().any()}
    firsts = range(0, len(rows), 3)
    figure, axes = plt.subplots(
        len(measures), len(firsts), sharex=True, sharey="row", squeeze=False, layout="constrained",
        figsize=(max(3.6 * len(firsts), 5), 0.9 + 2.1 * len(measures)),
    )  # fmt: skip
    for line, (column, label) in zip(axes, measures.items(), strict=True):
        means = course.pivot_table(column, "step", "row")
        for axis, first in zip(line, firsts, strict=True):
            part = rows[first : first + 3]
            axis.plot(means[[row for row in rows if row not in part]], color="0.8", linewidth=1)
            draw_curves(axis, course, "step", column, part, first=first)
        if column.endswith("_rate"):
            stretch_rates(line[0], "y")
        line[0].set_ylabel(label)
    for top, bottom in zip(axes[0], axes[-1], strict=True):
        top.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)
        bottom.set_xlabel("iteration")
    return figure


def matched_table(differences: pd.DataFrame) -> pd.DataFrame:
    """Diversity relative to the baseline at the end of the runs and at equal target rates.

    Args:
        differences: differences of one scenario, see :class:`zsgan.report.shipped.Summary`.

    Returns:
        formatted cells, a row for each row of the profile, a column for the end and one for each target rate:
        the difference and its interval; a dash where some run of either row does not reach the rate.
    """
    found = differences[differences["measure"] == "lpips_all"]
    places = found["target"].map(lambda rate: "at the end" if math.isnan(rate) else f"at rate {rate:g}")
    cells = found.assign(cell=found.apply(_interval, axis=1), place=places)
    table = cells.pivot(index="row", columns="place", values="cell")[list(dict.fromkeys(places))]
    return table.loc[list(dict.fromkeys(found["row"]))].rename_axis("row")


def steps_table(parts: Mapping[str, Summary]) -> pd.DataFrame:
    """Change of the diversity "Avg." by each step of the paper's Table 1, as printed and as measured here.

    Args:
        parts: scenario -> its summary.

    Returns:
        formatted cells, a row for each scenario and each of STEPS whose rows it has; columns scenario, paper
        (the printed difference; a dash for another scenario than the paper's) and here (the difference at the
        end of the runs, with Student's interval over the seeds).
    """
    lines = []
    for scenario, part in parts.items():
        for before, after in STEPS:
            if not {before, after} <= set(part.finals["row"]):
                continue
            change = changes(part.finals, before, after, ["lpips_avg"])["lpips_avg"]
            printed = format(PAPER_TABLE_1[after][0] - PAPER_TABLE_1[before][0], "+.3f")
            lines.append({
                "step": f"{after} against {before}", "scenario": scenario,
                "paper": printed if scenario == PAPER_SCENARIO else ABSENT, "here": f"{change:+.3f}",
            })  # fmt: skip
    return pd.DataFrame(lines).set_index("step")


def ladder_table(finals: pd.DataFrame) -> pd.DataFrame:
    """Change of diversity, target rate and FID by each step of the paper's Table 1, of one scenario.

    Args:
        finals: a line for each run at its end.

    Returns:
        formatted cells, a row for each of STEPS whose rows there are: the paper's difference of "Avg.", and
        the differences measured here, with Student's intervals over the seeds.
    """
    rows, lines = set(finals["row"]), {}
    for before, after in STEPS:
        if not {before, after} <= rows:
            continue
        line = {"paper, diversity": format(PAPER_TABLE_1[after][0] - PAPER_TABLE_1[before][0], "+.3f")}
        for column, change in changes(finals, before, after).items():
            label, form = PRICE[column]
            line[label] = format(change, f"+{form}") if change.seeds else ABSENT
        lines[f"{after} against {before}"] = line
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("step")


def effects(summary: Summary, rate: float | None) -> pd.DataFrame:
    """Effect of every row against the baseline on those of MEASURES that are known.

    Args:
        summary: summary of one scenario.
        rate: target rate at which diversity is compared; None compares it at the end of the runs, as the
            paper does, where a row that adapts less is the more diverse for it.

    Returns:
        columns row, measure, difference, low and high. The interval is that of a paired bootstrap for the
        target rate and the diversity, and Student's over the seeds for the FID; nan without a comparison.
    """
    table, finals = summary.differences, summary.finals
    at_end = table["target"].isna()
    rates, diversities = table["measure"] == known_rate(finals), table["measure"] == "lpips_all"
    places = {known_rate(finals): rates & at_end}
    places |= (
        {"lpips_end": diversities & at_end}
        if rate is None
        else {"lpips_all": diversities & (table["target"] == rate)}
    )
    with_images = ["fid"] if finals["fid"].notna().any() else []
    measures = [measure for measure in MEASURES if measure in [*places, *with_images]]
    lines = []
    for row in dict.fromkeys(table["row"]):
        for measure in measures:
            if measure in places:
                chosen = table.loc[(table["row"] == row) & places[measure]]
                difference, low, high = chosen[["difference", "low", "high"]].iloc[0]
            else:
                change = changes(finals, table["baseline"].iloc[0], row, [measure])[measure]
                difference, low, high = change.mean, change.low, change.high
            line = {"row": row, "measure": measure, "difference": difference, "low": low, "high": high}
            lines.append(line)
    return pd.DataFrame(lines)


def effect_table(found: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`effects` as formatted cells, a column for each measure."""
    cells = found.assign(cell=found.apply(_interval, axis=1))
    table = cells.pivot(index="row", columns="measure", values="cell")
    rows, measures = (list(dict.fromkeys(found[name])) for name in ("row", "measure"))
    return table.loc[rows, measures].rename(columns=MEASURES)


def decided(found: pd.DataFrame, measure: str) -> dict[str, list[str]]:
    """Rows by their effect on a measure: "higher", "lower", "undecided", or "not compared"."""
    groups: dict[str, list[str]] = {"higher": [], "lower": [], "undecided": [], "not compared": []}
    for line in found[found["measure"] == measure].itertuples():
        known = not math.isnan(line.difference)
        verdict = Change(line.difference, line.low, line.high, 0).verdict if known else "not compared"
        groups[verdict].append(line.row)
    return groups


def beside(
    short: pd.DataFrame, long: pd.DataFrame, measures: Sequence[str], names: Sequence[str]
) -> pd.DataFrame:
    """Effects of the switches that two grids share, those first whose verdict is another in the second.

    Args:
        short: effects in the first grid, see :func:`effects`.
        long: effects in the second.
        measures: measures to show.
        names: what the two grids are called in the heading of a column.

    Returns:
        formatted cells, a row for each switch, a column for each measure and grid.
    """
    shared = [row for row in dict.fromkeys(long["row"]) if row in set(short["row"])]
    tables = {name: effect_table(found) for name, found in zip(names, (short, long), strict=True)}
    columns = {
        f"{MEASURES[measure]}, {name}": table[MEASURES[measure]]
        for measure in measures
        for name, table in tables.items()
    }
    before, after = (
        {
            (row, measure): verdict
            for measure in measures
            for verdict, rows in decided(found, measure).items()
            for row in rows
        }
        for found in (short, long)
    )
    turned = [row for row in shared if any(before[row, m] != after[row, m] for m in measures)]
    order = [*turned, *(row for row in shared if row not in turned)]
    return pd.DataFrame(columns).loc[order].rename_axis("row")


def _interval(line: pd.Series) -> str:
    if math.isnan(line["difference"]):
        return ABSENT
    change = Change(line["difference"], line["low"], line["high"], 0)
    return format(change, "+.1f" if line["measure"] == "fid" else "+.3f")
