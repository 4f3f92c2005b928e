"""What became of the demo world's factors: which kept their spread, which are wrong?

All from the evaluator's predictions, so that source, adapted and drawn images are read alike.
"""

import math

import pandas as pd

from zsgan.menagerie.factors import CONTINUOUS
from zsgan.metrics.eyes import Prediction


def spread(prediction: Prediction) -> dict[str, float]:
    """How varied each factor is.

    Args:
        prediction: what the evaluator reads from N images.

    Returns:
        categorical factor -> entropy of its likeliest values over the images, in nats (0 if all are alike);
        continuous factor -> standard deviation (1: as in the world of all species and styles).
    """
    result = {}
    for kind, logits in prediction.logits.items():
        share = prediction.label(kind).bincount(minlength=logits.shape[1]).double() / len(prediction)
        result[kind] = float(-share.xlogy(share).sum())
    deviation = prediction.continuous.std(0, correction=0)
    return result | {name: float(value) for name, value in zip(CONTINUOUS, deviation, strict=True)}


def kept(reference: Prediction, images: Prediction) -> dict[str, float]:
    """Spread of each factor relative to a reference: 1 is kept, 0 is collapsed.

    Against true images of the target it says what a perfect adaptation would have; against the source's
    images, what the adaptation changed. Factors that the evaluator cannot read say nothing here: see
    :func:`zsgan.menagerie.evaluator.reliability`.

    Args:
        reference: of true images, or of images of the source generator.
        images: of images of the adapted generator.

    Returns:
        factor -> ratio of entropies or of standard deviations; nan where the reference has no spread at all.
    """
    before, after = spread(reference), spread(images)
    return {name: after[name] / before[name] if before[name] else math.nan for name in before}


def error(ideal: Prediction, adapted: Prediction) -> dict[str, float]:
    """How far an adaptation's images are from the ideal answers to their latents, factor by factor.

    Both are read by the evaluator, so that what it reads wrongly in both does not count.

    Args:
        ideal: of the portraits that the N latents stand for, in the target domain
            (:func:`zsgan.menagerie.portraits.ideal_answers`).
        adapted: of the adapted generator's images of the same latents, not truncated.

    Returns:
        categorical factor -> share of images in which another value is read; continuous factor -> root mean
        squared difference in standard deviations of the world.

    Raises:
        ValueError: the numbers of images differ.
    """
    if len(ideal) != len(adapted):
        raise ValueError(f"each image needs its ideal answer, got {len(adapted)} and {len(ideal)}")
    wrong = {
        kind: float((adapted.label(kind) != ideal.label(kind)).double().mean()) for kind in adapted.logits
    }
    squares = (adapted.continuous.double() - ideal.continuous.double()).square().mean(0)
    return wrong | dict(zip(CONTINUOUS, squares.sqrt().tolist(), strict=True))


def chance(ideal: Prediction, adapted: Prediction) -> dict[str, float]:
    """The :func:`error` of the same images if they belonged to other latents: a mean over all pairings.

    An adaptation with an error as large as this one has lost what the latents say about the factor.

    Args:
        ideal: of the ideal answers.
        adapted: of the adapted generator's images.

    Returns:
        as :func:`error`.
    """
    wrong = {}
    for kind, logits in adapted.logits.items():
        shares = [p.label(kind).bincount(minlength=logits.shape[1]) / len(p) for p in (ideal, adapted)]
        wrong[kind] = 1 - float(shares[0].double() @ shares[1].double())
    a, b = adapted.continuous.double(), ideal.continuous.double()
    squares = a.var(0, correction=0) + b.var(0, correction=0) + (a.mean(0) - b.mean(0)).square()
    return wrong | dict(zip(CONTINUOUS, squares.sqrt().tolist(), strict=True))


def report(adapted: Prediction, ideal: Prediction, truth: Prediction) -> pd.DataFrame:
    """Which factors lost how much spread, and how far each is from the ideal answers.

    Args:
        adapted: of the adapted generator's images, not truncated.
        ideal: of the ideal answers to their latents.
        truth: of true images of the target domain.

    Returns:
        a line for each factor; columns kept (see :func:`kept`, relative to the truth), error and chance.
    """
    wrong, by_chance = error(ideal, adapted), chance(ideal, adapted)
    columns = {"kept": kept(truth, adapted), "error": wrong, "chance": by_chance}
    return pd.DataFrame(columns).rename_axis("factor")
