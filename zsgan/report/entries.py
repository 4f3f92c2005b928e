"""Entries of the bench: methods from files, measured as its rows are, in folders that a pull request adds.

An entry is a folder ``zsgan/profiles/bench/entries/<name>/``: the summary of the method's runs
(:mod:`zsgan.report.shipped`), the method's own file, ``<name>.py``, and ``rows.json``, the settings of its
rows. Its numbers belong to that file: a run's id holds the hash of the code.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from zsgan.adaptation.plugged import rows_of
from zsgan.base.files import write_json
from zsgan.base.places import local_path
from zsgan.base.workers import for_workers
from zsgan.report.shipped import Summary, load_summary, read_summary, summarise, summary_folder
from zsgan.runs.grid import run_all
from zsgan.runs.identity import check
from zsgan.runs.method_check import check_methods
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.run import RUNS

BENCH = "bench"
"""The profile whose scenarios, seeds and measurements entries have."""

MORE = ("bench-slow", "bench-local", "bench-few-shot", "bench-tuned", "bench-stopped")
"""More rows on its terms: rivals that take minutes a run, DiFa, ten images in place of a text, methods with
settings that the search found, and methods that the stopping rule ends."""


def submit(
    method: str | Path,
    out: str | Path,
    *,
    bench: str | Path = BENCH,
    folder: Path = RUNS,
    device: str | torch.device = "cpu",
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Make and measure the runs of a method on the whole bench, and write its entry.

    Finished runs and measurements are reused, so a call after an interrupted one resumes it.

    Args:
        method: Python file that declares one method or more, see
            :func:`zsgan.adaptation.plugged.rows_of`.
        out: folder of entries; the entry is the folder in it that is called like the file.
        bench: profile of scenarios, seeds and settings.
        folder: folder of the runs.
        device: where runs are made and measured; several share them, such as "cuda:0,cuda:1".
        workers: number of runs that are made or measured in parallel.
        progress: show progress bars.

    Returns:
        the folder of the entry.

    Raises:
        ValueError: the file declares no method, or one that does not pass its check
            (:mod:`zsgan.runs.method_check`); or its name is that of a row of the bench or of :data:`MORE`.
        RuntimeError: some runs failed; the others are kept.
    """
    file = local_path(method)
    profile = _of_method(file, bench)
    place = local_path(out) / file.stem
    grid = profile.grid
    jobs = check([profile.config(*which) for which in grid])
    check_methods(profile, folder, for_workers(device, workers)[0])
    labels = [f"{scenario}, {row}, seed {seed}" for scenario, row, seed in grid]
    run_all(jobs, folder=folder, device=device, workers=workers, progress=progress, labels=labels)
    place.mkdir(parents=True, exist_ok=True)
    summarise(
        profile, place, folder=folder, command=f"zsgan bench submit --method {file.name}",
        device=str(device), workers=workers, progress=progress,
    )  # fmt: skip
    write_json(place / "rows.json", _without_folders(profile.rows, file))
    if not (place / file.name).exists() or not (place / file.name).samefile(file):
        shutil.copyfile(file, place / file.name)
    return place


def own() -> list[Summary]:
    """The grids of the bench itself: summaries with the same columns of :data:`BENCH` and :data:`MORE`."""
    return [load_summary(name) for name in (BENCH, *MORE)]


def measured() -> list[Summary]:
    """What the leaderboard stands on: the grids of the bench itself, and the entries.

    Returns:
        summaries with the same columns, the bench's first.

    Raises:
        ValueError: two of them have a row of the same name.
    """
    found = {grid.profile.name: grid for grid in (*own(), *entries().values())}
    where: dict[str, str] = {}
    for name, grid in found.items():
        for row in grid.profile.rows:
            if row in where:
                raise ValueError(
                    f"row {row!r} is in {where[row]} and in {name}; rename it in the one that came later"
                )
            where[row] = name
    return list(found.values())


def entries(place: str | Path | None = None, bench: str | Path = BENCH) -> dict[str, Summary]:
    """The entries of the bench.

    Args:
        place: folder of entries; by default that of the package.
        bench: profile that they belong to.

    Returns:
        name -> its summary, which knows whether it is out of date, see ``Summary.stale``.

    Raises:
        ValueError: an entry has no file of its method.
    """
    where = summary_folder(str(bench)) / "entries" if place is None else local_path(place)
    found = {}
    for folder in sorted(where.glob("*/provenance.json")):
        name = folder.parent.name
        profile = _of_method(folder.parent / f"{name}.py", bench)
        found[name] = read_summary(replace(profile, name=f"{profile.name}, entry {name}"), folder.parent)
    return found


def _of_method(file: Path, bench: str | Path) -> Profile:
    """The bench with the rows of a file alone."""
    whole, rows = load_profile(bench, [str(file)]), rows_of(str(file))
    for name in MORE:
        if twice := sorted({*rows} & {*load_profile(name).rows}):
            raise ValueError(f"{file}: the profile {name} has a row {twice[0]!r} already; rename it")
    return replace(whole, rows={name: whole.rows[name] for name in rows}, baseline=None)


def _without_folders(rows: Any, file: Path) -> Any:
    """Settings in which the method's file has its name alone: folders are this machine's."""
    if isinstance(rows, Mapping):
        return {
            key.replace(str(file), file.name): _without_folders(value, file) for key, value in rows.items()
        }
    return rows.replace(str(file), file.name) if isinstance(rows, str) else rows
