"""The eyes and the judges of a profile, loaded from the weights at hand."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from zsgan.evaluation.judges import Judges, prompt_features
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics import Eyes
from zsgan.metrics.columns import USUAL
from zsgan.networks.clip import encode_pair
from zsgan.networks.dinov2 import load_dinov2
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.vgg_inception import Photographs
from zsgan.runs.profiles import Profile

EYES: Mapping[str, Callable[[torch.device | str], Eyes]] = {
    "evaluator": load_evaluator, "photographs": Photographs
}  # fmt: skip
"""Name -> constructor of the eyes on a device."""


def load_eyes(name: str, device: torch.device | str = "cpu") -> Eyes:
    """Load the networks behind LPIPS, FID and similar metrics.

    Args:
        name: "evaluator" of the demo world, or "photographs" (VGG-16 and Inception-v3).
        device: torch device.

    Returns:
        the eyes.

    Raises:
        ValueError: the name is unknown.
        FileNotFoundError: their weights are missing or altered.
        ModuleNotFoundError: photographs need more packages.
    """
    if name not in EYES:
        raise ValueError(f"eyes={name!r} are unknown; choose one of {', '.join(EYES)}")
    return EYES[name](device)


def load_judges(profile: Profile, scenario: str, device: torch.device | str = "cpu") -> Judges:
    """The judges of a scenario.

    Args:
        profile: names the judging CLIP, the number of true images and the settings of the metrics.
        scenario: one of the profile's.
        device: device of the networks.

    Returns:
        the judges, at the resolution of the scenario's generator.

    Raises:
        ValueError: the profile has no such scenario, or its truth is invalid or has too few images.
    """
    config = profile.config(scenario, next(iter(profile.rows)))
    clip = load_clip(profile.judge, device=device)
    texts = encode_pair(clip, config.source_text, config.target_text, config.prompts).cpu()
    resolution = load_generator(profile.scenarios[scenario].generator).config["resolution"]
    truth = truth_of(profile.scenarios[scenario].truth)
    least = max(profile.clusters, profile.neighbours) + 1
    if truth.seen and (n := len(truth.images(profile.samples, resolution, fresh=True))) < least:
        raise ValueError(
            f"truth of scenario={scenario!r} gives {n} images to measure (at most {profile.samples}; half "
            f"of a folder's are compared with the others), but clusters={profile.clusters} and "
            f"neighbours={profile.neighbours} need {least}; add images, or lower them"
        )
    judges = Judges(
        load_eyes(profile.eyes, device), truth, resolution, profile.samples,
        clip, texts, profile.clusters, profile.neighbours, device, USUAL.union(profile.measures),
    )  # fmt: skip
    if "fd_dinov2" in profile.measures and truth.seen:
        judges = replace(judges, dinov2=load_dinov2(device))
    if "clip_quality" in profile.measures:
        judges = replace(judges, prompts=prompt_features(clip, config.target_text, config.prompts))
    return judges
