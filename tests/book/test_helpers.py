"""The form of the chapters: what a reader and papermill rely on. That they run, `zsgan reproduce` shows."""

import ast
import re
import sys
import tomllib
from dataclasses import replace
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from zsgan.assets.manifest import ROOT
from zsgan.book import contents, notebooks, reproduce
from zsgan.book.helpers import row_with, show_source
from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.tables import ABSENT, metrics_table, table_1
from zsgan.runs.profiles import load_profile

CHAPTERS = notebooks.chapters()
DRAWN = contents.offered(load_profile("demo"))
"""What the demo's book has."""
PHOTOGRAPHS = frozenset({"pictures", "photographs", "true images", "ablations"})
"""What the paper's book has with a reader's pictures."""
PAGES = sorted(notebooks.BOOK.glob("*.md"))
MAKES_A_PICTURE = re.compile(r"\b(image_grid|heat_maps|curves|plt\.subplots)\(")

chapter = pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)


def code_cells(page: Path):
    """The cells of code that the page has; the notebook begins with one more, which installs zsgan."""
    install, *cells = [cell for cell in notebooks.load(page).cells if cell.cell_type == "code"]
    assert "pip" in install.source
    return cells


def calls(page: Path, name: str) -> list[ast.Call]:
    """Calls of a function by that name in the chapter's cells."""
    nodes = [node for cell in code_cells(page) for node in ast.walk(ast.parse(cell.source))]
    return [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", None) == name]


def pictures(cells) -> list[dict]:
    """Options of each numbered figure that a cell makes."""
    options = [cell.metadata.get("mystnb", {}) for cell in cells]
    return [one for one in options if "figure" in one]


def directives(text: str, kind: str) -> list[tuple[str, dict[str, str]]]:
    """Argument and options of each directive of a kind in a page's text."""
    found = re.findall(rf"^```{{{kind}}} (.*)\n((?::.*\n)*)", text, flags=re.MULTILINE)
    return [(title, dict(re.findall(r":(\S+): (.*)", options))) for title, options in found]


# Chapters


def test_parameters_are_those_that_reproduce_passes(monkeypatch, tmp_path):
    passed = {}
    monkeypatch.setattr(reproduce, "run_all", lambda *_, **__: [])
    monkeypatch.setattr(reproduce, "measure_all", lambda *_: None)
    monkeypatch.setattr(reproduce.pages, "build", lambda *_, **__: tmp_path)

    def record(name, parameters, *_, **__):
        passed[name] = set(parameters)

    monkeypatch.setattr(reproduce.notebooks, "execute", record)
    reproduce.reproduce("smoke", figures=tmp_path / "figures", build=tmp_path)
    accepted = {
        page.stem: set(notebooks.papermill.inspect_notebook(notebooks.load(page))) for page in CHAPTERS
    }
    assert passed == accepted


@pytest.mark.parametrize("profile", ["smoke", "demo"])
def test_the_committed_figures_are_written_by_request_alone(profile, tmp_path, monkeypatch):
    """So that `git status` stays clean on any machine."""
    for name in ("check", "run_all", "measure_all"):
        monkeypatch.setattr(reproduce, name, lambda *_, **__: [])
    monkeypatch.setattr(reproduce.preconditions, "check", lambda *_, **__: None)
    monkeypatch.setattr(reproduce.pages, "build", lambda executed, figures, *_, **__: figures)
    passed = []
    monkeypatch.setattr(reproduce.notebooks, "execute_all", lambda given, *_, **__: passed.append(given))
    places = [tmp_path / profile / "figures", tmp_path / "mine"]
    assert [reproduce.reproduce(profile, build=tmp_path, figures=p) for p in (None, places[1])] == places
    assert [{one["figures"] for one in given.values()} for given in passed] == [{place} for place in places]


@chapter
def test_every_code_cell_of_the_page_reaches_the_notebook(page):
    # A backtick in a directive's first line, for instance, makes the next cell a part of the prose.
    assert len(code_cells(page)) == page.read_text().count("```{code-cell}")


@chapter
def test_cells_are_short_and_fit_the_column_that_shows_them(page):
    for cell in code_cells(page):
        lines = cell.source.splitlines()
        assert len(lines) <= 12, cell.source
        assert max(map(len, lines)) <= 76, cell.source


@chapter
def test_a_chapter_begins_with_one_cell_of_imports(page):
    cells = [cell for cell in code_cells(page) if "parameters" not in cell.metadata.get("tags", [])]
    only_imports = [
        all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(cell.source).body)
        for cell in cells
    ]
    assert only_imports.index(False) == sum(only_imports) == 1


