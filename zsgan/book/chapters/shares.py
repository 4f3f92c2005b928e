"""Shares of the loss's parts in the gradient, which show rows whose newest term is too weak."""

from functools import partial

import pandas as pd

from zsgan.adaptation.terms import PARTS
from zsgan.evaluation.measurements import Measurements
from zsgan.report.tables import ABSENT
from zsgan.runs.gradient_shares import shares_of

WEAK = 0.1
"""A part is weak if it never reaches this share of the leading part."""


def term_shares(measurements: Measurements, scenario: str) -> pd.DataFrame:
    """Gradient shares of each part of each row's loss, see :func:`zsgan.runs.gradient_shares.shares_of`.

    Args:
        measurements: those of the profile of the runs; missing runs are made. Rows that adapt to images have
            no terms and are left out.
        scenario: one of the profile's.

    Returns:
        a row for each run and part of its loss: columns row, seed, term (that of the part), part, newest
        (whether the part belongs to the row's last term), start and end (shares in [0, 1]).
    """
    bench, lines = measurements.bench(scenario), []
    for row, seed, found in bench.runs:
        if found.config.few_shot is not None:
            continue
        newest = list(bench.profile.config(scenario, row).weights)[-1]
        measure = partial(shares_of, found, folder=bench.folder, device=bench.device)
        shares = bench.kept(found, {"what": "shares"}, measure)
        others = {part: part for part in shares["start"] if part not in PARTS}
        for part, term in {**PARTS, **others}.items():
            if part in shares["start"]:
                line = {"row": row, "seed": seed, "term": term, "part": part, "newest": term == newest}
                lines.append(line | {end: shares[end][part] for end in ("start", "end")})
    return pd.DataFrame(lines)


def shares_table(shares: pd.DataFrame) -> pd.DataFrame:
    """Table of :func:`term_shares`: "start → end" of every part, averaged over the seeds, and the weak parts.

    Args:
        shares: table from :func:`term_shares`.

    Returns:
        formatted cells. The last column, "weak", lists the parts of the row's newest term that stay under
        :data:`WEAK` at both ends: the row then does not test the term in its name.
    """
    means = shares.groupby(["row", "part"], sort=False)[["start", "end"]].mean()
    of_newest = shares[shares["newest"]].groupby("row", sort=False)["part"].unique()
    lines = {}
    for row in shares["row"].unique():
        parts = means.loc[row]
        cells = {part: f"{start:.2f} → {end:.2f}" for part, (start, end) in parts.iterrows()}
        weak = [part for part in of_newest[row] if parts.loc[part].max() < WEAK]
        lines[row] = cells | {"weak": ", ".join(weak) or ABSENT}
    columns = [*shares["part"].unique(), "weak"]
    return pd.DataFrame.from_dict(lines, orient="index")[columns].fillna(ABSENT).rename_axis("row")
