"""Spread and error of the demo world's factors after an adaptation.

All values come from the evaluator's predictions, so source, adapted and drawn images are measured alike.
"""

import math

import pandas as pd

from zsgan.menagerie.factors import CONTINUOUS
from zsgan.metrics.eyes import Prediction


def spread(prediction: Prediction) -> dict[str, float]:
    """Spread of each factor over N images.

    Args:
        prediction: the evaluator's prediction on the images.

    Returns:
        categorical factor -> entropy of its most likely values over the images, in nats (0 if all are equal);
        continuous factor -> standard deviation (1 over the world of all species and styles).
    """
    result = {}
    for kind, logits in prediction.logits.items():
        share = prediction.label(kind).bincount(minlength=logits.shape[1]).double() / len(prediction)
        result[kind] = float(-share.xlogy(share).sum())
    deviation = prediction.continuous.std(0, correction=0)
    return result | {name: float(value) for name, value in zip(CONTINUOUS, deviation, strict=True)}


def kept(reference: Prediction, images: Prediction) -> dict[str, float]:
    """Spread of each factor relative to a reference: 1 is kept, 0 is collapsed.

    Relative to true images of the target, a perfect adaptation has 1; relative to the source's images, the
    ratio shows what the adaptation changed. Factors that the evaluator cannot read are meaningless here: see
    :func:`zsgan.menagerie.evaluator.reliability`.

    Args:
        reference: prediction on true images, or on images of the source generator.
        images: prediction on images of the adapted generator.

    Returns:
        factor -> ratio of entropies or of standard deviations; nan where the reference has no spread at all.
    """
    before, after = spread(reference), spread(images)
    return {name: after[name] / before[name] if before[name] else math.nan for name in before}


def error(ideal: Prediction, adapted: Prediction) -> dict[str, float]:
    """Error of an adaptation's images against the ideal answers to their latents, for each factor.

    The evaluator reads both, so an error that it makes on both does not count.

    Args:
        ideal: prediction on the portraits that the N latents stand for, in the target domain
            (:func:`zsgan.menagerie.portraits.ideal_answers`).
        adapted: prediction on the adapted generator's images of the same latents, not truncated.

    Returns:
        categorical factor -> share of images with another value; continuous factor -> root mean squared
        difference in standard deviations of the world.

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
    """Mean :func:`error` over all pairings of images and latents, the level of chance.

    An adaptation with an error as large as this has lost the latents' information about the factor.

    Args:
        ideal: prediction on the ideal answers.
        adapted: prediction on the adapted generator's images.

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
    """Kept spread, error and chance error of each factor, as a table.

    Args:
        adapted: prediction on the adapted generator's images, not truncated.
        ideal: prediction on the ideal answers to their latents.
        truth: prediction on true images of the target domain.

    Returns:
        a row for each factor; columns kept (see :func:`kept`, relative to the truth), error and chance.
    """
    wrong, by_chance = error(ideal, adapted), chance(ideal, adapted)
    columns = {"kept": kept(truth, adapted), "error": wrong, "chance": by_chance}
    return pd.DataFrame(columns).rename_axis("factor")