@chapter
def test_a_chapter_needs_no_more_than_zsgan_and_a_notebook(page):
    """What an installation of the wheel brings along, and IPython, in which every notebook runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    brought, given = named | {"ipython"}, sys.stdlib_module_names | {"zsgan", "google"}  # google.colab
    owners = packages_distributions()
    for cell in code_cells(page):
        for node in ast.walk(ast.parse(cell.source)):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            for top in {str(module).split(".")[0] for module in modules} - given:
                assert {canonicalize_name(owner) for owner in owners[top]} & brought, top


def test_no_row_of_the_table_is_a_key_in_a_chapter():
    """Rows differ from profile to profile; terms do not. The paper's own table has its own labels."""
    labels = set(load_profile("demo").rows)
    for page in CHAPTERS:
        for cell in code_cells(page):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Subscript) and "PAPER_TABLE_1" not in ast.unparse(node.value):
                    key = getattr(node.slice, "value", None)
                    assert not (isinstance(key, str) and key in labels), cell.source


def test_equations_have_the_papers_numbers_and_no_others():
    numbers = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"^\$\$ \(", text, flags=re.MULTILINE), (
            f"{page.name}: Sphinx would number it too"
        )
        numbers += re.findall(r"\\tag\{(\d+)\}", text)
        for number, target in re.findall(r"\[eq\. \((\d)\)\]\(#(.+?)\)", text):
            equation = text.split(f"({target})=\n$$\n")[1].split("\n$$")[0]
            assert f"\\tag{{{number}}}" in equation
    assert sorted(numbers) == ["1", "2", "3", "4", "5", "6", "6"]  # (6) also stands in the introduction


@pytest.mark.parametrize(
    "function",
    ["variation_losses", "directional_loss", "first_moment_loss", "covariance_matrix", "covariance_distance",
     "fisher_information", "ewc_penalty", "relation_loss"],
)  # fmt: skip
def test_the_function_that_is_the_equation_is_shown(function):
    shown = [
        argument.attr for page in CHAPTERS for call in calls(page, "show_source") for argument in call.args
    ]
    assert shown.count(function) == 1


def test_code_of_the_library_fits_the_page_and_has_no_checks_of_arguments():
    shown = [
        getattr(import_module(f"zsgan.method.{argument.value.id}"), argument.attr)
        for page in CHAPTERS for call in calls(page, "show_source") for argument in call.args
    ]  # fmt: skip
    for function in shown:
        code = show_source(function).data
        assert max(map(len, code.splitlines())) <= 76, code
        assert "raise " not in code and "_check" not in code and '"""' not in code


@chapter
def test_a_chapter_checks_what_it_claims(page):
    asserts = [cell for cell in code_cells(page) if "assert " in cell.source]
    assert len(asserts) >= 2


@chapter
def test_every_picture_has_an_alternative_text_a_caption_and_a_name(page):
    for cell in code_cells(page):
        if MAKES_A_PICTURE.search(cell.source):
            options = cell.metadata.get("mystnb", {})
            assert options.get("image", {}).get("alt"), cell.source
            assert options.get("figure", {}).get("caption") and options["figure"].get("name"), cell.source


