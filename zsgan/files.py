"""Files that say where they come from: safetensors with configuration and provenance, and atomic JSON."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

LIBRARIES = ("torch", "open_clip_torch", "numpy", "safetensors", "kmedoids")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that take part in the numerics."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` so that a reader sees the old file or the whole new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON with sorted keys, atomically."""
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """What a file of JSON holds.

    Raises:
        ValueError: It is missing, or holds no JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: no JSON ({error})") from None


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
        path: the file to write (atomically).
        config: what rebuilds the module that the tensors belong to; must be JSON.
        provenance: command, seed, measurements...; must be JSON.
        dtype: storage type of the floating-point tensors; ``None`` keeps theirs.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = {
        name: t.detach().to("cpu", dtype if t.is_floating_point() else None).contiguous().clone()
        for name, t in tensors.items()
    }
    header = {
        "config": json.dumps(config, sort_keys=True),
        "provenance": json.dumps(provenance, sort_keys=True),
    }
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    save_file(stored, partial, metadata=header)
    partial.chmod(0o644)  # the library makes it readable to its owner alone
    partial.replace(path)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Read a file written by :func:`save_tensors`.

    Returns:
        tensors by name (floating point as float32), config and provenance.

    Raises:
        ValueError: the file has no ``config`` in its header, so it is not one of ours.
    """
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if "config" not in header:
            raise ValueError(
                f"{path} is a safetensors file without a 'config' header: not written by zsgan. "
                "Convert the original checkpoint instead."
            )
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return tensors, json.loads(header["config"]), json.loads(header.get("provenance", "{}"))
