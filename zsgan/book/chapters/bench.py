"""Tables and the rank plot of the leaderboard, see :mod:`zsgan.report.leaderboard`."""

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from zsgan.evaluation.comparisons import Change
from zsgan.report.figures import PALETTE
from zsgan.report.leaderboard import overall
from zsgan.report.tables import ABSENT

COLUMNS = {
    "fid": ("FID", ".1f"),
    "lpips_avg": ("LPIPS", ".3f"),
    "evaluator_rate": ("target rate", ".2f"),
    "seconds": ("seconds a run", ".0f"),
    "ideal_distance": ("distance to ideal", ".3f"),
    "factors_kept": ("factors kept", ".2f"),
}
"""Measure of the leaderboard -> its heading and number format."""


def cells(
    table: pd.DataFrame, baseline: str, measures: Sequence[str], index: Sequence[str] = ("row",)
) -> pd.DataFrame:
    """Standings at one place as formatted cells: means, and differences to the baseline with intervals.

    Args:
        table: a line for each of ``index`` and each measure, from
            :func:`zsgan.report.leaderboard.standings` or :func:`zsgan.report.leaderboard.overall`.
        baseline: the row without a difference.
        measures: measures to show, in their order.
        index: columns of the index.

    Returns:
        cells such as "88.0, -12.5 (-20.1 to -4.9)", in the order of the table; a dash for nan. Seconds have
        no difference.
    """
    written = table.assign(cell=[_cell(line, baseline) for _, line in table.iterrows()])
    wide = written.pivot_table("cell", list(index), "measure", aggfunc="first", sort=False)
    return wide[list(measures)].rename(columns={measure: COLUMNS[measure][0] for measure in measures})


def _cell(line: pd.Series, baseline: str) -> str:
    if math.isnan(line["mean"]):
        return ABSENT
    form = COLUMNS[line["measure"]][1]
    mean = format(line["mean"], form)
    # Of times of a busy machine, a difference with an interval would say more than is known.
    if line["row"] == baseline or line["measure"] == "seconds" or math.isnan(line["difference"]):
        return mean
    change = Change(line["difference"], line["low"], line["high"], line["seeds"])
    return f"{mean}, {format(change, f'+{form}')}"


def against(runs: pd.DataFrame, pairs: Mapping[str, str], measures: Sequence[str], word: str) -> pd.DataFrame:
    """Rows at the end beside others of the same method, as cells.

    Args:
        runs: every run at every place, see :func:`zsgan.report.leaderboard.placed`.
        pairs: row -> another row, to show beside it with the difference between them.
        measures: measures to show, in their order.
        word: what the other rows are, for their headings.

    Returns:
        a line for each pair, named by its first row; two columns for each measure.
    """
    lines = {}
    for row, other in pairs.items():
        both = runs[runs["row"].isin([row, other]) & (runs["place"] == "end")]
        found = cells(overall(both, row), row, measures)
        lines[row] = {
            f"{name}{end}": found.loc[which, name]
            for name in found for which, end in ((row, ""), (other, f", {word}"))
        }  # fmt: skip
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


def rank_plot(ranks: Mapping[str, pd.DataFrame], critical: float) -> Figure:
    """Mean ranks of the rows, with bars of which two that are clear of each other mark a critical difference.

    Args:
        ranks: title of a panel -> ranks, a line for each block and a column for each row, see
            :func:`zsgan.report.leaderboard.ranks`.
        critical: difference of two mean ranks from which two rows differ.

    Returns:
        the figure; the rows stand in the order of the first panel, the best on top.
    """
    first = next(iter(ranks.values())).mean().sort_values(kind="stable")
    places = range(len(first))
    figure, axes = plt.subplots(
        1, len(ranks), figsize=(7.2, 1 + 0.33 * len(first)), sharey=True, squeeze=False, layout="constrained"
    )
    for axis, (title, table) in zip(axes[0], ranks.items(), strict=True):
        means = table.mean()[first.index]
        axis.errorbar(
            means, places, xerr=critical / 2, fmt="o", markersize=5, color=PALETTE[0], elinewidth=1.4
        )
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("mean rank (1: best)", fontsize=11)
        axis.set_xticks(range(1, len(first) + 1, 1 + len(first) // 5))
        axis.grid(False, axis="y")
    axes[0, 0].set_yticks(places, [textwrap.fill(row, 34) for row in first.index])
    axes[0, 0].set_ylim(len(first) - 0.5, -0.5)
    return figure


def apart(ranks: pd.DataFrame, critical: float) -> int:
    """Number of pairs of rows whose mean ranks differ by at least the critical difference."""
    means = ranks.mean().to_numpy()
    return int((abs(means[:, None] - means) >= critical).sum()) // 2


def listed(rows: Sequence[str]) -> str:
    """Rows as words, apart by semicolons, since some have a comma in their name; "none" without any."""
    return "; ".join(rows) or "none"
