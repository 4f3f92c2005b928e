"""Files that say where they come from: safetensors with configuration and provenance, and atomic JSON."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

LIBRARIES = ("torch", "open_clip_torch", "numpy", "safetensors", "kmedoids")
DAY = 24 * 3600  # seconds


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part in the numerics."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return digest_of(path, "sha256")


def digest_of(path: Path, kind: str) -> str:
    """Hash of a file, in hexadecimal; ``kind`` is one of ``hashlib``'s."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` so that a reader sees the old file or the whole new one, never a part.

    That holds for a process that is killed and for a machine that loses power. What killed processes left
    behind in the folder is swept away after a day.

    Args:
        path: the file; its folder is made if it is missing.
        data: its whole content.

    Raises:
        OSError: it cannot be written, perhaps because the disk is full; the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path.parent)
    # Unique among the processes of all hosts that share the folder: process ids are not.
    partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(
            error.errno,
            f"writing failed ({error.strerror}; disk full?); what was written before is intact, "
            "so make room and repeat",
            str(path),
        ) from error
    finally:
        partial.unlink(missing_ok=True)


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


def save_tensors(
    tensors: Mapping[str, Tensor],
    path: Path,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    dtype: torch.dtype | None = None,
) -> None:
    """Write a safetensors file whose header says what it is and how it was made.

    Args:
        tensors: name -> tensor of any shape; copied to the CPU.
        path: the file to write (atomically). The same content makes the same bytes.
        config: what rebuilds the module that the tensors belong to; must be JSON.
        provenance: command, seed, measurements...; must be JSON.
        dtype: storage type of the floating-point tensors; ``None`` keeps theirs.
    """
    stored = {
        name: t.detach().to("cpu", dtype if t.is_floating_point() else None).contiguous().clone()
        for name, t in tensors.items()
    }
    header = {
        "config": json.dumps(config, sort_keys=True),
        "provenance": json.dumps(provenance, sort_keys=True),
    }
    write_atomically(path, _canonical(save(stored, header)))


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Read a file written by :func:`save_tensors`.

    Args:
        path: the file.

    Returns:
        tensors by name (floating point as float32), config and provenance.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or has no ``config`` in its header, so it is not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config, provenance = (json.loads(header.get(key, "null")) for key in ("config", "provenance"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}): restore it, or get it anew"
        ) from error
    if config is None:
        raise ValueError(
            f"{path} is a safetensors file without a 'config' header: not written by zsgan. "
            "Convert the original checkpoint instead."
        )
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return tensors, config, provenance or {}


def _canonical(data: bytes) -> bytes:
    """A safetensors file with the keys of its header in order; the library's order is random."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(
        json.loads(data[8:start]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    header += b" " * (-len(header) % 8)  # the format aligns the tensors to 8 bytes
    return len(header).to_bytes(8, "little") + header + data[start:]


def _sweep(folder: Path) -> None:
    """Delete the temporary files of killed processes; one that is still written to is younger than a day."""
    for partial in folder.glob(".*.partial"):
        with suppress(FileNotFoundError):  # another process sweeps too
            if time.time() - partial.stat().st_mtime > DAY:
                partial.unlink()
