"""Copies of finished runs: in a second folder that outlives the machine, and from other folders into one."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from zsgan.base.tensors import content_hash, load_tensors
from zsgan.runs.make import RunInProgress, finish, locked
from zsgan.runs.records import is_id
from zsgan.runs.verification import GENERATOR, DamagedRun, checked, hashed_files, hashes

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
        for file in (*hashed_files(place), mark):
            _copy(file, copy / file.relative_to(place))
    for file in _cached(source):
        copy = target / "cache" / file.name
        if not (copy.is_file() and copy.stat().st_size == file.stat().st_size):
            _copy(file, copy)


class Merged(NamedTuple):
    """Result of :func:`merge` for one run.

    Attributes:
        place: folder of the run in the other folder.
        text: what was done.
        refused: whether the run was not taken, although it is not here.
    """

    place: Path
    text: str
    refused: bool = False


def merge(source: Path, target: Path) -> Iterator[Merged]:
    """Take finished runs of another folder, after checking their hashes.

    Nothing here is replaced. A run that is here with other content stays, and the other is refused: the bits
    of one id differ between a CPU and a GPU, for instance. Cached results are taken at the end, and only if
    no run was refused, since they may be measurements of a refused one.

    Args:
        source: the other folder of runs.
        target: the folder of runs to merge into; created.

    Yields:
        a line for each finished run of the other folder.

    Raises:
        FileNotFoundError: the other folder does not exist, or has no finished run.
        ValueError: both are the same folder.
        OSError: a file cannot be read or written. What was copied of its run counts as not finished.
    """
    marks = [mark for mark in sorted(source.glob(f"*/{MARK}")) if ".damaged-" not in mark.parent.name]
    if not marks:
        raise FileNotFoundError(f"{source} has no finished run; name a folder that has folders of runs")
    if target.exists() and source.samefile(target):
        raise ValueError(f"{source} is the folder to merge into; name another")
    refused = False
    for mark in marks:
        try:
            found = _merged(mark.parent, target)
        except (DamagedRun, RunInProgress) as error:
            found = Merged(mark.parent, f"refused: {error}", refused=True)
        refused |= found.refused
        yield found
    for file in [] if refused else _cached(source):
        copy = target / "cache" / file.name
        if not copy.exists():
            _copy(file, copy)


def _merged(place: Path, target: Path) -> Merged:
    made = checked(place).provenance
    if not is_id(made["id"]):
        return Merged(place, f"refused: {made['id']!r} is no id of a run", refused=True)
    here = target / made["id"]
    if not (here / MARK).exists():
        with locked(here):
            if not (here / MARK).exists():
                _take(place, here, made)
                return Merged(place, "copied")
    own = checked(here).provenance
    if differing := _differing(place, made, here, own):
        text = (
            "refused: the run here has another "
            f"{', another '.join(differing)}; it was made on {_origin(own)}, "
            f"this one on {_origin(made)}"
        )
        return Merged(place, text, refused=True)
    return Merged(place, "is here")


def _take(place: Path, here: Path, made: dict[str, Any]) -> None:
    """Copy a run into a locked folder; its provenance comes last, and marks it as finished."""
    shutil.rmtree(here / "snapshots", ignore_errors=True)  # of a run that was stopped
    for file in hashed_files(place):
        _copy(file, here / file.relative_to(place))
    if hashes(here) != hashes(place):
        raise OSError(f"{here}: the copy of {place} differs from it; check the disk, and repeat the command")
    _copy(place / MARK, here / MARK)
    finish(here)


def _differing(place: Path, made: dict[str, Any], here: Path, own: dict[str, Any]) -> list[str]:
    """What differs between two runs of one id, apart from names of networks and snapshots that one lacks."""
    one, other = (known.get("sha256") or hashes(at) for known, at in ((made, place), (own, here)))
    named = ("config.json", MARK, GENERATOR)  # they hold the names under which the networks were found
    differing = [name for name in one if name in other and name not in named and one[name] != other[name]]
    if one[GENERATOR] != other[GENERATOR]:
        tensors = [content_hash(load_tensors(at / GENERATOR)[0]) for at in (place, here)]
        differing += [GENERATOR] * (tensors[0] != tensors[1])
    return differing


def _origin(made: dict[str, Any]) -> str:
    return f"{made.get('device', 'an unknown device')} of {made.get('host', 'an unknown host')}"


def _cached(folder: Path) -> list[Path]:
    cache = folder / "cache"
    return sorted([*cache.glob("*.json"), *cache.glob("*.safetensors")])


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()


def _copy(file: Path, copy: Path) -> None:
    """Copy a file whole or not at all, so that a later call never takes a part of it for the file."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    partial = copy.with_name(f"{copy.name}.partial")
    shutil.copyfile(file, partial)
    partial.replace(copy)
