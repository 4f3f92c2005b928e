"""Networks of an inversion: one for the perceptual loss, another to judge, and perhaps an encoder."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.evaluation.loading import load_eyes
from zsgan.menagerie.encoder import SPECIES, load_encoder
from zsgan.metrics.eyes import Eyes
from zsgan.metrics.lpips import Lpips
from zsgan.networks.load import demo_source, of_demo
from zsgan.networks.stylegan2 import Generator


@dataclass(frozen=True)
class Networks:
    """What an inversion sees with.

    Attributes:
        loss: LPIPS in the loss.
        eyes: eyes that judge the result; for photographs those of the loss, as in the literature.
        encoder: images (N, 3, R, R) in [-1, 1] -> w (N, D_w); ``None`` if there is none.
    """

    loss: Lpips
    eyes: Eyes
    encoder: Callable[[Tensor], Tensor] | None = None

    @property
    def judge(self) -> Lpips:
        """LPIPS that is reported."""
        return Lpips.through(self.eyes)


def networks_for(generator: Generator) -> Networks:
    """The networks that suit a generator, on its device.

    For the demo's, the loss is LPIPS in the maps of the demo's encoder, which also is the encoder of its own
    generator, and the judge is the evaluator. For all others LPIPS of VGG-16 is both.

    Args:
        generator: a source generator, or one adapted from it.

    Returns:
        the networks.

    Raises:
        FileNotFoundError: their weights are missing or altered.
        ModuleNotFoundError: photographs need two more packages.
    """
    device: torch.device = generator.mapping.w_avg.device
    if not of_demo(generator):
        eyes = load_eyes("photographs", device)
        return Networks(Lpips.through(eyes), eyes)
    encoder = load_encoder(SPECIES, device)
    own = encoder if demo_source(generator) == f"generator-{SPECIES}" else None
    return Networks(Lpips(encoder.maps), load_eyes("evaluator", device), own)
