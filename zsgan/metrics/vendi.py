"""Vendi score: effective number of different images."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_set


def vendi_score(features: Tensor) -> float:
    """Effective number of different images (Friedman and Dieng 2023), with the cosine as similarity.

    It is the exponential of the entropy of the eigenvalues of K / N, where K is the matrix of cosines: 1 if
    all images are alike, N if all features are orthogonal. It needs neither a reference set nor clusters. It
    is at most D and grows with N: compare it only at equal N and in the same space.

    Args:
        features: (N, D), of any norm.

    Returns:
        between 1 and min(N, D).

    Raises:
        ValueError: ``features`` is not of shape (N, D), or a feature is zero.
    """
    check_set(features)
    x = features.double()
    norms = x.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        raise ValueError("features must not be zero, since a zero vector has no cosine")
    # The eigenvalues of X X^T / N are squares of singular values, and sum to 1.
    shares = torch.linalg.svdvals(x / norms).square() / len(x)
    return float(torch.exp(-torch.special.xlogy(shares, shares).sum()))
