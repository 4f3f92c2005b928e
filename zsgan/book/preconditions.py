"""Checks that the machine can complete ``zsgan reproduce``, made before the first run."""

import os
import shutil
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import manifest, names
from zsgan.base.files import check_writable, lowest
from zsgan.base.places import local_path
from zsgan.book import pages
from zsgan.inversion.pictures import first_in
from zsgan.runs.identity import resolve

OF_A_RUN = 4
"""Minimum size of a run, as a multiple of its generator's file, since a run keeps snapshots."""
OF_THE_BOOK = 100 * 2**20
"""Minimum size of the notebooks, the figures and the pages in bytes."""


def check(
    configs: Sequence[AdaptConfig],
    runs: Path,
    folders: Iterable[Path],
    *,
    book: bool,
    pdf: bool,
    photographs: str | None = None,
) -> None:
    """Check that the machine has what the runs, the notebooks and the book need.

    For a user without a home folder, as in some containers, ``ZSGAN_HOME`` becomes the home folder.

    Args:
        configs: the requested runs.
        runs: folder of runs.
        folders: other folders that are written to.
        book: whether notebooks are executed.
        pdf: whether the book is printed.
        photographs: folder of the photographs that the book edits.

    Raises:
        FileNotFoundError: there is no home folder, or no photograph.
        ValueError: a photograph cannot be read.
        ImportError: a tool of the book is missing.
        OSError: a folder cannot be written to, or the disk clearly has too little space.
        BookError: there is no Chromium to print the book.
    """
    if book:
        _home()
        _tools()
    if pdf:
        pages.chromium()
    if photographs is not None:
        first_in(local_path(photographs), 64)
    for folder in (runs, runs / "cache", *folders):
        check_writable(folder)
    missing = [config for config in configs if not (runs / resolve(config).id / "provenance.json").exists()]
    _room(runs, OF_A_RUN * sum(_bytes(config.generator) for config in missing) + book * OF_THE_BOOK)


def _home() -> None:
    try:
        Path.home()
    except RuntimeError:
        place = os.environ.get("ZSGAN_HOME")
        if not place:
            raise FileNotFoundError(
                "this user has no home folder (HOME is not set), where Jupyter and matplotlib keep files; "
                "set ZSGAN_HOME to a folder that can be written to, for example ZSGAN_HOME=/tmp/zsgan"
            ) from None
        os.environ["HOME"] = str(Path(place).absolute())


def _tools() -> None:
    missing = [name for name in ("ipykernel", "jupyter_book") if find_spec(name) is None]
    try:
        distribution("sphinx-mathjax-offline")
    except PackageNotFoundError as error:
        missing.append(str(error.name))
    if missing:
        raise ImportError(
            f"{', '.join(missing)}: not installed. The book's tools are an extra: pip install 'zsgan[book]'"
        )


def _bytes(generator: str) -> int:
    """Size of a generator's file; 0 if there is none, as for random weights."""
    known = names.generator(generator)
    file = manifest.asset(known.asset).file if known.asset else known.file
    return file.stat().st_size if file is not None and file.is_file() else 0


def _room(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(lowest(folder)).free) < needed:
        raise OSError(
            f"{folder} needs at least {needed / 2**20:,.0f} MiB, and {free / 2**20:,.0f} MiB are free on the "
            "disk; make room, or name a folder on another disk"
        )
