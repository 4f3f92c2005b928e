"""The explorer: pictures and numbers of every run along its steps, to drag through."""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from IPython.display import HTML
from torch import Tensor

from zsgan.base.resize import resize
from zsgan.book.widgets import widget
from zsgan.evaluation.bench import Bench
from zsgan.evaluation.comparisons import PRICE, price_columns
from zsgan.evaluation.measurements import Measurements
from zsgan.report.sprites import sprites
from zsgan.report.tables import ABSENT
from zsgan.runs.run import Run

LATENTS = 10
"""Number of latents shown, the first of those that the tables measure."""
SIDE = 64
"""Pixels per side of an image."""
HINTS = {
    "lpips_avg": "by LPIPS",
    "evaluator_rate": "by the evaluator",
    "clip_rate": "by the judging CLIP",
    "fid": "low is near the target",
}
"""Column of the measurements -> what to know of it."""


def explorer(measurements: Measurements, compare: Sequence[str]) -> HTML:
    """A part of a page in which two rows of a scenario are compared at any step of their runs.

    Without JavaScript, it is a film strip of each row to compare, with the numbers under its steps. Pictures
    are of the first seed, numbers are means over the seeds.

    Args:
        measurements: of the profile whose scenarios and rows can be chosen; missing runs are made.
        compare: labels of the two rows that are shown first.

    Returns:
        HTML for a notebook.

    Raises:
        ValueError: the first scenario has no such row, or ``compare`` does not name two.
    """
    known = measurements.profile.rows_of(next(iter(measurements.profile.scenarios)))
    if len(set(compare)) != 2 or not set(compare) <= set(known):
        raise ValueError(f"compare={list(compare)} must name two of {', '.join(known)}")
    films: dict[str, Tensor] = {}
    scenarios = [_scenario(measurements, name, films) for name in measurements.profile.scenarios]
    pictures = {
        name: f"data:image/webp;base64,{base64.b64encode(picture).decode()}"
        for name, picture in sprites(films).items()
    }
    first = scenarios[0]
    shown = [row for row in first["rows"] if row["label"] in compare]
    # Those pictures are in the page once, in the film strips, from which the script takes them.
    strips = [_strip(first, row, pictures.pop(row["picture"])) for row in shown]
    data = {
        "scenarios": scenarios, "pictures": pictures, "compare": list(compare),
        "latents": LATENTS, "side": SIDE,
    }  # fmt: skip
    return widget("explorer", data, "\n".join(strips))


def film(bench: Bench, found: Run) -> Tensor:
    """Images of a run at the source, at its snapshots and at its end.

    Args:
        bench: bench of the run's scenario.
        found: the run.

    Returns:
        (S, LATENTS, 3, SIDE, SIDE) in [-1, 1], on the CPU.
    """
    steps = [0, *found.snapshots]
    return torch.stack([_small(bench.samples(found, LATENTS, step)[:]) for step in steps])


def _scenario(measurements: Measurements, name: str, films: dict[str, Tensor]) -> dict[str, Any]:
    """What the page knows of a scenario; its films are added to the others."""
    bench, course = measurements.bench(name), measurements.course(name)
    texts, columns = measurements.profile.scenarios[name], price_columns(course)
    means = course.groupby(["row", "step"])[columns].mean()
    rows = []
    for row, seed, found in bench.runs:
        if seed != measurements.profile.seeds[0]:
            continue
        picture, steps = f"{name}: {row}", [0, *found.snapshots]
        films[picture] = film(bench, found)
        numbers = [[_text(means.loc[(row, s), c], PRICE[c][1]) for s in steps] for c in columns]
        rows.append({"label": row, "steps": steps, "numbers": numbers, "picture": picture})
    ideal = _ideal(bench)
    if ideal is not None:
        films[f"{name}: ideal answer"] = ideal[None]
    return {
        "name": name, "source": texts.source_text, "target": texts.target_text,
        "measures": [{"label": PRICE[c][0], "hint": HINTS[c]} for c in columns],
        "ideal": None if ideal is None else f"{name}: ideal answer", "rows": rows,
    }  # fmt: skip


def _ideal(bench: Bench) -> Tensor | None:
    """The ideal answers to the latents, (LATENTS, 3, SIDE, SIDE), if they are known."""
    if bench.profile.truncation_psi != 1 or bench.factors is None:
        return None
    return _small(bench.factors.ideal(LATENTS)[:])


def _small(images: Tensor) -> Tensor:
    return resize(images.cpu(), SIDE, "bicubic").clamp(-1, 1)


def _text(value: float, form: str) -> str:
    return ABSENT if math.isnan(value) else format(value, form)


def _strip(scenario: Mapping[str, Any], row: Mapping[str, Any], picture: str) -> str:
    """The film strip of a row as a table: its picture, and under the columns steps and numbers."""
    label, steps = html.escape(row["label"]), row["steps"]
    way = html.escape(f"{scenario['source']} → {scenario['target']}")
    alt = f"Film strip of {label}, {way}: {LATENTS} latents in lines, {len(steps)} steps in columns"
    lines = {"step": steps} | {
        measure["label"]: numbers
        for measure, numbers in zip(scenario["measures"], row["numbers"], strict=True)
    }
    body = "\n".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{value}</td>" for value in values)}</tr>'
        for name, values in lines.items()
    )
    return (
        f"<table>\n<caption>{way}: {label}</caption>\n"
        f'<tr><td></td><td colspan="{len(steps)}"><img src="{picture}" alt="{alt}" '
        f'data-film="{html.escape(row["picture"])}" width="{len(steps) * SIDE}" height="{LATENTS * SIDE}">'
        f"</td></tr>\n{body}\n</table>"
    )
