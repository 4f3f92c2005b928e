"""Portraits of the demo world, drawn when asked for, and the ideal answer to each latent."""

from collections.abc import Mapping

import torch
from torch import Tensor

from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import Factors, from_latent, sample_factors

TRUTH_SEED = 8_000_009
"""Seed of drawn true images, far from those of training; fresh ones have the next."""


class Portraits:
    """Portraits of known factors, drawn when asked for; the same whatever the slices.

    Args:
        factors: of the N portraits.
        resolution: R, pixels a side, a multiple of 16.
    """

    def __init__(self, factors: Factors, resolution: int = 64) -> None:
        self.factors, self.resolution = factors, resolution

    def __len__(self) -> int:
        return len(self.factors)

    def __getitem__(self, part: slice) -> Tensor:
        """Portraits (b - a, 3, R, R) in [-1, 1], on the CPU."""
        return draw(self.factors[part], self.resolution)


class Drawing(Portraits):
    """Random portraits of a part of the demo world.

    Args:
        labels: factors that all share, such as {"species": "cat", "style": "photo"}; others are random.
        n: how many, >= 1.
        resolution: R, pixels a side, a multiple of 16.
        seed: of the factors.

    Raises:
        ValueError: a label is unknown, or n is less than 1.
    """

    def __init__(
        self, labels: Mapping[str, str], n: int, resolution: int = 64, seed: int = TRUTH_SEED
    ) -> None:
        super().__init__(sample_factors(n, torch.Generator().manual_seed(seed), **labels), resolution)


def ideal_answers(latents: Tensor, species: str, style: str = "photo", resolution: int = 64) -> Portraits:
    """What a perfect adaptation of a matched generator makes of its latents: same scores, target domain.

    Args:
        latents: (N, D_z) samples of N(0, I), as of :func:`zsgan.networks.sampling.sample_latents`; the answer
            to a truncated image is not known.
        species: of the target domain.
        style: of the target domain.
        resolution: R, pixels a side, a multiple of 16.

    Returns:
        N portraits.

    Raises:
        ValueError: the latents are too narrow, or a name is unknown.
    """
    return Portraits(from_latent(latents, species, style), resolution)
