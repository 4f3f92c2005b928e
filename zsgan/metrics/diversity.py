"""Intra-cluster LPIPS, the diversity of Table 1, in all definitions in use.

The paper's text and its numbers imply different statistics, and related papers use further ones. They are not
comparable, so every number comes with the name of its :class:`Definition`. All start from the LPIPS of all
pairs (:meth:`zsgan.metrics.lpips.Lpips.distances`), which are computed once.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zsgan.metrics.clustering import k_medoids


@dataclass(frozen=True)
class Definition:
    """Definition of intra-cluster LPIPS: the clusters, and the distances to average.

    Attributes:
        centres: clusters are those of k-medoids ("medoid"), or an image belongs to the nearest of some given
            images ("given").
        statistic: the distances of images to the centre of their cluster ("to_centre"), or those of all pairs
            inside a cluster ("pairwise").
        include_centre: count a medoid's distance of 0 to itself; no effect for other choices.
        max_members: use a random subset of at most this many images of a cluster; ``None`` uses all.
        unbiased: deviations divide by the number of values minus one (nan for a single value).
        method: algorithm for the medoids, see :func:`zsgan.metrics.clustering.k_medoids`.
    """

    centres: Literal["medoid", "given"] = "medoid"
    statistic: Literal["to_centre", "pairwise"] = "to_centre"
    include_centre: bool = True
    max_members: int | None = None
    unbiased: bool = False
    method: Literal["pam", "alternate"] = "pam"


PAPER = Definition()
"""Distances to the medoid, its own included, which can explain Table 1 (k = 10, 1,000 images, VGG, 256 px).

The k zeros of the medoids bound the deviation from below, ``std(All) >= mean(All) sqrt(k / (N - k))``. All
zero-shot rows of the table satisfy this bound.
"""

LITERAL = Definition(statistic="pairwise")
"""The "intra-cluster pairwise LPIPS distance", as in the text of sec. 4.2."""

OJHA = Definition("given", "pairwise", max_members=50, unbiased=True)
"""Ojha et al. 2021: pairs among at most 50 images around each of the (10) training images."""

AIR = Definition(method="alternate")
"""Liu et al. 2025 (AIR): as :data:`PAPER`, by scikit-learn-extra's default algorithm for the medoids."""

DEFINITIONS: Mapping[str, Definition] = {"paper": PAPER, "literal": LITERAL, "ojha": OJHA, "air": AIR}
"""The published definitions by name."""


@dataclass(frozen=True)
class IntraClusterLpips:
    """Intra-cluster LPIPS, the columns of Table 1.

    Attributes:
        avg: mean over the clusters of the mean inside a cluster ("Avg.").
        avg_std: standard deviation over the clusters.
        all: mean over all images, or over all pairs inside clusters ("All").
        all_std: standard deviation over these.
        each: (N,) contribution of each image: its distance to its centre, or its mean distance to the others
            of its cluster; nan for an image that is not counted.
        labels: (N,) cluster of each image.
        medoids: (k,) index of each cluster's medoid; ``None`` for given centres.
    """

    avg: float
    avg_std: float
    all: float
    all_std: float
    each: Tensor
    labels: Tensor
    medoids: Tensor | None


def intra_cluster_lpips(
    distances: Tensor,
    definition: Definition = PAPER,
    k: int = 10,
    *,
    to_given: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> IntraClusterLpips:
    """Diversity inside clusters (Table 1).

    Args:
        distances: (N, N) LPIPS between all images.
        definition: definition of the statistic.
        k: number of medoids; ignored for given centres.
        to_given: (N, k') LPIPS from each image to each of the given centres; only for these.
        generator: the source of randomness for ``definition.max_members``.

    Returns:
        the statistic. Clusters without any value (with "pairwise", those of one image) do not count.

    Raises:
        ValueError: shapes or k do not fit, an argument that the definition needs is missing, or no cluster
            has a value.
    """
    n = len(distances)
    if definition.max_members is not None and generator is None:
        raise ValueError(
            f"max_members={definition.max_members} draws at random: pass generator=torch.Generator()"
        )
    medoids: Tensor | None = None
    if definition.centres == "given":
        if to_given is None or to_given.ndim != 2 or len(to_given) != n or not to_given.shape[1]:
            raise ValueError(
                f"to_given must be the LPIPS (N, k) of N={n} images to k given centres, such as "
                f"Lpips.distances(images, centres), got {None if to_given is None else tuple(to_given.shape)}"
            )
        labels, to_centres = to_given.argmin(1), to_given
    else:
        labels, medoids = k_medoids(distances, k, definition.method)
        to_centres = distances[:, medoids]

    each, values = torch.full((n,), math.nan, dtype=torch.float64), []
    for cluster in range(to_centres.shape[1]):
        members = (labels == cluster).nonzero()[:, 0]
        if definition.max_members is not None:
            members = members[torch.randperm(len(members), generator=generator)[: definition.max_members]]
        if definition.statistic == "pairwise":
            inside = distances[members][:, members].double()
            i, j = torch.triu_indices(len(members), len(members), offset=1)
            each[members] = inside.sum(1) / (len(members) - 1)  # nan for a single image, which has no pair
            values.append(inside[i, j])
        else:
            if medoids is not None and not definition.include_centre:
                members = members[members != medoids[cluster]]
            each[members] = to_centres[members, cluster].double()
            values.append(each[members])
    values = [v for v in values if len(v)]
    if not values:
        fewer = f"fewer clusters than {to_centres.shape[1]}, or " if definition.centres == "medoid" else ""
        raise ValueError(f"no cluster has two images: take {fewer}more images")
    means, pooled = torch.stack([v.mean() for v in values]), torch.cat(values)
    avg_std, all_std = (_std(x, definition.unbiased) for x in (means, pooled))
    return IntraClusterLpips(
        float(means.mean()), avg_std, float(pooled.mean()), all_std, each, labels, medoids
    )


def _std(values: Tensor, unbiased: bool) -> float:
    return math.nan if unbiased and len(values) == 1 else float(values.std(correction=int(unbiased)))
