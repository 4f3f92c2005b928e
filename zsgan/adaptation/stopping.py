"""Stopping rule that needs only the run's own history, neither target images nor an evaluator.

An adaptation first turns its images towards the text; later changes are not required by the guidance and cost
diversity. The rule therefore stops when the logged cosine of image and text directions has levelled off.
:mod:`zsgan.book.chapters.stopping` compares it by the truth with a fixed number of steps. Runs that stop by
the rule differ in length: compare them at their ends or at equal target rates, not at equal steps.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

WINDOW = 30
"""Steps of the smoothing and of the gain in :func:`plateau`."""
EARLIEST = 3 * WINDOW
"""First step at which a run can stop."""
_ALIGNMENT = ("directional", "first_moment")
"""Parts of a history that are 1 - cosine with the text direction, from eq. (1) and the mean in eq. (3)."""


def alignment(history: Sequence[Mapping[str, float]]) -> Tensor:
    """Cosine of image and text directions over the steps of a run, by the guiding CLIP on its own batches.

    Image directions shorter than ``features.direction_floor`` have a smaller cosine, as in the loss.

    Args:
        history: one row per step, such as :attr:`zsgan.runs.run.Run.history`.

    Returns:
        float64 (T,), in [-1, 1].

    Raises:
        ValueError: the run's loss has neither eq. (1) nor eq. (3).
    """
    for name in _ALIGNMENT:
        if history and name in history[0]:
            return 1 - torch.tensor([row[name] for row in history], dtype=torch.float64)
    raise ValueError(
        f"history has none of {', '.join(_ALIGNMENT)}: the run followed no text direction, so this "
        "rule does not apply"
    )


def smooth(curve: Tensor, window: int) -> Tensor:
    """Mean of the last ``window`` values at each step, or of fewer at the start.

    Args:
        curve: (T,).
        window: steps, >= 1.

    Returns:
        float64 (T,).
    """
    total = torch.cat([torch.zeros(1, dtype=torch.float64), curve.double().cumsum(0)])
    last = torch.arange(1, len(curve) + 1)
    first = (last - window).clamp_min(0)
    return (total[last] - total[first]) / (last - first)


def plateau(curve: Tensor, window: int = WINDOW, tolerance: float = 0.05) -> int | None:
    """Step at which a rising curve has levelled off.

    At every step the smoothed curve's gain over the last ``window`` steps is compared with its gain since the
    first full window. The rule uses only past values, so a run that stops by it and one that continues give
    the same step. It does not depend on the curve's scale or offset.

    Args:
        curve: (T,) a quantity that grows with the adaptation, such as :func:`alignment`.
        window: steps of the smoothing and of the gain; large enough to average out the noise of batches.
        tolerance: share of the gain so far below which the recent gain counts as none, in (0, 1).

    Returns:
        the number of steps after which to stop, at least 3 windows; ``None`` while the curve still rises or
        has not risen yet.

    Raises:
        ValueError: window or tolerance are out of range, or the curve is not finite of shape (T,).
    """
    if window < 1 or not 0 < tolerance < 1:
        raise ValueError(
            f"window must be at least 1 and tolerance between 0 and 1, got {window} and {tolerance}"
        )
    if curve.ndim != 1 or not bool(curve.isfinite().all()):
        raise ValueError(f"curve must be finite and of shape (T,), got {tuple(curve.shape)}")
    if len(curve) < 3 * window:
        return None
    level = smooth(curve, window)[window - 1 :]  # full windows only
    recent = level[2 * window :] - level[window:-window]
    since = level[2 * window :] - level[0]
    done = (since > 0) & (recent <= tolerance * since)
    if not bool(done.any()):
        return None
    return int(done.int().argmax()) + 3 * window
