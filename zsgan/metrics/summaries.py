"""Groups of measures, as columns of a table."""

import math
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from zsgan.metrics.correspondence import identity_kept, structure_kept
from zsgan.metrics.diversity import DEFINITIONS, intra_cluster_lpips
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.frechet import frechet_distance
from zsgan.metrics.inception import inception_score
from zsgan.metrics.kernel import kernel_distance
from zsgan.metrics.manifold import Manifolds, manifolds
from zsgan.metrics.progress import Advance, told

CLOSENESS = ("fid", "kid", *Manifolds._fields)
"""Columns of :func:`closeness`."""

MEASURES: Mapping[str, tuple[str, ...]] = {
    "diversity": ("lpips", "clip_variance", "vendi", "inception"),
    "adaptation": ("evaluator_rate", "clip_rate", "clip_score"),
    "closeness": CLOSENESS,
    "kept": ("identity_kept", "structure_kept"),
}
"""Group -> its measures, each the name of a column or the prefix of several."""

ALL = frozenset(name for names in MEASURES.values() for name in names)
"""Every measure."""

OF_CLIP = frozenset(name for name in ALL if name.startswith("clip_"))
"""Measures in the space of the judging CLIP; all others use the features of the eyes."""


def closeness(
    made: Tensor,
    true: Tensor,
    neighbours: int = 3,
    *,
    measures: Collection[str] = CLOSENESS,
    progress: bool | Advance = False,
) -> dict[str, float]:
    """Closeness of images to true ones.

    Args:
        made: (N, D) features of the images.
        true: (M, D) features of true images.
        neighbours: k of precision, recall, density and coverage.
        measures: those of :data:`CLOSENESS` to compute.
        progress: show a bar for the neighbours' distances, or a function to call with the finished share.

    Returns:
        the columns of ``measures``, in the order of :data:`CLOSENESS`.
    """
    found: dict[str, float] = {}
    if "fid" in measures:
        found["fid"] = frechet_distance(made, true)
    if "kid" in measures:
        found["kid"] = kernel_distance(made, true)
    if set(Manifolds._fields) & set(measures):
        with told(progress, "neighbours") as advance:
            found |= manifolds(made, true, neighbours, advance)._asdict()
    return {name: found[name] for name in CLOSENESS if name in measures}


def kept_of_source(before: Tensor | None, after: Tensor, measures: Collection[str] = ALL) -> dict[str, float]:
    """How much of the source's images an adaptation keeps.

    Args:
        before: (N, D) features of the source's images; ``None`` if there are none.
        after: (N, D) features of the images of the same latents.
        measures: measures to compute.

    Returns:
        identity_kept (a mean) and structure_kept if in ``measures``; nan without ``before``.
    """
    columns = {name: math.nan for name in MEASURES["kept"] if name in measures}
    if before is not None and "identity_kept" in measures:
        columns["identity_kept"] = float(identity_kept(before, after).mean())
    if before is not None and "structure_kept" in measures:
        columns["structure_kept"] = structure_kept(before, after)
    return columns


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
