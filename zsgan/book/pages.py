"""The pages of the book: executed notebooks are staged, rendered by jupyter-book, and printed by Chromium.

::

    book/ + executed/ + figures/ + docstrings -> staged/ -> _build/html/
                                                 staged/ -> _build/singlehtml/ -> book.pdf
"""

import csv
import io
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import yaml

from zsgan.base.files import write_atomically
from zsgan.book import api_pages, contents
from zsgan.book.icons import write_icons
from zsgan.book.notebooks import BOOK, BookError, chapters, load

log = logging.getLogger(__name__)

# MathJax in the parts that the book needs, a third of the size of its full build; _config.yml loads them.
_MATHJAX = Path("sphinx-mathjax-offline", "static", "mathjax")
_PARTS = (
    "startup.js", "core.js", "input/tex-base.js", "input/tex/extensions/ams.js", "a11y/assistive-mml.js",
    "output/chtml.js", "output/chtml/fonts/tex.js", "output/chtml/fonts/woff-v2",
)  # fmt: skip


def stage(
    executed: Path,
    figures: Path,
    staged: Path,
    *,
    having: Collection[str] | None = None,
    banner: str | None = None,
    book: Path = BOOK,
) -> None:
    """Collect the inputs of jupyter-book: pages, executed notebooks in place of chapters, figures, MathJax.

    Args:
        executed: folder of the notebooks from :func:`zsgan.book.notebooks.execute`.
        figures: folder that pages refer to as ``figures/``.
        staged: the folder to create; an older one is replaced.
        having: needs that the profile meets; what rests on others is left out, and links to it become words.
            By default all is kept.
        banner: text at the top of every page.
        book: the folder of the sources.

    Raises:
        ValueError: ``staged`` would replace the sources or the figures.
        BookError: A chapter has not been executed, or has been edited since.
    """
    check_places(figures, staged, book)
    shutil.rmtree(staged, ignore_errors=True)
    sources = {page.stem: page for page in chapters(book)}
    # A page must not exist as both .md and .ipynb.
    shutil.copytree(book, staged, ignore=shutil.ignore_patterns(".*", *(f"{name}.*" for name in sources)))
    notebooks = {
        page.stem: _finished(executed / f"{page.stem}.ipynb", load(page, having))
        for page in chapters(book, having)
    }
    (staged / "api").mkdir()
    for name, text in api_pages.pages().items():
        write_atomically(staged / name, text.encode())
    if having is not None:
        _leave_out(staged, notebooks, having, book)
    for name, notebook in notebooks.items():
        write_atomically(staged / f"{name}.ipynb", f"{nbformat.writes(notebook)}\n".encode())
    shutil.copytree(figures, staged / "figures")
    for table in (staged / "figures").glob("*.csv"):
        write_atomically(table, laid_out(table.read_text(encoding="utf-8")).encode())
    write_icons(staged / "_static")
    mathjax = Path(str(distribution("sphinx-mathjax-offline").locate_file(_MATHJAX)))
    for part in _PARTS:  # not in _static, from which jupyter-book would load every script a second time
        kept = staged / "_extra" / "mathjax" / part
        kept.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (mathjax / part).is_dir() else shutil.copy)(mathjax / part, kept)
    if banner is not None:
        settings = yaml.safe_load((staged / "_config.yml").read_text(encoding="utf-8"))
        settings["html"]["announcement"] = banner
        write_atomically(staged / "_config.yml", yaml.safe_dump(settings, allow_unicode=True).encode())


def laid_out(table: str) -> str:
    """A table in CSV whose cells break where they should when a page is narrow.

    "0.575 ± 0.019" and "80 to 160" break before "±" and "to", if they must. "+0.06 (+0.02 to +0.09)" has its
    interval below it.

    Args:
        table: CSV.

    Returns:
        CSV whose cells are MyST, with no-break spaces and line breaks.
    """
    out = io.StringIO()
    for cells in csv.reader(io.StringIO(table)):
        cells = [re.sub(r"(?<=\d) (±|to) (?=[-+\d])", " \\1\u00a0", cell) for cell in cells]
        cells = [re.sub(r"(?<=\d) (?=\(\S+ to\u00a0)", "\\\\\n", cell) for cell in cells]
        csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _leave_out(
    staged: Path, notebooks: dict[str, nbformat.NotebookNode], having: Collection[str], book: Path
) -> None:
    """Take what has unmet needs out of the staged pages of prose, and links to missing pages out of all."""
    prose, gone = {}, {page.stem for page in chapters(book)} - {*notebooks}
    for page in staged.glob("*.md"):
        if text := contents.plain(page.read_text(encoding="utf-8"), having):
            prose[page] = text
        else:
            page.unlink()
            gone.add(page.stem)
    names = {*notebooks, *(page.stem for page in prose)}
    for page, text in prose.items():
        write_atomically(page, f"{contents.unlinked(text, gone)}\n".encode())
    for notebook in notebooks.values():
        for cell in notebook.cells:
            if cell.cell_type == "markdown":
                cell.source = contents.unlinked(cell.source, gone)
    toc = staged / "_toc.yml"
    text = contents.table_of_contents(toc.read_text(encoding="utf-8"), names)
    write_atomically(toc, text.encode())


