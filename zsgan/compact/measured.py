"""Measurements that a small file states of its images and the run's, and how far others may lie apart."""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.images import Images, held
from zsgan.metrics import PAPER, Lpips, extract, intra_cluster_lpips
from zsgan.metrics.clip_space import target_hits
from zsgan.metrics.statistics import paired_difference
from zsgan.networks.clip import ClipEncoder, encode_pair
from zsgan.networks.load import load_clip

CLUSTERS = 10
"""Clusters of the diversity, at most; fewer than 40 images have one for every four."""
MEASURES = ("diversity", "clip_rate", "clip_score")
"""What a file states of its images; the diversity is the measure lpips_all."""
_SHARES = ("clip_rate",)
_UNSEEN = 3  # events in n images that n images without one do not exclude: the rule of three
_DIGITS = 5


class Stated(NamedTuple):
    """One measure of two generators, each a mean over the images of the same latents.

    Attributes:
        run: that of the run's images.
        file: that of the file's images.
        error: bound on the difference of the two for as many other latents.
    """

    run: float
    file: float
    error: float


def judge_of(
    config: AdaptConfig, lpips: Lpips, device: torch.device | str = "cpu"
) -> Callable[[Images], dict[str, Tensor]]:
    """What measures the images of a run: LPIPS, and its first guiding CLIP with its texts.

    Args:
        config: configuration of the run.
        lpips: LPIPS of the diversity, on the device.
        device: device of the networks.

    Returns:
        a function of N images -> measure -> (N,) contributions, see :func:`contributions`.
    """
    guide = load_clip(config.clips[0], device)
    texts = encode_pair(guide, config.source_text, config.target_text, config.prompts).cpu()
    return lambda images: contributions(images, lpips, guide, texts, device)


def contributions(
    images: Images, lpips: Lpips, guide: ClipEncoder, texts: Tensor, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Contribution of each image to the measures, which are their means.

    Args:
        images: N images.
        lpips: LPIPS of the diversity.
        guide: the CLIP.
        texts: (2, D) its unit-norm features of source and target text, on the CPU.
        device: device of the networks.

    Returns:
        (N,) each: diversity (LPIPS to the medoid of the image's cluster, whose mean over the images is the
        measure lpips_all), clip_rate (1 if the image is nearer to the target text than to the source text,
        else 0), clip_score (cosine with the target text).
    """
    images = held(images)
    clusters = max(1, min(CLUSTERS, len(images) // 4))
    distances = lpips.distances(images, device=device)
    features = extract(guide.encode_images, images, device=device).double()
    return {
        "diversity": intra_cluster_lpips(distances, PAPER, clusters).each,
        "clip_rate": target_hits(features, texts[1], texts[0]),
        "clip_score": features @ texts[1].double(),
    }


def stated(run: Mapping[str, Tensor], file: Mapping[str, Tensor]) -> dict[str, Stated]:
    """The measures of a run and of its file, with an error that other latents should not exceed.

    The error is the difference on these latents plus sqrt(2) times the half width of its 95 % interval by a
    paired bootstrap over latents: those of a later measurement vary as much as these. A share that differs
    for no image still gets three images in N, the rule of three.

    Args:
        run: measure -> (N,) contributions of the run's images.
        file: the same for the file's images; the latents are the run's.

    Returns:
        measure -> run, file and error, rounded to five digits, the error upwards.
    """
    found = {}
    for name, values in run.items():
        difference, low, high = paired_difference(file[name][None], values[None])
        reach = math.sqrt(2) * (high - low) / 2
        if name in _SHARES:
            reach = max(reach, _UNSEEN / len(values))
        error = math.ceil((abs(difference) + reach) * 10**_DIGITS) / 10**_DIGITS
        of_run, of_file = (round(float(x.mean()), _DIGITS) for x in (values, file[name]))
        found[name] = Stated(of_run, of_file, error)
    return found
