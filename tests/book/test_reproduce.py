"""The main command in miniature: notebooks, figures, tables and the book from nothing."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from engine import ended, engine, planned

from zsgan.book import notebooks
from zsgan.book import reproduce as reproduce_module
from zsgan.runs.profiles import load_profile

FIGURES = Path("build") / "smoke" / "figures"
STEMS = ("table1", "fig3a", "fig4")


@pytest.fixture(scope="module")
def made(smoke_book):
    return smoke_book


def test_prints_the_first_page_and_nothing_else(made):
    place, result = made
    page = place / result.stdout.strip()
    assert page.name == "index.html" and page.is_file()
    assert not (place / "figures").exists()


@pytest.mark.parametrize("stem", STEMS)
def test_results_say_where_they_come_from(made, stem):
    folder = made[0] / FIGURES
    sidecar = json.loads((folder / f"{stem}.json").read_text())
    assert sidecar["profile"] == "smoke"
    assert len(sidecar["runs"]) == len(load_profile("smoke").rows)
    assert all((made[0] / "runs" / run / "provenance.json").is_file() for run in sidecar["runs"].values())
    assert set(sidecar["weights"]) == {"clip-a", "clip-c", "clip-b", "evaluator", "generator-dog"}
    endings = {"csv", "md"} if stem.startswith("table") else {"png", "svg"}
    assert all((folder / f"{stem}.{ending}").stat().st_size > 100 for ending in endings)


def test_table_1_has_every_row_of_the_profile(made):
    table = pd.read_csv(made[0] / FIGURES / "table1.csv", index_col=0)
    assert set(load_profile("smoke").rows) <= set(table.index)
    assert any("aper" in column for column in table.columns)


def test_the_book_shows_them(made):
    html = made[0] / "build" / "_build" / "html"
    pages = {page.stem: page.read_text(encoding="utf-8") for page in html.glob("*.html")}
    assert len([name for name in pages if name[:2].isdigit()]) >= 3
    assert any('id="fig-4"' in page for page in pages.values())
    assert not any("Traceback" in page for page in pages.values())


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


NOT_RENDERED = f"""\
#!{sys.executable}
import sys
from zsgan import cli
from zsgan.book import pages

