"""Derivation and execution of the book's notebooks; :mod:`zsgan.book.pages` makes pages of them.

A chapter is a MyST Markdown notebook, ``book/NAME.md``, from which two notebooks are made::

    book/NAME.md -> book/NAME.ipynb        derived, without outputs, for Colab
    book/NAME.md -> executed/NAME.ipynb    run by papermill

Both begin with a cell that installs zsgan if it is missing.

``python -m zsgan.book.notebooks`` writes the derived notebooks; with ``--check`` it lists those out of date.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import yaml

from zsgan.assets.manifest import ROOT
from zsgan.base.files import write_atomically
from zsgan.book import contents

try:
    import jupytext
    import nbformat
    import papermill
    import psutil
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config
except ImportError as error:
    raise ImportError(f"{error}. The book's tools are an extra: pip install 'zsgan[book]'") from error

log = logging.getLogger(__name__)

BOOK = ROOT / "book"
_INSTALL = """\
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("zsgan") is None:  # on Colab, for instance; pip keeps the torch that is there
    package = "zsgan @ git+{url}@{branch}"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", package], check=True)
    importlib.invalidate_caches()"""


class BookError(RuntimeError):
    """A chapter failed, has not been executed, or the pages have faults."""


class _OwnPython(AsyncKernelManager):
    """Manager of kernels that run in this process's interpreter; installed kernel specs have no effect."""

    @property
    def kernel_spec(self) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            language="python",
            # Empty counts as unset: the user's settings of Python and matplotlib have no effect.
            env={"PYTHONSTARTUP": "", "MPLBACKEND": "", "MATPLOTLIBRC": os.devnull},
            metadata={"kernel_provisioner": {"provisioner_name": "local-provisioner"}},
        )


def chapters(book: Path = BOOK, having: Collection[str] | None = None) -> list[Path]:
    """The sources of the book's notebooks, Markdown files in the order of their numbered names.

    Args:
        book: the folder of the sources.
        having: needs that a profile meets; chapters that rest on others are left out. By default all.

    Returns:
        the files.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not book.is_dir():
        raise FileNotFoundError(f"there is no folder {book}: the book comes with a clone of the repository")
    pages = [page for page in sorted(book.glob("*.md")) if _is_notebook(page)]
    return pages if having is None else [page for page in pages if load(page, having).cells]


def _is_notebook(page: Path) -> bool:
    """Whether a page has jupytext's header; the others are plain prose."""
    return "\njupytext:" in page.read_text(encoding="utf-8").split("\n---", 1)[0]


def load(page: Path, having: Collection[str] | None = None) -> nbformat.NotebookNode:
    """The notebook of a chapter, with cell ids that depend only on their order.

    A cell before its first code cell installs zsgan from the repository in ``_config.yml``.

    Args:
        page: ``NAME.md`` in the book's folder.
        having: needs that a profile meets; what rests on others is left out, see
            :mod:`zsgan.book.contents`. By default all is kept.

    Returns:
        The notebook, without outputs; without cells if the chapter has an unmet need.

    Raises:
        ValueError: a cell has an unknown need.
    """
    notebook = jupytext.read(page)
    if having is not None:
        notebook.cells = contents.kept(notebook.cells, having)
        if not notebook.cells:
            return notebook
    repository = yaml.safe_load((page.parent / "_config.yml").read_text(encoding="utf-8"))["repository"]
    install = nbformat.v4.new_code_cell(_INSTALL.format_map(repository), metadata={"tags": ["remove-cell"]})
    first = next((k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 0)
    notebook.cells.insert(first, install)
    notebook.metadata.get("jupytext", {}).get("text_representation", {}).pop("jupytext_version", None)
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k:03d}"
    return notebook


def derive(page: Path) -> str:
    """The deterministic text of the notebook beside ``page``, without outputs."""
    return nbformat.writes(load(page)) + "\n"


def stale(book: Path = BOOK) -> list[str]:
    """Names of derived notebooks that are missing, differ from their chapter, or have no chapter."""
    wanted = {page.with_suffix(".ipynb"): derive(page) for page in chapters(book)}
    found = {file: file.read_text(encoding="utf-8") for file in book.glob("*.ipynb")}
    return sorted(file.name for file in wanted | found if wanted.get(file) != found.get(file))


