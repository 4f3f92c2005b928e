"""Tables of results as CSV, Markdown and LaTeX, with a JSON sidecar for provenance."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from zsgan.base.files import libraries, write_atomically, write_json
from zsgan.evaluation.comparisons import known_rate
from zsgan.metrics.statistics import over_seeds
from zsgan.report.published import OTHERS, PAPER_SCENARIO, PAPER_TABLE_1, Published

ABSENT = "–"  # a cell without a value

HEADINGS = {
    "clip_variance": "CLIP variance", "clip_score": "CLIP score", "clip_quality": "CLIP quality",
    "clip_direction": "CLIP direction", "cmmd": "CMMD",
}  # fmt: skip
"""Column of the judging CLIP -> its heading in :func:`metrics_table`."""

# Characters in tables that plain LaTeX lacks.
_TEX = {
    "±": r"$\pm$", "ψ": r"$\psi$", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$", "✓": r"$\checkmark$",
    "²": "$^2$", "→": r"$\to$",
}  # fmt: skip


def table_1(
    results: pd.DataFrame, bounds: pd.DataFrame, label: str, scenario: str = PAPER_SCENARIO
) -> pd.DataFrame:
    """Table 1 of one scenario, with the paper's values and those measured here in separate columns.

    Measured values are means over the seeds. The number after ± is the standard deviation inside a run (over
    the clusters, over the images), as in the paper, averaged over the seeds. The interval over the seeds is
    the 95 % confidence interval of the mean "Avg." (:func:`zsgan.metrics.statistics.over_seeds`). Diversity
    has both definitions: distances to the medoid, and "literal", the mean over pairs inside a cluster.

    Args:
        results: one line for each run, from :meth:`zsgan.evaluation.measurements.Measurements.table`.
        bounds: one line for each reference row, from ``Measurements.bounds``.
        label: heading of the measured columns, such as the profile's name; "paper" is reserved.
        scenario: the scenario to show.

    Returns:
        formatted cells, a line for each row of ``results`` and ``bounds``, with the scenario as the name of
        the index; for the paper's scenario also a line for each row of the paper's table.

    Raises:
        ValueError: there is no line of the scenario, or the label is "paper".
    """
    if label == "paper":
        raise ValueError("label='paper' heads the columns that the paper prints; name the measured otherwise")
    printed = PAPER_TABLE_1 if scenario == PAPER_SCENARIO else {}
    lines = {row: _printed(row, printed) for row in printed}
    for row, runs in _rows(results, bounds, scenario):
        lines[row] = _printed(row, printed) | _measured(runs, label)
    return _finished(lines, scenario)


def metrics_table(
    results: pd.DataFrame, bounds: pd.DataFrame, scenario: str = PAPER_SCENARIO
) -> pd.DataFrame:
    """The measures that Table 1 has no room for, the costs of a step, and the settings of the measurement.

    Costs are medians over the seeds, relative to the row L_dir, or to the first row if there is no L_dir.

    Args:
        results: one line for each run, from :meth:`zsgan.evaluation.measurements.Measurements.table`.
        bounds: one line for each reference row, from ``Measurements.bounds``.
        scenario: the scenario to show.

    Returns:
        formatted cells, a line for each row of ``results`` and ``bounds``, with means over the seeds; for a
        measured column with published numbers (:data:`zsgan.report.published.OTHERS`) also their column and
        their rows.

    Raises:
        ValueError: there is no line of the scenario.
    """
    rows = _rows(results, bounds, scenario)
    baseline = next((runs for row, runs in rows if row == "L_dir"), rows[0][1])
    others = [found for found in OTHERS if found.scenario == scenario and found.measure in results]
    lines = {row: _other(runs, baseline) for row, runs in rows}
    for found in others:
        for row in found.numbers:
            lines.setdefault(row, {})
    return _finished({row: line | _of_others(row, others) for row, line in lines.items()}, scenario)


def readings_tables(read: pd.DataFrame, readings: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Diversity, target rate and FID of each row at several steps of the same runs.

    Args:
        read: a line for each run and reading, from :func:`zsgan.evaluation.readings.readings`.
        readings: the readings to show, in their order.

    Returns:
        two tables of formatted cells, a line for each row and a column for each reading that was made, with
        means over the seeds: "LPIPS (target rate)", and "FID (steps taken)" with the lowest and the highest
        of the seeds' steps.
    """
    rate, diversity, distance = known_rate(read), dict[str, dict[str, str]](), dict[str, dict[str, str]]()
    for (row, reading), runs in read.groupby(["row", "reading"], sort=False):
        mean = runs[["lpips_avg", rate, "fid"]].mean()
        diversity.setdefault(row, {})[reading] = f"{mean['lpips_avg']:.3f} ({mean[rate]:.2f})"
        distance.setdefault(row, {})[reading] = f"{_cell(mean['fid'], '.0f')} ({span(runs['step'])})"
    made = [reading for reading in readings if reading in set(read["reading"])]
    both = (pd.DataFrame.from_dict(lines, orient="index")[made] for lines in (diversity, distance))
    first, second = (table.fillna(ABSENT).rename_axis("row") for table in both)
    return first, second


