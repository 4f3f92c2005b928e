"""Standard output and error of a command: any encoding, a reader that leaves early, a full disk."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class OutputError(OSError):
    """Standard output takes no text."""


class ReaderGone(OutputError):
    """The program that reads standard output has ended, as ``head`` does after its lines."""


def prepare() -> None:
    """Let both streams take every character, as a backslash escape where their encoding has none.

    A closed standard error swallows what is written to it.

    Raises:
        OutputError: standard output is closed.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (as long as the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if sys.stdout is None:
        # Else the next file that is opened would take its number, and receive what is printed.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        raise OutputError("standard output is closed, and the result would be lost; redirect it: > FILE")


@contextmanager
def printing() -> Iterator[None]:
    """A block that prints; all of it has arrived when the block ends.

    Raises:
        ReaderGone: the reader has gone.
        OutputError: it could not be written, perhaps because the disk is full.
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
    """Write a line to standard error, if it can be written; the exit code says the rest."""
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def _give_up(stream: TextIO) -> None:
    """Direct what is left in the buffer elsewhere, so that Python does not fail on it when it ends."""
    try:
        place = stream.fileno()
    except OSError:  # a stream in memory
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, place)
    os.close(nowhere)
