"""How well a text direction points to where images should go, where that is known.

Liu et al. (2025, AIR) measure the alignment of text and image directions before training, with images of the
target that a user does not have.
"""

from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.metrics.checks import check_pairs
from zsgan.metrics.rounding import rounding


class Aim(NamedTuple):
    """Directions between the mean features of images, and that of the text.

    Attributes:
        ahead: cosine, in [-1, 1], of the text direction with the direction from the images to the ideal ones;
            for images of the source generator, the alignment of text and images before training. nan once
            the images are the ideal ones, and if the texts have one feature.
        made: cosine, in [-1, 1], of the direction from the source's images to these with that to the ideal
            ones; nan as long as nothing has changed.
        arrived: length of the direction made so far along the ideal one, relative to the ideal one's: 0 at
            the source, 1 as far as the ideal images, more than 1 beyond them; nan if the ideal images are the
            source's.
    """

    ahead: float
    made: float
    arrived: float


def aim(text: Tensor, source: Tensor, images: Tensor, ideal: Tensor) -> Aim:
    """Compare the direction of two texts, and that made so far, with the ideal direction.

    Args:
        text: (D,) direction from the source text's feature to the target text's.
        source: (N, D) features of the source generator's images.
        images: (N, D) features of the adapted generator's images of the same latents.
        ideal: (N, D) features of the ideal answers to these latents.

    Returns:
        the cosines and the length.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_pairs(source, images)
    check_pairs(source, ideal)
    if text.shape != source.shape[1:]:
        raise ValueError(
            f"text must be (D,) = {tuple(source.shape[1:])} for features {tuple(source.shape)}, got "
            f"{tuple(text.shape)}"
        )
    share = rounding(images.dtype)
    start, now, end = (at_least_float32(x).double().mean(0) for x in (source, images, ideal))

    def direction(to: Tensor, origin: Tensor) -> Tensor:
        """(D,) from one mean to another; nan where they differ by rounding alone."""
        between = to - origin
        return between if between.norm() > share * to.norm() else between * float("nan")

    asked = at_least_float32(text).double()
    made, whole = direction(now, start), direction(end, start)
    return Aim(
        ahead=float(F.cosine_similarity(asked / asked.norm(), direction(end, now), dim=0)),
        made=float(F.cosine_similarity(made, whole, dim=0)),
        arrived=float((now - start) @ whole / (whole @ whole)),
    )
