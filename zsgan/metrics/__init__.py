"""Measures of an adaptation's diversity, fidelity and success."""

from zsgan.metrics.clip_space import sse, target_rate, variance
from zsgan.metrics.diversity import OJHA, PAPER, IntraClusterLpips, intra_cluster_lpips, k_medoids
from zsgan.metrics.extract import extract, extract_all
from zsgan.metrics.eyes import Eyes
from zsgan.metrics.factors import kept, species_rate, spread, style_rate
from zsgan.metrics.fidelity import PrecisionRecall, frechet_distance, precision_recall
from zsgan.metrics.lpips import Lpips, lpips_matrix

__all__ = [
    "OJHA",
    "PAPER",
    "Eyes",
    "IntraClusterLpips",
    "Lpips",
    "PrecisionRecall",
    "extract",
    "extract_all",
    "frechet_distance",
    "intra_cluster_lpips",
    "k_medoids",
    "kept",
    "lpips_matrix",
    "precision_recall",
    "species_rate",
    "spread",
    "sse",
    "style_rate",
    "target_rate",
    "variance",
]
