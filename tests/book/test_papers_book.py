"""The book of a profile without a drawn truth, as the paper's: the same chapters, with random networks."""

import json

import pytest
import yaml

from zsgan import load_profile
from zsgan.book import contents, notebooks
from zsgan.runs.grid import run_all

PROFILE = {
    "extends": "paper",
    "scenarios": {"dog-to-cat": {"generator": "random-16", "source_text": "dog", "target_text": "cat"}},
    "settings": {"clips": ["clip-a"], "templates": ["{}"], "ewc": {"samples": 2}},
    "overrides": {"optimiser": {"iterations": 2, "batch_size": 2}, "stage1": {"iterations": 20}},
    "rows": {
        "Ojha et al., 10-shot": {"terms": {}, "few_shot": {}},
        "L_dir": {"terms": {"directional": 1}},
        "L_dm": {"terms": {"moment": 1}},
        "L_dm + L_EWC": {"terms": {"moment": 1, "ewc": 1.0e7}},
        "L_dm + L_EWC + L_rel": {"terms": {"moment": 1, "ewc": 1.0e7, "relation": 1.0e2}},
    },
    "seeds": [0],
    "samples": 8,
    "clusters": 2,
    "judge": "clip-b",
    "eyes": "evaluator",
}  # fmt: skip
CHAPTERS = {"01_problem", "02_variations", "03_adaptation", "04_results", "10_real_weights", "12_colab"}
WITH_RUNS = ("01_problem", "03_adaptation", "04_results")
"""Those that look at the profile's runs."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of the executed notebooks, and of their figures."""
    place = tmp_path_factory.mktemp("paper")
    file = place / "small.yaml"
    file.write_text(yaml.safe_dump(PROFILE))
    executed, figures = place / "executed", place / "figures"
    profile = load_profile(str(file))
    having = contents.offered(profile)
    assert having == frozenset()
    rows = profile.rows_of("dog-to-cat")
    run_all([profile.config("dog-to-cat", row) for row in rows], folder=place / "runs")
    figures.mkdir()
    parameters = {"profile": file, "figures": figures, "runs": place / "runs"}
    notebooks.execute_all(WITH_RUNS, parameters, executed, having=having, workers=2)
    return executed, figures


def test_the_papers_figures_and_tables_are_made_without_a_truth(made):
    executed, figures = made
    stems = {path.stem for path in figures.glob("*.json")}
    assert stems >= {"hero", "fig1", "filmstrip", "fig3a", "fig4", "courses", "table1", "table_ladder"}
    assert not stems & {"factors", "dial", "guides", "frontier"}
    assert json.loads((figures / "fig4.json").read_text())["scenario"] == "dog-to-cat"
    table = (figures / "table1.md").read_text()
    assert "| L_dm + L_EWC + L_rel | 0.507 ± 0.016 |" in table and "| small Avg." in table
    assert "true target" not in table and "FID" not in table
    assert {page.stem for page in executed.glob("*.ipynb")} == set(WITH_RUNS)


def test_its_book_has_the_chapters_on_the_paper_and_speaks_of_no_other():
    pages = notebooks.chapters(having=())
    assert {page.stem for page in pages} == CHAPTERS
    known = {*CHAPTERS, "figure_by_figure", "architecture", "api", "references"}
    toc = (notebooks.BOOK / "_toc.yml").read_text(encoding="utf-8")
    parts = yaml.safe_load(contents.table_of_contents(toc, known))["parts"]
    assert {entry["file"] for part in parts for entry in part["chapters"]} == known
    assert "What only a known world can show" not in [part["caption"] for part in parts]
    gone = {page.stem for page in notebooks.chapters()} - CHAPTERS
    for page in pages:
        cells = [cell.source for cell in notebooks.load(page, ()).cells]
        text = contents.unlinked("\n".join(cells), gone)
        assert not any(word in text for word in ("06_world", "08_guides", "early_lpips", "ideal_answers"))
