"""Names of the measures, and the columns of those that have several."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from zsgan.metrics.diversity import DEFINITIONS, intra_cluster_lpips
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.inception import inception_score
from zsgan.metrics.manifold import Manifolds

CLOSENESS = ("fid", "kid", *Manifolds._fields)
"""Measures of the closeness to true images, in the order of their columns."""

MEASURES: Mapping[str, tuple[str, ...]] = {
    "diversity": ("lpips", "clip_variance", "vendi", "inception"),
    "adaptation": ("evaluator_rate", "clip_rate", "clip_score"),
    "closeness": CLOSENESS,
    "kept": ("identity_kept", "structure_kept"),
    "extra": ("clip_quality", "clip_direction", "cmmd"),
    "dinov2": ("fd_dinov2",),
}
"""Group -> its measures, each the name of a column or the prefix of several."""

ALL = frozenset(name for names in MEASURES.values() for name in names)
"""Every measure."""

NAMED = (*MEASURES["extra"], *MEASURES["dinov2"], "aim")
"""Measures that are computed only where they are named: fd_dinov2 with a network of its own, and
:func:`zsgan.metrics.directions.aim` for runs of a profile alone, since it needs their latents."""

USUAL = ALL - set(NAMED)
"""Measures of every profile."""

OF_CLIP = frozenset(name for name in ALL if name.startswith("clip_") or name == "cmmd")
"""Measures in the space of the judging CLIP."""

OF_EYES = ALL - OF_CLIP - set(MEASURES["dinov2"])
"""Measures in the features of the eyes."""

OF_TRUTH = (*CLOSENESS, "cmmd", "fd_dinov2")
"""Measures that need true images, in the order of their columns."""

OF_SOURCE = (*MEASURES["kept"], "clip_direction")
"""Measures that need the source's images of the same latents, in the order of their columns."""


def lpips_columns(
    distances: Tensor,
    clusters: int,
    definitions: Iterable[str] = ("paper", "literal"),
    *,
    to_given: Tensor | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """Intra-cluster LPIPS in several definitions.

    Args:
        distances: (N, N) LPIPS between all images.
        clusters: k of the k-medoids.
        definitions: names of :data:`zsgan.metrics.diversity.DEFINITIONS`.
        to_given: (N, k') LPIPS to given centres, for definitions that use them.
        seed: seed of random choices in a definition.

    Returns:
        lpips_avg, lpips_avg_std, lpips_all and lpips_all_std for "paper"; the same with the definition's name
        for others, such as lpips_literal_avg.
    """
    columns: dict[str, float] = {}
    for name in definitions:
        found = intra_cluster_lpips(
            distances, DEFINITIONS[name], clusters,
            to_given=to_given, generator=torch.Generator().manual_seed(seed),
        )  # fmt: skip
        prefix = "lpips" if name == "paper" else f"lpips_{name}"
        columns |= {f"{prefix}_{part}": getattr(found, part) for part in ("avg", "avg_std", "all", "all_std")}
    return columns


def label_scores(prediction: Prediction, shared: Mapping[str, str] | None = None) -> dict[str, float]:
    """Inception score of every categorical factor that may differ between the images.

    Args:
        prediction: factors that the eyes read in the images.
        shared: factors that all images should share; these are left out.

    Returns:
        inception_fur and so on.
    """
    return {
        f"inception_{kind}": inception_score(logits)
        for kind, logits in sorted(prediction.logits.items())
        if kind not in (shared or {})
    }
