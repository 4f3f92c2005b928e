"""Integrity of finished runs: files are compared with the hashes in the provenance."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from zsgan.adaptation.by_text import NUMERICS
from zsgan.adaptation.config import AdaptConfig
from zsgan.base.files import known_sha256, read_json
from zsgan.base.settings import build
from zsgan.base.tensors import read_header
from zsgan.runs.identity import run_id

GENERATOR = "generator.safetensors"
_IDENTITY = ("id", "config", "weights", "numerics")


class DamagedRun(ValueError):
    """A finished run whose files are missing, altered or inconsistent."""


class Checked(NamedTuple):
    """A run that was checked.

    Attributes:
        config: its configuration.
        provenance: its provenance.
        hashed: whether the run has hashes; runs of older versions without them are checked for completeness.
    """

    config: AdaptConfig
    provenance: dict[str, Any]
    hashed: bool


class State(NamedTuple):
    """Result of :func:`verify` for one run.

    Attributes:
        place: folder of the run.
        text: "ok", or a description.
        damaged: whether the run is damaged.
    """

    place: Path
    text: str
    damaged: bool = False


@dataclass(frozen=True, config=ConfigDict(extra="ignore"))
class _Record:
    """The entries of a provenance that the package reads."""

    id: str
    config: dict[str, Any]
    weights: dict[str, str]
    numerics: int
    seconds: float
    versions: dict[str, str]
    content: dict[str, Any] | None = None
    sha256: dict[str, str] | None = None


_History = TypeAdapter(Annotated[list[dict[str, float]], Field(min_length=1)])


def hashed_files(place: Path) -> list[Path]:
    """The files of a run that its provenance has hashes of, as far as they exist."""
    names = ("config.json", "history.json", GENERATOR)
    return [
        *(place / name for name in names if (place / name).is_file()),
        *sorted((place / "snapshots").glob("*.safetensors")),
    ]


def hashes(place: Path) -> dict[str, str]:
    """SHA-256 of each file of a run by its path in the folder, computed when the run finishes."""
    return {file.relative_to(place).as_posix(): known_sha256(file) for file in hashed_files(place)}


def checked(place: Path) -> Checked:
    """Check the files of a finished run, and return its configuration and provenance.

    A process hashes a file once, and again if its size, time or inode changes.

    Args:
        place: folder of the run, which has a provenance.json.

    Returns:
        configuration and provenance.

    Raises:
        DamagedRun: a file of the run is missing, damaged or of another run; the message names it.
    """
    try:
        return _checked(place)
    except (ValueError, OSError) as error:
        raise DamagedRun(
            f"{place} is damaged: {error}. Restore it from a copy, or make it again with zsgan adapt"
        ) from None


def _checked(place: Path) -> Checked:
    provenance = _read(place / "provenance.json", TypeAdapter(_Record))
    record = _Record(**provenance)
    if record.sha256 is not None:
        found = {file.relative_to(place).as_posix(): known_sha256(file) for file in hashed_files(place)}
        for name in sorted(record.sha256 | found):
            if record.sha256.get(name) != found.get(name):
                what = "differs from what was written" if name in found else "is missing"
                what = what if name in record.sha256 else "has no hash in provenance.json"
                raise ValueError(f"{name} {what}")
    settings = _read(place / "config.json", TypeAdapter(dict[str, Any]))
    history = _read(place / "history.json", _History)
    if [row.get("step") for row in history] != list(range(1, len(history) + 1)):
        raise ValueError("history.json lacks steps")
    if not (place / GENERATOR).is_file():
        raise ValueError(f"{GENERATOR} is missing")
    header = read_header(place / GENERATOR)
    for name in _IDENTITY:
        if header.get(name) != provenance[name]:
            raise ValueError(f"{GENERATOR} and provenance.json differ in {name}")
    if settings != provenance["config"]:
        raise ValueError("config.json and provenance.json differ")
    if settings.get("clip_weights", 0) is None:  # a setting of earlier versions, null by default
        del settings["clip_weights"]
    config = build(AdaptConfig, settings)
    whole = len(history) == config.optimiser.iterations
    if not whole and not config.optimiser.stop_at_plateau:
        raise ValueError(f"history.json has {len(history)} of {config.optimiser.iterations} steps")
    # The definition of the id may change with the version of the numerics.
    same = record.numerics == NUMERICS and record.content is not None
    if same and (known := run_id(config, record.content or {})) != record.id:
        raise ValueError(f"config.json belongs to the run {known}, not to {record.id}")
    return Checked(config, provenance, record.sha256 is not None)


def verify(folder: Path, ids: Sequence[str] = ()) -> Iterator[State]:
    """Check every file of the runs in a folder.

    Args:
        folder: folder of runs.
        ids: ids of the runs to check; all by default.

    Yields:
        a state for each run, in the order of ids. Runs that were set aside are not checked
        and do not count as damaged.

    Raises:
        FileNotFoundError: the folder or a run in it does not exist.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; --runs names the folder of runs")
    for place in [folder / id_ for id_ in ids] or sorted(filter(_is_run, folder.iterdir())):
        if not _is_run(place):
            raise FileNotFoundError(f"{folder} holds no run {place.name}")
        yield _state(place)


def _state(place: Path) -> State:
    if not (place / "provenance.json").exists():
        return State(place, "unfinished")
    if ".damaged-" in place.name:
        return State(place, "set aside: damaged when it was last opened; delete it to free the disk")
    try:
        found = checked(place)
    except DamagedRun as error:
        return State(place, f"damaged: {error}", damaged=True)
    return State(place, "ok" if found.hashed else "made before hashes were kept")


def _is_run(place: Path) -> bool:
    """Whether a folder looks like that of a run, finished or not."""
    return any((place / name).exists() for name in ("provenance.json", "config.json", "state.pt", "lock"))


def _read(file: Path, kind: TypeAdapter[Any]) -> Any:
    """The value of a JSON file, unchanged, after validation as ``kind``."""
    value = read_json(file)
    try:
        kind.validate_python(value)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        what = f"{where}: {found['msg']}" if where else f"a {type(value).__name__} stands where a record does"
        raise ValueError(f"{file.name}: {what}") from None
    return value