def check_places(figures: Path, staged: Path, book: Path = BOOK) -> None:
    """Check that :func:`stage` and :func:`build` replace neither the sources nor the figures.

    Args:
        figures: folder of figures.
        staged: the staging folder; ``_build`` is beside it.
        book: the folder of the sources.

    Raises:
        ValueError: the sources or the figures are in a folder that is replaced, or ``staged`` is in the
            folder of the figures.
    """
    staged, places = staged.resolve(), {"the sources": book.resolve(), "the figures": figures.resolve()}
    for replaced in (staged, staged.with_name("_build")):
        for what, place in places.items():
            if place.is_relative_to(replaced):
                raise ValueError(
                    f"{replaced} must be a folder of its own, not one with {what} in it: they are in {place}"
                )
    if staged.is_relative_to(places["the figures"]):
        raise ValueError(f"figures must not be a folder with {staged} in it, got {figures}; name another")


def _finished(executed: Path, source: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """An executed notebook without the parts that vary between runs: papermill's cell, times, the log."""
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
        if cell.cell_type == "code":  # progress bars, warnings and the log name temporary files
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def build(
    executed: Path,
    figures: Path,
    out: Path,
    *,
    having: Collection[str] | None = None,
    banner: str | None = None,
    book: Path = BOOK,
) -> Path:
    """Render the book from executed notebooks; any warning of jupyter-book is an error.

    Args:
        executed: folder of the notebooks from :func:`zsgan.book.notebooks.execute`.
        figures: folder that pages refer to as ``figures/``.
        out: folder for ``staged/`` and ``_build/html/``; both are replaced.
        having: needs that the profile meets, see :func:`stage`.
        banner: text at the top of every page.
        book: the folder of the sources.

    Returns:
        The first page.

    Raises:
        BookError: A chapter is not executed, or the pages have faults, which the message lists.
    """
    stage(executed, figures, out / "staged", having=having, banner=banner, book=book)
    shutil.rmtree(out / "_build", ignore_errors=True)
    _render(out, "html")
    return out / "_build" / "html" / "index.html"


def print_pdf(out: Path) -> Path:
    """Print the whole book to one PDF file with bookmarks, after :func:`build`.

    Args:
        out: folder of the book.

    Returns:
        ``book.pdf`` in it.

    Raises:
        BookError: There is no Chromium, it prints nothing, or the single-page book has faults.
    """
    browser = chromium()
    _render(out, "singlehtml")
    pdf = out / "book.pdf"
    print_page(browser, out / "_build" / "singlehtml" / "index.html", pdf)
    return pdf


def print_page(browser: str, page: Path, pdf: Path) -> None:
    """Print one page to a PDF file with bookmarks, one for each heading.

    Args:
        browser: path of Chromium.
        page: the page, an HTML file.
        pdf: the file to write; an older one is replaced.

    Raises:
        BookError: Chromium prints nothing.
    """
    pdf.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        # The virtual time gives the script that draws the math time to finish.
        options += ["--no-pdf-header-footer", "--virtual-time-budget=60000"]
        options += ["--generate-pdf-document-outline", f"--print-to-pdf={pdf}"]
        command = [browser, *options, page.resolve().as_uri()]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not pdf.is_file():
        raise BookError(f"Chromium did not print {page}:\n{result.stdout}")


def chromium() -> str:
    """Path of the Chromium that prints the book; a BookError if there is none."""
    browser = shutil.which("chromium")
    if browser is None:
        raise BookError(
            "the book is printed by Chromium, and there is no 'chromium' on PATH: install it, "
            "or put the folder of the one that .ci/browser names on PATH"
        )
    return browser


def _render(out: Path, builder: str) -> None:
    """Call jupyter-book on the staged folder."""
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["build", out / "staged", "--path-output", out, "--builder", builder]
    result = subprocess.run(
        [*program, *map(str, options), "-W", "-n", "--keep-going"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    log.debug(result.stdout)
    if result.returncode != 0:
        faults = [line for line in result.stdout.splitlines() if "WARNING" in line or "ERROR" in line]
        raise BookError("jupyter-book found faults in the book:\n" + "\n".join(faults or [result.stdout]))
