"""Forecasts from what is known before training: planted relations are found, noise is not."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from zsgan.evaluation.forecast import beforehand, halves, left_out, outcomes, ridge, skill


def random_features(n=20, p=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p))


def test_halves_are_disjoint_and_of_equal_size():
    found = halves(21, 50)
    assert found.shape == (50, 2, 10)
    assert all(
        len({*first, *second}) == 20 and {*first, *second} <= set(range(21)) for first, second in found
    )
    assert (found == halves(21, 50)).all() and (found != halves(21, 50, seed=1)).any()
    assert len({tuple(sorted(first)) for first, _ in found}) == 50


def test_a_ridge_of_a_linear_relation_is_exact_up_to_its_penalty():
    x, other = random_features(200), random_features(7, seed=1)
    w = np.array([2.0, -1.0, 0.0, 0.5])
    assert ridge(x, 3 + x @ w, other) == pytest.approx(3 + other @ w, abs=0.01)
    # of any unit and origin, and with a feature that never varies
    scaled = [np.hstack([1e3 * one - 5, np.full((len(one), 1), 7.0)]) for one in (x, other)]
    assert ridge(scaled[0], 3 + x @ w, scaled[1]) == pytest.approx(3 + other @ w, abs=0.01)
    assert ridge(np.ones((6, 2)), np.arange(6.0), np.ones((3, 2))) == pytest.approx(2.5)


def test_the_penalty_is_that_of_leaving_one_out():
    """By doing it, for each penalty, on standardised features of all."""
    x, other = random_features(12), random_features(3, seed=1)
    y = x[:, 0] + np.random.default_rng(2).normal(size=12)
    z, to = (x - x.mean(0)) / x.std(0), (other - x.mean(0)) / x.std(0)

    def fit(a, b, at, penalty):  # the intercept as a column that costs nothing
        a, at = (np.hstack([np.ones((len(one), 1)), one]) for one in (a, at))
        return at @ np.linalg.solve(a.T @ a + penalty * np.diag([0, 1, 1, 1, 1]), a.T @ b)

    def left_out(penalty):
        rest = [np.arange(12) != i for i in range(12)]
        return sum((y[i] - fit(z[k], y[k], z[i : i + 1], penalty)[0]) ** 2 for i, k in enumerate(rest))

    best = min((0.1, 1, 10, 100), key=left_out)
    assert ridge(x, y, other) == pytest.approx(fit(z, y, to, best))


def test_a_planted_relation_has_skill_and_noise_has_none():
    x = random_features()
    noise = np.random.default_rng(3).normal(size=20)
    planted = skill(x, x @ [1.0, -2.0, 0.0, 0.5] + 0.1 * noise, draws=200)
    assert planted.low > 0.8 and planted.low < planted.estimate < planted.high <= 1
    none = skill(x, noise, draws=200)
    assert none.low < 0 and none.estimate < 0.2
    assert none == skill(x, noise, draws=200)
    assert math.isnan(skill(x, np.ones(20)).estimate)  # nothing to forecast


def test_the_skill_of_leaving_one_out_is_that_of_doing_it():
    """Each target by a ridge of the others on features standardised over all, for the best penalty."""
    x = random_features(12)
    y = x[:, 0] + np.random.default_rng(2).normal(size=12)
    z = (x - x.mean(0)) / x.std(0)
    rest = [np.arange(12) != i for i in range(12)]

    def error(penalty):
        total = 0.0
        for i, k in enumerate(rest):
            a = np.hstack([np.ones((11, 1)), z[k]])
            w = np.linalg.solve(a.T @ a + penalty * np.diag([0, 1, 1, 1, 1]), a.T @ y[k])
            total += (y[i] - w[0] - z[i] @ w[1:]) ** 2
        return total

    plain = sum((y[i] - y[k].mean()) ** 2 for i, k in enumerate(rest))
    found = left_out(x, y, permutations=99)
    assert found.skill == pytest.approx(1 - min(map(error, (0.1, 1, 10, 100))) / plain)
    assert found == left_out(x, y, permutations=99)


def test_chance_is_rare_for_a_planted_relation_and_common_for_noise():
    x, noise = random_features(), np.random.default_rng(3).normal(size=20)
    planted = left_out(x, x @ [1.0, -2.0, 0.0, 0.5] + 0.1 * noise, permutations=999)
    assert planted.skill > 0.9 and planted.p == 1 / 1000  # itself alone
    tries = [
        left_out(x, np.random.default_rng(seed).normal(size=20), permutations=199).p for seed in range(80)
    ]
    assert 0.35 < np.mean(tries) < 0.65 and np.mean(np.array(tries) < 0.2) < 0.35
    assert math.isnan(left_out(x, np.ones(20)).p)


@pytest.mark.parametrize("judge", [skill, left_out])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((6, 2)), np.ones(6), "at least 8 targets"),
        (np.ones((9, 2)), np.ones(8), r"got \(9, 2\), \(8,\)"),
        (np.ones((9, 2)), np.full(9, np.nan), "must be finite"),
    ],
)
def test_what_cannot_be_forecast_is_refused(judge, x, y, message):
    with pytest.raises(ValueError, match=message):
        judge(x, y)


def test_what_is_known_beforehand_by_hand():
    source, target = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    images = torch.tensor([[0.8, 0, 0.6], [0.6, 0, 0.8]])
    found = beforehand(torch.stack([source, target]), images)
    assert found.distance == pytest.approx(1)  # at right angles
    # direction (-1, 1, 0), images from the source text (-0.3, 0, 0.7)
    assert found.gap == pytest.approx(0.3 / (2 * 0.58) ** 0.5)
    # differences of 0.8 and 0.6: their mean in standard deviations
    assert found.margin == pytest.approx(0.7 / np.std([0.8, 0.6], ddof=1), rel=1e-5)
    # they vary as much across as along x, and x is half along the direction
    assert found.spread == pytest.approx(0.25)
    with pytest.raises(ValueError, match="at least 2 images"):
        beforehand(normalize(torch.rand(2, 3)), images[:1])


def test_outcomes_are_read_off_the_course():
    steps = [0, 20, 40, 80]
    course = pd.DataFrame(
        {
            "scenario": "cat", "row": "L_dir", "seed": 0, "step": steps, "lpips_avg": [0.5, 0.4, 0.3, 0.1],
            "fid": [1.0, 30, 20, 40], "evaluator_rate": [0, 0.5, 0.9, 0.8],
        }
    )  # fmt: skip
    (line,) = outcomes(pd.concat([course[2:], course[:2]])).to_dict("records")
    assert line["target_rate"] == 0.8 and line["kept"] == pytest.approx(0.2)
    assert line["best_step"] == pytest.approx(math.log2(40))  # the source is no step
