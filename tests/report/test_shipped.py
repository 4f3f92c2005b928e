"""Summaries that ship: they hold what was measured, and know the networks that they belong to."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from zsgan.adaptation.config import AdaptConfig, override
from zsgan.book.reproduce import reproduce
from zsgan.evaluation.bench import SAMPLES_SEED, Bench
from zsgan.evaluation.comparisons import differences
from zsgan.evaluation.measurements import Measurements
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images
from zsgan.report import shipped
from zsgan.report.scenario_sheet import read_sheet, write_sheet
from zsgan.report.shipped import RATES, load_summary, run_ids
from zsgan.runs.profiles import load_profile, profile_file
from zsgan.runs.run import run

TINY = {
    "extends": "smoke", "summarised": True, "sheets": True, "baseline": "L_dir",
    "settings": {"optimiser": {"iterations": 4}, "ewc": {"samples": 2}, "stage1": {"iterations": 5}},
    "rows": {"L_dm": {"terms": {"moment": 1}}, "L_dir": {"terms": {"directional": 1}}},
    "seeds": [0, 1], "samples": 12, "clusters": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The file of a small profile that has been summarised, and the folder of its runs."""
    place = tmp_path_factory.mktemp("summary")
    file = place / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY, sort_keys=False))
    assert reproduce(str(file), runs=place / "runs") == place / "tiny"
    return file, place / "runs"


def test_a_summary_holds_what_was_measured(measured):
    file, runs = measured
    summary, profile = load_summary(str(file)), load_profile(str(file))
    for found, made in ((summary.finals, Measurements.table), (summary.course, Measurements.course)):
        expected = made(Measurements(profile, runs))
        pd.testing.assert_frame_equal(
            found, expected[found.columns], rtol=1e-4, check_dtype=False, check_exact=False
        )
    end = summary.differences[summary.differences["target"].isna()].set_index("measure")
    assert (end["row"] == "L_dm").all() and (end["baseline"] == "L_dir").all()
    expected = differences(Bench(profile, "dog-to-cat", runs)).set_index("measure")
    columns = ["difference", "low", "high"]
    for measure in ("lpips_all", "clip_variance"):
        assert end.loc[measure, columns].tolist() == pytest.approx(
            expected.loc[measure, columns].tolist(), rel=1e-4, abs=1e-7
        )
    matched = summary.differences.dropna(subset="target")
    assert set(matched["target"]) == set(RATES) and (matched["arrived"] <= 2).all()
    assert summary.of("dog-to-cat").finals.equals(summary.finals)
    with pytest.raises(ValueError, match="scenario='cat-to-dog' was not measured; choose one of dog-to-cat"):
        summary.of("cat-to-dog")


def test_without_snapshots_ends_alone_are_measured_and_compared(measured):
    file, runs = measured
    ends = file.with_name("ends.yaml")
    ends.write_text(yaml.safe_dump({**TINY, "sheets": False, "snapshots": False}, sort_keys=False))
    reproduce(str(ends), runs=runs)
    whole, found = load_summary(str(file)), load_summary(str(ends))
    assert found.finals.equals(whole.finals)
    assert set(found.course["step"]) == {0, 5} < set(whole.course["step"])
    at_end = whole.differences["target"].isna()
    assert found.differences.equals(whole.differences[at_end].reset_index(drop=True))


def test_a_second_call_finds_everything(measured, monkeypatch):
    file, runs = measured
    before = {path.name: path.read_bytes() for path in file.with_suffix("").iterdir()}
    monkeypatch.setattr("zsgan.evaluation.bench.Samples", None)  # nothing can be measured again
    reproduce(str(file), runs=runs)
    assert {path.name: path.read_bytes() for path in file.with_suffix("").iterdir()} == before


