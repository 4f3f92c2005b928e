"""Trials of the bench's search: a few settings of every method, of which the best is its tuned row."""

import pandas as pd

OF_THE_BENCH = "as in the bench"
"""The trial with the settings of the bench's own row."""
TUNED = "{}, tuned"
"""Name of the row of a method with settings that the search found, if they are not those of the bench."""
STOPPED = "{}, stopped"
"""Name of the row of a method at a quarter of its learning rate, ended by the stopping rule."""


def trials(finals: pd.DataFrame) -> pd.DataFrame:
    """The search, trial by trial.

    Args:
        finals: a line for each run at its end, of one seed and scenario; a row is called "METHOD: TRIAL".

    Returns:
        the lines of ``finals`` with columns method, trial, and best: whether the trial has the lowest FID of
        its method (the first of equals).

    Raises:
        ValueError: a row is named otherwise, or a method has no trial called :data:`OF_THE_BENCH`.
    """
    parts = finals["row"].str.rpartition(": ")
    if odd := sorted(set(finals["row"][parts[1] == ""])):
        raise ValueError(f"row {odd[0]!r} of a search is not called METHOD: TRIAL; rename it")
    found = finals.assign(method=parts[0], trial=parts[2])
    if missing := sorted(set(found["method"]) - set(found["method"][found["trial"] == OF_THE_BENCH])):
        raise ValueError(f"{missing[0]} has no trial {OF_THE_BENCH!r}, with the settings of its row; add it")
    best = found.groupby("method", sort=False)["fid"].idxmin()
    return found.assign(best=found.index.isin(best))


def tuned(finals: pd.DataFrame) -> dict[str, str]:
    """The settings that a search found.

    Args:
        finals: see :func:`trials`.

    Returns:
        name of the tuned row -> name of its trial in the search, for each method whose best trial is not that
        of the bench.
    """
    found = trials(finals)
    chosen = found[found["best"] & (found["trial"] != OF_THE_BENCH)]
    return {TUNED.format(line.method): line.row for line in chosen.itertuples()}
