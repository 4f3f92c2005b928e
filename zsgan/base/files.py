"""Files that are written whole or not at all, their hashes, and the versions of what wrote them."""

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
    """Versions of Python and of the libraries that take part in the numerics."""
    return {"python": platform.python_version()} | libraries()


def libraries() -> dict[str, str]:
    """Versions of the libraries that take part in the numerics, which requirements.lock pins."""
    return {name: version(name) for name in LIBRARIES}


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return digest_of(path, "sha256")


def known_sha256(path: Path) -> str:
    """The same as :func:`sha256`, read again only after size, time or inode changed: 300 MB take a second."""
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
    """A block that writes a file; an error of the system, which knows no path, names it.

    Args:
        path: the file.

    Raises:
        WriteError: it cannot be written.
        OSError: as raised in the block, if it is not about a file: a connection that breaks off.
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

    That holds for a process that is killed and for a machine that loses power. What killed processes left
    behind in the folder is swept away after a day.

    Args:
        path: the file; its folder is made if it is missing.
        data: its whole content.

    Raises:
        WriteError: it cannot be written, perhaps because the disk is full; the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Unique among the processes of all hosts that share the folder: process ids are not.
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
    """Check that files can be written to a folder, which need not exist yet.

    Args:
        folder: where to; nothing is left in it.

    Raises:
        OSError: it cannot be made or written to, or it is a file or lies below one.
    """
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
    """The folder, or the lowest one above it that exists."""
    return next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: the file, in UTF-8.

    Returns:
        what it holds, as :func:`json.loads` gives it.

    Raises:
        ValueError: the file is missing, empty, cut short, or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # a JSONDecodeError is a ValueError
        raise ValueError(
            f"{path} cannot be read as JSON ({error}): restore it, or make anew what it belongs to"
        ) from error


def _sweep(folder: Path) -> None:
    """Delete the temporary files of killed processes; one that is still written to is younger than a day."""
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - partial.stat().st_mtime > DAY:
                partial.unlink()
