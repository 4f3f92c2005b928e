"""The book of a profile without a drawn truth, as the paper's; tests/rehearsal makes all of it."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from zsgan import load_profile
from zsgan.book import contents, notebooks
from zsgan.book.reproduce import reproduce
from zsgan.runs.grid import run_all

PROFILE = {
    "extends": "paper",
    "scenarios": {"dog-to-cat": {"generator": "random-16", "source_text": "dog", "target_text": "cat"}},
    "settings": {"clips": ["clip-a"], "templates": ["{}"], "ewc": {"samples": 2}},
    "overrides": {"optimiser": {"iterations": 2, "batch_size": 2}, "stage1": {"iterations": 20}},
    "rows": {
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
    "ablations": "switches.yaml",
}  # fmt: skip
ABLATIONS = {
    "extends": "small.yaml", "summarised": True, "baseline": "full method",
    "rows": {
        "full method": {"terms": {"moment": 1, "ewc": 1.0e7, "relation": 1.0e2}},
        "method: no relation loss": {"terms": {"moment": 1, "ewc": 1.0e7}},
        "covariance: none": {"moment": {"lambda_cov": 0}},
    },
}  # fmt: skip
CHAPTERS = {
    "01_problem", "02_variations", "03_adaptation", "04_results", "10_real_weights", "12_explorer",
    "13_colab",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folders of the executed chapter on ablations, which were measured before, and of its figures."""
    place = tmp_path_factory.mktemp("paper")
    executed, figures = place / "executed", place / "figures"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)  # the profiles name each other relative to the current folder
        for name, content in (("small", PROFILE), ("switches", ABLATIONS)):
            Path(f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        profile = load_profile("small.yaml")
        assert contents.offered(profile) == frozenset()
        rows = profile.rows_of("dog-to-cat")
        run_all([profile.config("dog-to-cat", row) for row in rows], folder=place / "runs")
        before = len(list((place / "runs").glob("*/provenance.json")))
        reproduce("switches.yaml")
        assert len(list((place / "runs").glob("*/provenance.json"))) == before + 1
        having = contents.offered(profile)
        assert having == {"ablations"}
        figures.mkdir()
        parameters = {"profile": "small.yaml", "figures": figures, "runs": place / "runs"}
        notebooks.execute("05_ablations", parameters, executed, having=having)
    return executed, figures


def test_its_ablations_have_a_chapter_of_clips_rates_without_the_demos_words(made):
    executed, figures = made
    table = pd.read_csv(figures / "ablations_table.csv", index_col=0)
    assert table.index.tolist() == [row for row in ABLATIONS["rows"] if row != ABLATIONS["baseline"]]
    assert table.columns.tolist() == ["target rate (CLIP) at the end", "diversity at the same target rate"]
    provenance = json.loads((figures / "ablations.json").read_text())
    assert provenance["summary"]["profile"] == "switches.yaml"
    cells = json.loads((executed / "05_ablations.ipynb").read_text())["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells)
    assert "What to do with it" in text and "Which covariance" in text
    assert not any(word in text for word in ("as read here", "as printed", 'captions"', "selection", "SCR"))


def test_its_book_has_the_chapters_on_the_paper_and_speaks_of_no_other():
    pages = notebooks.chapters(having=())
    assert {page.stem for page in pages} == CHAPTERS
    known = {*CHAPTERS, "use", "at_scale", "figure_by_figure", "architecture", "api", "references"}
    toc = (notebooks.BOOK / "_toc.yml").read_text(encoding="utf-8")
    parts = yaml.safe_load(contents.table_of_contents(toc, known))["parts"]
    assert {entry["file"] for part in parts for entry in part["chapters"]} == known
    assert "What only a known world can show" not in [part["caption"] for part in parts]
    gone = {page.stem for page in notebooks.chapters()} - CHAPTERS
    for page in pages:
        cells = [cell.source for cell in notebooks.load(page, ()).cells]
        text = contents.unlinked("\n".join(cells), gone)
        assert not any(word in text for word in ("06_world", "08_guides", "early_lpips", "ideal_answers"))
