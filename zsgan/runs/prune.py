"""Runs and snapshots that can be deleted from a folder of runs; nothing is deleted unless asked."""

import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from zsgan.base.files import read_json, write_json
from zsgan.runs.make import RunInProgress, finish, locked
from zsgan.runs.records import Record, is_id, records

SNAPSHOTS = "snapshots"
"""Folder of a run's snapshots."""


@dataclass(frozen=True)
class Prunable:
    """Something that can be deleted.

    Attributes:
        place: folder of the run.
        reason: why it can be deleted.
        bytes: what this frees.
        whole: whether the whole run is deleted, or its snapshots alone.
    """

    place: Path
    reason: str
    bytes: int
    whole: bool = True


def prunable(
    folder: Path, *, wanted: Collection[str] | None = None, unfinished: bool = False, snapshots: bool = False
) -> list[Prunable]:
    """What can be deleted, without deleting it.

    Folders of other programs, links, and runs that a process computes now are never among it; nor is the
    cache, which runs share.

    Args:
        folder: folder of runs.
        wanted: ids of runs to keep: all other finished runs can be deleted; ``None`` keeps all.
        unfinished: also runs that were stopped, and damaged ones that were set aside.
        snapshots: also the snapshots of the finished runs that are left, without which curves have only
            their two ends. The adapted generators stay.

    Returns:
        a line for each run.
    """
    found = []
    for record in filter(_is_ours, records(folder)):
        if record.state == "finished" and wanted is not None and record.id not in wanted:
            found.append(Prunable(record.place, "of no profile given", record.bytes))
        elif unfinished and record.state == "not finished":
            found.append(Prunable(record.place, "not finished", record.bytes))
        elif unfinished and record.state == "damaged, set aside":
            found.append(Prunable(record.place, "damaged, and set aside", record.bytes))
        elif snapshots and record.state == "finished":
            files = list(record.place.glob(f"{SNAPSHOTS}*/*.safetensors"))
            if files:
                size = sum(file.stat().st_size for file in files)
                found.append(Prunable(record.place, f"{len(files)} snapshots", size, whole=False))
    return found


def prune(found: Collection[Prunable]) -> Iterator[tuple[Prunable, str]]:
    """Delete what :func:`prunable` found.

    Args:
        found: what to delete.

    Yields:
        each, with an empty text once it is deleted, else the reason why it was kept.
    """
    for each in found:
        try:
            with locked(each.place):
                _delete(each.place) if each.whole else _without_snapshots(each.place)
        except RunInProgress as error:
            yield each, str(error)
        else:
            yield each, ""


def _is_ours(record: Record) -> bool:
    name = record.id.partition(".damaged-")[0]
    return is_id(name) and not record.place.is_symlink() and not _in_progress(record.place)


def _in_progress(place: Path) -> bool:
    if not (place / "lock").exists():
        return False
    try:
        with FileLock(place / "lock", timeout=0):
            return False
    except Timeout:
        return True


def _delete(place: Path) -> None:
    (place / "provenance.json").unlink(missing_ok=True)  # first: half a run must not look finished
    shutil.rmtree(place)


def _without_snapshots(place: Path) -> None:
    mark, aside = place / "provenance.json", place / f"{SNAPSHOTS}.pruned"
    shutil.rmtree(aside, ignore_errors=True)  # what an interrupted call left
    provenance = read_json(mark)
    hashes = provenance.get("sha256") or {}
    kept = {name: value for name, value in hashes.items() if not name.startswith(f"{SNAPSHOTS}/")}
    if (place / SNAPSHOTS).exists():
        # Renamed, since the run counts as damaged as long as files and hashes differ.
        (place / SNAPSHOTS).rename(aside)
        write_json(mark, provenance | ({"sha256": kept} if hashes else {}))
        shutil.rmtree(aside)
    finish(place)