def _rows(results: pd.DataFrame, bounds: pd.DataFrame, scenario: str) -> list[tuple[str, pd.DataFrame]]:
    measured = pd.concat([results, bounds])
    if scenario not in set(measured["scenario"]):
        known = ", ".join(measured["scenario"].unique())
        raise ValueError(f"scenario={scenario!r} was not measured; choose one of {known}")
    groups = measured[measured["scenario"] == scenario].groupby("row", sort=False)
    return [(str(row), runs) for row, runs in groups]


def _finished(lines: Mapping[str, Mapping[str, str]], scenario: str) -> pd.DataFrame:
    return pd.DataFrame.from_dict(lines, orient="index").fillna(ABSENT).rename_axis(scenario)


def _printed(row: str, table: Mapping[str, tuple[float, float, float, float]]) -> dict[str, str]:
    if not table:
        return {}
    if row not in table:
        return {"paper Avg.": ABSENT, "paper All": ABSENT}
    avg, avg_std, all_, all_std = table[row]
    return {"paper Avg.": plus_minus(avg, avg_std), "paper All": plus_minus(all_, all_std)}


def _of_others(row: str, others: Sequence[Published]) -> dict[str, str]:
    return {
        f"{HEADINGS[found.measure]}: {found.source} ({found.features})": _cell(
            found.numbers.get(row, math.nan), ".3f"
        )
        for found in others
    }


def _measured(runs: pd.DataFrame, label: str) -> dict[str, str]:
    mean = runs.mean(numeric_only=True)
    return {
        f"{label} Avg.": plus_minus(mean["lpips_avg"], mean["lpips_avg_std"]),
        f"{label} All": plus_minus(mean["lpips_all"], mean["lpips_all_std"]),
        "Avg., interval over the seeds": _interval(runs),
        f"{label} Avg., literal": plus_minus(mean["lpips_literal_avg"], mean["lpips_literal_avg_std"]),
        "target rate, evaluator": _cell(mean["evaluator_rate"], ".2f"),
        "target rate, CLIP": _cell(mean["clip_rate"], ".2f"),
        "FID": _cell(mean["fid"], ".1f"),
        "KID": _cell(mean["kid"], ".2f"),
        "density": _cell(mean["density"], ".2f"),
        "coverage": _cell(mean["coverage"], ".2f"),
    }


