"""What became of the demo world's factors: did the target appear, and which factors kept their spread?

All from the evaluator's predictions, so that source, adapted and drawn images are read alike.
"""

import math
from collections.abc import Mapping

from zsgan.menagerie.evaluator import Prediction
from zsgan.menagerie.factors import CONTINUOUS, index_of


def species_rate(prediction: Prediction, name: str) -> float:
    """Share of images whose likeliest species is ``name``."""
    return _rate(prediction, "species", name)


def style_rate(prediction: Prediction, name: str) -> float:
    """Share of images whose likeliest style is ``name``."""
    return _rate(prediction, "style", name)


def _rate(prediction: Prediction, kind: str, name: str) -> float:
    return float((prediction.label(kind) == index_of(kind, name)).double().mean())


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


def kept(source: Prediction, adapted: Prediction) -> dict[str, float]:
    """Spread of each factor after the adaptation, relative to before: 1 is kept, 0 is collapsed.

    Factors that the evaluator cannot read say nothing here: see
    :func:`zsgan.menagerie.evaluator.reliability`.

    Args:
        source: of images of the source generator.
        adapted: of images of the adapted generator.

    Returns:
        factor -> ratio; nan where the source has no spread at all.
    """
    before, after = spread(source), spread(adapted)
    return {name: _ratio(after, before, name) for name in before}


def _ratio(numerator: Mapping[str, float], denominator: Mapping[str, float], name: str) -> float:
    return numerator[name] / denominator[name] if denominator[name] else math.nan
