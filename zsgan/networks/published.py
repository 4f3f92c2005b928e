"""Packages and weight files of published feature networks; reading a file executes no code."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

from zsgan.assets import manifest


def package(name: str) -> ModuleType:
    """Import a module of the extra "photographs".

    Args:
        name: the module.

    Returns:
        the module.

    Raises:
        ModuleNotFoundError: its package is missing; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"networks for photographs need the package {error.name}; install it with: "
            "pip install 'zsgan[photographs]'"
        ) from error


@contextmanager
def tensors(name: str) -> Iterator[dict[str, Tensor]]:
    """The tensors of a file of the manifest, to be loaded into a network inside the context.

    Args:
        name: name of the file in the manifest.

    Yields:
        the tensors by name.

    Raises:
        FileNotFoundError: the file is missing or altered.
        ValueError: the file cannot be read, or loading its tensors failed inside the context.
    """
    file = manifest.path(name)
    try:
        yield torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # any error of a damaged or foreign file
        raise ValueError(f"{file} does not hold the weights of {name}: {error}") from error
