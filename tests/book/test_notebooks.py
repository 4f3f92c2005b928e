import contextlib
import csv
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml
from PIL import Image

from zsgan.book import notebooks, pages

HEADER = """\
---
jupytext:
  formats: md:myst,ipynb
  notebook_metadata_filter: -jupytext.text_representation.jupytext_version,accelerator
  text_representation: {extension: .md, format_name: myst, format_version: 0.13}
kernelspec: {display_name: Python 3, language: python, name: python3}
accelerator: GPU
---
"""

INTRO = """\
# A small book

Inline $x^2$, the number {glue:text}`01_first.ipynb::third:.2f`, the word
{glue:text}`01_first.ipynb::word:s` and the paper {cite:p}`jeon2023improving`.

![A red picture](figures/hero.png)

```{bibliography}
```
"""

CHAPTER = (
    HEADER
    + """\
# First

$$ y = x^2 $$ (eq-square)

Equation {eq}`eq-square`.

```{code-cell} ipython3
:tags: [parameters, remove-cell]

out = "."
divisor = 2
```

```{code-cell} ipython3
from pathlib import Path

import numpy as np

from zsgan.book.helpers import glue, show_source

glue("third", np.float64(1 / divisor))
glue("word", 0.5, "1e-3")
Path(out, "seen.txt").write_text(f"{divisor} {Path.cwd()} {out}")
print("printed in", flush=True)
print("two parts")
show_source(glue)
```

The third is {glue:text}`third:.4f`. {numref}`fig-square` shows it.

```{figure} figures/square.svg
:name: fig-square
:alt: a square

A square.
```
"""
)

# The same without the package's code, which takes seconds to import.
BARE = re.sub(r"\nimport numpy.*?\n(?=Path)", "", CHAPTER, flags=re.DOTALL)

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2 2"><rect width="1" height="1"/></svg>'


def make_book(folder: Path, chapter: str = CHAPTER) -> Path:
    """A book of two pages and one of the reference, with the real book's settings."""
    book = folder / "book"
    for name in ("_static", "_templates"):
        shutil.copytree(notebooks.BOOK / name, book / name)
    for name in ("_config.yml", "references.bib"):
        shutil.copy(notebooks.BOOK / name, book)
    (book / "_toc.yml").write_text(
        "format: jb-book\nroot: intro\nchapters:\n- file: 01_first\n- file: api/commands.arguments\n"
    )
    (book / "intro.md").write_text(INTRO)
    (book / "01_first.md").write_text(chapter)
    (book / "01_first.ipynb").write_text(notebooks.derive(book / "01_first.md"))
    (folder / "figures").mkdir()
    (folder / "figures" / "square.svg").write_text(SQUARE)
    Image.new("RGB", (60, 40), "red").save(folder / "figures" / "hero.png")
    return book


