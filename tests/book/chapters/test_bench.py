"""The tables and the rank plot of the chapter on the bench."""

import math

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from zsgan.book.chapters import bench
from zsgan.book.pages import laid_out


@pytest.fixture
def ranked():
    """Three rows in two blocks; mean ranks 2, 3 and 1."""
    return pd.DataFrame({"L_dir": [2, 2], "second to none": [3, 3], "full": [1, 1]})


def test_a_standing_is_its_mean_with_the_difference_and_its_interval():
    numbers = [
        ("L_dir", "fid", 100.0, 0.0, 0.0, 0.0),
        ("L_dir", "seconds", 90.4, 0.0, 0.0, 0.0),
        ("full", "fid", 88.04, -12.46, -20.06, -4.9),
        ("full", "seconds", 70.0, -20.4, -30.0, -10.0),
        ("late", "fid", math.nan, math.nan, math.nan, math.nan),
        ("late", "seconds", 9.0, math.nan, math.nan, math.nan),
    ]
    columns = ["row", "measure", "mean", "difference", "low", "high"]
    table = pd.DataFrame(numbers, columns=columns).assign(seeds=5)
    found = bench.cells(table, "L_dir", ["seconds", "fid"])
    assert list(found) == ["seconds a run", "FID"] and list(found.index) == ["L_dir", "full", "late"]
    assert found["FID"].tolist() == ["100.0", "88.0, -12.5 (-20.1 to -4.9)", "–"]
    assert found["seconds a run"].tolist() == ["90", "70", "9"]
    assert "88.0, -12.5\\\n(-20.1 to" in laid_out(found.to_csv())  # on a page, the interval has its own line


def test_a_row_stands_beside_another_of_its_method():
    fids = {"a": [10.0, 12], "a, tuned": [8.0, 11], "b": [5.0, 5]}
    numbers = {
        "lpips_avg": 0.4,
        "evaluator_rate": 0.9,
        "ideal_distance": 0.5,
        "factors_kept": 1.0,
        "seconds": 3.0,
    }
    runs = pd.DataFrame([
        {"scenario": "one", "row": row, "seed": seed, "place": place, "fid": fid + far, **numbers}
        for row, values in fids.items() for seed, fid in enumerate(values)
        for place, far in (("end", 0), ("best step", 100))
    ])  # fmt: skip
    found = bench.against(runs, {"a": "a, tuned"}, ["fid", "lpips_avg"], "tuned")
    assert list(found) == ["FID", "FID, tuned", "LPIPS", "LPIPS, tuned"] and list(found.index) == ["a"]
    # differences of -2 and -1
    assert found.loc["a", ["FID", "FID, tuned"]].tolist() == ["11.0", "9.5, -1.5 (-7.9 to +4.9)"]


def test_mean_ranks_have_bars_as_long_as_the_critical_difference(ranked):
    figure = bench.rank_plot({"FID": ranked, "LPIPS": 4 - ranked}, 1.5)
    try:
        left, right = figure.axes
        assert [text.get_text() for text in left.get_yticklabels()] == ["full", "L_dir", "second to none"]
        assert [list(axis.lines[0].get_xdata()) for axis in (left, right)] == [[1, 2, 3], [3, 2, 1]]
        (bars,) = left.collections
        assert [(path[0, 0], path[1, 0]) for path in bars.get_segments()] == [
            (0.25, 1.75), (1.25, 2.75), (2.25, 3.75)
        ]  # fmt: skip
        assert left.get_ylim()[0] > left.get_ylim()[1]  # the best on top
    finally:
        plt.close(figure)


def test_pairs_that_a_critical_difference_sets_apart_are_counted_once(ranked):
    assert [bench.apart(ranked, critical) for critical in (0.5, 1, 1.5, 2, 2.5)] == [3, 3, 1, 1, 0]


def test_lists_of_rows_keep_their_commas_apart():
    assert bench.listed(["L_dir, stopped", "AIR"]) == "L_dir, stopped; AIR"
    assert bench.listed([]) == "none"
