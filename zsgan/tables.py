"""Tables of results as CSV and Markdown, with a JSON sidecar that says what made them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from zsgan.files import versions, write_atomically, write_json

# Table 1 of the paper, Dog -> Cat: (LPIPS Avg., its deviation, LPIPS All, its deviation).
PAPER_TABLE_1: Mapping[str, tuple[float, float, float, float]] = {
    "Ojha et al., 10-shot": (0.575, 0.019, 0.575, 0.046),
    "StyleGAN-NADA": (0.460, 0.010, 0.462, 0.063),
    "StyleGAN-NADA + L_EWC": (0.480, 0.006, 0.480, 0.064),
    "L_dir": (0.402, 0.008, 0.405, 0.057),
    "L_dm": (0.464, 0.013, 0.470, 0.064),
    "L_dm + L_EWC": (0.493, 0.015, 0.497, 0.067),
    "L_dm + L_EWC + L_rel": (0.507, 0.016, 0.512, 0.072),
}


def save_table(
    table: pd.DataFrame, stem: str, folder: Path, *, caption: str, provenance: Mapping[str, Any]
) -> None:
    """Write ``<stem>.csv``, ``<stem>.md`` and the sidecar ``<stem>.json``.

    Args:
        table: finished cells, the index being the first column.
        stem: name without ending.
        folder: where to.
        caption: what a reader needs to know to read it.
        provenance: what made it: profile, seeds, run ids...
    """
    write_atomically(folder / f"{stem}.csv", table.to_csv(lineterminator="\n").encode())
    write_atomically(folder / f"{stem}.md", (markdown(table) + "\n").encode())
    write_json(folder / f"{stem}.json", {"caption": caption, "versions": versions(), **provenance})


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, the first column to the left and the others to the right."""
    header = [table.index.name or "", *map(str, table.columns)]
    lines = [header, ["---", *["---:"] * len(table.columns)]]
    lines += [[str(index), *map(str, row)] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def plus_minus(mean: float, deviation: float, digits: int = 3) -> str:
    """Mean and deviation as in the paper: 0.507 ± 0.016."""
    return f"{mean:.{digits}f} ± {deviation:.{digits}f}"
