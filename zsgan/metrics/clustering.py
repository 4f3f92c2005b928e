"""Clusters of images around medoids, by k-medoids on their distances."""

from typing import Literal

import kmedoids
import torch
from torch import Tensor


def k_medoids(
    distances: Tensor, k: int, method: Literal["pam", "alternate"] = "pam"
) -> tuple[Tensor, Tensor]:
    """Cluster images around k of them, deterministically.

    Args:
        distances: (N, N), symmetric with a zero diagonal.
        k: number of clusters, 1 <= k <= N.
        method: "pam", the algorithm that the paper cites (Kaufman and Rousseeuw 1987: BUILD, then the best
            swap until none helps), depends only on the distances. "alternate" is the default of
            scikit-learn-extra, which published scripts use: it starts with the k most central images, then
            assigns and recentres in turn; it often stops early, with larger distances to the medoids.

    Returns:
        labels (N,) and medoids (k,).

    Raises:
        ValueError: the matrix is not a distance matrix, or k is out of range.
    """
    n = len(distances)
    if distances.shape != (n, n):
        raise ValueError(f"distances must be square (N, N), got {tuple(distances.shape)}")
    if not torch.equal(distances, distances.T) or distances.diagonal().any():
        raise ValueError("distances must be symmetric with a zero diagonal; use lpips_matrix to compute them")
    if not 1 <= k <= n:
        raise ValueError(f"k must lie between 1 and the number of images, {n}, got {k}")
    matrix = distances.double().cpu().numpy()
    if method == "pam":
        found = kmedoids.pam(matrix, k, init="build")
    else:
        found = kmedoids.alternating(matrix, matrix.sum(1).argsort(kind="stable")[:k])
    return torch.from_numpy(found.labels.astype("int64")), torch.from_numpy(found.medoids.astype("int64"))
