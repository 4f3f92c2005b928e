"""The stopping rule's grades, on courses whose answers are known."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from zsgan.adaptation.stopping import alignment
from zsgan.book.chapters.stopping import (
    graded,
    rule_against,
    steps_table,
    stops,
    stops_table,
    with_common,
)
from zsgan.evaluation import measurements as module
from zsgan.evaluation.comparisons import change_of

COURSE = pd.DataFrame(
    {"step": [0, 10, 20, 30, 40], "fid": [1.0, 50, 30, 35, 60], "evaluator_rate": [0, 0.2, 0.5, 0.8, 0.9]}
)


def test_each_choice_is_the_first_snapshot_that_knows_it():
    assert graded(COURSE, 23, 40) == {
        "picked": 23, "rule_step": 30, "rule_fid": 35.0, "rule_rate": 0.8,
        "fixed_step": 40, "fixed_fid": 60.0, "fixed_rate": 0.9,
        "best_step": 20, "best_fid": 30.0, "best_rate": 0.5,
    }  # fmt: skip


def test_the_source_is_no_choice():
    """Step 0 has the least FID here."""
    assert graded(COURSE, 3, 3)["rule_step"] == 10 and graded(COURSE, 3, 3)["best_step"] == 20


def lines(**numbers):
    """Two scenarios and two seeds: "a" with one row, "b" with two."""
    other = {"picked": [90, 95, 100, 130, 110, 120], "rule_step": 100, "fixed_step": 200, "best_step": 50}
    other |= {"best_fid": 20.0, "common_step": 80, "common_fid": 40.0, "fixed_fid": 40.0, "rule_fid": 40.0}
    rates = {"rule_rate": 0.6, "fixed_rate": 0.6, "best_rate": 0.7, "common_rate": 0.6}
    place = {"scenario": [*"aabbbb"], "row": [*"rrrrss"], "seed": [0, 1] * 3}
    return pd.DataFrame({**place, **other, **rates, **numbers})


def test_the_rule_is_compared_seed_by_seed_and_every_scenario_counts_the_same():
    """Seed 0: (-4 + (-1 - 3) / 2) / 2; seed 1: (-6 + (-3 - 5) / 2) / 2."""
    found = rule_against(lines(rule_fid=[36, 34, 39, 37, 37, 35]), "fixed", "fid")
    expected = change_of(pd.Series([-3.0, -5.0]))
    assert (found.mean, found.low, found.high, found.seeds) == pytest.approx(
        (-4, expected.low, expected.high, 2)
    )


@pytest.mark.parametrize(
    ("fixed", "verdict"),
    [
        (41.0, "lower"),
        (40.0, "undecided"),  # as good is not better
        ([41.0, 60] * 3, "undecided"),  # better by the mean, undecided by the seeds
    ],
)
def test_the_rule_is_better_where_the_seeds_agree(fixed, verdict):
    assert rule_against(lines(fixed_fid=fixed), "fixed", "fid").verdict == verdict


def test_a_rule_that_always_picks_one_number_is_matched_by_it():
    """Means of means in another order differ in their last bits."""
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        runs = [(scenario, "L_dir", seed) for scenario in "abc" for seed in range(5)]
        rates = torch.rand(len(runs), generator=random).tolist()
        course = pd.DataFrame([
            {"scenario": s, "row": r, "seed": k, "step": step, "fid": step, "evaluator_rate": rate}
            for (s, r, k), rate in zip(runs, rates, strict=True)
            for step in (10, 20)
        ])  # fmt: skip
        finals = course[course["step"] == 20].assign(iterations=20, levelled_off=10.0)
        assert set(stops(finals, course)["common_step"]) == {10}


def test_the_common_number_is_that_of_other_scenarios():
    """Alone "a" would take step 20 and "b" step 10."""
    other = COURSE.assign(fid=[1.0, 20, 30, 40, 50], scenario="b", row="L_dir", seed=0)
    courses = pd.concat([COURSE.assign(scenario="a", row="L_dir", seed=0), other])
    runs = pd.DataFrame({"scenario": ["a", "b"], "row": "L_dir", "seed": 0, "rule_rate": 0.1})
    found = with_common(runs, courses)
    assert found["common_step"].tolist() == [10, 20] and found["common_fid"].tolist() == [50, 30]
    alone = with_common(runs.head(1), courses)
    assert alone["common_step"].isna().all() and len(alone) == 1


@pytest.mark.parametrize(("rate", "step"), [(0.1, 20), (0.5, 20), (0.6, 30), (0.95, 40)])
def test_the_common_number_is_the_nearest_that_adapts_as_far(rate, step):
    """Two scenarios with one course: FID is least at 20, at 30 the rate is 0.8, nothing reaches 0.95."""
    courses = pd.concat([COURSE.assign(scenario=name, row="L_dir", seed=0) for name in "ab"])
    runs = pd.DataFrame({"scenario": ["a", "b"], "row": "L_dir", "seed": 0, "rule_rate": rate})
    found = with_common(runs, courses)
    at = COURSE.set_index("step").loc[step]
    assert list(found["common_step"]) == [step] * 2 and list(found["common_fid"]) == [at["fid"]] * 2
    assert list(found["common_rate"]) == [at["evaluator_rate"]] * 2 and len(found) == 2


def test_the_table_has_a_line_for_each_scenario_and_their_mean():
    numbers = lines(rule_fid=[30, 30, 40, 50, 40, 50], fixed_rate=0.5)
    table = stops_table(numbers)
    assert list(table.index) == ["a", "b", "mean"]
    assert list(table["rule"]) == ["30.0 (0.60)", "45.0 (0.60)", "37.5 (0.60)"]
    assert list(table["fixed"]) == ["40.0 (0.50)"] * 3
    assert list(stops_table(numbers.assign(common_fid=math.nan))) == ["rule", "fixed", "best"]


def test_the_table_of_steps_has_the_lowest_and_the_highest_of_the_runs():
    numbers = lines(
        picked=[90, 90, 100, 130, 110, 120], fixed_step=200, common_step=math.nan,
        best_step=[80, 100, 80, 80, 80, 80],
    )  # fmt: skip
    table = steps_table(numbers)
    assert table.to_dict("index") == {
        "a": {"rule": "90", "fixed": "200", "best": "80 to 100"},
        "b": {"rule": "100 to 130", "fixed": "200", "best": "80"},
    }


def run(row, levelled_off):
    return {"scenario": "a", "row": row, "seed": 0, "iterations": 40, "levelled_off": levelled_off}


def test_every_run_that_follows_a_text_is_graded_by_its_own_course():
    """One levels off at 21, one never, and of one that follows images the rule says nothing."""
    finals = pd.DataFrame([run("early", 21.0), run("never", math.inf), run("shots", math.nan)])
    other = COURSE.assign(fid=COURSE["fid"] + 1)
    course = pd.concat(
        [COURSE.assign(row="early"), other.assign(row="never"), COURSE.assign(row="shots", fid=0)]
    ).assign(scenario="a", seed=0)
    found = stops(finals, course).set_index("row")
    assert list(found.index) == ["early", "never"] and list(found["picked"]) == [21, 40]
    assert list(found["rule_fid"]) == [35, 61] and list(found["fixed_fid"]) == [60, 61]
    assert list(found["best_fid"]) == [30, 31] and found["common_step"].isna().all()
    with pytest.raises(ValueError, match="no run that follows a text"):
        stops(finals.tail(1), course)


def test_finals_say_where_a_run_levels_off(smoke, runs_folder, full_run, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "plateau", lambda curve: asked.append(curve) or 3)
    profile = replace(smoke, rows={"full": smoke.rows["L_dm + L_EWC + L_rel"]}, baseline=None)
    found = module.Measurements(profile, runs_folder).table("dog-to-cat")
    assert list(found["levelled_off"]) == [3.0]
    assert asked[0].tolist() == alignment(full_run.history).tolist()
    monkeypatch.setattr(module, "plateau", lambda curve: None)
    assert module._levelled_off(full_run) == math.inf
    monkeypatch.setattr(type(full_run), "history", [{"loss": 1.0}])
    assert math.isnan(module._levelled_off(full_run))
