"""The leaderboard: where rows stand at three places, which differ, and their ranks."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from zsgan.report import leaderboard
from zsgan.report.leaderboard import BETTER, PLACES

STEPS = (0, 20, 40, 80)
# scenario -> row -> its target rate and FID at STEPS; a seed adds to the FID below.
COURSES = {
    "one": {
        "L_dir": ([0, 0.8, 1, 1], [90, 70, 80, 100]),
        "good": ([0, 0.7, 0.9, 1], [90, 75, 60, 70]),
        "slow": ([0, 0.2, 0.4, 0.6], [90, 88, 86, 84]),
    },
    "two": {
        "L_dir": ([0, 0.5, 0.8, 0.8], [120, 100, 90, 110]),
        "good": ([0, 0.9, 0.9, 0.9], [120, 90, 95, 80]),
        "slow": ([0, 0.1, 0.2, 0.8], [120, 119, 118, 130]),
    },
}
OF_SEED = {"L_dir": (0, 0, 0), "good": (-1, 0, 4), "slow": (-50, 0, 60)}
PACE = {"L_dir": 0.5, "good": 1.0, "slow": 0.25}


@pytest.fixture
def tables():
    """Ends and course of 2 scenarios, 3 rows and 3 seeds."""
    course = pd.DataFrame([
        {
            "scenario": scenario, "row": row, "seed": seed, "step": step, "evaluator_rate": rate,
            "fid": fid + OF_SEED[row][seed], "lpips_avg": 0.5 - step / 1000, "factors_kept": 1.0,
            "ideal_distance": math.nan if row == "slow" else 0.5,
        }
        for scenario, rows in COURSES.items()
        for row, (rates, fids) in rows.items()
        for seed in range(3)
        for step, rate, fid in zip(STEPS, rates, fids, strict=True)
    ])  # fmt: skip
    finals = course[course["step"] == STEPS[-1]].rename(columns={"step": "iterations"})
    return finals.assign(step_seconds=finals["row"].map(PACE)), course


@pytest.fixture
def runs(tables):
    return leaderboard.placed(*tables, "L_dir")


def at(table, **place):
    """The one line of a table at a place."""
    chosen = table[(table[list(place)] == pd.Series(place)).all(axis=1)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_run_at_the_end_and_at_the_rows_best_step(runs):
    end = at(runs, scenario="one", row="good", seed=2, place="end")
    assert (end["step"], end["fid"], end["seconds"]) == (80, 74, 80.0)
    best = at(runs, scenario="one", row="good", seed=2, place="best step")
    assert (best["step"], best["fid"], best["lpips_avg"], best["seconds"]) == (40, 64, 0.46, 40.0)
    assert len(runs) == 2 * 3 * 3 * len(PLACES)


def test_a_row_has_one_best_step_for_all_its_seeds_and_never_the_source(tables):
    _, course = tables
    part = course[(course["scenario"] == "one") & (course["row"] == "L_dir")].copy()
    part.loc[part["step"] == 0, "fid"] = 1.0
    # seed 0 alone would choose step 80
    part.loc[(part["seed"] == 0) & (part["step"] == 80), "fid"] = 65.0
    found = leaderboard.at_best_step(part)
    assert found["step"].tolist() == [20, 20, 20] and found["seed"].tolist() == [0, 1, 2]


def test_a_run_that_ended_before_the_best_step_counts_with_its_end(tables):
    _, course = tables
    part = course[(course["scenario"] == "one") & (course["row"] == "good")]
    shorter = part[(part["seed"] != 1) | (part["step"] <= 20)]
    found = leaderboard.at_best_step(shorter).set_index("seed")
    # mean FID at 20: 76; at 40: (59 + 75 + 64) / 3 = 66
    assert found["step"].to_dict() == {0: 40, 1: 20, 2: 40}
    assert found.loc[1, "fid"] == 75


def test_the_matched_rate_is_what_the_baseline_reaches_in_all_seeds(tables):
    _, course = tables
    one, two = (course[course["scenario"] == scenario] for scenario in COURSES)
    assert leaderboard.matched_rate(one, "L_dir") == 0.9
    assert leaderboard.matched_rate(one, "slow") == 0.5
    assert leaderboard.matched_rate(two, "L_dir") == 0.75  # good comes to 0.9, L_dir does not
    late = (one["row"] == "L_dir") & (one["seed"] == 0)
    missed = one.assign(evaluator_rate=one["evaluator_rate"].where(~late, 0.1))
    assert math.isnan(leaderboard.matched_rate(missed, "L_dir"))


def test_runs_are_interpolated_where_they_reach_the_rate(runs):
    found = at(runs, scenario="one", row="L_dir", seed=0, place="matched rate")
    assert found["step"] == pytest.approx(30) and found["fid"] == pytest.approx(75)  # halfway from 20 to 40
    assert found["evaluator_rate"] == pytest.approx(0.9) and found["seconds"] == pytest.approx(15)
    assert found["lpips_avg"] == pytest.approx(0.47)
    never = at(runs, scenario="one", row="slow", seed=0, place="matched rate")
    assert never[["step", "fid", "lpips_avg", "seconds"]].isna().all()


def test_differences_are_paired_by_seed_with_students_interval(runs):
    table = leaderboard.standings(runs, "L_dir")
    found = at(table, scenario="one", row="good", place="end", measure="fid")
    differences = np.array([69, 70, 74]) - 100
    reach = stdtrit(2, 0.975) * differences.std(ddof=1) / math.sqrt(3)
    assert found["mean"] == pytest.approx(71) and found["seeds"] == 3
    assert found["difference"] == pytest.approx(-29)
    assert [found["low"], found["high"]] == pytest.approx([-29 - reach, -29 + reach])
    own = at(table, scenario="one", row="L_dir", place="end", measure="fid")
    assert own[["mean", "difference", "low", "high"]].tolist() == [100, 0, 0, 0]


def test_what_the_seeds_share_cancels(tables):
    finals, course = tables
    before = leaderboard.standings(leaderboard.placed(finals, course, "L_dir"), "L_dir")
    noisy = [table.assign(fid=table["fid"] + 1000 * table["seed"]) for table in (finals, course)]
    after = leaderboard.standings(leaderboard.placed(*noisy, "L_dir"), "L_dir")
    columns = ["difference", "low", "high"]
    fid = (before["measure"] == "fid") & (before["place"] == "end")
    np.testing.assert_allclose(before[fid][columns], after[fid][columns], atol=1e-9)


def test_a_row_that_lacks_a_value_in_one_run_has_none(tables):
    finals, course = tables
    late = (course["scenario"] == "one") & (course["row"] == "good") & (course["seed"] == 0)
    course["evaluator_rate"] = course["evaluator_rate"].where(~late, course["evaluator_rate"] * 0.7)
    runs = leaderboard.placed(finals, course, "L_dir")
    # L_dir reaches 0.9, which is out of reach for that run: the row has no mean there
    assert math.isnan(at(runs, scenario="one", row="good", seed=0, place="matched rate")["step"])
    missed = at(leaderboard.overall(runs, "L_dir"), row="good", place="matched rate", measure="fid")
    assert missed[["mean", "difference", "low", "high"]].isna().all()
    missing = runs.assign(fid=runs["fid"].where((runs["row"] != "good") | (runs["seed"] != 0)))
    found = at(
        leaderboard.standings(missing, "L_dir"), scenario="one", row="good", place="end", measure="fid"
    )
    assert found[["mean", "difference", "low", "high"]].isna().all() and found["seeds"] == 2


def test_overall_differences_have_the_spread_within_the_scenarios(runs):
    shift = 12.0 * ((runs["row"] == "good") & (runs["scenario"] == "two"))  # scenarios may differ at will
    changed = runs.assign(fid=runs["fid"] + shift)
    found = at(leaderboard.overall(changed, "L_dir"), row="good", place="end", measure="fid")
    of_one = np.array([-31, -30, -26])  # of two: the same and 12 more
    error = math.sqrt(2 * of_one.var(ddof=1) / 3) / 2
    assert found["seeds"] == 6 and found["difference"] == pytest.approx(-29 + 6)
    assert found["high"] == pytest.approx(-29 + 6 + stdtrit(4, 0.975) * error)
    two = runs["scenario"] == "two"
    wide = runs.assign(
        fid=np.where(two & (runs["row"] == "good"), 110 + 10 * (runs["fid"] - 110), runs["fid"])
    )
    found = at(leaderboard.overall(wide, "L_dir"), row="good", place="end", measure="fid")
    errors = of_one.var(ddof=1) / 3 * np.array([1, 100])
    freedom = (
        errors.sum() ** 2 / (errors**2 / 2).sum()
    )  # Satterthwaite: hardly more than the 2 of scenario two
    assert 2 < freedom < 2.1
    reach = stdtrit(freedom, 0.975) * math.sqrt(errors.sum()) / 2
    assert found["high"] - found["difference"] == pytest.approx(reach)
    alone = runs[runs["seed"] == 0]
    single = at(leaderboard.overall(alone, "L_dir"), row="good", place="end", measure="fid")
    assert single["difference"] == pytest.approx(-31) and math.isnan(single["low"])  # one seed has no spread


def test_a_row_with_other_runs_than_the_baseline_is_refused(tables):
    finals, course = tables
    lost = finals[(finals["row"] != "slow") | (finals["scenario"] != "two") | (finals["seed"] != 1)]
    with pytest.raises(ValueError, match="row 'slow' must have one run .* differs in two, seed 1"):
        leaderboard.placed(lost, course, "L_dir")
    twice = pd.concat([finals, finals[finals["row"] == "good"]])
    with pytest.raises(ValueError, match="row 'good' must have one run .* differs in one, seed 0"):
        leaderboard.placed(twice, course, "L_dir")


def test_the_verdict_names_decided_rows_and_the_nearest(runs):
    found = leaderboard.verdict(leaderboard.overall(runs, "L_dir"))
    assert found.better["fid"] == ["good"] and found.worse["fid"] == []  # slow differs from seed to seed
    assert found.better["lpips_avg"] == [] == found.worse["lpips_avg"]  # equal in all runs
    assert found.better["seconds"] == ["slow"] and found.worse["seconds"] == ["good"]
    # slow misses the matched rate of scenario one
    assert found.lowest_fid == {"end": "good", "best step": "good", "matched rate": "good"}
    swapped = leaderboard.verdict(leaderboard.overall(runs, "good"))
    assert swapped.worse["fid"] == ["L_dir"] and swapped.better["fid"] == []


def test_ranks_are_one_for_the_best_and_shared_by_equals(runs):
    fid, diversity = leaderboard.ranks(runs, "fid"), leaderboard.ranks(runs, "lpips_avg")
    assert fid.shape == (6, 3) and (fid.sum(axis=1) == 6).all()
    # seed 0, scenario one: 100, 69, 34; seed 2: 100, 74, 144
    assert fid.loc[("one", 0)].to_dict() == {"L_dir": 3, "good": 2, "slow": 1}
    assert fid.loc[("one", 2)].to_dict() == {"L_dir": 2, "good": 1, "slow": 3}
    assert (diversity == 2).all(axis=None)
    of_means = leaderboard.ranks(runs, "fid", ["scenario"])
    assert of_means.loc["one"].to_dict() == {"L_dir": 3, "good": 1, "slow": 2}
    missing = runs.assign(fid=runs["fid"].where((runs["row"] != "good") | (runs["seed"] != 0)))
    assert (
        len(leaderboard.ranks(missing, "fid")) == 4 and leaderboard.ranks(missing, "fid", ["scenario"]).empty
    )
    higher = runs.assign(lpips_avg=runs["fid"])
    assert (leaderboard.ranks(higher, "lpips_avg") == 4 - fid).all(axis=None)


def test_nemenyis_critical_difference_is_that_of_demsars_example():
    """Four classifiers on 14 data sets, Demšar 2006, section 3.2.2."""
    assert leaderboard.critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)


@pytest.mark.parametrize(("rows", "q"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_the_quantiles_are_those_of_demsars_table(rows, q):
    """Table 5 (a)."""
    found = leaderboard.critical_difference(rows, 7) / math.sqrt(rows * (rows + 1) / 42)
    assert found == pytest.approx(q, abs=1e-3)


def test_json_holds_every_standing_and_null_in_place_of_nan(runs):
    table = leaderboard.standings(runs, "L_dir")
    found = json.loads(json.dumps(leaderboard.as_json(table), allow_nan=False))
    assert list(found) == list(COURSES) and list(found["one"]) == list(PACE)
    for rows in found.values():
        for places in rows.values():
            assert set(places) == set(PLACES)
            assert all(set(measures) == set(BETTER) for measures in places.values())
    expected = at(table, scenario="two", row="good", place="end", measure="fid")
    got = found["two"]["good"]["end"]["fid"]
    assert got["mean"] == pytest.approx(expected["mean"], rel=1e-4) and got["seeds"] == 3
    assert got["high"] == pytest.approx(expected["high"], rel=1e-4)
    nothing = {"mean": None, "difference": None, "low": None, "high": None, "seeds": 0}
    assert found["one"]["slow"]["matched rate"]["fid"] == nothing
    assert found["one"]["slow"]["end"]["ideal_distance"] == nothing


def test_a_baseline_without_runs_is_refused(tables):
    with pytest.raises(ValueError, match="baseline='none' has no run; choose one of L_dir, good, slow"):
        leaderboard.placed(*tables, "none")
