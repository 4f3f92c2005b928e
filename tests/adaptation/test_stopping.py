"""The stopping rule on curves whose answer is known."""

import math

import pytest
import torch

from zsgan.adaptation.stopping import alignment, plateau, smooth


def noise(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STEPS = torch.arange(2000, dtype=torch.float64)


def saturating(time):
    return 1 - torch.exp(-STEPS / time)


def test_the_history_holds_the_cosine():
    rows = [{"step": 1, "directional": 0.9, "loss": 5.0}, {"step": 2, "directional": 0.25, "loss": 4.0}]
    assert alignment(rows).tolist() == pytest.approx([0.1, 0.75])
    moments = [{"first_moment": 0.5, "covariance": 3.0}]
    assert alignment(moments).tolist() == [0.5]
    for history in ([{"ewc": 1.0}], []):
        with pytest.raises(ValueError, match="none of directional, first_moment"):
            alignment(history)


def test_a_run_knows_its_alignment(full_run):
    assert alignment(full_run.history).shape == (4,)


def test_smoothing_is_a_running_mean_that_looks_back():
    x = noise(20)
    expected = [x[max(0, i - 4) : i + 1].mean().item() for i in range(20)]
    assert smooth(x, 5).tolist() == pytest.approx(expected)
    assert torch.equal(smooth(x[:9], 5), smooth(x, 5)[:9])


@pytest.mark.parametrize("time", [50, 200])
@pytest.mark.parametrize("window", [10, 30])
@pytest.mark.parametrize("tolerance", [0.02, 0.1])
def test_a_saturating_curve_stops_where_the_closed_form_says(time, window, tolerance):
    """q = exp(-1 / time): the gain of the last window is q^-w - 1 times what is left, q^t.

    Since the first window the gain is 1 - q^(t - t_0), with t - t_0 = steps - window. So the rule asks for
    (q^-w - 1) q^(t - t_0) <= tolerance (1 - q^(t - t_0)), and for two windows after the first.
    """
    q = math.exp(-1 / time)
    growth = q**-window - 1
    expected = window + max(2 * window, math.ceil(math.log(tolerance / (growth + tolerance), q)))
    assert abs(plateau(saturating(time), window, tolerance) - expected) <= 1


def test_slower_runs_stop_later_and_stricter_rules_too():
    found = [plateau(saturating(time)) for time in (50, 100, 200, 400)]
    assert found == sorted(set(found))
    found = [plateau(saturating(100), tolerance=tolerance) for tolerance in (0.2, 0.1, 0.05, 0.01)]
    assert found == sorted(set(found))


def test_scale_and_offset_do_not_matter():
    assert plateau(7 * saturating(100) - 3) == plateau(saturating(100))


def test_it_looks_backwards_only():
    curve = saturating(100) + 0.02 * noise(2000)
    stop = plateau(curve)
    assert plateau(curve[:stop]) == stop and plateau(curve[: stop - 1]) is None
    later = torch.cat([curve[:stop], curve[stop:] + 10])
    assert plateau(later) == stop


def test_a_curve_that_still_rises_or_falls_does_not_stop():
    assert plateau(STEPS[:500], tolerance=0.05) is None  # 30 of at most 470 steps of gain
    assert plateau(-saturating(100)) is None
    assert plateau(saturating(100)[:60]) is None  # shorter than three windows
    assert plateau(torch.zeros(500)) is None
    for few in (0, 1, 29, 30, 89):  # of three windows of 30
        assert plateau(saturating(1)[:few]) is None


def test_a_ramp_and_a_flat_end_stop_one_window_after_the_bend():
    """The last window must lie on the flat part but for the tolerance."""
    curve = STEPS.clamp_max(600)
    stop = plateau(curve, 30, 0.01)
    assert 600 < stop <= 600 + 60


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_batches_does_not_stop_it_early(seed):
    noisy = saturating(150) + 0.1 * noise(2000, seed)
    clean = plateau(saturating(150), 60)
    assert 0.6 * clean < plateau(noisy, 60) < 1.6 * clean


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window must be at least 1 .*got 0 and 0.05"),
        ({"tolerance": 1.0}, "tolerance between 0 and 1, got 30 and 1.0"),
        ({"curve": torch.zeros(3, 2)}, r"\(T,\), got \(3, 2\)"),
        ({"curve": torch.tensor([1.0, math.nan])}, "must be finite"),
    ],
)
def test_what_is_no_curve_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        plateau(**{"curve": torch.zeros(10), **arguments})
