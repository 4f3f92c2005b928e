"""Vendi score: how many different images there are."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_set


def vendi_score(features: Tensor) -> float:
    """Effective number of different images (Friedman and Dieng 2023), with the cosine as similarity.

    The exponential of the entropy of the eigenvalues of K / N, where K is the matrix of cosines. 1 when all
    images are alike, N when all features are orthogonal; needs neither a reference set nor clusters. It can
    be no larger than D, and grows with N: compare it at one N, in one space.

    Args:
        features: (N, D), of any lengths.

    Returns:
        between 1 and min(N, D).

    Raises:
        ValueError: the shape is another, or a feature is zero.
    """
    check_set(features)
    x = features.double()
    norms = x.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        raise ValueError("features must not be zero: they have no cosine with others")
    # The eigenvalues of X X^T / N are squares of singular values, and sum to 1.
    shares = torch.linalg.svdvals(x / norms).square() / len(x)
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))
