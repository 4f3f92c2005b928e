"""Portraits of the demo world, drawn on demand, and the ideal answer to each latent."""

from collections.abc import Mapping

import torch
from torch import Tensor

from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import Factors, from_latent, sample_factors

TRUTH_SEED = 8_000_009
"""Seed of the drawn true images, far from the training seeds."""

FRESH_SEED = TRUTH_SEED + 1
"""Seed of other true images of the same domain."""


class Portraits:
    """Portraits of known factors, drawn on demand; slicing does not change them.

    Args:
        factors: factors of the N portraits.
        resolution: R, pixels per side, a multiple of 16.
    """

    def __init__(self, factors: Factors, resolution: int = 64) -> None:
        self.factors, self.resolution = factors, resolution

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, part: slice) -> Tensor:
        """Portraits (b - a, 3, R, R) in [-1, 1], on the CPU."""
        return draw(self.factors[part], self.resolution)


class Drawing(Portraits):
    """Random portraits from one part of the demo world.

    Args:
        labels: factors that all share, such as {"species": "cat", "style": "photo"}; others are random.
        n: number of portraits, >= 1.
        resolution: R, pixels per side, a multiple of 16.
        seed: seed of the factors.

    Raises:
        ValueError: a label is unknown, or n is less than 1.
    """

    def __init__(
        self, labels: Mapping[str, str], n: int, resolution: int = 64, seed: int = TRUTH_SEED
    ) -> None:
        super().__init__(sample_factors(n, torch.Generator().manual_seed(seed), **labels), resolution)


def ideal_answers(latents: Tensor, species: str, style: str = "photo", resolution: int = 64) -> Portraits:
    """Images of a perfect adaptation of a matched generator: the same scores, in the target domain.

    Args:
        latents: (N, D_z) samples of N(0, I), as from :func:`zsgan.networks.sampling.sample_latents`; the
            ideal answer to a truncated image is unknown.
        species: species of the target domain.
        style: style of the target domain.
        resolution: R, pixels per side, a multiple of 16.

    Returns:
        N portraits.

    Raises:
        ValueError: the latents are too narrow, or a name is unknown.
    """
    return Portraits(from_latent(latents, species, style), resolution)
