"""Intervals: exact small cases, other implementations, and how often they cover the truth."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from zsgan.metrics.matched import Course, at_matched, highest_common, matched_difference
from zsgan.metrics.statistics import draws, over_seeds, paired_difference, rank_correlation


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# Over seeds


def test_the_interval_over_seeds_is_students():
    values = normal(5) * 2 + 1
    found = over_seeds(values, 0.9)
    low, high = scipy.stats.t.interval(0.9, 4, values.mean().item(), scipy.stats.sem(values))
    assert found == pytest.approx((values.mean().item(), low, high))
    assert over_seeds(torch.tensor([2.0, 2, 2])) == (2, 2, 2)


def test_the_interval_over_three_seeds_covers_as_often_as_it_says():
    covered = [
        low <= 0.7 <= high for _, low, high in (over_seeds(0.7 + normal(3, seed=i)) for i in range(1000))
    ]
    assert abs(np.mean(covered) - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 1000)


# Paired


@pytest.mark.parametrize("shape", [(1, 2), (2, 1)])
def test_a_bootstrap_of_two_values_is_known(shape):
    """Means of two draws from {0, 1}: 0, 1/2 and 1 with chances 1/4, 1/2 and 1/4."""
    row, other = torch.tensor([5.0, 8.0]).view(shape), torch.tensor([5.0, 7.0]).view(shape)
    assert paired_difference(row, other) == (0.5, 0, 1)
    assert paired_difference(row, other, level=0.6) == (0.5, 0, 1)
    assert paired_difference(row, other, level=0.4) == (0.5, 0.5, 0.5)


def test_a_bootstrap_over_seeds_and_latents_is_that_of_all_draws():
    """Two seeds and two latents: all 4 x 4 draws are equally likely."""
    d = np.array([[0.0, 1.0], [3.0, 7.0]])
    every = [d[np.ix_(s, n)].mean() for s in product(range(2), repeat=2) for n in product(range(2), repeat=2)]
    found = paired_difference(torch.from_numpy(d), torch.zeros(2, 2), level=0.55, resamples=40_000)
    expected = np.quantile(every, [0.225, 0.775], method="inverted_cdf")
    assert found.estimate == d.mean() and (found.low, found.high) == tuple(expected)


def test_what_rows_share_cancels():
    """Seeds and latents differ much, the rows little: the pairs show it, two separate rows would not."""
    shared = normal(4, 1) + normal(1, 200, seed=1)
    row, other = shared + 0.1 + 0.01 * normal(4, 200, seed=2), shared
    found = paired_difference(row, other)
    assert 0.09 < found.low < found.estimate < found.high < 0.11
    assert over_seeds(row.mean(1)).low < over_seeds(other.mean(1)).high  # unpaired intervals overlap
    opposite = paired_difference(other, row)
    assert opposite == pytest.approx((-found.estimate, -found.high, -found.low))


def test_draws_are_seeded_weights():
    seeds, latents = draws(3, 5, 7, seed=1)
    assert seeds.shape == (7, 3) and latents.shape == (7, 5)
    for weights, n in ((seeds, 3), (latents, 5)):
        assert torch.allclose(weights.sum(1), torch.ones(7, dtype=torch.float64))
        assert torch.equal((weights * n).round() / n, weights)
    assert torch.equal(draws(3, 5, 7, seed=1)[1], latents) and not torch.equal(draws(3, 5, 7, 2)[1], latents)
    row, other = normal(3, 20), normal(3, 20, seed=1)
    assert paired_difference(row, other) == paired_difference(row, other)
    assert paired_difference(row, other) != paired_difference(row, other, seed=1)


@pytest.mark.parametrize(("seeds", "latents", "least", "most"), [(20, 40, 0.92, 0.99), (1, 60, 0.9, 0.98)])
def test_the_paired_interval_covers_the_truth(seeds, latents, least, most):
    """Effects of seeds, of latents and of both, around a difference of 0.3; one seed: of latents alone."""
    covered = 0
    for i in range(400):
        noise = normal(1, latents, seed=3 * i) + normal(seeds, latents, seed=3 * i + 1)
        if seeds > 1:
            noise = noise + normal(seeds, 1, seed=3 * i + 2)
        _, low, high = paired_difference(0.3 + noise, torch.zeros_like(noise), resamples=400, seed=i)
        covered += low <= 0.3 <= high
    assert least < covered / 400 < most


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: over_seeds(torch.ones(1)), "at least 2 runs"),
        (lambda: over_seeds(torch.ones(3), level=95), "level must lie between 0 and 1, .* got 95"),
        (lambda: paired_difference(torch.ones(2, 3), torch.ones(3, 2)), r"\(2, 3\) and \(3, 2\)"),
        (lambda: paired_difference(torch.full((2, 3), math.nan), torch.ones(2, 3)), "must be finite"),
        (lambda: Course(torch.ones(2, 3), torch.ones(2, 3)), r"\(S, T, N\), got \(2, 3\)"),
    ],
)
def test_what_has_no_interval_is_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()


# At the same adaptation


def test_diversity_is_read_off_at_the_first_crossing():
    adaptation = torch.tensor([0.0, 0.2, 0.6, 0.5, 0.9])
    diversity = torch.tensor([1.0, 0.8, 0.7, 0.9, 0.1])
    for target, expected in ((0.0, 1.0), (0.1, 0.9), (0.2, 0.8), (0.4, 0.75), (0.6, 0.7), (0.75, 0.4)):
        assert at_matched(adaptation, diversity, target).item() == pytest.approx(expected), target
    assert at_matched(adaptation, diversity, -1).item() == 1  # has it from the start
    assert at_matched(adaptation, diversity, 0.95).isnan()
    monotone = torch.linspace(0, 1, 6).expand(3, 6)
    values = normal(3, 6)
    expected = [np.interp(0.33, monotone[0], row) for row in values]
    assert at_matched(monotone, values, 0.33).tolist() == pytest.approx(expected)


def test_a_run_that_peaks_at_the_target_has_reached_it():
    """Two sums of the same hits differ in their last bits."""
    hits = torch.zeros(1, 3, 100)
    hits[:, 1:, :12] = 1
    course = Course(hits, torch.arange(3.0)[None, :, None].expand_as(hits))
    target = highest_common([course])
    alike = torch.full((1, 100), 0.01, dtype=torch.float64)
    assert torch.einsum("stn,rn->rst", hits.double(), alike).max() < target  # the case in point
    assert matched_difference(course, course, target) == pytest.approx((0, 0, 0))
    assert matched_difference(course, course, target + 1e-12) == pytest.approx((0, 0, 0))


def test_a_rounding_below_the_target_is_no_reason_to_extrapolate():
    x = torch.tensor([0.0, 0.75 - 1.05e-9, 0.75 - 0.95e-9], dtype=torch.float64)
    assert at_matched(x, torch.tensor([0.0, 1.0, 2.0]), 0.75) == 2


def line(slope, seeds=4, latents=30, steps=11, speed=1.0, seed=0, scatter=0.0):
    """Runs whose diversity falls by ``slope`` for each unit of adaptation, whatever their speed."""
    step = torch.linspace(0, 1, steps, dtype=torch.float64)[None, :, None]
    latent = 0.1 * normal(1, 1, latents)  # the same in all rows
    noise = scatter * normal(seeds, 1, latents, seed=seed + 1)
    adaptation = (speed * step).expand(seeds, steps, latents)
    return Course(adaptation, 1 - slope * adaptation + latent + noise)


def test_speed_alone_makes_no_difference():
    fast, slow = line(0.5, speed=1.0), line(0.5, speed=0.6)
    assert highest_common([fast, slow]) == pytest.approx(0.6)
    assert matched_difference(fast, slow, 0.55) == pytest.approx((0, 0, 0), abs=1e-12)
    # at the last step the slow row would have looked better
    assert slow.diversity[:, -1].mean() > fast.diversity[:, -1].mean() + 0.1


def test_a_difference_at_the_same_adaptation_is_found():
    found = matched_difference(line(0.3), line(0.5, speed=0.7), 0.5)
    assert found == pytest.approx((0.1, 0.1, 0.1))
    with pytest.raises(ValueError, match="target=0.8 is reached by some runs only; all of them reach 0.7"):
        matched_difference(line(0.3), line(0.5, speed=0.7), 0.8)
    with pytest.raises(ValueError, match=r"same seeds and latents, got \(4, 30\) and \(3, 30\)"):
        matched_difference(line(0.3), line(0.3, seeds=3), 0.5)


def test_the_matched_interval_covers_the_truth():
    covered = 0
    for i in range(200):
        row, other = (line(slope, 12, 25, seed=2 * i + k, scatter=0.5) for k, slope in enumerate((0.3, 0.5)))
        _, low, high = matched_difference(row, other, 0.5, resamples=300, seed=i)
        covered += low <= 0.1 <= high
    assert covered / 200 > 0.9


def test_a_draw_in_which_a_run_falls_short_leaves_it_out():
    """Two latents, one of which never adapts: in a quarter of the draws it is drawn alone."""
    steps = torch.linspace(0, 1, 5, dtype=torch.float64)
    adaptation = torch.stack([steps, torch.zeros(5)], 1)[None].double()
    course = Course(adaptation, 1 - adaptation)
    same = matched_difference(course, course, 0.4)
    assert same == (0, 0, 0)
    with pytest.raises(ValueError, match="all of them reach 0.5"):
        matched_difference(course, course, 0.6)


def test_a_rank_correlation_is_spearmans_and_its_interval_holds_the_truth():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(30, generator=random)
    y = x + torch.randn(30, generator=random)
    found = rank_correlation(x, y.round(decimals=1))  # with ties
    assert found.estimate == pytest.approx(scipy.stats.spearmanr(x, y.round(decimals=1)).statistic)
    assert found.low < found.estimate < found.high < 1
    assert rank_correlation(x, -x.exp()) == (-1, -1, -1)
    assert math.isnan(rank_correlation(x, torch.ones(30)).estimate)
    # the interval of independent values leaves out zero in about one of twenty
    pairs = [torch.randn(2, 20, generator=random) for _ in range(400)]
    out = sum(not low <= 0 <= high for _, low, high in (rank_correlation(*pair) for pair in pairs))
    assert 5 < out < 40
    with pytest.raises(ValueError, match=r"n >= 5, got \(4,\) and \(4,\)"):
        rank_correlation(x[:4], y[:4])


@pytest.mark.parametrize("n", [5, 7, 13, 100, 1000])
def test_equal_orders_correlate_fully_but_for_rounding(n):
    """Ranks 1 to 7 against their cubes give 0.9999999999999998."""
    x = torch.arange(1.0, n + 1)
    assert rank_correlation(x, x**3) == (1, 1, 1) and rank_correlation(x, -(x**3)) == (-1, -1, -1)
    exchanged = x.clone()
    exchanged[:2] = x[:2].flip(0)
    found = rank_correlation(x, exchanged)
    assert found.estimate == pytest.approx(1 - 12 / (n**3 - n)) and found.low < found.estimate < found.high


def test_a_value_without_a_rank_is_refused():
    x = torch.arange(6.0)
    infinite, unknown = (torch.cat([x[:5], torch.tensor([last])]) for last in (math.inf, math.nan))
    assert rank_correlation(x, infinite) == (1, 1, 1)
    for pair in ((x, unknown), (unknown, x)):
        with pytest.raises(ValueError, match="must not hold nan, which has no rank; leave out"):
            rank_correlation(*pair)


def test_ranks_are_those_of_tensors_arrays_and_columns():
    x, y = normal(9), normal(9, seed=1)
    expected = rank_correlation(x, y)
    table = pd.DataFrame({"x": x, "y": y}, index=list("abcdefghi"))
    assert rank_correlation(table["x"], table["y"]) == expected
    assert rank_correlation(x.numpy(), y.tolist()) == expected
    # in the order in which they stand, whatever their labels
    assert rank_correlation(table["x"], table["y"].set_axis(list("ihgfedcba"))) == expected