@pytest.fixture
def book(tmp_path):
    return make_book(tmp_path)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a book, its chapter executed for real."""
    folder = tmp_path_factory.mktemp("done")
    book = make_book(folder)
    notebooks.execute("01_first", {"out": folder, "divisor": 3}, folder / "executed", book=book)
    return folder


# The book of the project


def test_every_derived_notebook_is_up_to_date():
    assert notebooks.stale() == []


def test_the_table_of_contents_names_every_page_once():
    toc = (notebooks.BOOK / "_toc.yml").read_text(encoding="utf-8")
    named = re.findall(r"^\s*-?\s*(?:root|file): (\S+)", toc, flags=re.MULTILINE)
    assert sorted(named) == sorted(
        ["api", "architecture", *(page.stem for page in notebooks.BOOK.glob("*.md"))]
    )


def test_every_chapter_has_what_papermill_and_colab_need():
    for page in notebooks.chapters():
        notebook = notebooks.load(page)
        tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
        assert tags.count("parameters") == 1, page.name
        assert notebook.metadata.kernelspec.name == "python3", page.name
        assert all(not cell.get("outputs") for cell in notebook.cells), page.name


# Derivation


def test_a_derived_notebook_is_the_same_every_time_and_holds_the_chapter(book):
    text = notebooks.derive(book / "01_first.md")
    assert text == notebooks.derive(book / "01_first.md")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert [cell.cell_type for cell in notebook.cells] == ["markdown", "code", "code", "code", "markdown"]
    assert notebook.cells[2].source == 'out = "."\ndivisor = 2'
    assert notebook.cells[2].metadata.tags == ["parameters", "remove-cell"]
    assert [cell.id for cell in notebook.cells] == [f"cell-00{k}" for k in range(5)]
    assert notebook.metadata.accelerator == "GPU"
    assert "jupytext_version" not in notebook.metadata.jupytext.text_representation


def test_plain_pages_are_no_chapters(book):
    assert [page.name for page in notebooks.chapters(book)] == ["01_first.md"]


def test_a_wheel_has_no_book(tmp_path):
    with pytest.raises(FileNotFoundError, match="clone of the repository"):
        notebooks.chapters(tmp_path / "book")


def test_stale_notebooks_are_named_and_written_anew(book, monkeypatch):
    monkeypatch.setattr(notebooks, "BOOK", book)
    monkeypatch.setattr(notebooks.stale, "__defaults__", (book,))
    notebooks.main(["--check"])
    (book / "01_first.md").write_text(CHAPTER.replace("divisor = 2", "divisor = 5"))
    (book / "02_second.md").write_text(CHAPTER)
    shutil.copy(book / "01_first.ipynb", book / "03_without_its_chapter.ipynb")
    names = ["01_first.ipynb", "02_second.ipynb", "03_without_its_chapter.ipynb"]
    assert notebooks.stale(book) == names
    with pytest.raises(SystemExit, match=" ".join(names)):
        notebooks.main(["--check"])
    assert notebooks.stale(book) == names
    notebooks.main([])
    assert notebooks.stale(book) == []
    assert "divisor = 5" in (book / "01_first.ipynb").read_text()
    assert not (book / "03_without_its_chapter.ipynb").exists()


# Execution


def test_a_chapter_runs_in_the_current_folder_with_its_parameters(done):
    """Where paths in a profile, which are relative to that folder, are found."""
    assert (done / "seen.txt").read_text() == f"3 {Path.cwd()} {done.resolve()}"
    executed = nbformat.read(done / "executed" / "01_first.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    recorded = [output for output in outputs if "scrapbook" in output.get("metadata", {})]
    records = {o.metadata.scrapbook.name: o.data["application/papermill.record/text/plain"] for o in recorded}
    assert records == {"third": repr(1 / 3), "word": "'1e-3'"}
    (code,) = [o.data["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]
    assert code.startswith("```python\ndef glue(") and code.endswith("\n```")
    assert "display({_MIME" in code and "Args:" not in code and '"""' not in code


def test_what_a_cell_prints_is_one_output_however_slowly_it_comes(done):
    """Or a busy machine, on which a line can arrive in pieces, would make another notebook."""
    executed = nbformat.read(done / "executed" / "01_first.ipynb", as_version=4)
    printed = [o for cell in executed.cells for o in cell.get("outputs", []) if o.get("name") == "stdout"]
    assert [o.text for o in printed] == ["printed in\ntwo parts\n"]


LOOK = """import sys

import matplotlib.pyplot as plt

Path(out, "seen.txt").write_text(sys.executable)
plt.plot([1, 2])"""


