"""Tensors in files that say where they come from: safetensors with configuration and provenance."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from zsgan.base.files import write_atomically


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


def read_header(path: Path) -> dict[str, Any]:
    """The provenance in a file of :func:`save_tensors`; of the tensors only sizes are read.

    Args:
        path: the file.

    Returns:
        the provenance, empty if the header has none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is cut short, or its header is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is damaged or no safetensors file ({error})") from error
    return found if isinstance(found, dict) else {}


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in hexadecimal; in whatever order the tensors come."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _canonical(data: bytes) -> bytes:
    """A safetensors file with the keys of its header in order; the library's order is random."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(
        json.loads(data[8:start]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    header += b" " * (-len(header) % 8)  # the format aligns the tensors to 8 bytes
    return len(header).to_bytes(8, "little") + header + data[start:]
