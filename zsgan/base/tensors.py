"""Tensors in safetensors files whose headers hold configuration and provenance."""

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
    """Write a safetensors file with configuration and provenance in its header.

    Args:
        tensors: name -> tensor of any shape; copied to the CPU.
        path: the file to write (atomically). The same content makes the same bytes.
        config: arguments that rebuild the module of the tensors; must be JSON.
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
        ValueError: the file is damaged, or has no ``config`` in its header, so zsgan did not write it.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config, provenance = (json.loads(header.get(key, "null")) for key in ("config", "provenance"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is damaged or no safetensors file ({error}): restore it, or get it again"
        ) from error
    if config is None:
        raise ValueError(
            f"{path} is a safetensors file without a 'config' header: not written by zsgan. "
            "Convert the original checkpoint instead."
        )
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return tensors, config, provenance or {}


def read_header(path: Path) -> dict[str, Any]:
    """The provenance in a file of :func:`save_tensors`, or nothing; a ValueError if it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("provenance", "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is damaged or no safetensors file ({error})") from error
    return found if isinstance(found, dict) else {}


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, in hexadecimal, for any order of the tensors."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        found.update(f"{name!r} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _canonical(data: bytes) -> bytes:
    """A safetensors file with a sorted header; the library writes the keys in random order."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.dumps(
        json.loads(data[8:start]), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    ).encode()
    header += b" " * (-len(header) % 8)  # the format aligns the tensors to 8 bytes
    return len(header).to_bytes(8, "little") + header + data[start:]
