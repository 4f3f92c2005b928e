"""The demo's encoder: a small network that reads the w of a demo generator in an image.

Its feature maps are also the perceptual loss of the demo's inversion, so that the evaluator, which judges
the result, stays a network that nothing is optimised against.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from zsgan.assets import manifest
from zsgan.base.tensors import load_tensors
from zsgan.menagerie.evaluator import Evaluator

PREFIX = "encoder-"
"""Names of encoders in the manifest: this, and the species of the generator."""

SPECIES = "dog"
"""The species whose encoder serves inversions; that of cats serves DiFa alone."""


class Encoder(nn.Module):
    """The evaluator's network with one head, which reads the w of a generator in place of the factors.

    Args:
        widths: channels at 64 px, then after each halving of the resolution.
        w_dim: width D_w of w.
    """

    def __init__(self, widths: Sequence[int] = (16, 24, 48, 96, 160), w_dim: int = 128) -> None:
        super().__init__()
        self.config = {"widths": list(widths), "w_dim": w_dim}
        self.trunk = Evaluator(widths, {}, w_dim)

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps of images (N, 3, H, W) in [-1, 1], see :meth:`Evaluator.maps`."""
        return self.trunk.maps(images)

    def forward(self, images: Tensor) -> Tensor:
        """The w (N, D_w) of images (N, 3, H, W) in [-1, 1]."""
        return self.trunk(images).continuous * self.trunk.deviation + self.trunk.mean


def load_encoder(species: str, device: torch.device | str = "cpu", file: Path | None = None) -> Encoder:
    """An encoder for a generator of the demo, frozen and in evaluation mode.

    Args:
        species: of the generator.
        device: where to put it.
        file: its weights; by default those that ship with the package.

    Returns:
        the encoder.

    Raises:
        ValueError: no encoder ships for this species.
        FileNotFoundError: its weights are missing or altered.
    """
    tensors, config, _ = load_tensors(file or manifest.path(f"{PREFIX}{species}"))
    encoder = Encoder(**config)
    encoder.load_state_dict(tensors)
    return encoder.to(device).eval().requires_grad_(False)
