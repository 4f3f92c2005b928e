"""Errors as text: the message for the user, and the traceback in a file."""

import traceback
from contextlib import suppress
from pathlib import Path

from zsgan.base.files import write_atomically

_WORDED = (ValueError, OSError, RuntimeError, FloatingPointError, ImportError)
_FULL = ("OutOfMemoryError", "DefaultCPUAllocator", "MemoryError")


def message(error: BaseException) -> str:
    """The message of an error with its notes, as a :class:`str`: the error itself keeps tensors alive."""
    text = str(error)
    if any(name in f"{type(error).__name__} {text}" for name in _FULL):
        text = (
            f"not enough memory ({text.splitlines()[0] if text else type(error).__name__}); ask for fewer "
            "images, lower optimiser.batch_size, or compute on another device"
        )
    elif not isinstance(error, _WORDED) or not text:
        text = f"{type(error).__name__}: {text} (a fault of zsgan; --debug shows where)"
    return "\n".join([text, *getattr(error, "__notes__", ())])


def full(error: BaseException) -> str:
    """The traceback of an error as text."""
    return "".join(traceback.format_exception(error))


def keep(error: Exception, path: Path) -> None:
    """Write the traceback of an error to a file, and add a note with its path to the error.

    Args:
        error: the exception.
        path: the file; if it cannot be written, there is no note.
    """
    with suppress(OSError):
        write_atomically(path, full(error).encode())
        error.add_note(f"its traceback is in {path}")
