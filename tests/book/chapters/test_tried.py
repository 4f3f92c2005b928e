"""The appendix: every setting has its line and its dot, and the numbers are those of the runs."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from zsgan.adaptation.config import override
from zsgan.book.chapters.tried import scenario_table, tried_dots, tried_table
from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.shipped import run_ids
from zsgan.runs.profiles import load_profile


@pytest.fixture
def finals():
    return pd.DataFrame(
        {
            "row": ["a: start", "a: fast", "b: slow", "b: wild"],
            "evaluator_rate": [0.9, 1.0, 0.25, 0.8],
            "fid": [80.0, 70.04, 90, 200.25],
            "precision": [0.5, 0.75, 0.125, 0],
            "recall": [0.0, 0.1, 0, 0],
            "lpips_avg": [0.3, 0.2, 0.4, 0.1],
        }
    )


def test_the_table_keeps_the_order_and_the_numbers(finals):
    table = tried_table(finals)
    assert table.index.tolist() == finals["row"].tolist() and table.index.name == "setting"
    assert table.loc["a: fast"].tolist() == ["1.000", "70.0", "0.75", "0.10", "0.200"]


def test_every_setting_has_a_dot_and_the_extremes_their_names(finals):
    figure = tried_dots(finals, "a: start")
    axis = figure.axes[0]
    dots = {line.get_label(): line.get_xydata().tolist() for line in axis.lines[:2]}
    assert dots == {"a": [[0.9, 80.0], [1.0, 70.04]], "b": [[0.25, 90.0], [0.8, 200.25]]}
    assert axis.lines[2].get_xydata().tolist() == [[0.9, 80.0]]  # the ring
    assert {text.get_text() for text in axis.texts} == {"a: fast", "b: slow", "b: wild"}
    plt.close(figure)


def test_scenarios_begin_with_their_source_and_end_with_the_run(finals):
    numbers = finals.drop(columns="row")
    index = pd.MultiIndex.from_tuples(
        [("x", "a", 20), ("x", "a", 0), ("x", "a", 40), ("y", "b", 0)], names=["scenario", "row", "step"]
    )
    table = scenario_table(numbers.set_axis(index))
    assert table.index.tolist() == ["x", "x", "y", "y"]
    assert table["row"].tolist() == ["source", "a", "source", "b"]
    assert table["FID"].tolist() == ["70.0", "90.0", "200.2", "200.2"]
    assert table["highest rate"].tolist() == ["1.000", "1.000", "0.800", "0.800"]


def test_the_search_begins_with_the_demo_and_never_repeats_itself():
    demo, search = load_profile("demo"), load_profile("search")
    configs = {row: search.config("dog-to-cat", row, 0) for row in search.rows}
    for row, of_demo in ((search.baseline, "L_dir"), ("full: as in the demo", "L_dm + L_EWC + L_rel")):
        shorter = override(demo.config("dog-to-cat", of_demo, 0), {"optimiser.iterations": 120})
        assert configs[row] == shorter
    ids = run_ids(search)
    assert len(set(ids.values())) == len(ids)


def test_other_scenarios_have_the_demos_settings():
    demo, others = load_profile("demo"), load_profile("scenarios")
    own = {"templates": None}
    assert others.settings | own == demo.settings | own
    assert not any("photo" in template for template in others.settings["templates"])
    assert not set(others.scenarios) & set(demo.scenarios)
    assert all(demo.rows[row] == settings for row, settings in others.rows.items())


def test_ten_images_are_the_tables_row_with_more_iterations():
    demo, ten = load_profile("demo"), load_profile("ten-shot")
    (row,) = ten.rows
    assert row in PAPER_TABLE_1 and ten.scenarios == demo.scenarios
    assert ten.config(next(iter(ten.scenarios)), row).few_shot is not None
