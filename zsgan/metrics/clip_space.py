"""Spread and place of images in CLIP space."""

from torch import Tensor


def sse(features: Tensor) -> Tensor:
    """Sum of squared distances of features to their mean (Fig. 3a).

    It grows with the number of images; :func:`variance` does not.

    Args:
        features: (N, D).

    Returns:
        a scalar of the features' dtype.
    """
    return (features - features.mean(0)).square().sum()


def variance(features: Tensor) -> Tensor:
    """Total variance, ``sse / (N - 1)``: half the mean squared distance between two images.

    Args:
        features: (N, D), N >= 2.

    Returns:
        a scalar of the features' dtype.

    Raises:
        ValueError: there are fewer than two images.
    """
    if len(features) < 2:
        raise ValueError(f"features must be of at least 2 images, got {len(features)}")
    return sse(features) / (len(features) - 1)


def target_rate(features: Tensor, target: Tensor, others: Tensor) -> float:
    """Share of images that CLIP assigns to the target text: how far the adaptation went.

    Zero-shot classification: an image counts when its cosine with the target text is larger than with every
    other text. Use a CLIP that was not optimised against, since the other one is fooled by its own
    adversarial textures.

    Args:
        features: (N, D) unit-norm image features.
        target: (D,) unit-norm feature of the target text.
        others: (D,) or (M, D), the source text alone or with other texts to choose from.

    Returns:
        a share in [0, 1].
    """
    rivals = features @ others.reshape(-1, others.shape[-1]).T
    return float((features @ target > rivals.amax(1)).double().mean())
