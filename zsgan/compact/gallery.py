"""The gallery: every scenario of a profile as a small file, measured beside its run, with pictures.

A folder of the gallery holds::

    <scenario>.safetensors   the file of :func:`zsgan.compact.export.export`
    gallery.csv              a line for each scenario and measure, see :func:`make_gallery`
    gallery.webp             lines of eight latents: the source, each scenario, and the ideal answers of each
    gallery.json             settings, ids of the runs, labels of the lines of pictures, versions
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from zsgan.base.files import read_json, sha256, versions, write_atomically, write_json
from zsgan.base.resize import resize
from zsgan.compact.export import Form, export
from zsgan.compact.fit import STEPS
from zsgan.compact.measured import MEASURES, judge_of
from zsgan.evaluation.bench import SAMPLES_SEED, Bench
from zsgan.metrics.lpips import Lpips
from zsgan.networks.differences import load_differences
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples
from zsgan.report.scenario_sheet import COLUMNS, SIDE, SOURCE, read_sheet
from zsgan.report.sprites import sprites
from zsgan.report.table1 import chosen
from zsgan.runs.grid import run_all
from zsgan.runs.identity import check
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import RUNS, Run

log = logging.getLogger(__name__)

JUDGED = ("evaluator_rate", "fid", "lpips_avg", "ideal_distance")
"""Measures of the scenario's own judges, beside those that the file states."""
FILES = ("gallery.csv", "gallery.webp", "gallery.json")
"""What the folder of a gallery holds beside the files of the scenarios."""
IDEAL = "ideal answers: "
"""What the label of a line of ideal answers begins with, before the scenario."""
_FORM: Form = "low-rank"
_SEED = 0  # of the latents of the fit
_BUDGET = 900_000  # bytes of the pictures


@dataclass(frozen=True, eq=False)
class Gallery:
    """The content of a gallery's folder, but the files of the scenarios.

    Attributes:
        table: see :func:`make_gallery`.
        pictures: "source", each scenario, and :data:`IDEAL` with each one -> images (COLUMNS, 3, SIDE, SIDE)
            in [-1, 1] of the same latents.
        provenance: profile, row, seed, max_kb, steps, n, ids of the runs, versions.
    """

    table: pd.DataFrame
    pictures: Mapping[str, Tensor]
    provenance: Mapping[str, Any]