@chapter
def test_a_saved_picture_has_the_alternative_text_that_the_page_has(page):
    shown = {options["image"]["alt"] for options in pictures(code_cells(page))}
    for call in calls(page, "save_figure"):
        alt = next(ast.literal_eval(k.value) for k in call.keywords if k.arg == "alt")
        assert alt in shown


@pytest.mark.parametrize("having", [DRAWN, PHOTOGRAPHS])
def test_names_of_figures_and_tables_are_used_once_in_a_book(having):
    cells = [cell for page in CHAPTERS for cell in notebooks.load(page, having).cells]
    texts = [contents.plain(page.read_text(encoding="utf-8"), having) for page in PAGES]
    names = [options["figure"]["name"] for options in pictures(cells)]
    names += [
        options["name"] for text in texts for kind in ("figure", "csv-table")
        for _, options in directives(text, kind)
    ]  # fmt: skip
    assert len(names) == len(set(names)) > 10 and {"fig-7", "fig-strength", "table-7"} <= set(names)


def test_every_file_that_a_page_includes_is_written_by_a_chapter():
    written = {
        f"figures/{ast.literal_eval(call.args[1])}.{ending}"
        for page in CHAPTERS
        for name, endings in (("save_figure", ("png", "svg")), ("save_table", ("csv",)))
        for call in calls(page, name)
        for ending in endings
    }
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    figures = [(title, options) for text in texts for title, options in directives(text, "figure")]
    tables = [options["file"] for text in texts for _, options in directives(text, "csv-table")]
    assert {title for title, _ in figures} | set(tables) <= written
    assert figures and tables
    assert all(options.get("alt") for _, options in figures)


def test_rows_are_found_by_their_terms():
    demo = load_profile("demo")
    assert row_with(demo, "directional") == "L_dir"
    assert row_with(demo, "ewc", "moment") == "L_dm + L_EWC"
    with pytest.raises(ValueError, match="'demo' has no row with just the terms relation"):
        row_with(demo, "relation")
    plain = demo.rows["L_dir"]
    rows = {"with more": {**plain, "optimiser": {"lr": 1e-3}}, "plain": plain}
    assert row_with(replace(demo, rows=rows), "directional") == "plain"


# Table 1


def measured(**columns) -> pd.DataFrame:
    metrics = {
        "lpips_avg": 0.3, "lpips_avg_std": 0.01, "lpips_all": 0.31, "lpips_all_std": 0.05,
        "lpips_literal_avg": 0.4, "lpips_literal_avg_std": 0.02, "lpips_literal_all": 0.41,
        "lpips_literal_all_std": 0.06, "clip_variance": 0.1, "vendi": 12.34, "inception_fur": 2.5,
        "evaluator_rate": 0.5, "clip_rate": 0.75, "clip_score": 0.6, "fid": 12.0, "kid": 1.5,
        "precision": 0.6, "recall": 0.4, "density": 0.7, "coverage": 0.3, "identity_kept": 0.9,
        "structure_kept": 0.8, "n": 500, "psi": 0.7, "scenario": "dog-to-cat",
    }  # fmt: skip
    return pd.DataFrame({**metrics, **columns})


def runs_of(row, **columns):
    costs = {"step_seconds": 0.2, "peak_memory": float("nan"), "iterations": 300}
    return measured(row=row, **costs | columns)


def test_table_1_keeps_printed_and_measured_numbers_apart():
    runs = runs_of(["L_dir", "L_dir"], seed=[0, 1], lpips_avg=[0.3, 0.5])
    table = table_1(runs, measured(row=["true target"]), "demo")
    assert list(table.index) == [*PAPER_TABLE_1, "true target"] and table.index.name == "dog-to-cat"
    row = table.loc["L_dir"]
    assert row["paper Avg."] == "0.402 ± 0.008" and row["paper All"] == "0.405 ± 0.057"
    assert row["demo Avg."] == "0.400 ± 0.010" and row["demo Avg., literal"] == "0.400 ± 0.020"
    assert (row["target rate, evaluator"], row["target rate, CLIP"]) == ("0.50", "0.75")
    assert (row["FID"], row["KID"], row["density"], row["coverage"]) == (
        "12.0", "1.50", "0.70", "0.30"
    )  # fmt: skip
    ours = [column for column in table if not column.startswith("paper")]
    assert (table.loc["Ojha et al., 10-shot", ours] == ABSENT).all()
    bound = table.loc["true target"]
    assert bound["paper Avg."] == bound["paper All"] == bound["Avg., interval over the seeds"] == ABSENT
    assert bound["demo All"] == "0.310 ± 0.050"


