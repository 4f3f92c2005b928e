"""What is read out of a summary: each number from its place, no verdict that the interval does not give."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from zsgan.book.chapters.forest import forest, questions
from zsgan.book.chapters.switches import (
    STEPS,
    beside,
    decided,
    effect_table,
    effects,
    frontiers,
    ladder_table,
    matched_table,
    steps_table,
)
from zsgan.report.figures import PALETTE
from zsgan.report.published import PAPER_SCENARIO, PAPER_TABLE_1
from zsgan.report.tables import ABSENT
from zsgan.runs.profiles import load_profile

NAN = float("nan")


@pytest.fixture
def summary():
    differences = pd.DataFrame(
        [
            ("b", "a", "evaluator_rate", NAN, 0.1, 0.05, 0.2),
            ("c", "a", "evaluator_rate", NAN, -0.5, -0.6, 0.1),
            ("b", "a", "lpips_all", NAN, 9.0, 9.0, 9.0),  # at the end
            ("c", "a", "lpips_all", NAN, 9.0, 9.0, 9.0),
            ("b", "a", "lpips_all", 0.5, 0.02, 0.01, 0.03),
            ("c", "a", "lpips_all", 0.5, -0.02, -0.03, -0.01),
            ("b", "a", "lpips_all", 0.75, 0.04, 0.03, 0.05),
            ("c", "a", "lpips_all", 0.75, NAN, NAN, NAN),
        ],
        columns=["row", "baseline", "measure", "target", "difference", "low", "high"],
    )
    finals = pd.DataFrame({
        "row": [*"aabbcc"], "seed": [0, 1] * 3, "fid": [9.0, 8, 7, 6, 9, 9], "evaluator_rate": 0.5
    })  # fmt: skip
    return SimpleNamespace(differences=differences, finals=finals)


def test_effects_are_read_from_their_places(summary):
    found = effects(summary, 0.75).set_index(["row", "measure"])
    assert found.loc[("b", "evaluator_rate")].tolist() == [0.1, 0.05, 0.2]
    assert found.loc[("b", "lpips_all")].tolist() == [0.04, 0.03, 0.05]
    assert found.loc[("b", "fid")].tolist() == pytest.approx([-2, -2, -2])  # 7 - 9 and 6 - 8
    assert found.loc[("c", "fid"), "difference"] == 0.5 and found.loc[("c", "lpips_all")].isna().all()
    table = effect_table(found.reset_index())
    assert table.index.tolist() == ["b", "c"]
    assert table.loc["b"].tolist() == [
        "+0.100 (+0.050 to +0.200)", "-2.0 (-2.0 to -2.0)", "+0.040 (+0.030 to +0.050)"
    ]  # fmt: skip
    assert table.loc["c", "diversity at the same target rate"] == ABSENT


def test_without_an_evaluator_and_true_images_effects_are_on_clips_rate_and_the_diversity(summary):
    by_clip = summary.differences.replace({"measure": {"evaluator_rate": "clip_rate"}})
    finals = summary.finals.assign(fid=NAN, evaluator_rate=NAN, clip_rate=0.5)
    found = effects(SimpleNamespace(differences=by_clip, finals=finals), 0.5)
    assert effect_table(found).columns.tolist() == [
        "target rate (CLIP) at the end", "diversity at the same target rate"
    ]  # fmt: skip
    assert found.set_index(["row", "measure"]).loc[("b", "clip_rate")].tolist() == [0.1, 0.05, 0.2]
    assert decided(found, "clip_rate")["higher"] == ["b"]
    assert [axis.get_title().split()[0] for axis in forest(found).axes] == ["target", "diversity"]
    plt.close("all")


def test_without_a_rate_diversity_is_compared_at_the_end(summary):
    summary.differences.loc[3, "difference"] = 7.0
    found = effects(summary, None).set_index(["row", "measure"])
    assert found.loc[("b", "lpips_end")].tolist() == [9, 9, 9] and found.loc[("c", "lpips_end")].iloc[0] == 7
    assert set(found.index.get_level_values("measure")) == {"evaluator_rate", "fid", "lpips_end"}
    assert forest(found.reset_index()).axes[2].get_title().replace("\n", " ") == "diversity at the end"
    plt.close("all")


def test_two_grids_side_by_side_begin_with_what_is_another_in_the_second(summary):
    short, long = effects(summary, None), effects(summary, None)
    long.loc[(long["row"] == "c") & (long["measure"] == "lpips_end"), ["low", "high"]] = (-1, 10)
    long = pd.concat([long, long[long["row"] == "b"].assign(row="new")])
    table = beside(short, long, ["lpips_end"], ["60 steps", "9 steps"])
    assert table.index.tolist() == ["c", "b"]
    assert table.loc["c"].tolist() == ["+9.000 (+9.000 to +9.000)", "+9.000 (-1.000 to +10.000)"]
    assert table.columns.tolist() == ["diversity at the end, 60 steps", "diversity at the end, 9 steps"]


def test_a_verdict_is_the_intervals(summary):
    found = effects(summary, 0.75)
    assert decided(found, "evaluator_rate") == {
        "higher": ["b"], "lower": [], "undecided": ["c"], "not compared": []
    }  # fmt: skip
    assert decided(found, "lpips_all")["not compared"] == ["c"]
    assert decided(effects(summary, 0.5), "lpips_all")["lower"] == ["c"]


def test_the_matched_table_has_a_column_for_the_end_and_each_rate(summary):
    table = matched_table(summary.differences)
    assert table.columns.tolist() == ["at the end", "at rate 0.5", "at rate 0.75"]
    assert table.index.tolist() == ["b", "c"]
    assert table.loc["c"].tolist() == ["+9.000 (+9.000 to +9.000)", "-0.020 (-0.030 to -0.010)", ABSENT]


def test_each_step_of_the_papers_table_stands_beside_the_papers_number():
    rows = [row for row in PAPER_TABLE_1 if not row.startswith("Ojha")]
    runs = [(row, seed, i / 10 + seed * i / 100) for i, row in enumerate(rows) for seed in (0, 1)]
    finals = pd.DataFrame(runs, columns=["row", "seed", "lpips_avg"])
    few = finals[finals["row"].isin(["L_dir", "L_dm + L_EWC + L_rel"])]
    table = steps_table({PAPER_SCENARIO: SimpleNamespace(finals=finals), "b": SimpleNamespace(finals=few)})
    whole = "L_dm + L_EWC + L_rel against L_dir"
    assert table.index.tolist() == [*(f"{after} against {before}" for before, after in STEPS), whole]
    # 0.1 and 0.11: half their distance, 0.005, times 12.706, Student's quantile of one degree of freedom
    line = table.loc["L_dm against L_dir"]
    assert line.tolist() == [PAPER_SCENARIO, "+0.062", "+0.105 (+0.041 to +0.169)"]
    ours, theirs = table.loc[whole].to_numpy().tolist()
    assert ours[:2] == [PAPER_SCENARIO, "+0.105"] and theirs[:2] == ["b", ABSENT] and ours[2] == theirs[2]


def test_the_forest_has_a_line_for_each_row_and_fills_what_is_decided(summary):
    figure = forest(effects(summary, 0.5))
    rate, _, varied = figure.axes
    assert [label.get_text() for label in rate.get_yticklabels()] == ["b", "c"]
    bars, dots = lines_of(varied)
    assert bars == [([0.01, 0.03], 0.5), ([-0.03, -0.01], 1.5)]
    assert dots == [("o", "full", 0.02, 0.5), ("o", "full", -0.02, 1.5)]
    assert lines_of(rate)[1] == [("o", "full", 0.1, 0.5), ("o", "none", -0.5, 1.5)]
    plt.close(figure)


def lines_of(axis):
    """The intervals of a panel with their heights, and its marks."""
    drawn = [line for line in axis.lines if line.get_color() != "black"]  # not the one at zero
    bars = [(list(line.get_xdata()), line.get_ydata()[0]) for line in drawn if line.get_marker() == "None"]
    dots = [
        (line.get_marker(), line.get_fillstyle(), line.get_xdata()[0], line.get_ydata()[0])
        for line in drawn if line.get_marker() != "None"
    ]  # fmt: skip
    return bars, dots


def test_what_lies_far_beyond_the_others_is_an_arrow_with_its_number():
    rows = [*"abcd", "epsilon: far"]
    found = pd.DataFrame({"row": rows, "measure": "evaluator_rate", "difference": [0.1] * 4 + [-0.91]})
    figure = forest(found.assign(low=found["difference"] - 0.05, high=found["difference"] + 0.05))
    (axis,) = figure.axes
    low, high = axis.get_xlim()
    assert low == -high and 0.15 < high < 0.3
    (arrow,) = [line for line in axis.lines if line.get_marker() == "<"]
    assert low < arrow.get_xdata()[0] < 0.9 * low
    assert [text.get_text() for text in axis.texts] == ["-0.91"]
    plt.close(figure)


def test_switches_stand_under_their_questions():
    rows = [
        "as printed",
        "new: one",
        "Fisher: of batches",
        "epsilon: 0.1",
        "method: no EWC",
        "stage 1: captions",
    ]
    found = questions(rows)
    assert list(found) == ["", "Which terms?", "Which variations?", "Which Fisher information?", "Others"]
    assert found["Which variations?"] == {x: x for x in ("epsilon: 0.1", "stage 1: captions")}
    assert found["Which Fisher information?"] == {"Fisher: of batches": "of batches"}
    assert found["Others"] == {"new: one": "new: one"} and found[""] == {"as printed": "as printed"}


@pytest.mark.parametrize("name", ["ablations", "ablations-long", "paper-ablations"])
def test_every_switch_of_the_grids_answers_a_question(name):
    assert "Others" not in questions(list(load_profile(name).rows))


def test_frontiers_are_means_over_seeds_with_a_band_for_each_measure():
    course = pd.DataFrame({
        "row": "a", "seed": [0, 0, 1, 1], "step": [10, 0, 0, 10],
        "fid": [1.0, 9, 9, 3], "clip_rate": 0.5, "recall": NAN,
    })  # fmt: skip
    figure = frontiers(course, ["a"], {"fid": "FID", "clip_rate": "target rate", "recall": "recall"})
    (mean,) = figure.axes[0].lines
    assert mean.get_xdata().tolist() == [0, 10] and mean.get_ydata().tolist() == [9, 2]
    (band,) = figure.axes[0].collections
    assert {tuple(vertex) for vertex in band.get_paths()[0].vertices} == {(0, 9), (10, 1), (10, 3)}
    assert [axis.get_ylabel() for axis in figure.axes] == ["FID", "target rate"]
    assert [axis.get_yscale() for axis in figure.axes] == ["linear", "function"]
    plt.close(figure)


def test_a_panel_of_the_frontiers_has_three_rows_and_the_others_in_grey():
    course = pd.DataFrame({"row": [*"abcd"] * 2, "seed": 0, "step": [0] * 4 + [9] * 4, "fid": range(8)})
    left, right = frontiers(course, [*"abcd"], {"fid": "FID"}).axes
    named = [[line.get_label() for line in axis.lines if line.get_color() != "0.8"] for axis in (left, right)]
    assert named == [["a", "b", "c"], ["d"]]
    assert [sum(line.get_color() == "0.8" for line in axis.lines) for axis in (left, right)] == [1, 3]
    (fourth,) = [line for line in right.lines if line.get_label() == "d"]
    assert fourth.get_color() == PALETTE[3] and left.get_ylim() == right.get_ylim()
    plt.close("all")


def test_the_ladder_has_a_line_for_each_step_whose_rows_there_are():
    finals = pd.DataFrame({
        "row": ["L_dir", "L_dir", "L_dm", "L_dm"], "seed": [0, 1, 0, 1],
        "lpips_avg": [0.30, 0.32, 0.35, 0.37],
        "evaluator_rate": [1.0, 0.9, 0.8, 0.7], "fid": float("nan"),
    })  # fmt: skip
    table = ladder_table(finals)
    assert table.index.tolist() == ["L_dm against L_dir"]
    assert table.iloc[0].tolist() == ["+0.062", "+0.050 (+0.050 to +0.050)", "-0.20 (-0.20 to -0.20)"]
