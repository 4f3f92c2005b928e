"""Types of command-line arguments, checked before a command starts."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from zsgan.base.files import check_writable
from zsgan.base.places import folder_path, local_path
from zsgan.base.settings import AtLeast1, Psi, Seed, checked

Value = TypeVar("Value")


def _argument(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """``read`` as an argparse type; argparse shows messages of ArgumentTypeError only."""

    def argument(text: str) -> Value:
        try:
            return read(text)
        except (ValueError, OSError) as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


positive = _argument(lambda text: checked("value", text, AtLeast1))
"""A whole number of at least 1."""
seed = _argument(lambda text: checked("value", text, Seed))
"""A whole number from 0 to 2^63 - 1."""
psi = _argument(lambda text: checked("value", text, Psi))
"""A truncation."""
path = _argument(local_path)
"""A path, in which a tilde is the home."""
folder = _argument(folder_path)
"""A folder to write into, which must not be a file."""


@_argument
def output_folder(text: str) -> Path:
    """A folder in which files can be created, so that no result is computed in vain."""
    found = folder_path(text)
    check_writable(found)
    return found


@_argument
def output_file(text: str) -> Path:
    """A file that can be written, so that no result is computed in vain."""
    found = local_path(text)
    if found.is_dir():
        raise IsADirectoryError(f"{found} is a folder; name a file in it")
    check_writable(found.parent)
    return found


@_argument
def place(text: str) -> str:
    """A path, or a name such as drawn:cat; no name begins with a tilde."""
    return text if text and text[0] != "~" else str(local_path(text))


def at_most(text: str) -> int | None:
    """A number of images, or ``None`` for "all"."""
    return None if text == "all" else positive(text)


def steps(text: str) -> dict[str, Any]:
    """The setting for a number of steps, or for "auto"."""
    auto = text == "auto"
    return {"optimiser.stop_at_plateau": True} if auto else {"optimiser.iterations": positive(text)}
