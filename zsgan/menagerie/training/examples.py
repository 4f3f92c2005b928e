"""Training data of CLIP: batches of portraits and captions, and which caption is true of which portrait.

A CLIP trained on whole animals alone may recognise a cat by its eyes, and a generator that it guides then
draws a dog with a cat's eyes. In portraits of two animals at once every part counts (:class:`MixedExamples`).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.images import from_bytes
from zsgan.menagerie.captions import NONE, captions_of, values_of
from zsgan.menagerie.factors import CATEGORIES, STYLES, Factors, appearance
from zsgan.menagerie.species import SPECIES
from zsgan.menagerie.training import shared

CHIMERAS, PATCHED = 0.35, 0.4
"""Shares of a late mixed batch; the rest are whole animals, which also replace chimeras in early batches."""
LATE = 0.75
"""Share of a training on mixed examples after which chimeras are included. Chimeras make CLIP attend to small
parts, but a CLIP trained on them from the start reads badly."""
OF_SPECIES = 0.75
"""Share of partners of another species; the others are of another style."""
FLAT = 0.15
"""Share of constant masks, which blend two pictures uniformly."""
TRAITS = {
    "ears": ("ear_bend", "ear_length", "ear_spread", "ear_width", "ear_angle", "ear_tip"),
    "eyes": ("eye_size", "eye_slant", "eye_spread", "pupil_width", "iris_mix", "iris"),
    "muzzle": ("muzzle_width", "muzzle_height", "muzzle_drop", "tongue", "whiskers", "pale"),
    "nose": ("nose_size", "pink_nose"),
    "head": ("head_width", "head_height", "jaw_width"),
}
"""Trait that a chimera takes from either animal -> names in :func:`zsgan.menagerie.factors.appearance`."""


@dataclass(frozen=True)
class Batch:
    """N portraits and N captions.

    Attributes:
        images: (N, 3, H, H) in [-1, 1].
        texts: one caption for each portrait.
        true: (N, N) in [0, 1], how far caption m is true of portrait n; every portrait has a true caption.
    """

    images: Tensor
    texts: list[str]
    true: Tensor


@dataclass(frozen=True)
class Examples:
    """Portraits of whole animals.

    Attributes:
        images: (n, 3, H, H) uint8.
        factors: factors of the n portraits.
        late: share of a training after which the late batches begin; 1 for never.
    """

    images: Tensor
    factors: Factors
    late: ClassVar[float] = 1.0

    def batch(self, size: int, generator: torch.Generator, late: bool) -> Batch:
        """``size`` portraits and captions, drawn by ``generator``; with ``late``, a late batch."""
        index = torch.randint(len(self.images), (size,), generator=generator)
        values = values_of(self.factors[index])
        written = captions_of(values, generator)
        return Batch(from_bytes(self.images[index]), written.texts, written.true_of_values(values))


@dataclass(frozen=True)
class MixedExamples(Examples):
    """Portraits of whole animals, of two animals in one picture, and of chimeras with traits of two animals.

    Two animals in one picture have the same scores in two species or styles, with soft borders; each name is
    as true as its share of what differs (CutMix, Yun et al. 2019, with matching pairs). No species is true of
    a chimera, and only late batches have chimeras.

    Attributes:
        partners: (n, 3, H, H) uint8, the same animals in another species or style.
        partner_factors: factors of the partners.
        chimeras: (n, 3, H, H) uint8, the same animals with traits of another species.
        chimera_values: (n, len(CATEGORIES)) visible values of the chimeras, which have none of the species.
    """

    partners: Tensor
    partner_factors: Factors
    chimeras: Tensor
    chimera_values: Tensor
    late: ClassVar[float] = LATE

    def batch(self, size: int, generator: torch.Generator, late: bool) -> Batch:
        """``size`` portraits and captions, drawn by ``generator``; with ``late``, chimeras among them."""
        index = torch.randint(len(self.images), (size,), generator=generator)
        kind = torch.rand(size, generator=generator)
        chimera = kind < CHIMERAS * late
        patched = (kind >= CHIMERAS) & (kind < CHIMERAS + PATCHED)
        whole, partner = (from_bytes(bank[index]) for bank in (self.images, self.partners))
        mask = masks(size, whole.shape[-1], generator) * patched[:, None, None, None]
        images, share = blend(whole, partner, mask)
        images[chimera] = from_bytes(self.chimeras[index[chimera]])

        first, second = values_of(self.factors[index]), values_of(self.partner_factors[index])
        first[chimera] = self.chimera_values[index[chimera]]
        of_second = (torch.rand(size, generator=generator) < share)[:, None]
        written = captions_of(torch.where(of_second, second, first), generator)
        true = torch.lerp(written.true_of_values(first), written.true_of_values(second), share[:, None])
        return Batch(images, written.texts, true)


def masks(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Soft random masks (n, 1, size, size) in (0, 1), made of blots of any size."""
    cells = int(torch.randint(2, 7, (), generator=generator))
    field = torch.randn(n, 1, cells, cells, generator=generator)
    field = F.interpolate(field, (size, size), mode="bicubic", align_corners=False)
    level, flat, height = torch.rand(3, n, 1, 1, 1, generator=generator)
    blots = torch.sigmoid(8 * (field - 3 * level + 1.5))
    return torch.where(flat < FLAT, height, blots)