def make_gallery(
    profile: str | Path,
    out: Path,
    *,
    row: str | None = None,
    max_kb: float = 100,
    steps: int = STEPS,
    n: int = 200,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> pd.DataFrame:
    """Export the runs of a row of all scenarios, of the profile's first seed; missing runs are made.

    A file that is there is kept if the same command made it, and measurements are cached beside the runs, so
    that a call after an interrupted one resumes it. Table and pictures are written at the end: until then,
    those of an earlier call remain, and belong to it.

    Args:
        profile: a name, or a .yaml file.
        out: folder of the gallery.
        row: one of the profile's rows; the full method (its last) by default.
        max_kb: largest size of a file, in units of 1000 bytes.
        steps: steps in which a file is fitted to its run's images.
        n: number of images that measure a run and its file.
        folder: folder of the runs.
        device: torch device.
        progress: show progress bars.

    Returns:
        a line for each scenario and measure: scenario, target (its text), bytes of the file, measure, run,
        file and error. diversity, clip_rate and clip_score are those of
        :mod:`zsgan.compact.measured`, on other latents than those of the file, whose stated error stands
        beside them. Those of :data:`JUDGED` are the scenario's judges', without an error.

    Raises:
        ValueError: a name is unknown, or ``max_kb`` is too small for a run.
        FileNotFoundError: the file of a name is missing.
        RuntimeError: some runs failed; the others are kept.
    """
    whole = load_profile(profile)
    row, seed = list(whole.rows)[-1] if row is None else row, whole.seeds[0]
    settings = {"seeds": [seed], "samples": n}
    made_by = {"profile": whole.name, "row": row, "seed": seed, "max_kb": max_kb, "steps": steps, "n": n}
    profiles = {name: chosen(whole, name, [row], settings) for name in whole.scenarios}
    jobs = check([one.config(name, row, seed) for name, one in profiles.items()])
    runs = run_all(jobs, folder=folder, device=device, progress=progress, labels=list(profiles))
    lines: list[pd.DataFrame] = []
    pictures: dict[str, Tensor] = {}
    ideals: dict[str, Tensor] = {}
    for (name, one), found in zip(profiles.items(), runs, strict=True):
        bench, psi = Bench(one, name, folder, device), one.truncation_psi
        file = out / f"{name}.safetensors"
        if not _is_kept(file, {"run": found.folder.name, "max_kb": max_kb, "steps": steps, "n": n}):
            export(
                found, file, form=_FORM, max_kb=max_kb, n=n, steps=steps, seed=_SEED, device=device,
                progress=progress,
            )  # fmt: skip
        lines.append(_measured(bench, found, file))
        if SOURCE not in pictures:
            pictures[SOURCE] = _small(bench.source(COLUMNS, psi)[:])
        pictures[name] = _small(Samples(load_generator(file, device), COLUMNS, SAMPLES_SEED, psi)[:])
        if bench.factors is not None and psi == 1:  # the ideal answer to a truncated image is unknown
            ideals[IDEAL + name] = _small(bench.factors.ideal(COLUMNS)[:])
        log.info("%s (%d of %d): %d bytes", name, len(lines), len(profiles), file.stat().st_size)
    table, ids = pd.concat(lines, ignore_index=True), [found.folder.name for found in runs]
    _write(out, table, pictures | ideals, {**made_by, "runs": ids, "versions": versions()})
    return table


def read_gallery(folder: Path) -> Gallery:
    """The gallery in a folder.

    Args:
        folder: a folder of :func:`make_gallery`.

    Returns:
        its content.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the pictures do not belong to the table.
    """
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise FileNotFoundError(
            f"{folder} holds no gallery: {', '.join(missing)} missing; make it with: zsgan gallery --out "
            f"{folder}"
        )
    found = read_json(folder / "gallery.json")
    pictures = read_sheet(folder / "gallery.webp", found.pop("pictures"))
    return Gallery(pd.read_csv(folder / "gallery.csv"), pictures, found)


def _is_kept(file: Path, made_with: Mapping[str, Any]) -> bool:
    """Whether a file was exported with these settings."""
    stored = load_differences(file) if file.is_file() else None
    wanted = {"form": _FORM, "seed": _SEED, **made_with}
    return stored is not None and all(stored.provenance.get(key) == value for key, value in wanted.items())


def _measured(bench: Bench, found: Run, file: Path) -> pd.DataFrame:
    """The lines of one scenario."""
    stored = load_differences(file)
    assert stored is not None  # it was exported
    n, psi = bench.profile.samples, bench.profile.truncation_psi
    of_file = {"file": sha256(file), "n": n}

    def judged() -> Any:
        return bench.measure(found, Samples(load_generator(file, bench.device), n, SAMPLES_SEED, psi))

    def stated() -> dict[str, list[float]]:
        look = judge_of(found.config, Lpips.through(bench.judges.eyes), bench.device)
        generators = found.generator(device=bench.device), load_generator(file, bench.device)
        both = [look(Samples(generator, n, SAMPLES_SEED, 1.0)) for generator in generators]
        return {name: [float(each[name].mean()) for each in both] for name in both[0]}

    run, small = bench.at(found).columns, bench.kept(found, of_file, judged)["columns"]
    others = bench.kept(found, {**of_file, "stated": True}, stated)
    lines = [
        {"measure": name, "run": x, "file": y, "error": stored.provenance["measures"][name]["error"]}
        for name in MEASURES
        for x, y in [others[name]]
    ]
    lines += [{"measure": name, "run": run[name], "file": small[name]} for name in JUDGED]
    text = found.config.target_text
    return pd.DataFrame(
        [{"scenario": bench.scenario, "target": text, "bytes": file.stat().st_size, **one} for one in lines]
    )


def _small(images: Tensor) -> Tensor:
    return resize(images.cpu(), SIDE, "bicubic").clamp(-1, 1)


def _write(
    out: Path, table: pd.DataFrame, pictures: Mapping[str, Tensor], provenance: Mapping[str, Any]
) -> None:
    film = torch.stack([*pictures.values()]).transpose(0, 1)
    (sheet,) = sprites({"gallery": film}, _BUDGET).values()
    text = table.to_csv(index=False, float_format="%.5g", lineterminator="\n")
    write_atomically(out / "gallery.csv", text.encode())
    write_atomically(out / "gallery.webp", sheet)
    write_json(out / "gallery.json", {**provenance, "pictures": list(pictures)})
