"""Checks of the features that metrics take."""

from torch import Tensor


def check_set(features: Tensor, least: int = 1) -> None:
    """Check the features of one set of images.

    Args:
        features: (N, D) with N >= ``least``.
        least: number of images.

    Raises:
        ValueError: the shape is another, or there are too few images.
    """
    if features.ndim != 2:
        raise ValueError(f"features must be (N, D), got {tuple(features.shape)}")
    if len(features) < least:
        raise ValueError(f"features must be of at least {least} images, got {len(features)}")


def check_two_sets(features_a: Tensor, features_b: Tensor, least: int = 1) -> None:
    """Check the features of two sets of images, by one network.

    Args:
        features_a: (N, D) with N >= ``least``.
        features_b: (M, D) with M >= ``least``.
        least: number of images in each.

    Raises:
        ValueError: the shapes do not fit, or there are too few images.
    """
    if features_a.ndim != 2 or features_b.ndim != 2 or features_a.shape[1] != features_b.shape[1]:
        raise ValueError(
            f"features must be (N, D) and (M, D), got {tuple(features_a.shape)} and {tuple(features_b.shape)}"
        )
    if min(len(features_a), len(features_b)) < least:
        raise ValueError(
            f"each set needs at least {least} images, got {len(features_a)} and {len(features_b)}"
        )


def check_pairs(before: Tensor, after: Tensor, least: int = 1) -> None:
    """Check the features of images of the same latents, by one network.

    Args:
        before: (N, D) with N >= ``least``.
        after: (N, D).
        least: number of pairs.

    Raises:
        ValueError: the shapes do not fit, or there are too few pairs.
    """
    if before.ndim != 2 or before.shape != after.shape:
        raise ValueError(
            f"features of matching images must be of one shape (N, D), got {tuple(before.shape)} and "
            f"{tuple(after.shape)}"
        )
    check_set(before, least)
