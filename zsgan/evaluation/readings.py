"""The same runs, read at several steps: when is a run over?"""

import math

import pandas as pd

READINGS = ("at the end", "levelled off", "best FID")
"""Steps at which the runs of a table are read: after the last, at the snapshot nearest to where
:func:`zsgan.adaptation.stopping.plateau` would have stopped, and at the snapshot nearest to the truth."""


def readings(finals: pd.DataFrame, course: pd.DataFrame) -> pd.DataFrame:
    """The same runs, read at three steps.

    Args:
        finals: a line for each run, from :meth:`Measurements.table
            <zsgan.evaluation.measurements.Measurements.table>`.
        course: a line for each snapshot, from :meth:`Measurements.course
            <zsgan.evaluation.measurements.Measurements.course>`.

    Returns:
        a line of ``course`` for each run and each of :data:`READINGS`, with the column reading. A run that
        never levels off is read at its end; one without texts has no such line, and one without a known
        truth none of the best FID.
    """
    lines = []
    runs = ["scenario", "row", "seed"]
    levels = finals.set_index(runs)["levelled_off"]
    for which, path in course[course["step"] > 0].groupby(runs, sort=False):
        path, level = path.set_index("step", drop=False), levels[which]
        last = path.index.max()
        found = {"at the end": last}
        if not math.isnan(level):
            found["levelled off"] = (path.index.to_series() - min(level, last)).abs().idxmin()
        if path["fid"].notna().any():
            found["best FID"] = path["fid"].idxmin()
        lines += [path.loc[step].to_dict() | {"reading": name} for name, step in found.items()]
    return pd.DataFrame(lines)
