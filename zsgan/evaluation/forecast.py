"""What texts and source images say of an adaptation before it is trained, and how well.

A ridge regression forecasts an outcome of targets that had no part in its fit: of the other half, for many
halves (:func:`skill`), or of each target from all others, with a test against chance (:func:`left_out`).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.metrics.checks import check_set
from zsgan.metrics.statistics import Interval, percentiles

_PENALTIES = (0.1, 1.0, 10.0, 100.0)
_Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Beforehand(NamedTuple):
    """What is known of a target before any training, in the space of one CLIP.

    Attributes:
        distance: 1 - cosine of the two texts; the length of the text direction is a function of it.
        gap: cosine of the text direction with that from the source text to the mean of the source's images.
        margin: mean difference of the images' cosines with source and target text, in standard deviations
            of that difference: how far the images are from being taken for the target.
        spread: share of the images' variance that lies along the text direction.
    """

    distance: float
    gap: float
    margin: float
    spread: float


def beforehand(texts: Tensor, images: Tensor) -> Beforehand:
    """Features of a target, from its texts and the source generator's images.

    Args:
        texts: (2, D) unit-norm features of source and target text, which differ.
        images: (N, D) unit-norm features of the source generator's images, N >= 2, not all alike.

    Returns:
        the features.

    Raises:
        ValueError: there are fewer than two images.
    """
    check_set(images, 2)
    (source, target), images = at_least_float32(texts).double(), at_least_float32(images).double()
    direction = target - source
    along = images @ direction
    return Beforehand(
        distance=float(1 - source @ target),
        gap=float(torch.cosine_similarity(direction, images.mean(0) - source, dim=0)),
        margin=float(-along.mean() / along.std()),
        spread=float(along.var() / direction.square().sum() / images.var(0).sum()),
    )


def outcomes(course: pd.DataFrame) -> pd.DataFrame:
    """What became of each run.

    Args:
        course: a line for each measured snapshot, with those of step 0, from :meth:`Measurements.course
            <zsgan.evaluation.measurements.Measurements.course>`.

    Returns:
        a line for each run, with columns scenario, row, seed; target_rate, the evaluator's at the end; kept,
        intra-cluster LPIPS at the end relative to the source's (collapse: 0); and best_step, log2 of the step
        with the lowest FID.
    """
    lines = []
    for (scenario, row, seed), path in course.groupby(["scenario", "row", "seed"], sort=False):
        path = path.sort_values("step").set_index("step")
        first, last = path.iloc[0], path.iloc[-1]
        lines.append(
            {
                "scenario": scenario, "row": row, "seed": seed, "target_rate": last["evaluator_rate"],
                "kept": last["lpips_avg"] / first["lpips_avg"],
                "best_step": float(np.log2(path["fid"].drop(0).idxmin())),
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def halves(n: int, draws: int, seed: int = 0) -> _Array:
    """Random halves of n things, disjoint: (draws, 2, n // 2) indices; of an odd n one is left out."""
    random = np.random.default_rng(seed)
    orders = random.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)
    return orders[:, : n // 2 * 2].reshape(draws, 2, n // 2)


def ridge(x: _Array, y: _Array, other: _Array) -> _Array:
    """Predictions of a ridge regression on standardised features, with an intercept.

    The penalty is the one of (0.1, 1, 10, 100) with the lowest error of leaving one out.

    Args:
        x: (n, p) features, n >= 2.
        y: (n,) outcomes.
        other: (m, p) features to predict for.

    Returns:
        (m,) predictions; the mean of ``y`` where no feature varies.
    """
    mean, scale = _moments(x)
    x, other, centred = (x - mean) / scale, (other - mean) / scale, y - y.mean()
    solved = [_solve(x, penalty) for penalty in _PENALTIES]
    best = int(np.argmin([_error_left_out(x, one, centred) for one in solved]))
    return np.asarray(y.mean() + other @ (solved[best] @ centred))


def _moments(x: _Array) -> tuple[_Array, _Array]:
    scale = x.std(0)
    return x.mean(0), np.where(scale < 1e-12, 1, scale)


def _solve(x: _Array, penalty: float) -> _Array:
    """(p, n): centred outcomes -> weights."""
    return np.asarray(np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T))