def blend(whole: Tensor, partner: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Blend pictures (N, 3, H, H), with masks (N, 1, H, H) in [0, 1] of how much of ``partner`` shows.

    Also returns the partner's share (N,) of what differs between the two, in [0, 1].
    """
    difference = (partner - whole).abs()
    share = (mask * difference).sum((1, 2, 3)) / difference.sum((1, 2, 3)).clamp_min(1e-6)
    return torch.lerp(whole, partner, mask), share


def draw_mixed(
    images: Tensor, factors: Factors, generator: torch.Generator, progress: bool = False
) -> MixedExamples:
    """Draw the partners and the chimeras of portraits, uint8 (n, 3, H, H)."""
    n, resolution = len(factors), images.shape[-1]

    def another(values: Tensor, count: int) -> Tensor:
        return (values + torch.randint(1, count, (n,), generator=generator)) % count

    changed = torch.rand(n, generator=generator) < OF_SPECIES
    species, style = another(factors.species, len(SPECIES)), another(factors.style, len(STYLES))
    partners = replace(
        factors,
        species=torch.where(changed, species, factors.species),
        style=torch.where(changed, factors.style, style),
    )
    others = replace(factors, species=another(factors.species, len(SPECIES)))
    some = torch.randint(1, 2 ** len(TRAITS) - 1, (n,), generator=generator)  # neither none nor all
    taken = {trait: (some >> i) % 2 == 1 for i, trait in enumerate(TRAITS)}
    values, of_others = values_of(factors), values_of(others)
    places = list(CATEGORIES)
    for trait in ("ears", "eyes"):
        place = places.index(trait)
        values[:, place] = torch.where(taken[trait], of_others[:, place], values[:, place])
    values[:, places.index("species")] = NONE
    return MixedExamples(
        images, factors, shared.render(partners, resolution, progress), partners,
        _draw_chimeras(factors, others, taken, resolution, progress), values,
    )  # fmt: skip


def _draw_chimeras(
    factors: Factors, others: Factors, taken: dict[str, Tensor], resolution: int, progress: bool
) -> Tensor:
    def see(part: slice) -> dict[str, Tensor]:
        seen, of_others = appearance(factors[part]), appearance(others[part])
        for trait, names in TRAITS.items():
            for name in names:
                here = taken[trait][part].view(-1, *[1] * (seen[name].ndim - 1))
                seen[name] = torch.where(here, of_others[name], seen[name])
        return seen

    return shared.render(factors, resolution, progress, see)
