"""The search picks, for each method, the trial with the lowest FID."""

import pandas as pd
import pytest

from zsgan.report.trials import trials, tuned


def runs(**fids) -> pd.DataFrame:
    return pd.DataFrame({"row": [name.replace("_", ": ") for name in fids], "fid": list(fids.values())})


def test_the_best_trial_of_each_method_is_found():
    finals = runs(a_published=3.0, a_x=2.0, a_y=2.5, b_published=1.0, b_x=1.0, b_y=4.0)
    found = trials(finals)
    assert list(found["method"]) == ["a"] * 3 + ["b"] * 3
    assert list(found["trial"]) == ["published", "x", "y"] * 2
    assert list(found["row"][found["best"]]) == ["a: x", "b: published"]  # of equals, the published one
    assert tuned(finals) == {"a, tuned": "a: x"}


def test_a_method_may_have_colons_in_its_name():
    finals = pd.DataFrame({"row": ["a: b: published", "a: b: x"], "fid": [2.0, 1.0]})
    assert tuned(finals) == {"a: b, tuned": "a: b: x"}


@pytest.mark.parametrize(
    ("finals", "message"),
    [(runs(a_published=1.0, b=2.0), "row 'b' of a search is not called METHOD: TRIAL"),
     (runs(a_published=1.0, b_x=2.0), "b has no trial 'published'")],
)  # fmt: skip
def test_a_search_without_names_or_without_the_published_trial_is_refused(finals, message):
    with pytest.raises(ValueError, match=message):
        trials(finals)