def execute(
    name: str,
    parameters: Mapping[str, Any],
    folder: Path,
    *,
    having: Collection[str] | None = None,
    book: Path = BOOK,
    progress: bool = False,
) -> Path:
    """Run a chapter from top to bottom in a fresh kernel, which works in the current folder.

    Args:
        name: the chapter, without suffix.
        parameters: values for names that the chapter's ``parameters`` cell sets.
        folder: where the executed notebook is written, as ``NAME.ipynb``, once it is complete.
        having: needs that are met, see :func:`load`.
        book: the folder of the sources.
        progress: show a progress bar over the cells.

    Returns:
        the executed notebook.

    Raises:
        ValueError: there is no such chapter, or it has no parameter of a given name.
        BookError: a cell failed; the message has the cell and the traceback.
    """
    known = {page.stem: page for page in chapters(book, having)}
    if name not in known:
        raise ValueError(f"there is no chapter {name!r}; the chapters are {', '.join(known)}")
    notebook = load(known[name], having)
    accepted = papermill.inspect_notebook(notebook)
    for parameter in parameters:
        if parameter not in accepted:
            raise ValueError(f"chapter {name!r} has no parameter {parameter!r}; it has {', '.join(accepted)}")
    values = {key: str(v.resolve()) if isinstance(v, Path) else v for key, v in parameters.items()}
    folder.mkdir(parents=True, exist_ok=True)
    executed = folder.resolve() / f"{name}.ipynb"
    executed.unlink(missing_ok=True)
    unfinished = executed.with_suffix(".unfinished.ipynb")
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            papermill.execute_notebook(
                notebook,
                unfinished,
                values,
                kernel_name="python3",
                kernel_manager_class=_OwnPython,
                config=Config(ConnectionFileMixin={"connection_file": f"{scratch}/connection.json"}),
                # The kernel's folder, the caller's, so that relative paths in a profile are found.
                resources={"metadata": {"path": str(Path.cwd())}},
                progress_bar=progress,
                coalesce_streams=True,  # or a line that a busy machine sends in pieces is several outputs
                extra_arguments=[
                    "--log-level=ERROR",  # hides a warning on local ports in every chapter
                    "--IPKernelApp.matplotlib=inline",  # pictures go into the notebook
                    f"--ipython-dir={scratch}",  # ignores the user's settings and startup files
                ],
            )
    except PapermillExecutionError as error:
        where = f"chapter {name!r} failed in cell {error.cell_index} (see {unfinished})"
        raise BookError(f"{where}:\n\n{error.source}\n{error}") from None
    except DeadKernelError as error:
        raise BookError(f"the kernel of chapter {name!r} died, perhaps for want of memory") from error
    return unfinished.replace(executed)


def execute_all(
    parameters: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    having: Collection[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> None:
    """Run chapters, ``workers`` in parallel; the last ones, which take longest, start first.

    The results do not depend on ``workers``: torch has one thread in a kernel, unless ``OMP_NUM_THREADS`` or
    ``MKL_NUM_THREADS`` is set.

    Args:
        parameters: name of a chapter -> its parameters, see :func:`execute`.
        folder: where the executed notebooks are written.
        having: needs that are met, see :func:`load`.
        workers: number of kernels in parallel.
        progress: show a progress bar for each chapter.

    Raises:
        ValueError: there is no such chapter, or it has no parameter of a given name.
        BookError: a cell failed. Running chapters were finished first, and no others were started.
        KeyboardInterrupt: the user interrupted; running chapters were stopped.
        SystemExit: a signal ends the process; running chapters were stopped.
    """
    over = Event()

    def one(name: str) -> None:
        if over.is_set():
            return
        log.info("notebook %s", name)
        try:
            execute(name, parameters[name], folder, having=having, progress=progress)
        except BaseException:
            over.set()
            raise

    others = set(psutil.Process().children())
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        tasks = [pool.submit(one, name) for name in reversed(list(parameters))]
        try:
            for task in tasks:
                task.result()
        except (KeyboardInterrupt, SystemExit):  # no signal reaches the kernels' own sessions
            over.set()
            for kernel in set(psutil.Process().children()) - others:
                kernel.terminate()
            raise
        finally:
            over.set()


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Give processes that are started inside the block one thread, unless the environment says otherwise."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def main(arguments: list[str] | None = None) -> None:
    """Write the derived notebooks, or check them."""
    parser = argparse.ArgumentParser(prog="python -m zsgan.book.notebooks", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if one is stale")
    check = parser.parse_args(arguments).check
    names = stale()
    if check and names:
        sys.exit(f"out of date: {' '.join(names)}. Run: python -m zsgan.book.notebooks")
    for name in names:
        page = (BOOK / name).with_suffix(".md")
        if page.is_file():
            write_atomically(BOOK / name, derive(page).encode())
        else:
            (BOOK / name).unlink()


if __name__ == "__main__":
    main()