def test_no_kernel_or_setting_of_the_users_takes_part(tmp_path, monkeypatch):
    """Neither a kernel called python3 of another Python, nor startup files, nor another look or backend."""
    book = make_book(tmp_path, CHAPTER.replace("show_source(glue)", LOOK))

    def picture(folder):
        executed = notebooks.execute("01_first", {"out": tmp_path}, tmp_path / folder, book=book)
        outputs = [o for cell in nbformat.read(executed, as_version=4).cells for o in cell.get("outputs", [])]
        (found,) = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
        assert Path((tmp_path / "seen.txt").read_text()) == Path(sys.executable)
        return found

    plain = picture("plain")
    home = tmp_path / "home"
    for place in (tmp_path / "hub", home / ".local" / "share" / "jupyter", tmp_path / "data"):
        kernel = place / "kernels" / "python3" / "kernel.json"
        kernel.parent.mkdir(parents=True)
        argv = ["/opt/conda/envs/old/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    for place in (home / ".ipython", tmp_path / "ipython"):
        startup = place / "profile_default" / "startup" / "00.py"
        startup.parent.mkdir(parents=True)
        startup.write_text("import os; os._exit(3)")
        (place / "profile_default" / "ipython_kernel_config.py").write_text(
            "c.InteractiveShellApp.exec_lines = ['import os; os._exit(4)']"
        )
    (tmp_path / "startup.py").write_text("import os; os._exit(5)")
    (tmp_path / "matplotlibrc").write_text("savefig.dpi: 30\nfigure.dpi: 30\nfont.size: 30\nbackend: pdf\n")
    settings = {
        "HOME": home, "JUPYTER_PATH": tmp_path / "hub", "JUPYTER_DATA_DIR": tmp_path / "data",
        "IPYTHONDIR": tmp_path / "ipython", "PYTHONSTARTUP": tmp_path / "startup.py",
        "MATPLOTLIBRC": tmp_path / "matplotlibrc", "MPLBACKEND": "Agg",
        "JUPYTER_DEFAULT_PROVISIONER_NAME": "none", "JUPYTER_RUNTIME_DIR": tmp_path / "startup.py",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, str(value))
    assert picture("set") == plain
    assert os.environ["MPLBACKEND"] == "Agg"


def test_a_misspelt_parameter_is_refused(book, tmp_path):
    with pytest.raises(ValueError, match="no parameter 'divisr'; it has out, divisor"):
        notebooks.execute("01_first", {"divisr": 3}, tmp_path / "executed", book=book)
    assert not (tmp_path / "executed").exists()


def test_an_unknown_chapter_is_refused(book, tmp_path):
    with pytest.raises(ValueError, match="no chapter 'intro'; the chapters are 01_first"):
        notebooks.execute("intro", {}, tmp_path, book=book)


def test_a_failure_names_chapter_cell_and_cause_and_cannot_be_staged(book, tmp_path):
    executed = tmp_path / "executed" / "01_first.ipynb"
    executed.parent.mkdir()
    executed.write_text("of an earlier run")
    with pytest.raises(notebooks.BookError) as failure:
        notebooks.execute("01_first", {"divisor": 0}, tmp_path / "executed", book=book)
    for part in ("'01_first'", "cell 4", "np.float64(1 / divisor)", "ZeroDivisionError: division by zero"):
        assert part in str(failure.value)
    assert "\x1b" not in str(failure.value)  # no colours
    assert executed.with_suffix(".unfinished.ipynb").is_file()
    assert not executed.exists()
    with pytest.raises(notebooks.BookError, match="has not been executed"):
        pages.stage(tmp_path / "executed", tmp_path / "figures", tmp_path / "staged", book=book)


def test_a_kernel_that_dies_is_reported_and_cannot_be_staged(tmp_path):
    book = make_book(tmp_path, BARE.replace("show_source(glue)", "import os; os._exit(9)"))
    with pytest.raises(notebooks.BookError, match="kernel of chapter '01_first' died"):
        notebooks.execute("01_first", {"out": tmp_path}, tmp_path / "executed", book=book)
    with pytest.raises(notebooks.BookError, match="has not been executed"):
        pages.stage(tmp_path / "executed", tmp_path / "figures", tmp_path / "staged", book=book)


# Staging and rendering


def test_numbers_of_a_table_break_only_before_what_is_added():
    line = (
        '"L_dir, 2",0.402 ± 0.008,+0.037 (+0.001 to -0.073),60.5 (0.97),80 to 160,StyleGAN-NADA to sketch\n'
    )
    (cells,) = csv.reader(io.StringIO(pages.laid_out(line)))
    assert cells == [
        "L_dir, 2", "0.402 ±\u00a00.008", "+0.037\\\n(+0.001 to\u00a0-0.073)", "60.5 (0.97)",
        "80 to\u00a0160", "StyleGAN-NADA to sketch",
    ]  # fmt: skip


def test_staging_keeps_one_file_a_page_and_nothing_that_differs_between_runs(done, tmp_path):
    pages.stage(done / "executed", done / "figures", tmp_path, book=done / "book")
    files = {file.name for file in tmp_path.iterdir()}
    assert files >= {"intro.md", "01_first.ipynb", "_toc.yml", "_config.yml", "figures", "_static"}
    assert "01_first.md" not in files
    staged = (tmp_path / "01_first.ipynb").read_text()
    for trace in ("injected", "duration", "iopub", str(done)):
        assert trace in (done / "executed" / "01_first.ipynb").read_text()
        assert trace not in staged
    derived = notebooks.derive(done / "book" / "01_first.md")
    assert [c["source"] for c in json.loads(staged)["cells"]] == [
        c["source"] for c in json.loads(derived)["cells"]
    ]


def test_a_book_is_staged_without_what_its_profile_lacks(done, tmp_path):
    book = tmp_path / "book"
    shutil.copytree(done / "book", book)
    chapter = (book / "01_first.md").read_text()
    drawn = '+++ {"needs": "drawn truth"}\n\n## Drawn\n\n```{code-cell} ipython3\n1 / 0\n```\n'
    (book / "01_first.md").write_text(f"{chapter}\n[Gone](02_gone.ipynb) is left out.\n\n{drawn}")
    (book / "02_gone.md").write_text(CHAPTER.replace("# First", '+++ {"needs": "drawn truth"}\n\n# Gone'))
    toc = {"root": "intro", "parts": [{"chapters": [{"file": "01_first"}, {"file": "02_gone"}]}]}
    (book / "_toc.yml").write_text(yaml.safe_dump(toc))
    parameters, having = {"out": tmp_path, "divisor": 3}, ()
    assert [page.stem for page in notebooks.chapters(book, having)] == ["01_first"]
    notebooks.execute("01_first", parameters, tmp_path / "executed", having=having, book=book)
    pages.stage(tmp_path / "executed", done / "figures", tmp_path / "staged", having=having, book=book)
    staged = nbformat.read(tmp_path / "staged" / "01_first.ipynb", as_version=4)
    text = "\n".join(cell.source for cell in staged.cells)
    assert "Gone is left out." in text and "Drawn" not in text and "1 / 0" not in text
    assert not (tmp_path / "staged" / "02_gone.ipynb").exists()
    left = yaml.safe_load((tmp_path / "staged" / "_toc.yml").read_text())
    assert left["parts"] == [{"chapters": [{"file": "01_first"}]}]


def test_chapters_run_at_the_same_time_with_a_thread_each(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "before")
    monkeypatch.delenv("OMP_NUM_THREADS")
    together, seen = threading.Barrier(2, timeout=60), {}

    def execute(name, parameters, folder, *, having, progress):
        together.wait()  # breaks unless the other one is there
        seen[name] = (os.environ["OMP_NUM_THREADS"], parameters, folder, progress)

    monkeypatch.setattr(notebooks, "execute", execute)
    notebooks.execute_all({"01": {"x": 1}, "02": {"x": 1}}, tmp_path, workers=2, progress=True)
    assert seen == dict.fromkeys(("01", "02"), ("1", {"x": 1}, tmp_path, True))
    assert "OMP_NUM_THREADS" not in os.environ


def test_after_a_chapter_that_failed_none_begins(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    begun = []

    def execute(name, *_, **__):
        begun.append((name, os.environ["OMP_NUM_THREADS"]))
        raise notebooks.BookError(f"chapter {name!r} failed")

    monkeypatch.setattr(notebooks, "execute", execute)
    with pytest.raises(notebooks.BookError, match="'03' failed"):
        notebooks.execute_all({"01": {}, "02": {}, "03": {}}, tmp_path)
    # the last one comes first; a number of threads that was given is kept
    assert begun == [("03", "3")] and os.environ["OMP_NUM_THREADS"] == "3"


INTERRUPTED = """
import signal
import sys
from functools import partial
from pathlib import Path
from zsgan.book import notebooks

signal.signal(signal.SIGINT, signal.default_int_handler)  # which whatever runs the tests may ignore
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
here = Path()
notebooks.execute = partial(notebooks.execute, book=here / "book")
notebooks.execute_all({"01_first": {"out": here}}, here / "executed")
"""


@pytest.mark.parametrize(
    ("how", "code"), [("SIGINT", None), ("SIGTERM", 143), ("SIGKILL", -9)], ids=["ctrl-c", "term", "kill"]
)
def test_kernels_end_with_the_process_that_started_them(tmp_path, how, code):
    """They are in sessions of their own, where no signal of the parent's reaches them."""
    chapter = BARE.replace("show_source(glue)\n", "import time\ntime.sleep(600)\n")
    make_book(tmp_path, chapter)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "seen.txt").exists() and process.poll() is None:
            assert time.monotonic() < until, "the chapter has not begun"
            time.sleep(0.1)
        (kernel,) = psutil.Process(process.pid).children()
        process.send_signal(getattr(signal, how))
        _, errors = process.communicate(timeout=60)
        if code is None:
            assert process.returncode != 0 and b"KeyboardInterrupt" in errors
        else:
            assert process.returncode == code
        kernel.wait(10)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


PRINTED = """
import signal
from pathlib import Path
from zsgan.book import pages

signal.signal(signal.SIGINT, signal.default_int_handler)
pages._render = lambda *_: None
pages.print_pdf(Path())
"""


def test_ctrl_c_ends_the_browser(tmp_path):
    browser = tmp_path / "chromium"
    browser.write_text("#!/bin/sh\necho $$ >id.part; mv id.part id\nexec sleep 600\n")
    browser.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    process = subprocess.Popen(
        [sys.executable, "-c", PRINTED], cwd=tmp_path, env={**os.environ, "PATH": path},
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        until = time.monotonic() + 120
        while not (tmp_path / "id").exists() and process.poll() is None:
            assert time.monotonic() < until, "the browser has not begun"
            time.sleep(0.1)
        running = psutil.Process(int((tmp_path / "id").read_text()))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert b"KeyboardInterrupt" in errors
        running.wait(10)
    finally:
        process.kill()


def test_staging_never_replaces_the_sources(done):
    for folder in (done, done / "book"):
        with pytest.raises(ValueError, match="a folder of its own"):
            pages.stage(done / "executed", done / "figures", folder, book=done / "book")


def test_an_edited_or_missing_chapter_is_refused(done, tmp_path):
    shutil.copytree(done / "book", tmp_path / "book")
    chapter = tmp_path / "book" / "01_first.md"
    chapter.write_text(CHAPTER.replace("A square.", "A small square."))
    with pytest.raises(notebooks.BookError, match="'01_first' has been edited since"):
        pages.stage(done / "executed", done / "figures", tmp_path / "staged", book=tmp_path / "book")
    with pytest.raises(notebooks.BookError, match="zsgan reproduce --only 01_first"):
        pages.stage(tmp_path, done / "figures", tmp_path / "staged", book=tmp_path / "book")


@pytest.fixture(scope="module")
def site(done):
    """The rendered pages."""
    return pages.build(done / "executed", done / "figures", done, book=done / "book").parent


def test_the_rendered_book_is_complete_and_asks_no_other_host(site):
    intro, chapter = ((site / name).read_text() for name in ("intro.html", "01_first.html"))
    prose = re.sub(r"<[^>]+>|\s+", " ", intro)
    assert re.search(r"the number\s+0\.33\s*,\s+the word\s+1e-3\s+and the paper", prose)
    assert "Jeon" in intro
    assert "The third is 0.3333." in re.sub(r"<[^>]+>", "", chapter)
    assert "Fig. 1" in chapter
    assert "divisor = " not in chapter  # neither the parameters nor papermill's values for them
    assert "blob/main/book/01_first.ipynb" in chapter
    tags = re.findall(r"<(?:script|img|iframe|link)\b[^>]*>", intro + chapter)
    loaded = [tag for tag in tags if not tag.startswith("<link") or "stylesheet" in tag or "icon" in tag]
    local = {link.split("?")[0] for tag in loaded for link in re.findall(r'(?:src|href)="([^"]+)"', tag)}
    assert {link for link in local if not (site / link).is_file()} == set()
    assert any("mathjax" in link for link in local)


def test_a_page_shows_small_pictures_that_have_their_size(site):
    (tag,) = re.findall(r"<img [^>]*_images/[^>]*\.webp[^>]*>", (site / "intro.html").read_text())
    with Image.open(site / re.search(r'src="([^"]+)"', tag)[1]) as picture:
        assert 'width="{}" height="{}"'.format(*picture.size) in tag
    icons = [file for file in (site / "_static").iterdir() if file.name.startswith(("icons.css", "fa-"))]
    assert 10_000 < sum(file.stat().st_size for file in icons) < 50_000
    assert r'.fa-bars:before,.fa-navicon:before{content:"\f0c9"}' in (site / "_static/icons.css").read_text()


@pytest.fixture(scope="module")
def chromium():
    found = subprocess.run(
        [notebooks.ROOT / ".ci" / "browser"], stdout=subprocess.PIPE, text=True, check=True
    )
    return found.stdout.strip()


def test_the_printed_book_has_bookmarks(done, site, chromium, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(chromium).parent}:{os.environ['PATH']}")
    printed = pages.print_pdf(done).read_bytes()
    assert b"/Outlines" in printed
    titles = re.findall(rb"/Title \((.*?)\)", printed)
    assert b"A small book" in titles
    assert any(b"First" in title for title in titles)


def test_a_heading_that_begins_a_page_has_its_bookmark_once(chromium, tmp_path):
    """Without room above it, its bookmark says it twice; of these headings, some begin a page."""
    lengths = random.Random(1).choices(range(20, 400), k=120)
    parts = [f"<h{1 + i % 5}>Heading {i}</h{1 + i % 5}><p>{'word ' * n}</p>" for i, n in enumerate(lengths)]
    css = (notebooks.BOOK / "_static" / "book.css").read_text() + "body { font: 16px/1.15 DejaVu Sans }"
    page, pdf = tmp_path / "page.html", tmp_path / "page.pdf"
    page.write_text(f"<html lang=en><title>T</title><style>{css}</style>{''.join(parts)}</html>")
    pages.print_page(chromium, page, pdf)
    titles = re.findall(rb"/Title \((Heading.*?)\)", pdf.read_bytes())
    assert sorted(titles) == sorted(b"Heading %d" % i for i in range(120))


def test_two_builds_are_the_same_to_the_byte(done, site, tmp_path):
    again = pages.build(done / "executed", done / "figures", tmp_path, book=done / "book").parent
    one, two = (
        {str(f.relative_to(p)): f.read_bytes() for f in p.rglob("*") if f.is_file()} for p in (site, again)
    )
    assert one.keys() == two.keys() >= {"intro.html", "01_first.html", "api/commands.arguments.html"}
    assert [name for name in one if one[name] != two[name]] == []


def test_a_fault_in_a_page_is_an_error_that_names_it(done, tmp_path):
    shutil.copytree(done / "book", tmp_path / "book")
    with (tmp_path / "book" / "intro.md").open("a") as page:
        page.write("\nSee {numref}`fig-nowhere`.\n")
    with pytest.raises(notebooks.BookError, match=r"intro\.md:\d+: WARNING: .*fig-nowhere"):
        pages.build(done / "executed", done / "figures", tmp_path, book=tmp_path / "book")


def test_the_settings_that_keep_pages_offline_are_set():
    config = yaml.safe_load((notebooks.BOOK / "_config.yml").read_text())
    sphinx = config["sphinx"]["config"]
    assert config["execute"]["execute_notebooks"] == "off"
    assert "sphinx_thebe" not in sphinx["extensions"]
    assert Path(sphinx["mathjax_path"]).name == pages._PARTS[0]
    for part in sphinx["mathjax3_config"]["loader"]["load"]:
        assert f"{part.replace('[tex]', 'input/tex/extensions')}.js" in pages._PARTS
