"""The manifest of the data files that zsgan needs: description, location and verification.

``data_manifest.yaml`` has one entry per file. Files without URLs are shipped with the package; files with
URLs are downloaded into a cache folder (:mod:`zsgan.assets.download`). The SHA-256 of a file is checked
before its use. Some assets have alternatives: other files that serve as well, known by their SHA-256. If none
was published, that of the first download is kept in ``manifest.lock.json`` beside the downloads, and later
files are compared with it.
"""

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import pooch
import yaml
from filelock import FileLock

from zsgan.base.files import digest_of, known_sha256, read_json, sha256, write_atomically, write_json
from zsgan.base.places import local_path
from zsgan.base.yaml_values import read_yaml

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]  # paths of shipped files are relative to it
# The manifest is at the top of a checkout, but inside the package in a wheel.
MANIFEST = next(filter(Path.is_file, (ROOT / "data_manifest.yaml", ROOT / "zsgan" / "data_manifest.yaml")))


class AssetError(FileNotFoundError):
    """A file of the manifest is missing, or differs from the manifest."""


@dataclass(frozen=True)
class Asset:
    """One entry of ``data_manifest.yaml``, whose first lines explain the fields."""

    name: str
    path: str
    sha256: str | None
    bytes: int | None
    licence: str
    description: str
    command: str = ""
    seed: int | None = None
    urls: Sequence[str] = ()
    md5: str | None = None
    loader: str = ""
    alternatives: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        hashes = [("sha256", 64, self.sha256), ("md5", 32, self.md5)]
        hashes += [("alternative", 64, value) for value in self.alternatives]
        for kind, digits, value in hashes:  # a prefix would not identify a file
            if value is not None and not re.fullmatch(f"[0-9a-f]{{{digits}}}", str(value)):
                raise ValueError(
                    f"{kind} of {self.name!r} must be {digits} hexadecimal digits, got {value!r}"
                )
        if not self.urls and (self.sha256 is None or self.bytes is None):
            raise ValueError(f"{self.name!r} is shipped, so its sha256 and bytes must be known")

    @property
    def file(self) -> Path:
        """Path of the file, which may not be downloaded yet."""
        return (cache_folder() if self.urls else ROOT) / self.path

    @property
    def hashes(self) -> list[str]:
        """Every known SHA-256, that of ``sha256`` first; empty if none was published."""
        return [*filter(None, [self.sha256]), *self.alternatives]

    @property
    def remedy(self) -> str:
        """What to do when the file is missing or altered."""
        if self.urls:
            return f"Run: zsgan fetch {self.name}"
        return f"Restore it (git checkout -- {self.path}) or make it again: {self.command}"


def cache_folder() -> Path:
    """Folder of downloads: the environment variable ``ZSGAN_HOME``, or else the platform's cache folder."""
    return local_path(os.environ.get("ZSGAN_HOME") or pooch.os_cache("zsgan"))


@cache
def assets() -> dict[str, Asset]:
    """Every entry of the manifest by name, in the order of the file; a ValueError if it has a fault."""
    result: dict[str, Asset] = {}
    for entry in read_yaml(MANIFEST)["assets"]:
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
    """The entry called ``name``, whose file may be missing; a ValueError if there is none."""
    known = assets()
    if name not in known:
        close = get_close_matches(name, known, cutoff=0.4) or sorted(known)
        raise ValueError(f"no asset in {MANIFEST.name} is called {name!r}; the closest: {', '.join(close)}")
    return known[name]


@cache
def path(name: str) -> Path:
    """The local file of the asset called ``name``, verified once per process.

    Args:
        name: name of an entry.

    Returns:
        the path of a file whose size and hash match the manifest or the lock file.

    Raises:
        ValueError: there is no such asset.
        AssetError: the file is missing or altered; the message says what to do.
    """
    entry = asset(name)
    if not entry.file.is_file():
        raise AssetError(f"{entry.file} is missing ({name}: {entry.description}). {entry.remedy}")
    if wrong := difference(entry, entry.file):
        raise AssetError(f"{entry.file} {wrong}. Delete it. {entry.remedy}")
    lock(entry, entry.file)
    if kind := entry.alternatives.get(identity(name)):
        log.info("%s: %s has SHA-256 %s: %s", name, entry.file.name, identity(name), kind)
    return entry.file


