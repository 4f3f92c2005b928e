"""Measures of an adaptation's diversity, fidelity and success."""

from zsgan.metrics.clip_space import clip_direction, clip_quality, clip_score, sse, target_rate, variance
from zsgan.metrics.clustering import k_medoids
from zsgan.metrics.correspondence import identity_kept, structure_kept
from zsgan.metrics.directions import Aim, aim
from zsgan.metrics.diversity import (
    AIR,
    DEFINITIONS,
    LITERAL,
    OJHA,
    PAPER,
    Definition,
    IntraClusterLpips,
    intra_cluster_lpips,
)
from zsgan.metrics.extract import extract, extract_all
from zsgan.metrics.eyes import Eyes
from zsgan.metrics.frechet import frechet_distance
from zsgan.metrics.inception import inception_score
from zsgan.metrics.kernel import cmmd, kernel_distance
from zsgan.metrics.lpips import Lpips, lpips_matrix
from zsgan.metrics.manifold import (
    DensityCoverage,
    Manifolds,
    PrecisionRecall,
    density_coverage,
    manifolds,
    precision_recall,
)
from zsgan.metrics.vendi import vendi_score

__all__ = [
    "AIR",
    "DEFINITIONS",
    "LITERAL",
    "OJHA",
    "PAPER",
    "Aim",
    "Definition",
    "DensityCoverage",
    "Eyes",
    "IntraClusterLpips",
    "Lpips",
    "Manifolds",
    "PrecisionRecall",
    "aim",
    "clip_direction",
    "clip_quality",
    "clip_score",
    "cmmd",
    "density_coverage",
    "extract",
    "extract_all",
    "frechet_distance",
    "identity_kept",
    "inception_score",
    "intra_cluster_lpips",
    "k_medoids",
    "kernel_distance",
    "lpips_matrix",
    "manifolds",
    "precision_recall",
    "sse",
    "structure_kept",
    "target_rate",
    "variance",
    "vendi_score",
]