def _error_left_out(x: _Array, solved: _Array, centred: _Array) -> _Array:
    """Mean squared error of leaving one out, for centred outcomes (n,) or (n, k), by the hat matrix."""
    leverage = 1 / len(x) + np.einsum("np,pn->n", x, solved)
    residuals = centred - x @ (solved @ centred)
    return np.asarray(np.square(residuals.T / (1 - leverage).clip(1e-9)).mean(-1))


def _check(x: _Array, y: _Array) -> None:
    if x.ndim != 2 or y.shape != x.shape[:1] or len(x) < 8:
        raise ValueError(f"x and y must be (n, p) and (n,) for at least 8 targets, got {x.shape}, {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x and y must be finite; leave out the targets of which something is unknown")


class Forecast(NamedTuple):
    """Skill of a forecast, and how often chance would have as much.

    Attributes:
        skill: 1 - MSE / MSE of the mean, each with the target left out; nan if all outcomes are the same.
        p: share of permutations of the outcomes that have at least as much skill; nan likewise.
    """

    skill: float
    p: float


def left_out(x: _Array, y: _Array, permutations: int = 9999, seed: int = 0) -> Forecast:
    """Forecast of each target from all others, with a permutation test.

    The penalty of the ridge is the one with the highest skill, for the permutations as well, so that the
    choice does not make chance look rare.

    Args:
        x: (n, p) features of the targets, n >= 8, finite.
        y: (n,) outcomes, finite.
        permutations: number of permutations.
        seed: seed of the permutations.

    Returns:
        skill and p; a p below 0.05 / m decides each of m forecasts at once (Bonferroni).

    Raises:
        ValueError: there are too few targets, or the shapes do not fit, or a number is not finite.
    """
    _check(x, y)
    if np.ptp(y) == 0:
        return Forecast(float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    centred = np.tile(y - y.mean(), (permutations + 1, 1))
    centred[1:] = random.permuted(centred[1:], axis=1)
    mean, scale = _moments(x)
    x = (x - mean) / scale
    error = np.min([_error_left_out(x, _solve(x, penalty), centred.T) for penalty in _PENALTIES], axis=0)
    plain = np.square(centred[0] * len(y) / (len(y) - 1)).mean()  # of the others' mean
    skills = 1 - error / plain
    return Forecast(float(skills[0]), float((skills >= skills[0] - 1e-12).mean()))


def skill(x: _Array, y: _Array, *, draws: int = 1000) -> Interval:
    """Skill of a forecast on targets that it has not seen: 1 is perfect, 0 no better than the mean.

    1 - MSE / MSE of the fitted half's mean, on the other half, for many random halves.

    Args:
        x: (n, p) features of the targets, n >= 8, finite.
        y: (n,) outcomes, finite.
        draws: number of halves, always the same ones.

    Returns:
        the median over the halves and the range of 95 % of them, which is no confidence interval: the halves
        overlap. nan if all outcomes are the same.

    Raises:
        ValueError: there are too few targets, or the shapes do not fit, or a number is not finite.
    """
    _check(x, y)
    values = []
    for fitted, tested in halves(len(x), draws):
        plain = np.square(y[tested] - y[fitted].mean()).mean()
        if plain > 0:
            predicted = ridge(x[fitted], y[fitted], x[tested])
            values.append(1 - np.square(y[tested] - predicted).mean() / plain)
    if not values:
        return Interval(*[float("nan")] * 3)
    return percentiles(float(np.median(values)), torch.tensor(values, dtype=torch.float64), 0.95)
