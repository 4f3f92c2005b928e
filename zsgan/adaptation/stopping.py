"""When to stop, read off the run itself: no image of the target is needed, and no eye.

An adaptation first turns its images towards the text; then it has turned them, and what still changes is not
asked for by the guidance but bought with diversity. So stop where the curve that the run logs anyway, the
cosine of image and text directions, has levelled off. Whether that is better than one number of steps for all
is another matter: :mod:`zsgan.book.chapters.stopping` grades it by the truth. Runs that end by it differ in
length, so compare them at their ends or at equal target rates, not step by step.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

_ALIGNMENT = ("directional", "first_moment")
"""Parts of a history that are 1 - cosine with the text direction: of eq. (1), and of the mean in eq. (3)."""


def alignment(history: Sequence[Mapping[str, float]]) -> Tensor:
    """Cosine of image and text directions over the steps of a run, as the guiding CLIP sees its own batches.

    Image directions that are shorter than ``features.direction_floor`` count as less, as in the loss.

    Args:
        history: one row a step, such as :attr:`zsgan.runs.run.Run.history`.

    Returns:
        float64 (T,), in [-1, 1].

    Raises:
        ValueError: the run's loss has neither eq. (1) nor eq. (3).
    """
    for name in _ALIGNMENT:
        if history and name in history[0]:
            return 1 - torch.tensor([row[name] for row in history], dtype=torch.float64)
    raise ValueError(
        f"history has none of {', '.join(_ALIGNMENT)}: the run followed no text direction, and this rule "
        "says nothing about it"
    )


def smooth(curve: Tensor, window: int) -> Tensor:
    """Mean of the last ``window`` values at each step, of fewer at the start.

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


def plateau(curve: Tensor, window: int = 30, tolerance: float = 0.05) -> int | None:
    """The step at which a rising curve has levelled off.

    At every step the smoothed curve's gain over the last ``window`` steps is held against its gain since the
    first full window. The rule looks backwards only, so a run that stops by it and one that went on agree on
    the step. It does not depend on the curve's scale or offset.

    Args:
        curve: (T,) what grows as the adaptation proceeds, such as :func:`alignment`.
        window: steps of the smoothing and of the gain: noise of single batches must vanish in its mean.
        tolerance: the share of the gain so far that counts as none, in (0, 1).

    Returns:
        the number of steps after which to stop, at least 3 windows; ``None`` while the curve still rises or
        has not risen yet.

    Raises:
        ValueError: window or tolerance are out of range, or the curve is no finite (T,).
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
