"""Figures and the forecast table of the audit: text directions beside the ideal image directions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.evaluation.forecast import Beforehand, beforehand, outcomes
from zsgan.metrics import extract
from zsgan.networks.clip import encode_pair
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import Samples
from zsgan.report.figures import MARKERS, PALETTE
from zsgan.runs.profiles import Profile

KINDS = ("another species", "another style", "both")
"""What a target changes."""
OUTCOMES: Mapping[str, str] = {
    "target_rate": "target rate at the end",
    "kept": "diversity kept at the end",
    "best_step": "best step",
}
"""Column of :func:`zsgan.evaluation.forecast.outcomes` -> its name in prose."""


def kinds(profile: Profile) -> dict[str, str]:
    """What each scenario changes of its source, photos of one species: one of :data:`KINDS`."""
    found = {}
    for name, scenario in profile.scenarios.items():
        species = scenario.generator != f"generator-{scenario.truth['species']}"
        style = scenario.truth["style"] != "photo"
        found[name] = KINDS[2 if species and style else int(style)]
    return found


def known_before(profile: Profile, n: int = 200) -> pd.DataFrame:
    """What texts and images of the source say of every scenario, by the first guiding CLIP.

    Args:
        profile: scenarios with one source generator each, without truncation.
        n: number of images.

    Returns:
        a line for each scenario, columns of :class:`zsgan.evaluation.forecast.Beforehand`.
    """
    row = next(iter(profile.rows))
    lines: dict[str, tuple[float, ...]] = {}
    seen: dict[tuple[str, str], Tensor] = {}
    for name in profile.scenarios:
        config = profile.config(name, row)
        clip = load_clip(config.clips[0])
        key = config.generator, config.clips[0]
        if key not in seen:
            images = Samples(load_generator(config.generator), n, SAMPLES_SEED, 1.0)
            seen[key] = extract(clip.encode_images, images)
        texts = encode_pair(clip, config.source_text, config.target_text, config.prompts)
        lines[name] = beforehand(texts.cpu(), seen[key].cpu())
    return pd.DataFrame.from_dict(lines, orient="index", columns=Beforehand._fields)


def skills(
    course: pd.DataFrame,
    before: pd.DataFrame,
    judge: Callable[..., Any],
    oracle: Sequence[str] = (),
) -> dict[tuple[str, str], Any]:
    """How well each outcome is forecast, on targets that had no part in the fit.

    Args:
        course: a line for each snapshot of one seed's runs.
        before: what is known of each scenario, see :func:`known_before`.
        judge: features and outcomes of the targets -> skill, such as :func:`zsgan.evaluation.forecast.skill`
            or :func:`zsgan.evaluation.forecast.left_out`.
        oracle: columns of ``course`` at step 0 to add, which a user would not know.

    Returns:
        row and outcome -> skill.
    """
    found = {}
    start = course[course["step"] == 0].drop_duplicates("scenario").set_index("scenario")
    known = before.join(start[list(oracle)])
    for row, ends in outcomes(course).groupby("row", sort=False):
        ends = ends.set_index("scenario").loc[known.index]
        for outcome in OUTCOMES:
            found[row, outcome] = judge(known.to_numpy(), ends[outcome].to_numpy())
    return found


def dot_plot(values: pd.DataFrame, of_kind: Mapping[str, str], names: Mapping[str, str]) -> Figure:
    """A line for each target, with the cosine by each CLIP, sorted by the first.

    Args:
        values: index scenario, a column for each CLIP.
        of_kind: scenario -> kind.
        names: scenario -> label.

    Returns:
        the figure.
    """
    first, *others = values.columns
    order = values.sort_values(first, ascending=False)
    figure, axis = plt.subplots(figsize=(7.2, 1.2 + 0.27 * len(order)), layout="constrained")
    places = pd.Series(range(len(order)), index=order.index)
    for number, kind in enumerate(KINDS):
        chosen = [name for name in order.index if of_kind[name] == kind]
        marker, color = MARKERS[number], PALETTE[number]
        axis.scatter(order.loc[chosen, first], places[chosen], marker=marker, color=color, label=kind)
        for other in others:
            axis.scatter(
                order.loc[chosen, other], places[chosen], marker=marker, facecolors="none", edgecolors=color
            )
    axis.set_yticks(places, [names[name] for name in order.index])
    axis.set_ylim(len(order) - 0.5, -0.5)
    axis.set_xlabel("cosine of text direction and ideal image direction")
    axis.legend(loc="lower right")
    return figure


def line_plot(course: pd.DataFrame, columns: Mapping[str, str], of_kind: Mapping[str, str]) -> Figure:
    """The mean of every kind of target over the steps, a panel for each row and column of the measure.

    Args:
        course: a line for each snapshot.
        columns: column -> title.
        of_kind: scenario -> kind.

    Returns:
        the figure.
    """
    rows = list(course["row"].unique())
    figure, axes = plt.subplots(
        len(rows), len(columns), figsize=(7.2, 0.6 + 2.3 * len(rows)), sharex=True, sharey="col",
        squeeze=False, layout="constrained",
    )  # fmt: skip
    named = course.assign(kind=course["scenario"].map(of_kind))
    for line, row in zip(axes, rows, strict=True):
        for axis, (column, title) in zip(line, columns.items(), strict=True):
            part = named[(named["row"] == row) & named[column].notna()]
            for number, kind in enumerate(KINDS):
                means = part[part["kind"] == kind].groupby("step")[column].mean()
                axis.plot(means.index, means, marker=MARKERS[number], color=PALETTE[number], label=kind)
            axis.set_title(f"{title}\n{row}", fontsize=11)
            axis.axhline(0, color="black", linewidth=0.8)
    for axis in axes[-1]:
        axis.set_xlabel("step")
    axes[0, 0].legend(fontsize=10)
    return figure
