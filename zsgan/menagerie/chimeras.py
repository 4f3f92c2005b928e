"""Chimeras: portraits with traits of two species, which are of none.

A contrastive model that only sees whole species may tell them by the first trait that it finds, and is blind
to the others from then on: a dog with a cat's ears is a cat to it. Among chimeras, "cat" is true only where
every trait is a cat's.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from zsgan.menagerie.factors import Factors, sample_factors
from zsgan.menagerie.species import FIXED, MEANS, SHIFTS, SPECIES

TRAITS = (*MEANS, *FIXED, *SHIFTS)
"""Everything that a species decides."""
NO_SPECIES = len(SPECIES)
"""The species of a chimera: none of SPECIES, so that no caption which names one is true."""


@dataclass(frozen=True)
class Mixed(Factors):
    """N portraits of which some may be chimeras.

    Attributes:
        lenders: (N, len(TRAITS)) index into SPECIES: of which each trait is.
    """

    lenders: Tensor

    def species_of(self, trait: str) -> Tensor:
        """The species that each portrait has a trait of, (N,)."""
        return self.lenders[:, TRAITS.index(trait)]


def sample_mixed(n: int, generator: torch.Generator, chimeras: float) -> Mixed:
    """Draw the factors of ``n`` portraits, part of them chimeras.

    Each chimera takes a share of its traits, uniform in [0, 1], from a second species, drawn like the first.

    Args:
        n: how many.
        generator: the source of randomness.
        chimeras: the part that is mixed, in [0, 1]; a sixth of it, more or less, with its own species.

    Returns:
        N = ``n`` portraits, on the CPU. A chimera that happens to take all traits from one species is of it.
    """
    whole = sample_factors(n, generator)
    other = torch.randint(len(SPECIES), (n, 1), generator=generator)
    share = torch.rand(n, 1, generator=generator) * (torch.rand(n, 1, generator=generator) < chimeras)
    lent = torch.rand(n, len(TRAITS), generator=generator) < share
    lenders = torch.where(lent, other, whole.species[:, None])
    pure = (lenders == lenders[:, :1]).all(1)
    parts = {field.name: getattr(whole, field.name) for field in fields(whole)}
    return Mixed(**parts | {"species": torch.where(pure, lenders[:, 0], NO_SPECIES)}, lenders=lenders)
