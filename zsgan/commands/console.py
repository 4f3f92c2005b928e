"""Standard output and error of a command: any encoding, a reader that leaves early, a full disk."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class OutputError(OSError):
    """Standard output cannot be written."""


class ReaderGone(OutputError):
    """The program that reads standard output has ended, such as ``head``."""


def prepare() -> None:
    """Make both streams escape characters outside their encoding with a backslash.

    Text for a closed standard error is discarded.

    Raises:
        OutputError: standard output is closed.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        # Otherwise the next file to be opened gets its number, and receives the printed text.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise OutputError("standard output is closed, and the result would be lost; redirect it: > FILE")


@contextmanager
def printing() -> Iterator[None]:
    """A block that prints; its output is flushed at the end.

    Raises:
        ReaderGone: the reader of standard output has ended.
        OutputError: standard output cannot be written, for instance because the disk is full.
    """
    try:
        try:
            yield
        finally:  # also when argparse has printed its help and exits
            sys.stdout.flush()
    except BrokenPipeError:
        _give_up(sys.stdout)
        raise ReaderGone("the reader of standard output has gone") from None
    except OSError as error:
        _give_up(sys.stdout)
        raise OutputError(
            f"standard output cannot be written ({error.strerror}); give it another place and repeat the "
            "command, which finds the runs and measurements that are finished"
        ) from None


def complain(text: str) -> None:
    """Write a line to standard error, if that is possible."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Redirect the stream to the null device, so that Python's flush at exit does not fail."""
    try:
        place = stream.fileno()
    except OSError:  # a stream in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, place)
    os.close(nowhere)