def test_the_spread_inside_a_run_is_not_that_over_the_seeds():
    """Student's interval of two values, mean ± 12.706 x half their distance (one degree of freedom)."""
    runs = runs_of(["L_dir", "L_dir"], seed=[0, 1], lpips_avg=[0.39, 0.41])
    table = table_1(runs, measured(row=["true target"]), "demo")
    assert table.loc["L_dir", "Avg., interval over the seeds"] == "0.273 to 0.527"
    assert table.loc["L_dir", "demo Avg."] == "0.400 ± 0.010"


def test_table_1_of_another_scenario_has_no_printed_numbers():
    runs = runs_of(["L_dir"] * 2, scenario=["dog-to-cat", "dog-to-fox"], lpips_avg=[0.3, 0.5], seed=0)
    reference = measured(row=["true target"], scenario="dog-to-fox", evaluator_rate=float("nan"))
    table = table_1(runs, reference, "demo", "dog-to-fox")
    assert list(table.index) == ["L_dir", "true target"] and table.index.name == "dog-to-fox"
    assert not [column for column in table if column.startswith("paper")]
    assert table.loc["L_dir", "demo Avg."] == "0.500 ± 0.010"
    assert table.loc["L_dir", "Avg., interval over the seeds"] == ABSENT  # of one seed
    assert table.loc["true target", "target rate, evaluator"] == ABSENT  # nobody can read it
    known = "scenario='cat-to-dog' was not measured; .* dog-to-cat, dog-to-fox"
    with pytest.raises(ValueError, match=known):
        table_1(runs, reference, "demo", "cat-to-dog")
    with pytest.raises(ValueError, match=known):
        metrics_table(runs, reference, "cat-to-dog")


def test_the_second_table_has_costs_relative_to_the_directional_loss():
    runs = runs_of(
        ["L_dm", "L_dm", "L_dir", "L_dir"], seed=[0, 1, 0, 1], step_seconds=[0.3, 0.3, 0.1, 0.3],
        peak_memory=[3e9, 3e9, 2e9, 2e9],
    )  # fmt: skip
    table = metrics_table(runs, measured(row=["true target"], identity_kept=float("nan")))
    assert list(table.index) == ["L_dm", "L_dir", "true target"] and table.index.name == "dog-to-cat"
    row = table.loc["L_dm"]
    assert (row["time a step"], row["memory"]) == ("1.50", "1.50")  # 0.3 s to a median of 0.2 s
    assert table.loc["L_dir", "time a step"] == "1.00"
    assert (row["All, literal"], row["Vendi"], row["Inception, fur"]) == ("0.410 ± 0.060", "12.3", "2.50")
    assert (row["precision"], row["recall"], row["CLIP score"]) == ("0.60", "0.40", "0.600")
    assert (row["iterations"], row["seeds"], row["n"], row["ψ"]) == ("300", "2", "500", "0.7")
    bound = table.loc["true target"]
    missing = ["time a step", "memory", "iterations", "seeds", "identity kept"]
    assert (bound[missing] == ABSENT).all() and bound["structure kept"] == "0.80"


def test_costs_that_no_run_knows_are_dashes():
    table = metrics_table(runs_of(["L_dm"], seed=[0]), measured(row=["true target"]))
    assert table.loc["L_dm", "memory"] == ABSENT and table.loc["L_dm", "time a step"] == "1.00"
