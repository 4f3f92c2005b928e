"""Generators by name or file."""

from pathlib import Path

import torch

from zsgan import manifest
from zsgan.stylegan2.checkpoints import load_generator_file
from zsgan.stylegan2.generator import Generator


def full_name(name: str) -> str:
    """What data_manifest.yaml calls a generator: "generator-dog" for "dog"; other names stay as they are."""
    full = f"generator-{name}"
    return full if full in manifest.assets() else name


def load_generator(name_or_path: str | Path, device: torch.device | str = "cpu") -> Generator:
    """A generator in evaluation mode.

    Args:
        name_or_path: an entry of data_manifest.yaml ("generator-dog", or "dog" for short), or a .safetensors
            file.
        device: where to put it.

    Raises:
        ValueError: neither an entry nor a file, or not a generator.
        FileNotFoundError: an entry whose file is missing or altered.
    """
    name = full_name(str(name_or_path))
    if name in manifest.assets():
        path = manifest.path(name)
    elif Path(name).is_file():
        path = Path(name)
    else:
        known = ", ".join(key for key in manifest.assets() if key.startswith("generator-"))
        raise ValueError(f"generator={name!r} is neither a file nor one of {known}")
    return load_generator_file(path).to(device)