def identity(name: str) -> str:
    """SHA-256 of the asset called ``name``; its file is read only if the manifest knows alternatives to it.

    Args:
        name: name of an entry.

    Returns:
        64 hexadecimal digits: that of the alternative at hand, or else from the manifest or the lock file.

    Raises:
        ValueError: there is no such asset.
        AssetError: its hash was not published, and it has not been downloaded yet.
    """
    entry = asset(name)
    if entry.alternatives and entry.file.is_file():
        found = known_sha256(entry.file)
        if found in entry.alternatives:
            return found
    known = entry.sha256 or _locked().get(name, {}).get("sha256")
    if known is None:
        path(name)  # its error says what to do if the file is missing
        known = _locked()[name]["sha256"]
    return str(known)


def difference(entry: Asset, file: Path) -> str:
    """The difference between a file and the size and hashes of an asset, in words.

    Args:
        entry: entry of the manifest.
        file: file to compare with it.

    Returns:
        a sentence without its subject, the file; empty if there is no difference, or if the file is one of
        the alternatives.
    """
    digest = sha256(file)
    if digest in entry.alternatives:
        return ""
    kept = {} if entry.sha256 else _locked().get(entry.name, {})
    where = "manifest.lock.json, the first file to arrive," if kept else MANIFEST.name
    expected = {"bytes": entry.bytes, "SHA-256": entry.sha256, "MD5": entry.md5} | (
        {"bytes": kept["bytes"], "SHA-256": kept["sha256"]} if kept else {}
    )
    found: dict[str, Any] = {"bytes": file.stat().st_size, "SHA-256": digest}
    if entry.md5:
        found["MD5"] = digest_of(file, "md5")
    if all(expected[key] in (None, value) for key, value in found.items()):
        return ""
    has, says = (
        ", ".join(
            f"{d[key]} bytes" if key == "bytes" else f"{key} {d[key]}" for key in found if expected[key]
        )
        for d in (found, expected)
    )
    also = "".join(f", or SHA-256 {other}" for other in entry.alternatives)
    return f"has {has}, but {where} says {says}{also}"


def lock(entry: Asset, file: Path) -> None:
    """Record the hash of an asset without a published one, with a warning; later files must match it.

    Args:
        entry: entry of the manifest.
        file: its file.

    Raises:
        AssetError: another process has just recorded the hash of another file.
    """
    if entry.sha256 is not None or entry.name in _locked() or sha256(file) in entry.alternatives:
        return
    place = _lock_file()
    with FileLock(f"{place}.lock"):
        if entry.name in _locked():  # another process was faster
            if wrong := difference(entry, file):
                raise AssetError(f"{file} {wrong}. Delete it. {entry.remedy}")
            return
        new = {"sha256": sha256(file), "bytes": file.stat().st_size}
        write_json(place, {**_locked(), entry.name: new})
    log.warning(
        "%s: no SHA-256 of %s was published. The first download has %s (recorded in %s); later files are "
        "compared with it", entry.name, file.name, new["sha256"], place,
    )  # fmt: skip


def _locked() -> dict[str, Any]:
    place = _lock_file()
    return dict(read_json(place)) if place.exists() else {}


def _lock_file() -> Path:
    return cache_folder() / "manifest.lock.json"


def record(file: Path, *, name: str, description: str, command: str, seed: int, loader: str = "") -> Asset:
    """Add a file made by a command of this project to the manifest, replacing an entry of the same name.

    The manifest's text depends on its entries alone: they are sorted, and the comment above them is kept.

    Args:
        file: the file, inside the project.
        name: name of the entry, for :func:`path`.
        description: one line for a reader.
        command: the command line that makes the file.
        seed: the seed given to the command.
        loader: see the manifest's first lines.

    Returns:
        the new entry.

    Raises:
        ValueError: the file lies outside the project.
    """
    file = file.resolve()
    if not file.is_relative_to(ROOT):
        raise ValueError(f"file must lie inside {ROOT} so that it can be shipped, got {file}")
    place, size = file.relative_to(ROOT).as_posix(), file.stat().st_size
    new = Asset(name, place, sha256(file), size, "MIT", description, command, seed, loader=loader)
    assets.cache_clear()  # another training may have recorded its file since
    known = sorted({**assets(), name: new}.items())
    entries = [
        {k: v for k, v in asdict(entry).items() if v or k not in ("md5", "loader", "alternatives")}
        for _, entry in known
    ]
    comment = re.split("^assets:", MANIFEST.read_text(encoding="utf-8"), flags=re.MULTILINE)[0]
    body = yaml.safe_dump({"assets": entries}, sort_keys=False, allow_unicode=True, width=110)
    write_atomically(MANIFEST, (comment + body).encode())
    assets.cache_clear()
    path.cache_clear()
    return asset(name)