pages._render = lambda *_: None
sys.exit(cli.main())
"""


def test_snakemakes_book_of_the_same_runs_differs_only_in_what_a_clock_measured(made, tmp_path):
    """And figures, which are committed, differ in nothing: `git status` stays clean.

    Its chapters are jobs with a process each, where one process has made the first book. What jupyter-book is
    given is compared; that it makes the same bytes of it is tested with a small book.
    """
    place, _ = made
    for file in (place / "runs").glob("*/provenance.json"):  # as if a slower machine had made the run
        run = json.loads(file.read_text())
        slower = {name: 7 * run[name] for name in ("seconds", "step_seconds")}
        file.write_text(json.dumps(run | slower, indent=1, sort_keys=True) + "\n")
    runs = {path: path.stat().st_mtime_ns for path in (place / "runs").glob("*/provenance.json")}
    receipts = place / "again" / "receipts" / "smoke"
    (receipts / "measured").mkdir(parents=True)
    for job in planned(place, "smoke")["jobs"]:
        (receipts / "measured" / job["id"]).touch()
    zsgan = tmp_path / "zsgan"
    zsgan.write_text(NOT_RENDERED)
    zsgan.chmod(0o755)
    book = (receipts / "pages" / "book").relative_to(place)
    ended(engine(place, "local", "-c2", book, "--config", "build=again", commands=tmp_path), place)
    assert {path: path.stat().st_mtime_ns for path in (place / "runs").glob("*/provenance.json")} == runs

    def changed(part: Path) -> set[str]:
        first, second = contents(place / "build" / part), contents(place / "again" / part)
        first.pop("_extra/preview.jpg", None)  # drawn as the pages are rendered
        assert first.keys() == second.keys()
        return {name for name in first if first[name] != second[name]}

    assert changed(FIGURES.relative_to("build")) == set()
    clocks = {"03_adaptation.ipynb", "04_results.ipynb", "16_your_method.ipynb"}
    assert {"04_results.ipynb"} <= changed(Path("staged")) <= clocks


def test_no_page_holds_what_differs_between_two_processes(made):
    """Such as the address of a default value in a signature of the reference."""
    pages = list((made[0] / "build" / "_build" / "html").rglob("*.html"))
    assert len(pages) > 100
    for page in pages:
        assert not re.search(r" at 0x[0-9a-f]+", page.read_text(encoding="utf-8")), page


@pytest.fixture
def two_scenarios(monkeypatch):
    """The smoke profile with a second scenario, and the configurations whose runs are asked for."""
    profile = load_profile("smoke")
    (scenario,) = profile.scenarios.values()
    other = replace(scenario, target_text="fox", truth={"species": "fox", "style": "photo"})
    profile = replace(profile, scenarios={"dog-to-cat": scenario, "dog-to-fox": other}, seeds=(0, 1))
    asked = []
    monkeypatch.setattr("zsgan.book.reproduce.load_profile", lambda _: profile)
    monkeypatch.setattr(
        "zsgan.book.reproduce.run_all", lambda jobs, **_: asked.extend(j.config for j in jobs)
    )
    monkeypatch.setattr("zsgan.book.reproduce.measure_all", lambda *_: None)
    return profile, asked


def test_the_first_step_makes_the_runs_of_every_scenario(two_scenarios, tmp_path, monkeypatch):
    profile, asked = two_scenarios
    executed = []
    monkeypatch.setattr(notebooks, "execute", lambda name, *_, **__: executed.append((name, len(asked))))
    reproduce_module.reproduce("smoke", build=tmp_path, only="02_variations")
    wanted = {(text, row, seed) for text in ("cat", "fox") for row in profile.rows for seed in (0, 1)}
    configs = {row: profile.config("dog-to-cat", row) for row in profile.rows}
    rows = {(str(config.terms), config.selection): row for row, config in configs.items()}
    assert {(c.target_text, rows[str(c.terms), c.selection], c.seed) for c in asked} == wanted
    assert executed == [("02_variations", len(wanted))]


def test_a_failed_notebook_stops_with_its_cell_and_the_runs_are_kept(two_scenarios, tmp_path, monkeypatch):
    _, asked = two_scenarios
    executed = []

    def execute(name, *_, **__):
        executed.append(name)
        if name == "02_variations":
            raise notebooks.BookError("chapter '02_variations' failed in cell 4")

    monkeypatch.setattr(notebooks, "execute", execute)
    with pytest.raises(notebooks.BookError, match="cell 4"):
        reproduce_module.reproduce("smoke", build=tmp_path)
    last_to_second = [page.stem for page in notebooks.chapters()][:0:-1]
    assert asked and executed == last_to_second


def test_the_pages_of_executed_chapters_are_rendered_alone(two_scenarios, tmp_path, monkeypatch):
    _, asked = two_scenarios
    printed = []
    monkeypatch.setattr(notebooks, "execute", None)
    monkeypatch.setattr(
        reproduce_module.pages, "build", lambda executed, figures, *_, **__: (executed, figures)
    )
    monkeypatch.setattr(reproduce_module.pages, "chromium", lambda: "chromium")
    monkeypatch.setattr(reproduce_module.pages, "print_pdf", printed.append)
    made = reproduce_module.reproduce("smoke", build=tmp_path, only="book", pdf=True)
    assert made == (tmp_path / "executed", tmp_path / "smoke" / "figures")
    assert printed == [tmp_path] and not asked


def test_a_chapter_that_a_profile_cannot_fill_is_refused_before_anything_is_computed(monkeypatch):
    monkeypatch.setattr(reproduce_module, "run_all", None)
    message = "chapter '06_world' is not in the book of 'paper', which has 01_problem, .*, 10_real_weights"
    with pytest.raises(ValueError, match=message):
        reproduce_module.reproduce("paper", only="06_world")


def test_an_unknown_chapter_is_named_before_anything_is_computed(tmp_path, reproduce):
    result = reproduce(tmp_path, "--only", "99_nothing")
    assert result.returncode == 1
    assert "99_nothing" in result.stderr and "04_results" in result.stderr
    assert not (tmp_path / "runs").exists()
