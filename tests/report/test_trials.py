"""The search picks, for each method, the trial with the lowest FID."""

import pandas as pd
import pytest

from zsgan.report.trials import OF_THE_BENCH, trials, tuned


def runs(**fids) -> pd.DataFrame:
    rows = [name.replace("_", ": ").replace(": own", f": {OF_THE_BENCH}") for name in fids]
    return pd.DataFrame({"row": rows, "fid": list(fids.values())})


def test_the_best_trial_of_each_method_is_found():
    finals = runs(a_own=3.0, a_x=2.0, a_y=2.5, b_own=1.0, b_x=1.0, b_y=4.0)
    found = trials(finals)
    assert list(found["method"]) == ["a"] * 3 + ["b"] * 3
    assert list(found["trial"]) == [OF_THE_BENCH, "x", "y"] * 2
    assert list(found["row"][found["best"]]) == ["a: x", f"b: {OF_THE_BENCH}"]  # of equals, that one
    assert tuned(finals) == {"a, tuned": "a: x"}


def test_a_method_may_have_colons_in_its_name():
    finals = pd.DataFrame({"row": [f"a: b: {OF_THE_BENCH}", "a: b: x"], "fid": [2.0, 1.0]})
    assert tuned(finals) == {"a: b, tuned": "a: b: x"}


@pytest.mark.parametrize(
    ("finals", "message"),
    [(runs(a_own=1.0, b=2.0), "row 'b' of a search is not called METHOD: TRIAL"),
     (runs(a_own=1.0, b_x=2.0), f"b has no trial '{OF_THE_BENCH}'")],
)  # fmt: skip
def test_a_search_without_names_or_without_the_trial_of_the_bench_is_refused(finals, message):
    with pytest.raises(ValueError, match=message):
        trials(finals)
