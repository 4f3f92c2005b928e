"""The main command in miniature: notebooks, figures, tables and the book from nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from zsgan.manifest import ROOT
from zsgan.profiles import load_profile

FIGURES = Path("build") / "smoke" / "figures"  # only the demo writes to the committed folder
STEMS = ("table1", "fig3a", "fig4")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which ``zsgan reproduce --profile smoke`` has run."""
    place = tmp_path_factory.mktemp("reproduce")
    result = reproduce(place)
    assert result.returncode == 0, result.stderr[-4000:]
    return place, result


def reproduce(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zsgan.cli", "reproduce", "--profile", "smoke", "--quiet", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=600)


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
    assert len(sidecar["runs"]) == 4
    assert all((made[0] / "runs" / run / "provenance.json").is_file() for run in sidecar["runs"].values())
    assert {"clip-a", "clip-b", "evaluator", "generator-dog"} == {
        {"clip-a": "clip-a", "clip-b": "clip-b"}.get(name, name) for name in sidecar["weights"]
    }
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
    assert any("fig4" in page for page in pages.values())
    assert not any("Traceback" in page for page in pages.values())


def test_a_second_call_finds_the_runs_and_writes_the_same_bytes(made):
    place, _ = made
    before = {path: path.read_bytes() for path in (place / FIGURES).iterdir()}
    runs = {path: path.stat().st_mtime_ns for path in (place / "runs").glob("*/provenance.json")}
    again = reproduce(place, "--only", "04_results")
    assert again.returncode == 0, again.stderr[-4000:]
    assert {path: path.stat().st_mtime_ns for path in (place / "runs").glob("*/provenance.json")} == runs
    assert {path: path.read_bytes() for path in (place / FIGURES).iterdir()} == before


def test_an_unknown_chapter_is_named_before_anything_is_computed(tmp_path):
    result = reproduce(tmp_path, "--only", "99_nothing")
    assert result.returncode == 1
    assert "99_nothing" in result.stderr and "04_results" in result.stderr
    assert not (tmp_path / "runs").exists()
