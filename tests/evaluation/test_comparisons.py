"""Differences between rows: which numbers go in, and that rows, seeds and latents stay paired."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from zsgan.evaluation.bench import Bench, Numbers
from zsgan.evaluation.comparisons import (
    Change,
    at_common_rate,
    at_rate,
    changes,
    differences,
    matched_differences,
)
from zsgan.evaluation.readings import READINGS, readings
from zsgan.metrics.statistics import over_seeds, paired_difference

SEEDS, N, STEPS = (0, 1, 2), 40, [2, 4, 6]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class ToyBench(Bench):
    """Diversity falls with the adaptation; in the second row by less, and at half the speed."""

    rates: ClassVar = {"L_dir": (1.0, 0.8), "L_dm": (0.5, 0.4)}

    @property
    def runs(self):
        found = [SimpleNamespace(row=row, seed=seed, snapshots=STEPS) for row in self.rates for seed in SEEDS]
        return [(run.row, run.seed, run) for run in found]

    def at(self, found, step=STEPS[-1], progress=False):
        speed, fall = self.rates[found.row]
        adaptation = speed * step / 6 + 0 * normal(N)
        diversity = 1 - fall * adaptation + 0.2 * normal(N, seed=1) + 0.1 * found.seed
        each = {"evaluator_rate": adaptation.tolist(), "clip_variance": diversity.tolist()}
        return Numbers({}, each, {})


@pytest.fixture
def bench(smoke):
    rows = dict.fromkeys(ToyBench.rates, smoke.rows["L_dir"])
    return ToyBench(replace(smoke, rows=rows, seeds=SEEDS), "dog-to-cat", Path("nowhere"))


def test_a_change_is_written_with_its_interval():
    assert f"{Change(0.0141, 0.002, 0.025, 5):+.3f}" == "+0.014 (+0.002 to +0.025)"
    assert f"{Change(-1.72, float('nan'), float('nan'), 1):.1f}" == "-1.7"


def test_differences_are_paired_by_seed_and_latent(bench):
    table = differences(bench, ["clip_variance", "evaluator_rate"])
    assert table["row"].tolist() == ["L_dm"] * 2 and (table["baseline"] == "L_dir").all()
    assert (table["seeds"] == 3).all() and (table["n"] == N).all()
    line = table.set_index("measure").loc["clip_variance"]
    # 1 - 0.4 x 0.5 against 1 - 0.8 x 1; what seeds and latents add is common to both
    assert line[["difference", "low", "high"]].tolist() == pytest.approx([0.6, 0.6, 0.6])
    other = differences(bench, ["clip_variance"], "L_dm")
    assert other["row"].tolist() == ["L_dir"] and other["difference"].item() == pytest.approx(-0.6)


def test_at_the_same_adaptation_less_is_left(bench):
    """The slow row reaches 0.5: at 0.45 the rows have 1 - 0.4 x 0.45 and 1 - 0.8 x 0.45."""
    line = matched_differences(bench, 0.45, "clip_variance").iloc[0]
    assert (line["target"], line["measure"], line["arrived"]) == (0.45, "clip_variance", 3)
    assert line[["difference", "low", "high"]].tolist() == pytest.approx([0.18, 0.18, 0.18])


def test_a_row_that_never_comes_so_far_is_not_compared(bench):
    line = matched_differences(bench, 0.9, "clip_variance").iloc[0]
    assert line["arrived"] == 0 and line[["difference", "low", "high"]].isna().all()
    other = matched_differences(bench, 0.9, "clip_variance", baseline="L_dm").iloc[0]
    assert other["arrived"] == 3 and np.isnan(other["difference"])  # the baseline does not


def test_a_run_that_stopped_before_others_stays_as_it_was(bench, monkeypatch):
    """The slow row's second seed stops at 0.33: the rate 0.45 is not reached by all of its runs."""
    runs = ToyBench.runs.fget(bench)
    slow = [run for row, _, run in runs if row == "L_dm"]
    slow[1].snapshots = STEPS[:-1]
    monkeypatch.setattr(ToyBench, "runs", runs)
    line = matched_differences(bench, 0.45, "clip_variance").iloc[0]
    assert line["arrived"] == 2 and np.isnan(line["difference"])
    early = matched_differences(bench, 0.2, "clip_variance").iloc[0]
    assert early["arrived"] == 3 and early["difference"] == pytest.approx(0.4 * 0.2)


def test_unknown_names_are_refused(bench):
    with pytest.raises(ValueError, match="baseline='L_foo' is unknown; choose one of L_dir, L_dm"):
        differences(bench, baseline="L_foo")
    with pytest.raises(ValueError, match="measure='fid' is not known image by image; choose one of clip_var"):
        differences(bench, ["fid"])