def _other(runs: pd.DataFrame, baseline: pd.DataFrame) -> dict[str, str]:
    mean, seeds = runs.mean(numeric_only=True), len(runs["seed"].dropna())
    inception = {
        column.replace("inception_", "Inception, "): _cell(mean[column], ".2f")
        for column in runs.columns if column.startswith("inception_")
    }  # fmt: skip
    dinov2 = {"FD-DINOv2": _cell(mean["fd_dinov2"], ".1f")} if "fd_dinov2" in runs else {}
    return {
        "All, literal": plus_minus(mean["lpips_literal_all"], mean["lpips_literal_all_std"]),
        "precision": _cell(mean["precision"], ".2f"),
        "recall": _cell(mean["recall"], ".2f"),
        "Vendi": _cell(mean["vendi"], ".1f"),
        **inception,
        **{name: _cell(mean[column], ".3f") for column, name in HEADINGS.items() if column in runs},
        **dinov2,
        "identity kept": _cell(mean["identity_kept"], ".2f"),
        "structure kept": _cell(mean["structure_kept"], ".2f"),
        "seconds a step": _cell(runs["step_seconds"].astype(float).median(), ".2g"),
        "time a step": _relative(runs, baseline, "step_seconds"),
        "memory": _relative(runs, baseline, "peak_memory"),
        "iterations": span(runs["iterations"]) if seeds else ABSENT,
        "seeds": str(seeds) if seeds else ABSENT,
        "n": f"{mean['n']:.0f}",
        "ψ": _cell(mean["psi"], "g"),
    }


def span(values: pd.Series, form: str = "g") -> str:
    """The lowest and the highest of some numbers, or just one if all are equal, in a format."""
    low, high = values.min(), values.max()
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def _interval(runs: pd.DataFrame) -> str:
    """The confidence interval of the mean "Avg."; a dash for a single run."""
    if runs["seed"].count() < 2:
        return ABSENT
    _, low, high = over_seeds(torch.tensor(runs["lpips_avg"].to_numpy()))
    return f"{low:.3f} to {high:.3f}"


def _relative(runs: pd.DataFrame, baseline: pd.DataFrame, column: str) -> str:
    """Median over the seeds divided by that of the baseline; a dash if it is unknown."""
    ratio = runs[column].astype(float).median() / baseline[column].astype(float).median()
    return _cell(ratio, ".2f")


def _cell(value: float, form: str) -> str:
    return ABSENT if math.isnan(value) else format(value, form)


def save_table(
    table: pd.DataFrame, stem: str, folder: Path, *, caption: str, provenance: Mapping[str, Any]
) -> None:
    """Write ``<stem>.csv``, ``<stem>.md``, ``<stem>.tex`` and the sidecar ``<stem>.json``.

    Args:
        table: formatted cells; the index is the first column.
        stem: file name without ending.
        folder: where to write.
        caption: caption of the table.
        provenance: profile, seeds, run ids...
    """
    write_atomically(folder / f"{stem}.csv", table.to_csv(lineterminator="\n").encode())
    write_atomically(folder / f"{stem}.md", (markdown(table) + "\n").encode())
    write_atomically(folder / f"{stem}.tex", latex(table, caption).encode())
    write_json(folder / f"{stem}.json", {"caption": caption, "versions": libraries(), **provenance})


def markdown(table: pd.DataFrame) -> str:
    """The table in Markdown, with the first column aligned left and the others right."""
    header = [table.index.name or "", *map(str, table.columns)]
    lines = [header, ["---", *["---:"] * len(table.columns)]]
    lines += [[str(index), *map(str, row)] for index, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex(table: pd.DataFrame, caption: str) -> str:
    """The table as ASCII LaTeX, with the first column aligned left; needs the package booktabs."""
    text = table.reset_index().to_latex(
        index=False, escape=True, column_format="l" + "r" * table.shape[1],
        caption=re.sub(r"([&%$#_{}])", r"\\\1", caption),
    )  # fmt: skip
    for character, command in _TEX.items():
        text = text.replace(character, command)
    return text


def plus_minus(mean: float, deviation: float) -> str:
    """Mean and deviation as in the paper: 0.507 ± 0.016."""
    return f"{mean:.3f} ± {deviation:.3f}"
