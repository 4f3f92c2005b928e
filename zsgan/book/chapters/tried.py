"""Tables and figures of tried settings, by target rate and FID, and of other scenarios."""

from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from zsgan.report.figures import MARKERS, PALETTE, stretch_rates

COLUMNS = {
    "evaluator_rate": ("target rate", ".3f"),
    "fid": ("FID", ".1f"),
    "precision": ("precision", ".2f"),
    "recall": ("recall", ".2f"),
    "lpips_avg": ("LPIPS", ".3f"),
}
"""Column of the results -> its heading and format."""


def tried_table(finals: pd.DataFrame) -> pd.DataFrame:
    """Table of every setting, in the order of the profile, as formatted cells under COLUMNS."""
    return _written(finals.set_index("row")).rename_axis("setting")


def tried_dots(finals: pd.DataFrame, baseline: str) -> Figure:
    """FID against target rate, a dot for each setting, coloured by its name up to the colon.

    Args:
        finals: as in :func:`tried_table`.
        baseline: the setting to mark with a ring.

    Returns:
        the figure; the lowest and the highest FID and the lowest rate are labelled, and the rate axis is
        stretched near 1, where most settings are.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    points = finals.set_index("row")[["evaluator_rate", "fid"]]
    groups = points.index.str.split(":").str[0]
    looks = zip(dict.fromkeys(groups), cycle(PALETTE), cycle(MARKERS), strict=False)
    for group, colour, marker in looks:
        axis.plot(*points[groups == group].T.to_numpy(), marker, color=colour, alpha=0.8, label=group)
    axis.plot(*points.loc[baseline], "o", markersize=13, fillstyle="none", color="black", label=baseline)
    middle = points["evaluator_rate"].agg(["min", "max"]).mean()
    extremes = (points["fid"].idxmin(), points["fid"].idxmax(), points["evaluator_rate"].idxmin())
    for row in dict.fromkeys(extremes):  # deterministic order: books of the same runs are equal to the byte
        side = "right" if points.loc[row, "evaluator_rate"] > middle else "left"
        # The label of the lowest goes below, where there is space.
        place = (0, -18) if row == extremes[0] else (-11 if side == "right" else 11, -4)
        axis.annotate(row, points.loc[row], place, textcoords="offset points", ha=side, fontsize="small")
    axis.margins(y=0.12)
    stretch_rates(axis)
    axis.set(xlabel="target rate (evaluator)", ylabel="FID (evaluator)")
    figure.legend(loc="outside upper center", ncols=3, fontsize="small")
    return figure


def scenario_table(means: pd.DataFrame) -> pd.DataFrame:
    """Table of several scenarios as formatted cells: the source, then every row at the end of its runs.

    Args:
        means: COLUMNS along the runs, index (scenario, row, step), step 0 being the source.

    Returns:
        index scenario; columns row, those of COLUMNS, and "highest rate" along the run.
    """
    lines: list[tuple[str, str, pd.Series, float]] = []
    for (scenario, row), run in means.groupby(level=["scenario", "row"], sort=False):
        run = run.droplevel(["scenario", "row"]).sort_index()
        if scenario not in {line[0] for line in lines}:
            lines.append((scenario, "source", run.iloc[0], run.iloc[0]["evaluator_rate"]))
        lines.append((scenario, row, run.iloc[-1], run["evaluator_rate"].max()))
    index = pd.Index([line[0] for line in lines], name="scenario")
    written = _written(pd.DataFrame([line[2] for line in lines]).set_axis(index))
    written.insert(0, "row", [line[1] for line in lines])
    return written.assign(**{"highest rate": [f"{line[3]:.3f}" for line in lines]})


def _written(measured: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {heading: measured[name].map(f"{{:{form}}}".format) for name, (heading, form) in COLUMNS.items()}
    )
