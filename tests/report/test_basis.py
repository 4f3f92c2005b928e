"""What tables say of their numbers: what they rest on, and what others published of the same."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from zsgan.base.images import save_images
from zsgan.menagerie.portraits import Drawing
from zsgan.metrics.columns import ALL
from zsgan.networks.vgg_inception import Photographs
from zsgan.report.basis import FEATURES, basis, reference_set
from zsgan.report.published import OTHERS, STYLEDOMAIN
from zsgan.report.tables import ABSENT, HEADINGS, metrics_table
from zsgan.runs.profiles import load_profile

RUNS = pd.DataFrame(
    [("dog-to-cat", row, seed, steps, 1000, 0.7)
     for row, steps in (("few", 1000), ("x", 2000), ("y", 2000)) for seed in (0, 2)],
    columns=["scenario", "row", "seed", "iterations", "n", "psi"],
)  # fmt: skip


def test_the_basis_names_rows_with_steps_of_their_own():
    paper = load_profile("paper")
    assert basis(RUNS, paper).startswith(
        "Measured with n = 1000 images a run, ψ = 0.7, seeds 0, 2, 2000 iterations (few: 1000). LPIPS 0.1 "
        "through VGG-16 at 256 px; FID"
    )
    runs = RUNS.copy()
    runs.loc[runs["row"] == "few", "iterations"] = [93, 108]  # stopped where they levelled off
    assert "2000 iterations (few: 93 to 108)" in basis(runs, paper)


def test_the_basis_names_features_judge_and_reference_set():
    found = basis(RUNS, replace(load_profile("paper"), clusters=7, neighbours=5))
    assert "and CMMD, by ViT-B-16/openai, which guides no row" in found
    assert "LPIPS has 7 clusters" in found and "5 neighbours. Reference set: none." in found
    assert re.search(r"FID[^;]*Inception-v3 .* recall, density and coverage through VGG-16 \(fc2", found)
    assert f"at {Photographs.size} px" in FEATURES["photographs"]


def test_the_reference_set_is_half_of_a_folder(tmp_path):
    demo = load_profile("demo")
    assert reference_set(demo, "dog-to-cat") == "Reference set: 500 drawings (cat, photo)."
    save_images(Drawing({"species": "cat"}, 7), tmp_path / "cats")
    scenario = replace(demo.scenarios["dog-to-cat"], truth={"folder": str(tmp_path / "cats")})
    found = reference_set(replace(demo, scenarios={"dog-to-cat": scenario}), "dog-to-cat")
    assert found == "Reference set: 4 images, every second one of the folder cats."


def table_of(scenario, **columns):
    line = {
        "scenario": scenario, "row": ["L_dir", "L_dm"], "seed": 0, "iterations": 300, "step_seconds": 0.2,
        "peak_memory": float("nan"), "n": 500, "psi": 0.7, "vendi": 2.0, "precision": 0.5, "recall": 0.5,
        "identity_kept": 0.5, "structure_kept": 0.5, "lpips_literal_all": 0.4, "lpips_literal_all_std": 0.1,
        "clip_variance": 0.25, "clip_score": 0.2,
    }  # fmt: skip
    runs = pd.DataFrame({**line, **columns})
    return metrics_table(runs, runs.iloc[:0], scenario)


def test_published_numbers_stand_in_columns_of_their_own_where_the_same_is_measured():
    quality, variance = (
        f"{name}: {STYLEDOMAIN} (CLIP ViT-L/14, n = 500)" for name in ("CLIP quality", "CLIP variance")
    )
    table = table_of("photo-to-sketch", clip_quality=0.21)
    assert table.loc["L_dir", ["CLIP quality", quality]].tolist() == ["0.210", "0.208"]
    assert table.loc["L_dir", ["CLIP variance", variance]].tolist() == ["0.250", "0.296"]
    assert table.loc["L_dm", quality] == ABSENT
    theirs = table.loc["L_dir, StyleSpace alone"]
    assert theirs[quality] == "0.193" and (theirs.drop([quality, variance]) == ABSENT).all()
    table = table_of("photo-to-sketch")  # the profile does not measure the quality
    assert quality not in table and variance in table and "CLIP quality" not in table
    table = table_of("dog-to-cat", clip_quality=0.21)
    assert list(table.index) == ["L_dir", "L_dm"] and not [name for name in table if STYLEDOMAIN in name]


@pytest.mark.parametrize("found", OTHERS, ids=lambda found: f"{found.scenario}, {found.measure}")
def test_what_is_published_is_a_scenario_row_and_measure_of_the_papers_profile(found):
    paper = load_profile("paper")
    assert found.scenario in paper.scenarios and set(found.numbers) & set(paper.rows)
    assert found.measure in HEADINGS and found.measure in ALL
