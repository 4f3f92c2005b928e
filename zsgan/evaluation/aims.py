"""How well a scenario's text direction points to the ideal answers, by a CLIP."""

from collections.abc import Callable

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.images import Images
from zsgan.metrics import Aim, aim, extract
from zsgan.networks.clip import ClipEncoder, encode_pair


def aims(
    clip: ClipEncoder, config: AdaptConfig, source: Images, ideal: Images, device: torch.device | str = "cpu"
) -> Callable[[Tensor], Aim]:
    """A function for images of any generator adapted from one source, which looks at the references once.

    Args:
        clip: the CLIP.
        config: has the two texts and their templates.
        source: N images of the source generator.
        ideal: the ideal answers to their latents.
        device: device of the CLIP.

    Returns:
        :func:`zsgan.metrics.directions.aim` of the CLIP's features (N, D) of an adapted generator's images
        of the same latents.
    """
    before, after = encode_pair(clip, config.source_text, config.target_text, config.prompts).cpu()
    start, end = (extract(clip.encode_images, images, device=device) for images in (source, ideal))
    return lambda features: aim(after - before, start, features, end)
