"""The files that zsgan needs beside its code: what they are, where they lie, and whether they are intact.

``data_manifest.yaml`` has one entry a file. One without URLs is shipped with the package; one with URLs is
downloaded into a cache folder. A file is compared with its SHA-256 before it is used.
"""

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import pooch
import yaml

from zsgan.files import sha256, write_atomically

log = logging.getLogger(__name__)
pooch.get_logger().setLevel(logging.WARNING)  # its progress bar says enough

ROOT = Path(__file__).resolve().parents[1]  # shipped paths start here
# In a checkout the manifest stands at the top; a wheel carries it inside the package.
MANIFEST = next(filter(Path.is_file, (ROOT / "data_manifest.yaml", ROOT / "zsgan" / "data_manifest.yaml")))


class AssetError(FileNotFoundError):
    """A file of the manifest is missing, or is not the file that the manifest describes."""


@dataclass(frozen=True)
class Asset:
    """One entry of ``data_manifest.yaml``, whose first lines explain the fields."""

    name: str
    path: str
    sha256: str
    bytes: int
    licence: str
    description: str
    profiles: Sequence[str] = ()
    command: str = ""
    seed: int | None = None
    urls: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", str(self.sha256)):
            raise ValueError(f"sha256 of {self.name!r} must be 64 hexadecimal digits, got {self.sha256!r}")

    @property
    def file(self) -> Path:
        """Where the file lies, or will lie once it is downloaded."""
        return (cache_folder() if self.urls else ROOT) / self.path

    @property
    def remedy(self) -> str:
        """What to do when the file is missing or altered."""
        if self.urls:
            return f"Delete it if it is there, and run: zsgan fetch {self.name}"
        return f"Restore it (git checkout -- {self.path}) or make it anew: {self.command}"


def cache_folder() -> Path:
    """Where downloads lie: the environment variable ``ZSGAN_HOME``, else the platform's folder for caches."""
    return Path(os.environ.get("ZSGAN_HOME") or pooch.os_cache("zsgan"))


@cache
def assets() -> dict[str, Asset]:
    """Every entry of the manifest, by name.

    Returns:
        name -> entry, in the order of the file.

    Raises:
        ValueError: an entry lacks a field, has an unknown one, or repeats a name.
    """
    result: dict[str, Asset] = {}
    for entry in yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["assets"]:
        try:
            new = Asset(**entry)
        except TypeError as error:
            known = ", ".join(field.name for field in fields(Asset))
            raise ValueError(f"{MANIFEST}: {entry!r} does not fit the fields {known}: {error}") from None
        if new.name in result:
            raise ValueError(f"{MANIFEST}: two assets are called {new.name!r}; names must differ")
        result[new.name] = new
    return result


def asset(name: str) -> Asset:
    """The entry called ``name``.

    Args:
        name: of an entry.

    Returns:
        the entry; its file need not be there.

    Raises:
        ValueError: there is none; the message lists the closest ones.
    """
    known = assets()
    if name not in known:
        close = get_close_matches(name, known, cutoff=0.4) or sorted(known)
        raise ValueError(f"no asset in {MANIFEST.name} is called {name!r}; the closest: {', '.join(close)}")
    return known[name]


@cache
def path(name: str) -> Path:
    """The local file of the asset called ``name``, verified once a process.

    Args:
        name: of an entry.

    Returns:
        the path of a file with the size and SHA-256 that the manifest says.

    Raises:
        ValueError: there is no such asset.
        AssetError: the file is missing or altered; the message says what to do.
    """
    entry = asset(name)
    if not entry.file.is_file():
        raise AssetError(f"{entry.file} is missing ({name}: {entry.description}). {entry.remedy}")
    found = (entry.file.stat().st_size, sha256(entry.file))
    if found != (entry.bytes, entry.sha256):
        raise AssetError(
            f"{entry.file} has {found[0]} bytes and SHA-256 {found[1]}, but {MANIFEST.name} says "
            f"{entry.bytes} and {entry.sha256}. {entry.remedy}"
        )
    return entry.file


def fetch(name: str, progress: bool = False) -> Path:
    """Download the asset called ``name`` unless it is there, and return its verified file.

    Args:
        name: an entry of the manifest; a shipped one is only verified.
        progress: show a progress bar.

    Returns:
        the local path, see :func:`path`.

    Raises:
        ValueError: there is no such asset.
        AssetError: no URL delivered the file that the manifest describes.
    """
    entry = asset(name)
    errors = []
    for url in () if entry.file.is_file() else entry.urls:
        try:
            pooch.retrieve(url, entry.sha256, entry.file.name, entry.file.parent, progressbar=progress)
            return path(name)
        except (OSError, ValueError) as error:  # no answer, or a file with another hash
            log.warning("%s: %s", url, error)
            errors.append(f"{url}: {error}")
    if errors:
        raise AssetError(f"no address delivered asset {name!r}. {'; '.join(errors)}")
    return path(name)


def record(file: Path, *, name: str, description: str, command: str, seed: int) -> Asset:
    """Enter a file that a command of this project has made, in place of the older entry of that name.

    The manifest's text depends on its entries alone: they are sorted, and the comment above them is kept.

    Args:
        file: the file; it lies inside the project.
        name: what :func:`path` finds it by.
        description: one line for a reader.
        command: the command line that makes the file.
        seed: the seed that the command was given.

    Returns:
        the new entry.

    Raises:
        ValueError: the file lies outside the project.
    """
    file = file.resolve()
    if not file.is_relative_to(ROOT):
        raise ValueError(f"file must lie inside {ROOT} so that it can be shipped, got {file}")
    place, size = file.relative_to(ROOT).as_posix(), file.stat().st_size
    new = Asset(name, place, sha256(file), size, "MIT", description, ["smoke", "demo"], command, seed)
    assets.cache_clear()  # another training may have recorded its file meanwhile
    entries = [asdict(entry) for _, entry in sorted({**assets(), name: new}.items())]
    comment = re.split("^assets:", MANIFEST.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    body = yaml.safe_dump({"assets": entries}, sort_keys=False, allow_unicode=True, width=110)
    write_atomically(MANIFEST, (comment + body).encode())
    assets.cache_clear()
    path.cache_clear()
    return asset(name)
