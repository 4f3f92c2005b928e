"""Spread, position and movement of images in CLIP space.

The diversity of HyperDomainNet (Alanov et al. 2022) is :func:`variance`, its quality :func:`clip_quality`.
"""

import torch.nn.functional as F
from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.metrics.checks import check_pairs, check_set
from zsgan.metrics.rounding import rounding


def sse(features: Tensor) -> Tensor:
    """Sum of squared distances of features to their mean (Fig. 3a).

    It grows with the number of images; :func:`variance` does not.

    Args:
        features: (N, D).

    Returns:
        a scalar of the features' dtype, at least float32.
    """
    features = at_least_float32(features)
    return (features - features.mean(0)).square().sum()


def variance(features: Tensor) -> Tensor:
    """Total variance, ``sse / (N - 1)``: half the mean squared distance between two images.

    For features of unit norm it is the mean of 1 - cos over all pairs, the diversity of HyperDomainNet
    (Alanov et al. 2022).

    Args:
        features: (N, D), N >= 2.

    Returns:
        a scalar of the features' dtype, at least float32.

    Raises:
        ValueError: there are fewer than two images.
    """
    check_set(features, 2)
    return sse(features) / (len(features) - 1)


def clip_score(features: Tensor, target: Tensor) -> float:
    """Mean cosine of images and text, without the factor of 2.5 or 100 that some use.

    Use a CLIP that did not guide the adaptation.

    Args:
        features: (N, D) unit-norm image features.
        target: (D,) unit-norm feature of the target text.

    Returns:
        in [-1, 1].
    """
    return float((features.double() @ target.double()).mean())


def clip_quality(features: Tensor, prompts: Tensor) -> float:
    """Mean cosine of images and prompts, the quality of HyperDomainNet (Alanov et al. 2022).

    Each prompt is compared by itself, whereas :func:`clip_score` takes the direction of their mean: the two
    differ by the length of that mean, and are equal for a single prompt.

    Args:
        features: (N, D) unit-norm image features.
        prompts: (P, D) unit-norm features of the target text in P templates.

    Returns:
        in [-1, 1].

    Raises:
        ValueError: there is no prompt.
    """
    check_set(prompts)
    return float((features.double() @ prompts.double().mean(0)).mean())


def clip_direction(before: Tensor, after: Tensor, source: Tensor, target: Tensor) -> float:
    """Mean cosine of image directions and the text direction: 1 minus eq. (1), with a CLIP of one's choice.

    Use a CLIP that did not guide the adaptation: this is what the directional loss trains for.

    Args:
        before: (N, D) unit-norm features of the source's images.
        after: (N, D) unit-norm features of the adapted generator's images of the same latents.
        source: (D,) unit-norm feature of the source text.
        target: (D,) unit-norm feature of the target text.

    Returns:
        in [-1, 1]; nan if no image has changed. An unchanged image has no direction, and does not count.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_pairs(before, after)
    share = rounding(after.dtype)
    before, after, source, target = map(at_least_float32, (before, after, source, target))
    images = (after - before).double()
    moved = images.norm(dim=1) > share * after.norm(dim=1)
    return float(F.cosine_similarity(images[moved], (target - source).double()[None]).mean())


def target_rate(features: Tensor, target: Tensor, others: Tensor) -> float:
    """Share of images that CLIP assigns to the target text, the degree of adaptation.

    Zero-shot classification: an image counts if its cosine with the target text is larger than with every
    other text. Use a CLIP that did not guide the adaptation, since adversarial textures fool the guiding one.

    Args:
        features: (N, D) unit-norm image features.
        target: (D,) unit-norm feature of the target text.
        others: (D,) or (M, D), the source text, alone or with other candidates.

    Returns:
        a share in [0, 1].
    """
    return float(target_hits(features, target, others).mean())


def target_hits(features: Tensor, target: Tensor, others: Tensor) -> Tensor:
    """(N,) in float64, 1 for each image that counts in :func:`target_rate` and 0 for the others."""
    features, target, others = features.double(), target.double(), others.double()
    rivals = features @ others.reshape(-1, others.shape[-1]).T
    return (features @ target > rivals.amax(1)).double()
