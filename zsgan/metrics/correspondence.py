"""Similarity of images before and after the adaptation, for the same latents."""

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.metrics.checks import check_pairs


def identity_kept(before: Tensor, after: Tensor) -> Tensor:
    """Cosine similarity of an image's features before and after the adaptation.

    An adaptation should change something, so the best value is below 1: compare it with that of the source
    and its ideal answers, if these are known.

    Args:
        before: (N, D) features of the source's images.
        after: (N, D) features of the adapted generator's images of the same latents.

    Returns:
        (N,) in [-1, 1].

    Raises:
        ValueError: the shapes do not fit.
    """
    check_pairs(before, after)
    return F.cosine_similarity(before.double(), after.double())


def structure_kept(before: Tensor, after: Tensor) -> float:
    """Correlation of all pairwise distances before and after the adaptation.

    It is invariant to changes common to all images (a shift, a rotation or a scale of the features), hence to
    the adaptation itself. It is 1 if all relations are kept (eq. 5 asks for this inside a batch), about 0 if
    they are lost. Also known as representational similarity analysis (Kriegeskorte et al. 2008).

    Args:
        before: (N, D) features of the source's images, N >= 3.
        after: (N, D) features of the adapted generator's images of the same latents.

    Returns:
        in [-1, 1]; nan where all distances are equal.

    Raises:
        ValueError: the shapes do not fit.
    """
    check_pairs(before, after, 3)
    distances = torch.stack([torch.pdist(x.double()) for x in (before, after)])
    return float(torch.corrcoef(distances)[0, 1])
