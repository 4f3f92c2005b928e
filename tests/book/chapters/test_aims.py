"""What was aimed at stands beside what was reached, and a mark says the truth about both."""

from types import SimpleNamespace

import pandas as pd
import pytest

from zsgan.book.chapters import aims
from zsgan.book.chapters.aims import Aim
from zsgan.menagerie.evaluator import reliability


@pytest.mark.parametrize(
    ("aim", "value", "met", "words"),
    [
        (Aim(0.9), 0.9, True, "≥ 0.90"),
        (Aim(0.9), 0.8999, False, "≥ 0.90"),
        (Aim(2, most=True), 2.0, True, "≤ 2.00"),
        (Aim(2, most=True), 2.1, False, "≤ 2.00"),
        (Aim(0.995, form=".3f"), 0.9951, True, "≥ 0.995"),
    ],
)
def test_a_bound_is_met_from_its_own_side(aim, value, met, words):
    assert aim.met(value) is met and str(aim) == words


def test_cells_carry_the_number_and_a_mark_where_the_bound_is_met():
    reached = pd.DataFrame({"a_b": [0.95, 0.5], "c": [3.0, 1.0]}, ["x", "y"])
    table = aims.beside(reached, {"a_b": Aim(0.9), "c": Aim(2, most=True)})
    assert table.columns.tolist() == ["a b (≥ 0.90)", "c (≤ 2.00)"]
    assert table.loc["x"].tolist() == ["0.95 ✓", "3.00"] and table.loc["y"].tolist() == ["0.50", "1.00 ✓"]


def test_a_generators_fid_is_divided_by_that_of_other_drawings():
    quality = pd.DataFrame(
        {"fid": [4.0, 10.0], "precision": [1.0, 0.9], "recall": [0.9, 0.7], "evaluator_rate": [1, 1]},
        ["drawn", "generated, ψ = 1"],
    )
    found = aims.generators_reach({"dog": quality})
    assert found.loc["dog"].to_dict() == {"FID / floor": 2.5, "precision": 0.9, "recall": 0.7}


def test_what_networks_reach_is_what_their_files_say():
    found = aims.clips_reach(["clip-a", "clip-b"])
    assert found.columns.tolist() == list(aims.CLIPS) and found.notna().all(axis=None)
    assert (found["species, attacked"] < found["species"]).all()  # the attack was a number of its own
    read = reliability()
    numbers = aims.evaluator_reaches(["yaw", "scale"]).loc["evaluator"]
    assert numbers["species"] == read["species"]
    assert numbers["lowest R² of a factor shown"] == min(read["yaw"], read["scale"])


def test_adaptations_are_means_over_their_seeds_relative_to_their_source():
    finals = pd.DataFrame(
        {
            "scenario": ["s", "s", "t", "s"],
            "row": ["a", "a", "a", "unasked"],
            "evaluator_rate": [0.8, 1.0, 0.5, 0],
            "clip_rate": [1.0, 1.0, 1.0, 0],
            "fid": [20.0, 40.0, 50.0, 0],
            "precision": [0.4, 0.6, 0.1, 0],
            "recall": [0.0, 0.2, 0.0, 0],
        }
    )
    found = aims.adaptations_reach(SimpleNamespace(finals=finals), ["a"], {"s": 100.0, "t": 200.0})
    assert found.index.tolist() == [("s", "a"), ("t", "a")]
    assert found.loc[("s", "a")].to_list() == pytest.approx([0.9, 1.0, 0.3, 0.5, 0.1])
    assert found.loc[("t", "a"), "FID / source's"] == 0.25
