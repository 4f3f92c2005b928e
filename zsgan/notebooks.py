"""The book: chapters become notebooks, notebooks are executed, executed notebooks become pages.

A chapter is a MyST Markdown notebook, ``book/NAME.md``. What is made of it is made in one direction only:

    book/NAME.md -> book/NAME.ipynb                            derived, without outputs, for Colab
    book/NAME.md -> executed/NAME.ipynb                        run by papermill
    book/ + executed/ + figures/ -> staged/ -> _build/html/    rendered by jupyter-book

``python -m zsgan.notebooks`` writes the derived notebooks; with ``--check`` it names those out of date.
"""

import argparse
import logging
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from zsgan.files import write_atomically
from zsgan.manifest import ROOT

try:
    import jupytext
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
except ImportError as error:
    raise ImportError(f"{error}. The book's tools are an extra: pip install 'zsgan[book]'") from error

log = logging.getLogger(__name__)

BOOK = ROOT / "book"
_MATHJAX = "sphinx-mathjax-offline/static/mathjax/tex-svg-full.js"  # one file, with every TeX extension in it


class BookError(RuntimeError):
    """A chapter failed, has not been executed, or the pages have faults."""


def chapters(book: Path = BOOK) -> list[Path]:
    """The sources of the book's notebooks in reading order, which is that of their numbered names.

    Args:
        book: the folder of sources.

    Returns:
        files in Markdown, those that are notebooks.

    Raises:
        FileNotFoundError: there is no book, as in an installation from a wheel.
    """
    if not book.is_dir():
        raise FileNotFoundError(f"there is no folder {book}: the book comes with a clone of the repository")
    return [page for page in sorted(book.glob("*.md")) if _is_notebook(page)]


def _is_notebook(page: Path) -> bool:
    """Whether a page has jupytext's header; the others are plain prose."""
    return "\njupytext:" in page.read_text(encoding="utf-8").split("\n---", 1)[0]


def load(page: Path) -> nbformat.NotebookNode:
    """The notebook of a chapter, with cell names that depend on nothing but their order."""
    notebook = jupytext.read(page)
    notebook.metadata.get("jupytext", {}).get("text_representation", {}).pop("jupytext_version", None)
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k:03d}"
    return notebook


def derive(page: Path) -> str:
    """The text of the notebook that belongs beside ``page``: without outputs, the same bytes every time."""
    return nbformat.writes(load(page)) + "\n"


def stale(book: Path = BOOK) -> list[str]:
    """Names of derived notebooks that are missing, differ from their chapter, or have lost it."""
    wanted = {page.with_suffix(".ipynb"): derive(page) for page in chapters(book)}
    found = {file: file.read_text(encoding="utf-8") for file in book.glob("*.ipynb")}
    return sorted(file.name for file in wanted | found if wanted.get(file) != found.get(file))


def execute(
    name: str, parameters: Mapping[str, Any], folder: Path, *, book: Path = BOOK, progress: bool = False
) -> Path:
    """Run a chapter from top to bottom in a fresh kernel.

    Args:
        name: the chapter, without suffix.
        parameters: values for names that the chapter's ``parameters`` cell sets. Paths become absolute,
            since the kernel works in the book's folder.
        folder: where the executed notebook is written: as ``NAME.ipynb``, once it is complete.
        book: the folder of the sources.
        progress: show a progress bar over the cells.

    Returns:
        the executed notebook.

    Raises:
        ValueError: there is no such chapter, or it has no parameter of a given name.
        BookError: a cell failed; the message has the cell and the traceback.
    """
    known = {page.stem: page for page in chapters(book)}
    if name not in known:
        raise ValueError(f"there is no chapter {name!r}; the chapters are {', '.join(known)}")
    notebook = load(known[name])
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
        papermill.execute_notebook(
            notebook,
            unfinished,
            values,
            kernel_name="python3",
            cwd=book,
            progress_bar=progress,
            extra_arguments=[
                "--log-level=ERROR",  # not a warning on local ports for every chapter
                # Pictures go into the notebook, whatever MPLBACKEND the kernel inherits.
                "--IPKernelApp.matplotlib=inline",
            ],
        )
    except PapermillExecutionError as error:
        where = f"chapter {name!r} failed in cell {error.cell_index} (see {unfinished})"
        raise BookError(f"{where}:\n\n{error.source}\n{error}") from None
    except DeadKernelError as error:
        raise BookError(f"the kernel of chapter {name!r} died, perhaps for want of memory") from error
    return unfinished.replace(executed)


