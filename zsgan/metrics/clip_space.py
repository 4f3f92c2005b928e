"""Spread and position of images in CLIP space."""

from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.metrics.checks import check_set


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
    features, target, others = features.double(), target.double(), others.double()
    rivals = features @ others.reshape(-1, others.shape[-1]).T
    return float((features @ target > rivals.amax(1)).double().mean())
