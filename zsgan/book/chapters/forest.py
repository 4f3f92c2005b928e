"""Forest plot of what each switch changes: a line for each, grouped by the question that it answers."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zsgan.book.chapters.switches import MEASURES
from zsgan.evaluation.comparisons import Change
from zsgan.report.figures import PALETTE

QUESTIONS: Mapping[str, Sequence[str]] = {
    "Which terms?": ("method",),
    "Which second moment?": ("covariance", "directions"),
    "Which variations?": ("epsilon", "stage 1"),
    "Which features?": ("features", "CLIP", "templates", "noise"),
    "How much EWC?": ("EWC",),
    "Which Fisher information?": ("Fisher",),
    "Which relation loss?": ("relation",),
    "Which training?": ("trained", "Adam", "iterations"),
}
"""Question -> what the names of its switches begin with, up to the colon."""
_WIDTH = 30  # letters of a label before it is broken
_FORMS = {"fid": "+.0f", "lpips_all": "+.3f", "lpips_end": "+.3f"}
"""Measure -> format of the numbers that stand for what lies beyond its axis; by default "+.2f"."""


def questions(rows: Sequence[str]) -> dict[str, dict[str, str]]:
    """The switches of a grid by the question that they answer.

    Args:
        rows: names of switches, such as "covariance: none".

    Returns:
        question -> row -> label, in the order of :data:`QUESTIONS`. The label lacks the part that the
        question says already. First come the rows without a colon, under "", last those that no question has.
    """
    known = {kind: question for question, kinds in QUESTIONS.items() for kind in kinds}
    found: dict[str, dict[str, str]] = {question: {} for question in ("", *QUESTIONS, "Others")}
    for row in rows:
        kind, colon, switch = row.partition(": ")
        question = known.get(kind, "Others") if colon else ""
        alone = len(QUESTIONS.get(question, ())) == 1
        found[question][row] = switch if alone else row
    return {question: labels for question, labels in found.items() if labels}


def forest(effects: pd.DataFrame) -> Figure:
    """Forest plot of effects with their intervals: a line for each row, a panel for each measure.

    A dot is filled where the interval leaves out zero. An axis shows what most rows need: an effect beyond it
    is an arrow at the rim with its number, an interval that goes beyond it is cut there.

    Args:
        effects: columns row, measure, difference, low and high, see
            :func:`zsgan.book.chapters.switches.effects`.

    Returns:
        the figure.
    """
    rows, measures = (list(dict.fromkeys(effects[name])) for name in ("row", "measure"))
    groups = questions(rows)
    labels = {
        line: textwrap.fill(label, _WIDTH)
        for question, of_question in groups.items()
        for line, label in [*([(question, question)] if question else []), *of_question.items()]
    }
    heights = pd.Series({line: 1 + 0.4 * label.count("\n") for line, label in labels.items()})
    places = heights.cumsum() - heights / 2
    size = (7.2, 1.2 + 0.26 * heights.sum())
    figure, axes = plt.subplots(
        1, len(measures), figsize=size, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, measure in zip(axes[0], measures, strict=True):
        of_measure = effects[effects["measure"] == measure].set_index("row")
        _panel(axis, of_measure, places, _FORMS.get(measure, "+.2f"))
        axis.set_title(textwrap.fill(MEASURES[measure], 14), fontsize=11)
        axis.set_xlabel("difference", fontsize=11)
    first = axes[0, 0]
    first.set_yticks(places, labels.values())
    first.set_ylim(heights.sum(), 0)
    first.tick_params(axis="y", labelsize=10.5)
    for line, text in zip(labels, first.get_yticklabels(), strict=True):
        if line in groups:
            text.set_fontweight("bold")
    return figure


def _panel(axis: Axes, effects: pd.DataFrame, places: pd.Series, form: str) -> None:
    """Effects of one measure (index row) at given heights (index row)."""
    end = _end(effects[["low", "high"]].abs().max(axis=1))
    axis.axvline(0, color="black", linewidth=0.8)
    for row, (difference, low, high) in effects[["difference", "low", "high"]].dropna().iterrows():
        place, decided = places[row], Change(difference, low, high, 0).verdict != "undecided"
        look: dict[str, Any] = {"color": PALETTE[0] if decided else "0.45", "linewidth": 1.4}
        axis.plot((low, high), (place, place), **look)
        if abs(difference) <= end:
            axis.plot(difference, place, "o", markersize=5, fillstyle="full" if decided else "none", **look)
            continue
        side = 1 if difference > 0 else -1
        axis.plot(side * 0.95 * end, place, ">" if side > 0 else "<", markersize=5, **look)
        text: dict[str, Any] = {"ha": "right" if side > 0 else "left", "va": "center", "fontsize": 10}
        text["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.text(side * 0.85 * end, place, format(difference, form), **text)
    axis.set_xlim(-end, end)
    axis.locator_params(axis="x", nbins=3, steps=[1, 2, 4, 10])
    axis.tick_params(axis="x", labelsize=10.5)
    axis.tick_params(axis="y", length=0)
    axis.grid(False, axis="y")


def _end(reach: pd.Series) -> float:
    """Where an axis ends: behind all intervals, unless a few reach much further than most."""
    most, all_ = 1.25 * float(reach.quantile(0.75)), 1.05 * float(reach.max())
    return all_ if all_ < 2 * most else most
