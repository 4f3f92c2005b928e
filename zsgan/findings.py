"""What a table of rows says: what each term brings, what it costs, and what is left at one target rate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

PRICE = {"lpips_avg": ("diversity", ".3f"), "evaluator_rate": ("target rate", ".2f"), "fid": ("FID", ".1f")}
"""Columns of the results that a step is judged by -> what they are called, and how they are written."""


@dataclass(frozen=True)
class Change:
    """How one number differs between two rows.

    Attributes:
        mean: over the seeds that both rows have.
        low: the least difference of a seed.
        high: the greatest.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def verdict(self) -> str:
        """Whether every seed agrees that it is "higher" or "lower"; else "undecided"."""
        if self.seeds > 1 and self.low > 0:
            return "higher"
        return "lower" if self.seeds > 1 and self.high < 0 else "undecided"


def changes(measured: pd.DataFrame, before: str, after: str) -> dict[str, Change]:
    """What a row changes against another one, seed by seed.

    Args:
        measured: a line for each run, of one scenario, as :func:`zsgan.results.results` makes it.
        before: a row.
        after: another row.

    Returns:
        column of :data:`PRICE` -> change.

    Raises:
        ValueError: the rows have no seed in common.
    """
    one, two = (measured[measured["row"] == row].set_index("seed")[list(PRICE)] for row in (before, after))
    difference = (two - one).dropna(how="all")
    if difference.empty:
        raise ValueError(f"rows {before!r} and {after!r} have no seed in common: nothing to compare")
    n = len(difference)
    return {key: Change(x.mean(), x.min(), x.max(), n) for key, x in difference.items()}


def sentences(measured: pd.DataFrame, rows: Sequence[str]) -> Iterator[str]:
    """A sentence for each row of a ladder: what it changes against the row below it, and how surely.

    Args:
        measured: see :func:`changes`.
        rows: from the least to the most terms.

    Yields:
        Markdown.
    """
    for before, after in pairwise(rows):
        found = changes(measured, before, after)
        parts = [
            f"{name} {found[key].verdict} ({found[key].mean:+{form}}; {_span(found[key], form)})"
            for key, (name, form) in PRICE.items()
        ]
        yield f"**{after}** against {before}: {', '.join(parts)}."


def _span(change: Change, form: str) -> str:
    if change.seeds == 1:
        return "one seed, which cannot decide"
    return f"{change.low:+{form}} to {change.high:+{form}} over {change.seeds} seeds"


def at_common_rate(
    course: pd.DataFrame, rows: Sequence[str], value: str = "sse"
) -> tuple[float, pd.DataFrame]:
    """A value of every row at the highest target rate that all of their runs reach.

    Args:
        course: of one scenario, as :func:`zsgan.results.course` makes it.
        rows: which to compare.
        value: the column to compare, taken between two snapshots by a straight line.

    Returns:
        the rate, and columns mean, low and high over the seeds, a line for each row.
    """
    paths = course[course["row"].isin(rows)].groupby(["row", "seed"])
    rate = float(paths["evaluator_rate"].max().min())
    found = paths.apply(lambda path: _crossing(path.sort_values("step"), rate, value), include_groups=False)
    return rate, found.groupby("row").agg(["mean", "min", "max"]).set_axis(
        ["mean", "low", "high"], axis=1
    ).loc[list(rows)]


def _crossing(path: pd.DataFrame, rate: float, value: str) -> float:
    """The value where the path first reaches the rate."""
    rates, values = path["evaluator_rate"].to_list(), path[value].to_list()
    last = next(i for i, reached in enumerate(rates) if reached >= rate)
    if last == 0 or rates[last] == rates[last - 1]:
        return float(values[last])
    share = (rate - rates[last - 1]) / (rates[last] - rates[last - 1])
    return float(values[last - 1] + share * (values[last] - values[last - 1]))
