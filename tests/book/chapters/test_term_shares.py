"""The table names a row's newest term where it hardly pulls; a run's shares are those of its loop."""

import shutil
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.rival_settings import Local
from zsgan.adaptation.terms import KINDS, PARTS
from zsgan.assets.manifest import ROOT
from zsgan.base.files import write_json
from zsgan.book.chapters.shares import shares_table, term_shares
from zsgan.evaluation.measurements import Measurements
from zsgan.networks.load import load_generator
from zsgan.runs.gradient_shares import gradient_shares, shares_of
from zsgan.runs.identity import resolve
from zsgan.runs.make import fisher_of, guides_of, source_features_of
from zsgan.runs.profiles import load_profile


def line(row, seed, part, start, end, newest):
    place = {"row": row, "seed": seed, "term": PARTS[part], "part": part}
    return place | {"start": start, "end": end, "newest": newest}


def test_what_stays_weak_is_named():
    table = shares_table(
        pd.DataFrame(
            [
                line("L_dm", 0, "first_moment", 1.0, 1.0, True),
                line("L_dm", 0, "covariance", 0.02, 0.04, True),
                line("L_dm", 1, "first_moment", 1.0, 1.0, True),
                line("L_dm", 1, "covariance", 0.04, 0.08, True),
                line("+ L_EWC", 0, "covariance", 0.01, 0.01, False),
                line("+ L_EWC", 0, "ewc", 0.0, 0.1, True),
            ]
        )
    )
    assert table.loc["L_dm"].to_dict() == {
        "first_moment": "1.00 → 1.00", "covariance": "0.03 → 0.06", "ewc": "–", "weak": "covariance",
    }  # fmt: skip
    assert table.loc["+ L_EWC", "weak"] == "–", "a tenth is enough, and the covariance is not what is new"
    assert list(table.columns)[-1] == "weak" and table.index.name == "row"


def test_only_the_relation_loss_of_the_demo_hardly_pulls():
    """Trained this long, EWC leads; chapter 3 names what is weak, and so does the README."""
    table = pd.read_csv(ROOT / "figures" / "shares_table.csv", index_col=0)
    assert set(table.index) == set(load_profile("demo").rows)
    assert table["weak"][table["weak"] != "–"].to_dict() == {"L_dm + L_EWC + L_rel": "relation"}
    share = table.loc["L_dm + L_EWC + L_rel", "relation"].split(" → ")[1]
    said = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"its gradient is {float(share):.0%} of EWC's at the end" in said


def test_every_part_belongs_to_a_term(smoke, runs_folder):
    """By asking each term for its parts."""
    config = smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel")
    config = replace(config, terms=dict.fromkeys(KINDS, 1.0), local=Local(parts=("{} with green eyes",)))
    g_src, guides = load_generator(config.generator), guides_of(resolve(config))
    adaptation = Adaptation(config, g_src, guides, fisher_of(resolve(config), g_src, guides, runs_folder))
    batch = adaptation.batch(0)
    bound = {term: kind.bind(config) for term, kind in KINDS.items()}
    assert {part: term for term, loss in bound.items() for part in loss(batch)} == dict(PARTS)
    assert adaptation.objective(batch)[1].keys() == PARTS.keys()


def test_shares_of_a_run_are_those_of_its_first_and_last_batch(smoke, full_run, runs_folder):
    found = shares_of(full_run, folder=runs_folder)
    config = full_run.config
    guides = guides_of(resolve(config))
    g_src = load_generator(config.generator)
    fisher = fisher_of(resolve(config), g_src, guides, runs_folder)
    # Those of the run: where in memory they lie decides how sums are rounded.
    kept = source_features_of(resolve(config), g_src, guides, runs_folder)
    adaptation = Adaptation(config, g_src, guides, fisher, kept)
    assert found["start"] == pytest.approx(gradient_shares(adaptation, 0), rel=1e-5)
    assert found["start"]["ewc"] == 0
    for i in range(config.optimiser.iterations):
        adaptation.step(i)
    assert found["end"] == pytest.approx(gradient_shares(adaptation, 3), rel=1e-4)
    assert found["end"]["ewc"] > 0


def test_the_last_batch_is_that_of_the_last_step_taken(full_run, runs_folder, tmp_path):
    """A run that stopped after three of its four steps."""
    place = shutil.copytree(full_run.folder, tmp_path / "early")
    write_json(place / "history.json", full_run.history[:3])
    found = shares_of(replace(full_run, folder=place), folder=runs_folder)
    config = full_run.config
    guides, g_src = guides_of(resolve(config)), load_generator(config.generator)
    fisher = fisher_of(resolve(config), g_src, guides, runs_folder)
    kept = source_features_of(resolve(config), g_src, guides, runs_folder)
    adaptation = Adaptation(config, g_src, guides, fisher, kept)
    adaptation.g_trg.load_state_dict(full_run.generator().state_dict())
    assert found["end"] == pytest.approx(gradient_shares(adaptation, 2), rel=1e-4)


def test_the_newest_term_is_the_rows_last_and_images_have_no_terms(smoke, runs_folder, monkeypatch):
    measurements = Measurements(smoke, runs_folder)
    found = term_shares(measurements, "dog-to-cat")
    full = found[found["row"] == "L_dm + L_EWC + L_rel"].set_index("part")
    assert list(full.index) == ["first_moment", "covariance", "relation", "ewc"]
    assert list(full["newest"]) == [False, False, True, False]
    assert list(found[found["row"] == "L_dir"]["start"]) == [1.0]
    fail = partial(pytest.fail, "this should have been kept")
    monkeypatch.setattr("zsgan.book.chapters.shares.shares_of", lambda *arguments, **options: fail())
    pd.testing.assert_frame_equal(term_shares(measurements, "dog-to-cat"), found)


def test_images_have_no_terms(full_run):
    shots = replace(full_run.config, terms={}, few_shot={"target": {"species": "cat"}})
    with pytest.raises(ValueError, match="was guided by images, not by a text"):
        shares_of(replace(full_run, config=shots))
