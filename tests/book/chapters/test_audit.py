"""The audit's kinds of targets, features before training, and forecasts."""

from dataclasses import replace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from zsgan import load_profile
from zsgan.book.chapters.audit import KINDS, dot_plot, kinds, known_before, line_plot, skills
from zsgan.evaluation.forecast import left_out, skill


@pytest.fixture(scope="module")
def gallery():
    return load_profile("gallery")


def test_targets_are_sorted_by_what_they_change(gallery):
    found = kinds(gallery)
    assert (found["fox"], found["dog-sketch"], found["cat-cartoon"]) == KINDS
    assert set(found) == set(gallery.scenarios)


def test_a_target_farther_away_is_said_to_be_so_before_training(gallery):
    chosen = {name: gallery.scenarios[name] for name in ("cat", "cat-sketch")}
    found = known_before(replace(gallery, scenarios=chosen), 12)
    assert list(found.index) == ["cat", "cat-sketch"] and found.notna().all(axis=None)
    assert 0 < found["distance"]["cat"] < found["distance"]["cat-sketch"] and found["margin"].gt(0).all()


def course(n=12):
    lines = []
    for k in range(n):
        for step, rate in ((0, 0.0), (20, 0.5), (200, k / n)):
            lines.append(
                {
                    "scenario": f"s{k}", "row": "L_dir", "seed": 0, "step": step, "evaluator_rate": rate,
                    "lpips_avg": 1 - rate, "fid": step + k, "guide_ahead": 1 - k / n, "guide_made": 0.5,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def test_the_truth_helps_a_forecast_that_nothing_else_can_make():
    before = pd.DataFrame({"distance": [1.0, 2.0] * 6}, index=[f"s{k}" for k in range(12)])
    plain, told = (
        [skills(course(), before, judge, oracle) for judge in (skill, left_out)]
        for oracle in ((), ["guide_ahead"])
    )
    which = "L_dir", "target_rate"
    assert plain[0][which].low < 0 and told[0][which].low > 0.5
    assert plain[1][which].p > 0.05 and told[1][which].p < 0.01 and told[1][which].skill > 0.8
    assert (
        set(plain[0])
        == set(plain[1])
        == {("L_dir", outcome) for outcome in ("target_rate", "kept", "best_step")}
    )


def test_the_plots_have_a_place_for_every_target_and_a_panel_for_every_measure():
    path = course()
    of_kind = {f"s{k}": KINDS[k % 3] for k in range(12)}
    start = path[path["step"] == 0].set_index("scenario")[["guide_ahead", "guide_made"]]
    dots = dot_plot(start, of_kind, {name: name.upper() for name in of_kind})
    assert [label.get_text() for label in dots.axes[0].get_yticklabels()][:2] == ["S0", "S1"]
    lines = line_plot(path, {"guide_ahead": "ahead", "guide_made": "made"}, of_kind)
    assert len(lines.axes) == 2 and all(len(axis.lines) == len(KINDS) + 1 for axis in lines.axes)
    plt.close("all")
