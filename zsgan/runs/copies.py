"""Copies of finished runs in a second folder that outlives the machine, such as one of Google Drive."""

import shutil
from pathlib import Path

from zsgan.runs.verification import files_of_run

MARK = "provenance.json"


def copy_finished(source: Path, target: Path) -> None:
    """Copy finished runs, and the cached results beside them, that are missing in another folder of runs.

    Unfinished runs are not copied, nor are locks: a run's state takes hundreds of megabytes, is replaced at
    every snapshot, and would fill a drive that keeps what was replaced. The provenance of a run is copied
    last, so that a later call repeats an interrupted copy.

    Args:
        source: folder of runs, which need not exist.
        target: the other folder; created.

    Raises:
        OSError: a file cannot be read or written.
    """
    for mark in sorted(source.glob(f"*/{MARK}")):
        place, copy = mark.parent, target / mark.parent.name
        if ".damaged-" in place.name or _same(mark, copy / MARK):
            continue
        (copy / MARK).unlink(missing_ok=True)
        for file in (*files_of_run(place), mark):
            _copy(file, copy / file.relative_to(place))
    for ending in ("json", "safetensors"):
        for file in sorted((source / "cache").glob(f"*.{ending}")):
            copy = target / "cache" / file.name
            if not (copy.is_file() and copy.stat().st_size == file.stat().st_size):
                _copy(file, copy)


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _copy(file: Path, copy: Path) -> None:
    """Copy a file whole or not at all, so that a later call never takes a part of it for the file."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.copyfile(file, partial)
    partial.replace(copy)