def test_without_true_images_rows_are_compared_at_the_rates_of_clip(tmp_path):
    texts = {"generator": "generator-dog", "source_text": "dog", "target_text": "cat"}
    file = tmp_path / "blind.yaml"
    few = {"seeds": [0], "samples": 5, "scenarios": {"dog-to-cat": texts}}
    file.write_text(yaml.safe_dump({**TINY, **few}))
    reproduce(str(file), runs=tmp_path / "runs")
    summary = load_summary(str(file))
    assert summary.finals["fid"].isna().all() and summary.course["clip_rate"].notna().all()
    measures = summary.differences["measure"].unique().tolist()
    assert measures == ["clip_rate", "lpips_all", "clip_variance"]
    assert summary.differences["arrived"].notna().all()


def test_a_summary_knows_its_networks_and_settings(measured, monkeypatch):
    summary = load_summary(str(measured[0]))
    assert summary.stale == []
    assert summary.origin == f"From profile {measured[0]}: 4 runs, 2 seeds."
    assert set(summary.provenance["weights"]) == {"generator-dog", "clip-a", "clip-c", "clip-b", "evaluator"}
    rows = dict(summary.profile.rows, L_dm={"terms": {"moment": 2}})
    changed = replace(summary, profile=replace(summary.profile, rows=rows, samples=24))
    assert changed.stale == ["2 of 4 runs have other settings or networks", "samples differs"]
    assert changed.origin.startswith("**These numbers are out of date** (2 of 4 runs have other settings")
    monkeypatch.setattr(shipped, "weights_id", lambda name: "0" if name == "evaluator" else known[name])
    known = summary.provenance["weights"]
    assert summary.stale == ["evaluator has other weights"]


def test_a_single_row_has_nothing_to_differ_from_and_stands_beside_others(measured):
    file, runs = measured
    alone = file.with_name("alone.yaml")
    alone.write_text(
        yaml.safe_dump({"extends": str(file), "rows": {"L_dm": TINY["rows"]["L_dm"]}, "baseline": None})
    )
    reproduce(str(alone), runs=runs)
    summary, profile = load_summary(str(alone)), load_profile(str(file))
    assert summary.differences.empty and len(summary.finals) == 2
    assert summary.beside(profile, "dog-to-cat").empty  # that row is its own
    less = replace(profile, rows={"L_dir": profile.rows["L_dir"]})
    assert summary.beside(less, "dog-to-cat").equals(summary.finals)
    shorter = replace(less, overrides={"optimiser": {"iterations": 1}})
    for other in (
        replace(less, samples=13), replace(less, settings={}), replace(less, eyes="photographs"), shorter
    ):  # fmt: skip
        assert summary.beside(other, "dog-to-cat").empty
    stale = replace(summary, provenance=summary.provenance | {"samples": 13})
    assert stale.stale and stale.beside(less, "dog-to-cat").empty


# Contact sheets


def test_a_sheet_has_the_source_and_every_rows_lowest_seed(measured):
    file, runs = measured
    summary, profile = load_summary(str(file)), load_profile(str(file))
    sheet = summary.sheet("dog-to-cat")
    assert list(sheet) == ["source", "L_dm", "L_dir"]  # the profile's order
    generators = {"source": load_generator("generator-dog")}
    generators |= {
        row: run(profile.config("dog-to-cat", row, 0), folder=runs).generator() for row in profile.rows
    }
    for label, generator in generators.items():
        expected = sample_images(generator, 8, seed=SAMPLES_SEED, truncation_psi=profile.truncation_psi)
        torch.testing.assert_close(sheet[label], expected, rtol=0, atol=1 / 255 + 1e-5)
    assert Image.open(file.with_suffix("") / "dog-to-cat.png").size == (8 * 64, 3 * 64)


def test_a_sheet_comes_back_as_it_was_written(tmp_path):
    rows = {label: torch.randint(256, (8, 3, 64, 64)) / 127.5 - 1 for label in ("source", "b", "a")}
    write_sheet(tmp_path / "one.png", rows)
    write_sheet(tmp_path / "two.png", rows)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    found = read_sheet(tmp_path / "one.png", list(rows))
    assert list(found) == list(rows)
    torch.testing.assert_close(found, rows, rtol=0, atol=1e-6)


