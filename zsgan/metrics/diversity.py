"""Intra-cluster LPIPS, the diversity of Table 1, in the definitions that are in use.

The paper does not define its statistic. Its numbers fit one definition: cluster the images by k-medoids on
their LPIPS distances and take each image's distance to the medoid of its cluster, the medoid's own zero
included (:data:`PAPER`). Ojha et al. 2021 assign images to given real ones and average over the pairs inside
a cluster (:data:`OJHA`). The two are not comparable with each other, so say which one a number is.
"""

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

import kmedoids
import torch
from torch import Tensor


class Definition(TypedDict, total=False):
    """Arguments of :func:`intra_cluster_lpips` that make up a published definition."""

    statistic: Literal["to_centre", "pairwise"]
    include_centre: bool
    max_members: int | None
    unbiased: bool


PAPER: Definition = {"statistic": "to_centre", "include_centre": True, "unbiased": False}
"""Jeon et al., Table 1 (with k = 10, 1,000 images, VGG, 256 px): distance to the medoid."""

OJHA: Definition = {"statistic": "pairwise", "max_members": 50, "unbiased": True}
"""Ojha et al. 2021 (with given centres, the 10 training images): pairs among at most 50 members."""


@dataclass(frozen=True)
class IntraClusterLpips:
    """The columns of Table 1.

    Attributes:
        avg: mean over the clusters of the mean inside a cluster ("Avg.").
        avg_std: standard deviation over the clusters.
        all: mean over all images, or over all pairs inside clusters ("All").
        all_std: standard deviation over those.
        labels: (N,) cluster of each image.
        medoids: (k,) index of each cluster's medoid; ``None`` for given centres.
    """

    avg: float
    avg_std: float
    all: float
    all_std: float
    labels: Tensor
    medoids: Tensor | None


def k_medoids(
    distances: Tensor, k: int, method: Literal["pam", "alternate"] = "pam"
) -> tuple[Tensor, Tensor]:
    """Cluster around k of the images themselves. Deterministic.

    Args:
        distances: (N, N), symmetric with a zero diagonal.
        k: number of clusters, 1 <= k <= N.
        method: "pam", the algorithm that the paper cites (Kaufman and Rousseeuw 1987: BUILD, then the best
            swap until none helps), depends on nothing but the distances. "alternate" is the default of
            scikit-learn-extra, which published scripts use: start with the k most central images, then assign
            and recentre in turn; it often stops early, with larger distances to the medoids.

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


def intra_cluster_lpips(
    distances: Tensor,
    k: int = 10,
    *,
    centres: Literal["medoid"] | Tensor = "medoid",
    method: Literal["pam", "alternate"] = "pam",
    statistic: Literal["to_centre", "pairwise"] = "to_centre",
    include_centre: bool = True,
    max_members: int | None = None,
    unbiased: bool = False,
    generator: torch.Generator | None = None,
) -> IntraClusterLpips:
    """Diversity inside clusters (Table 1); ``intra_cluster_lpips(distances, **PAPER)`` is the paper's.

    Args:
        distances: (N, N) LPIPS between all images, from :meth:`zsgan.metrics.lpips.Lpips.distances`.
        k: number of clusters.
        centres: "medoid", or the LPIPS (N, k) from each image to each of k given images, of which the nearest
            one is an image's cluster.
        method: how to find medoids, see :func:`k_medoids`.
        statistic: "to_centre", each image's distance to its centre; "pairwise", all pairs inside a cluster.
        include_centre: count the distance 0 of a medoid to itself; only for "to_centre" with medoids.
        max_members: use a random subset of at most this many images of a cluster; ``None`` uses all.
        unbiased: standard deviations divide by the number of values minus one (nan for a single one).
        generator: the source of randomness for ``max_members``.

    Returns:
        the statistic. Clusters without any value (with "pairwise", those of one image) do not count.

    Raises:
        ValueError: shapes or k do not fit, ``max_members`` without a generator, or no cluster has a value.
    """
    n = len(distances)
    if max_members is not None and generator is None:
        raise ValueError(
            f"max_members={max_members} picks images at random: hand in generator=torch.Generator()"
        )
    medoids: Tensor | None = None
    if isinstance(centres, Tensor):
        if centres.shape != (n, k):
            raise ValueError(f"centres must be distances (N, k) = ({n}, {k}), got {tuple(centres.shape)}")
        labels, to_centres = centres.argmin(1), centres
    else:
        labels, medoids = k_medoids(distances, k, method)
        to_centres = distances[:, medoids]

    values = []
    for cluster in range(to_centres.shape[1]):
        members = (labels == cluster).nonzero()[:, 0]
        if max_members is not None:
            members = members[torch.randperm(len(members), generator=generator)[:max_members]]
        if statistic == "pairwise":
            i, j = torch.triu_indices(len(members), len(members), offset=1)
            values.append(distances[members[i], members[j]])
        else:
            if medoids is not None and not include_centre:
                members = members[members != medoids[cluster]]
            values.append(to_centres[members, cluster])
    values = [v.double() for v in values if len(v)]
    if not values:
        raise ValueError(
            f"no cluster has two images: use fewer clusters than k={k} or more images than N={n}"
        )
    means, pooled = torch.stack([v.mean() for v in values]), torch.cat(values)
    avg_std, all_std = (_std(x, unbiased) for x in (means, pooled))
    return IntraClusterLpips(float(means.mean()), avg_std, float(pooled.mean()), all_std, labels, medoids)


def _std(values: Tensor, unbiased: bool) -> float:
    return math.nan if unbiased and len(values) == 1 else float(values.std(correction=int(unbiased)))
