import pandas as pd
import pytest

from zsgan.findings import at_common_rate, changes, sentences


def measured(lpips, rate=(0.5,) * 4, fid=(100.0,) * 4):
    rows, seeds = ["L_dir", "L_dir", "L_dm", "L_dm"], [0, 1, 1, 0]
    columns = {"row": rows, "seed": seeds, "lpips_avg": lpips, "evaluator_rate": rate, "fid": fid}
    return pd.DataFrame(columns)


def test_changes_pair_the_seeds():
    found = changes(measured([0.3, 0.4, 0.42, 0.35], fid=[9, 7, 6, 9]), "L_dir", "L_dm")
    diversity = found["lpips_avg"]
    assert (diversity.mean, diversity.low, diversity.high) == pytest.approx((0.035, 0.02, 0.05))
    assert diversity.verdict == "higher"  # 0.35 is below 0.4, but that was another seed
    assert changes(measured([0.3, 0.4, 0.42, 0.35]), "L_dm", "L_dir")["lpips_avg"].verdict == "lower"
    assert (found["fid"].mean, found["fid"].verdict) == (-0.5, "undecided")  # one falls, one stays
    assert found["evaluator_rate"].verdict == "undecided"


def test_one_seed_decides_nothing():
    one = measured([0.3, 0.4, 0.42, 0.35]).query("seed == 1")
    assert changes(one, "L_dir", "L_dm")["lpips_avg"].verdict == "undecided"
    (text,) = sentences(one, ["L_dir", "L_dm"])
    assert text.startswith(
        "**L_dm** against L_dir: diversity undecided (+0.020; one seed, which cannot decide), "
    )


def test_sentences_follow_the_numbers():
    found = list(sentences(measured([0.3, 0.4, 0.42, 0.35], (0.5, 0.6, 0.5, 0.25)), ["L_dir", "L_dm"]))
    assert found == [
        "**L_dm** against L_dir: diversity higher (+0.035; +0.020 to +0.050 over 2 seeds), target rate lower "
        "(-0.17; -0.25 to -0.10 over 2 seeds), FID undecided (+0.0; +0.0 to +0.0 over 2 seeds)."
    ]


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


def test_a_run_that_never_left_is_compared_where_it_stands():
    path = {"row": "a", "seed": 0, "step": [0, 10], "evaluator_rate": [0.0, 0.0], "sse": [9.0, 7.0]}
    rate, found = at_common_rate(pd.DataFrame(path), ["a"])
    assert rate == 0 and found.loc["a", "mean"] == 9