def test_a_sheet_that_is_missing_or_of_other_rows_says_how_to_make_it(measured, monkeypatch, tmp_path):
    summary = load_summary(str(measured[0]))
    twice = replace(summary, finals=summary.finals.query("row == 'L_dm'"))
    with pytest.raises(
        ValueError, match="has 512 x 192 px and not 512 x 128.*make it again with: zsgan reproduce"
    ):
        twice.sheet("dog-to-cat")
    with pytest.raises(ValueError, match="scenario='cat-to-dog' was not measured"):
        summary.sheet("cat-to-dog")
    monkeypatch.setattr(shipped, "summary_folder", lambda name: tmp_path)
    with pytest.raises(
        FileNotFoundError, match=f"dog-to-cat.png is missing.*zsgan reproduce --profile {measured[0]}"
    ):
        summary.sheet("dog-to-cat")


def test_no_summary_says_how_to_make_one(tmp_path):
    file = tmp_path / "mine.yaml"
    with pytest.raises(FileNotFoundError, match=f"zsgan reproduce --profile {file}"):
        load_summary(str(file))


def test_no_chapter_is_made_of_a_profile_that_is_summarised():
    with pytest.raises(ValueError, match="no book is made"):
        reproduce("ablations", only="04_results")


# The shipped profiles


def before_the_collapse(config: AdaptConfig) -> AdaptConfig:
    """The same run, as short as those of the shipped grids."""
    return override(config, {"optimiser.iterations": 120})


def test_the_full_grid_has_the_demos_rows():
    demo, full = load_profile("demo"), load_profile("demo-full")
    assert full.rows == demo.rows and len(full.seeds) >= 5 and full.baseline == "L_dir"
    assert full.scenarios == demo.scenarios
    assert full.config("dog-to-cat", "L_dm", 1) == demo.config("dog-to-cat", "L_dm", 1)


def test_layers_are_selected_around_the_demos_row():
    grid, demo = load_profile("selection"), load_profile("demo")
    for row, of_demo in (("all layers", "L_dir"), ("k = 6 (the demo's)", "StyleGAN-NADA")):
        assert grid.config("dog-to-cat", row) == before_the_collapse(demo.config("dog-to-cat", of_demo))
    assert len({grid.config("dog-to-cat", row).selection for row in grid.rows}) == len(grid.rows)


def test_ablations_flip_switches_of_the_demos_full_method():
    demo, profile = load_profile("demo"), load_profile("ablations")
    full = profile.config("dog-to-cat", "as read here")
    assert full == before_the_collapse(demo.config("dog-to-cat", "L_dm + L_EWC + L_rel"))
    ids = run_ids(profile)
    assert len(set(ids.values())) == len(ids)  # every switch does something
    printed = profile.config("dog-to-cat", "as printed")
    assert printed.weights == {"moment": 1, "ewc": 1e7, "relation": 1e2}
    assert (printed.moment.lambda_cov, printed.moment.covariance.scale) == (1e3, "sum")
    assert printed.optimiser.lr == 2e-3 and printed.stage1.epsilon is None


def test_the_papers_ablations_flip_one_setting_of_its_full_method_each():
    paper = load_profile("paper")
    grid = load_profile(paper.ablations)
    full = grid.config("dog-to-cat", grid.baseline)
    assert full == paper.config("dog-to-cat", "L_dm + L_EWC + L_rel")
    assert grid.summarised and grid.scenarios["dog-to-cat"] == paper.scenarios["dog-to-cat"]
    configs = [grid.config("dog-to-cat", row) for row in grid.rows]
    assert len({repr(config) for config in configs}) == len(grid.rows)
    for row, config in zip(grid.rows, configs, strict=True):
        changed = [name for name, value in vars(full).items() if vars(config)[name] != value]
        assert len(changed) == (row != grid.baseline), row
    text = profile_file("paper-ablations").read_text(encoding="utf-8")
    assert f"{len(grid.rows)} rows of {len(grid.seeds)} seeds, {len(grid.grid)} runs" in text