def test_the_demos_rows_are_compared(smoke, runs_folder, full_run):
    bench = Bench(smoke, "dog-to-cat", runs_folder)
    table = differences(bench).set_index("measure")
    assert (table["row"] == "L_dm + L_EWC + L_rel").all() and (table["seeds"] == 1).all()
    each = [torch.tensor([bench.at(run).each["lpips_all"]], dtype=torch.float64) for _, _, run in bench.runs]
    expected = paired_difference(each[1], each[0])
    found = table.loc["lpips_all", ["difference", "low", "high"]].tolist()
    assert found == pytest.approx(list(expected), rel=1e-5)
    assert (table["low"] <= table["difference"]).all() and (table["difference"] <= table["high"]).all()


def measured(lpips, rate=(0.5,) * 4, fid=(100.0,) * 4):
    rows, seeds = ["L_dir", "L_dir", "L_dm", "L_dm"], [0, 1, 1, 0]
    columns = {"row": rows, "seed": seeds, "lpips_avg": lpips, "evaluator_rate": rate, "fid": fid}
    return pd.DataFrame(columns)


def test_changes_pair_the_seeds():
    found = changes(measured([0.3, 0.4, 0.42, 0.35], fid=[9, 7, 6, 9]), "L_dir", "L_dm")
    diversity = found["lpips_avg"]
    expected = over_seeds(torch.tensor([0.05, 0.02]))
    assert (diversity.mean, diversity.low, diversity.high) == pytest.approx(expected)
    assert diversity.seeds == 2 and diversity.verdict == "undecided"  # two seeds show little of their scatter
    assert (found["fid"].mean, found["fid"].verdict) == (-0.5, "undecided")  # one falls, one stays


def test_numbers_that_nobody_knows_are_left_out():
    """Such as the FID where there are no true images."""
    unknown = measured([0.3, 0.4, 0.42, 0.35], fid=[float("nan")] * 4)
    assert list(changes(unknown, "L_dir", "L_dm")) == ["lpips_avg", "evaluator_rate"]
    found = changes(unknown, "L_dir", "L_dm", ["lpips_avg", "fid"])["fid"]
    assert found.seeds == 0 and found.mean != found.mean and found.verdict == "undecided"


def test_a_verdict_is_an_interval_that_excludes_zero():
    surely = measured([0.3, 0.4, 0.432, 0.33])  # 0.33 is below 0.4, but that was another seed
    assert changes(surely, "L_dir", "L_dm")["lpips_avg"].verdict == "higher"
    assert changes(surely, "L_dm", "L_dir")["lpips_avg"].verdict == "lower"
    assert list(changes(surely, "L_dm", "L_dir", ["fid"])) == ["fid"]


def test_one_seed_decides_nothing():
    one = measured([0.3, 0.4, 0.42, 0.35]).query("seed == 1")
    assert changes(one, "L_dir", "L_dm")["lpips_avg"].verdict == "undecided"


def test_rows_without_a_common_seed_are_refused():
    apart = measured([0.3, 0.4, 0.42, 0.35]).assign(seed=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="'L_dir' and 'L_dm' have no seed in common"):
        changes(apart, "L_dir", "L_dm")


def test_rows_are_compared_at_one_target_rate():
    a = {
        "row": "a",
        "seed": 0,
        "step": [0, 10, 20],
        "evaluator_rate": [0.0, 0.5, 1.0],
        "sse": [9.0, 7.0, 1.0],
    }
    b = {
        "row": "b",
        "seed": 0,
        "step": [20, 0, 10],
        "evaluator_rate": [0.6, 0.0, 0.8],
        "sse": [2.0, 9.0, 5.0],
    }
    again = b | {"seed": 1, "sse": [2.0, 9.0, 1.0]}
    rate, found = at_common_rate(pd.concat(map(pd.DataFrame, (a, b, again))), ["b", "a"])
    assert rate == 0.8  # what b reaches on its way
    assert list(found.index) == ["b", "a"]
    assert found.loc["a"].to_list() == pytest.approx([3.4, 3.4, 3.4])  # three fifths of the way from 7 to 1
    assert found.loc["b"].to_list() == pytest.approx([3.0, 1.0, 5.0])


def test_values_are_read_off_every_run_where_it_first_arrives():
    course = pd.DataFrame({
        "row": "a", "seed": [0, 0, 0, 1, 1, 1], "step": [20, 0, 10] * 2,
        "evaluator_rate": [1.0, 0.0, 0.5, 0.6, 0.0, 0.2], "sse": [1.0, 9.0, 7.0, 1.0, 9.0, 7.0],
        "fid": [0.0, 2.0, 1.0] * 2,
    })  # fmt: skip
    found = at_rate(course, 0.75, ["sse", "fid"]).set_index("seed")
    assert found.loc[0, ["sse", "fid"]].to_list() == pytest.approx([4.0, 0.5])
    assert found.loc[1, ["sse", "fid"]].isna().all()  # it reaches 0.6 only
    by_fid = at_rate(course.assign(back=-course["fid"]), -1.5, ["sse"], adaptation="back")
    assert by_fid["sse"].to_list() == pytest.approx([8.0, 8.0])


