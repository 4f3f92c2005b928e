"""Atomic writing of files, hashes of files, and versions of libraries."""

import hashlib
import json
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, EFBIG, ENOSPC
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

LIBRARIES = ("torch", "open_clip_torch", "numpy", "safetensors", "kmedoids")
DAY = 24 * 3600  # seconds


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect the numerics."""
    return {"python": platform.python_version()} | libraries()


def libraries() -> dict[str, str]:
    """Versions of the libraries that affect the numerics, which requirements.lock pins."""
    return {name: version(name) for name in LIBRARIES}


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return digest_of(path, "sha256")


def known_sha256(path: Path) -> str:
    """SHA-256 of a file, cached until its size, time or inode changes: 300 MB take a second."""
    status = path.stat()
    return _sha256_of(path.resolve(), status.st_mtime_ns, status.st_size, status.st_ino)


@cache
def _sha256_of(path: Path, *_: int) -> str:
    return sha256(path)


def digest_of(path: Path, kind: str) -> str:
    """Hash of a file, in hexadecimal; ``kind`` is one of ``hashlib``'s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


class WriteError(OSError):
    """A file cannot be written, perhaps because the disk is full; ``filename`` says which."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to system errors raised in the block, which writes a file.

    Args:
        path: the file.

    Raises:
        WriteError: it cannot be written.
        OSError: as raised in the block, if it is not about a file, such as a lost connection.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, ConnectionError | TimeoutError):  # not of this file
            raise
        full = error.errno in (ENOSPC, EDQUOT, EFBIG)
        remedy = "make room" if full else "give another place, or mend this one,"
        raise WriteError(
            error.errno,
            f"writing failed ({error.strerror}{'; disk full?' if full else ''}); what was written before is "
            f"intact, so {remedy} and repeat",
            str(path),
        ) from error


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` so that a reader sees the old file or the whole new one, never a part.

    This also holds if the process is killed or the machine loses power. Temporary files that killed processes
    left in the folder are deleted after a day.

    Args:
        path: the file; its folder is created if it is missing.
        data: the whole content.

    Raises:
        WriteError: the file cannot be written, perhaps because the disk is full; the old file is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Process ids would not be unique if several hosts share the folder.
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with naming(path):
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, which need not exist yet; an OSError if they cannot."""
    there = lowest(folder)
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise OSError(
            f"no file can be written to {folder} ({there}: {error.strerror}); name a folder, or change its "
            "permissions"
        ) from error


def lowest(folder: Path) -> Path:
    """The folder, or its closest parent that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8; a ValueError if it is missing, empty, truncated, or not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # a JSONDecodeError is a ValueError
        raise ValueError(
            f"{path} cannot be read as JSON ({error}): restore it, or make again what it belongs to"
        ) from error


def _sweep(folder: Path) -> None:
    """Delete the temporary files of killed processes: those older than a day, which no process writes to."""
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - partial.stat().st_mtime > DAY:
                partial.unlink()