def stage(executed: Path, figures: Path, staged: Path, *, book: Path = BOOK) -> None:
    """Lay out what jupyter-book reads: pages, executed notebooks in place of chapters, figures, and MathJax.

    Args:
        executed: folder of the notebooks from :func:`execute`.
        figures: folder that pages refer to as ``figures/``.
        staged: the folder to make; an older one is replaced.
        book: the folder of the sources.

    Raises:
        ValueError: ``staged`` would replace the sources.
        BookError: a chapter has not been executed to its end, or not in its present form.
    """
    if book.resolve().is_relative_to(staged.resolve()):
        raise ValueError(f"staged must be a folder of its own, not one with the sources in it, got {staged}")
    shutil.rmtree(staged, ignore_errors=True)
    sources = {page.stem: page for page in chapters(book)}
    # A page must not be there twice, as .md and as .ipynb.
    shutil.copytree(book, staged, ignore=shutil.ignore_patterns(".*", *(f"{name}.*" for name in sources)))
    for name, page in sources.items():
        notebook = _finished(executed / f"{name}.ipynb", load(page))
        (staged / f"{name}.ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    shutil.copytree(figures, staged / "figures")
    mathjax = Path(str(distribution("sphinx-mathjax-offline").locate_file(_MATHJAX)))
    # Not below _static, where jupyter-book would load every script a second time.
    (staged / "_extra" / "mathjax").mkdir(parents=True)
    shutil.copy(mathjax, staged / "_extra" / "mathjax")


def _finished(executed: Path, source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook without what differs between runs: papermill's own cell, clock times and paths."""
    remedy = f"Execute it with: zsgan reproduce --only {executed.stem}"
    if not executed.is_file():
        raise BookError(f"chapter {executed.stem!r} has not been executed: {executed} is missing. {remedy}")
    notebook = nbformat.read(executed, as_version=4)
    notebook.metadata.pop("papermill", None)
    notebook.cells = [c for c in notebook.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    if [cell.source for cell in notebook.cells] != [cell.source for cell in source.cells]:
        raise BookError(f"chapter {executed.stem!r} has been edited since {executed} was executed. {remedy}")
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
    return notebook


def build_book(executed: Path, figures: Path, out: Path, *, book: Path = BOOK) -> Path:
    """Render the book from executed notebooks; any warning of jupyter-book is an error.

    Args:
        executed: folder of the notebooks from :func:`execute`.
        figures: folder that pages refer to as ``figures/``.
        out: folder for ``staged/`` and ``_build/html/``; both are replaced.
        book: the folder of the sources.

    Returns:
        the first page.

    Raises:
        BookError: a chapter is not executed, or the pages have faults, which the message lists.
    """
    stage(executed, figures, out / "staged", book=book)
    shutil.rmtree(out / "_build", ignore_errors=True)
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["build", out / "staged", "--path-output", out, "-W", "-n", "--keep-going"]
    result = subprocess.run(
        [*program, *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    log.debug(result.stdout)
    if result.returncode != 0:
        faults = [line for line in result.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        raise BookError("jupyter-book found faults in the book:\n" + "\n".join(faults or [result.stdout]))
    return out / "_build" / "html" / "index.html"


def main(arguments: list[str] | None = None) -> None:
    """Write the derived notebooks, or check them."""
    parser = argparse.ArgumentParser(prog="python -m zsgan.notebooks", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if one is stale")
    check = parser.parse_args(arguments).check
    names = stale()
    if check and names:
        sys.exit(f"out of date: {' '.join(names)}. Run: python -m zsgan.notebooks")
    for name in names:
        page = (BOOK / name).with_suffix(".md")
        if page.is_file():
            write_atomically(BOOK / name, derive(page).encode())
        else:
            (BOOK / name).unlink()


if __name__ == "__main__":
    main()
