"""What of the source's images is still there after the adaptation, latent by latent."""

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.metrics.checks import check_pairs


def identity_kept(before: Tensor, after: Tensor) -> Tensor:
    """How alike an image is to what became of it: the cosine of their features.

    An adaptation should change something, so the best value is below 1: hold it against that of the source
    and its ideal answers where these are known.

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
    """Whether the images that were alike still are: the correlation of all pairs' distances.

    It is blind to what happens to all images alike (a shift, a rotation or a scale of the features), hence to
    the adaptation itself; 1 when all relations are kept (eq. 5 asks for this inside a batch), about 0 when
    they are lost. Known as representational similarity analysis (Kriegeskorte et al. 2008).

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
