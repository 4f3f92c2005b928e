"""The stopping rule's grades, on courses whose answers are known."""

from dataclasses import replace

import pandas as pd
import pytest

from zsgan import stops as module
from zsgan.metrics.stopping import alignment, plateau
from zsgan.results import course
from zsgan.runs import run
from zsgan.stops import graded, rule_wins, stops, stops_table, with_common

COURSE = pd.DataFrame(
    {"step": [0, 10, 20, 30, 40], "fid": [1.0, 50, 30, 35, 60], "evaluator_rate": [0, 0.2, 0.5, 0.8, 0.9]}
)


def test_each_choice_is_its_nearest_snapshot():
    assert graded(COURSE, 33, 41) == {
        "picked": 33, "rule_step": 30, "rule_fid": 35.0, "rule_rate": 0.8,
        "fixed_step": 40, "fixed_fid": 60.0, "fixed_rate": 0.9,
        "best_step": 20, "best_fid": 30.0, "best_rate": 0.5,
    }  # fmt: skip


def test_the_source_is_no_choice():
    """Step 0 has the least FID here, and is nearest to 3."""
    assert graded(COURSE, 3, 3)["rule_step"] == 10 and graded(COURSE, 3, 3)["best_step"] == 20


def lines(**fids):
    """Two scenarios: "a" with one run, "b" with two."""
    other = {"picked": [90, 100, 130], "rule_step": 100, "fixed_step": 200, "best_step": 50, "best_fid": 20.0}
    rates = {"rule_rate": 0.6, "fixed_rate": 0.5, "best_rate": 0.7}
    other |= {"common_step": 80, "common_fid": 40.0, "common_rate": 0.6}
    place = {"scenario": ["a", "b", "b"], "row": "L_dir", "seed": [0, 0, 1]}
    return pd.DataFrame({**place, **other, **rates, **fids})


@pytest.mark.parametrize(
    ("rule", "wins"),
    [([30, 40, 40], True), ([29, 41, 41], True), ([31, 40, 40], False), ([27, 42, 43], True)],
)
def test_the_rule_wins_if_it_is_no_worse_on_the_mean_of_scenarios(rule, wins):
    """By runs the last would lose: 27 + 42 + 43 > 30 + 40 + 40."""
    assert rule_wins(lines(rule_fid=rule, fixed_fid=[30, 40, 40])) == wins


def test_the_rule_does_not_win_by_adapting_less():
    near = {"rule_fid": 10, "fixed_fid": 30}
    assert rule_wins(lines(**near, fixed_rate=0.6)) and not rule_wins(lines(**near, fixed_rate=0.61))


def test_the_rule_does_not_win_if_one_number_does_as_well_everywhere():
    near = {"rule_fid": 10, "fixed_fid": 30}
    assert rule_wins(lines(**near, common_fid=10)) and not rule_wins(lines(**near, common_fid=9.9))


@pytest.mark.parametrize(("rate", "step"), [(0.1, 20), (0.5, 20), (0.6, 30), (0.95, 40)])
def test_the_common_number_is_the_nearest_that_adapts_as_far(rate, step):
    """Two scenarios with one course: FID is least at 20, at 30 the rate is 0.8, nothing reaches 0.95."""
    courses = pd.concat([COURSE.assign(scenario=name, row="L_dir", seed=0) for name in "ab"])
    runs = pd.DataFrame({"scenario": ["a", "b"], "row": "L_dir", "seed": 0, "rule_rate": rate})
    found = with_common(runs, courses)
    at = COURSE.set_index("step").loc[step]
    assert list(found["common_step"]) == [step] * 2 and list(found["common_fid"]) == [at["fid"]] * 2
    assert list(found["common_rate"]) == [at["evaluator_rate"]] * 2 and len(found) == 2


def test_the_table_has_a_line_for_each_row_and_their_mean():
    table = stops_table(lines(rule_fid=[30, 40, 50], fixed_fid=[32, 44, 44]))
    assert list(table.index) == ["a, L_dir", "b, L_dir", "mean"]
    assert list(table["rule: steps"]) == ["90", "100 to 130", "–"]
    assert list(table["rule: FID"]) == ["30.0", "45.0", "37.5"]
    assert list(table["fixed: FID"]) == ["32.0", "44.0", "38.0"]
    assert list(table["best: target rate"]) == ["0.70"] * 3


def test_the_runs_are_the_profiles_gone_on_with(smoke, runs_folder, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "plateau", lambda curve: asked.append(curve) or 3)
    few = {"terms": {}, "few_shot": {}}
    profile = replace(smoke, rows={"shots": few, "L_dir": smoke.rows["L_dir"]})
    found = stops(profile, 6, folder=runs_folder)
    assert list(found["row"]) == ["L_dir"] and list(found["picked"]) == [3]
    assert (found.loc[0, "rule_step"], found.loc[0, "fixed_step"]) == (3, 4)
    long = replace(profile, rows={"L_dir": smoke.rows["L_dir"]}, overrides={"optimiser": {"iterations": 6}})
    measured = course(long, "dog-to-cat", folder=runs_folder).set_index("step")
    assert found.loc[0, "rule_fid"] == measured.loc[3, "fid"]
    assert found.loc[0, "best_fid"] == measured["fid"].drop(0).min()
    history = run(long.config("dog-to-cat", "L_dir"), folder=runs_folder).history
    assert asked[0].tolist() == alignment(history).tolist() and len(history) == 6


def test_a_run_that_never_levels_off_counts_as_its_end(smoke, runs_folder):
    found = stops(replace(smoke, rows={"L_dir": smoke.rows["L_dir"]}), 6, folder=runs_folder)
    assert list(found["picked"]) == [6] == list(found["rule_step"])
    assert plateau(alignment([{"directional": 1.0}] * 6)) is None
