"""Seconds of measuring a generator: its images, the networks that look at them, and LPIPS of all pairs."""

import math
from collections.abc import Mapping
from functools import partial

import torch

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.images import batch_size
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.evaluation.judges import Judges
from zsgan.evaluation.loading import load_eyes
from zsgan.evaluation.truth import truth_of
from zsgan.metrics import Lpips
from zsgan.metrics.lpips import blocks, lpips_matrix
from zsgan.networks.dinov2 import load_dinov2
from zsgan.networks.sampling import Samples
from zsgan.runs.profiles import Profile
from zsgan.runs.row_costs import Meter

MOST = 8
"""Images that are made to be timed, at most; above 128 px a single one on a CPU."""
ROWS, FEATURES = 256, 2**28
"""Vectors of LPIPS whose products are timed, at most, and the bytes that they may take."""
MEASURES = ("vendi", "clip_score", "precision")
"""Measures for which every network looks at the images."""


@torch.no_grad()
def look_seconds(
    meter: Meter, profile: Profile, config: AdaptConfig, judge: str, truth: Mapping[str, str]
) -> dict[str, float]:
    """Seconds of one measurement of a generator, from those of a few images and pairs.

    Statistics of features, such as FID's matrix root, and true images are not counted.

    Args:
        meter: keeps networks and measurements.
        profile: number of images, eyes and truncation.
        config: names generator and guiding CLIP.
        judge: the judging CLIP.
        truth: the scenario's true target domain.

    Returns:
        "images": all images, made and looked at; "lpips": LPIPS of all their pairs.

    Raises:
        FileNotFoundError: weights of the eyes are missing.
        ModuleNotFoundError: the eyes need more packages.
    """
    device, generator = meter.device, meter.generator(config.generator)
    resolution, n = generator.config["resolution"], profile.samples
    size = batch_size(resolution**2, device)

    def measure() -> dict[str, float]:
        clip, guide = meter.encoder(judge), None if config.few_shot else meter.encoder(config.clips[0])
        of_truth = truth_of(truth)
        compared = "fd_dinov2" in profile.measures and of_truth.seen
        judges = Judges(
            load_eyes(profile.eyes, device), of_truth, resolution, n, clip, device=device,
            dinov2=load_dinov2(device) if compared else None,
        )  # fmt: skip
        measures = {*MEASURES, "fd_dinov2"} if compared else MEASURES
        samples = Samples(generator, min(MOST, n, size), SAMPLES_SEED, profile.truncation_psi)
        sees = None if guide is None else guide.encode_images
        making, images = meter.seconds(lambda: samples[:])
        looking, _ = meter.seconds(lambda: judges.look(images, measures, guide=sees), warm=True)
        lpips = Lpips.through(judges.eyes)
        passing, features = meter.seconds(lambda: lpips.features(images), warm=True)
        one = features[:1]
        rows = 2 * max(1, min(ROWS, FEATURES // one.nbytes) // 2)
        whole, half = (
            meter.seconds(partial(lpips_matrix, one.repeat(some, 1)), warm=True)[0]
            for some in (rows, rows // 2)
        )
        # A product of a x b vectors takes a time for each vector and one for each pair.
        pair = max(0.0, 2 * (whole - 2 * half) / rows**2)
        vector = max(0.0, whole / rows - pair * rows)
        tops = blocks(n, one, size)
        passes, products = n, 0.0
        for top, bottom in tops.items():
            block, later = bottom - top, n - bottom
            passes += later
            products += vector * (block + math.ceil(later / size) * block + later) + pair * block * (n - top)
        return {
            "images": n * (making + looking) / len(images),
            "lpips": passes * passing / len(images) + products,
        }

    key = [
        generator.config,
        None if config.few_shot else config.clips[0],
        judge,
        profile.eyes,
        *profile.measures,
    ]
    return meter.once(f"{resolution} px: images through eyes and judges", [*key, n, dict(truth)], measure)