def test_an_unknown_rate_is_refused_and_another_one_can_be_taken():
    path = {"row": "a", "seed": 0, "step": [0, 10], "evaluator_rate": [np.nan, np.nan], "sse": [9.0, 7.0]}
    course = pd.DataFrame(path | {"clip_rate": [0.0, 1.0]})
    with pytest.raises(ValueError, match="adaptation='evaluator_rate' is nan for a: .*='clip_rate'"):
        at_common_rate(course, ["a"], adaptation="evaluator_rate")
    with pytest.raises(ValueError, match="is nan for a"):
        at_rate(course, 0.5, ["sse"])
    rate, found = at_common_rate(course, ["a"])  # CLIP's, which is known
    assert rate == 1 and found.loc["a", "mean"] == 7
    mixed = pd.concat([course, course.assign(row="b", evaluator_rate=0.5)])
    assert at_common_rate(mixed, ["b"])[0] == 0.5  # what is not compared need not be known


def test_a_run_that_never_left_is_compared_where_it_stands():
    path = {"row": "a", "seed": 0, "step": [0, 10], "evaluator_rate": [0.0, 0.0], "sse": [9.0, 7.0]}
    rate, found = at_common_rate(pd.DataFrame(path), ["a"])
    assert rate == 0 and found.loc["a", "mean"] == 9


# The same runs, read at three steps


def read(levelled_off, fids, scenario="dog-to-cat", row="a", seed=0):
    """A run of snapshots at 10, 20, ..., with their FID; its line of the finals and those of its course."""
    run = {"scenario": scenario, "row": row, "seed": seed}
    steps = [10 * i for i in range(len(fids) + 1)]
    course = {**run, "step": steps, "fid": [0.0, *fids], "sse": [float(step) for step in steps]}
    finals = {**run, "iterations": steps[-1], "levelled_off": levelled_off}
    return pd.DataFrame([finals]), pd.DataFrame(course)


def steps_of(found):
    """Reading -> step."""
    return dict(zip(found["reading"], found["step"], strict=True))


def test_a_run_is_read_at_its_end_where_it_levels_off_and_at_its_best():
    found = readings(*read(22, [5.0, 7.0, 3.0, 4.0]))
    assert found["reading"].tolist() == list(READINGS)
    assert steps_of(found) == {"at the end": 40, "levelled off": 20, "best FID": 30}  # not the source at 0
    assert found["sse"].tolist() == [40.0, 20.0, 30.0] and found["fid"].tolist() == [4.0, 7.0, 3.0]
    assert set(found.columns) == {"scenario", "row", "seed", "step", "fid", "sse", "reading"}


@pytest.mark.parametrize(
    ("level", "step"), [(1, 10), (14, 10), (16, 20), (36, 40), (40, 40), (99, 40), (float("inf"), 40)]
)
def test_the_snapshot_nearest_to_the_rules_step_is_read(level, step):
    """The end of a run that never levels off; and never the source generator."""
    assert steps_of(readings(*read(level, [5.0, 7.0, 3.0, 4.0])))["levelled off"] == step


def test_what_nobody_knows_is_not_read():
    without_texts = readings(*read(float("nan"), [5.0, 3.0]))
    assert steps_of(without_texts) == {"at the end": 20, "best FID": 20}
    without_truth = readings(*read(10, [float("nan")] * 2))
    assert steps_of(without_truth) == {"at the end": 20, "levelled off": 10}
    some = readings(*read(10, [float("nan"), 3.0, 5.0]))  # nan is no best
    assert steps_of(some)["best FID"] == 20


def test_every_run_is_read_for_itself():
    """Of each scenario, row and seed, whatever the order of the finals and of the lines of the course."""
    runs = {
        ("dog-to-cat", "a", 0): (10, [1.0, 2.0], {"at the end": 20, "levelled off": 10, "best FID": 10}),
        ("dog-to-cat", "a", 1): (20, [2.0, 1.0], {"at the end": 20, "levelled off": 20, "best FID": 20}),
        ("dog-to-cat", "b", 0): (30, [3.0, 2.0, 4.0], {"at the end": 30, "levelled off": 30, "best FID": 20}),
        ("dog-to-fox", "a", 0): (10, [9.0, 8.0, 7.0], {"at the end": 30, "levelled off": 10, "best FID": 30}),
    }
    finals, courses = zip(*(read(level, fids, *run) for run, (level, fids, _) in runs.items()), strict=True)
    course = pd.concat(courses).sample(frac=1, random_state=0)
    found = readings(pd.concat(finals[::-1], ignore_index=True), course)
    by_run = found.groupby(["scenario", "row", "seed"])
    assert {run: steps_of(lines) for run, lines in by_run} == {
        run: steps for run, (*_, steps) in runs.items()
    }
