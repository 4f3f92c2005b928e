"""Factors of a portrait: which animal, in which style and colours, how posed and lit; and their exchange."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

SPECIES = ("dog", "cat", "fox", "bear", "rabbit", "mouse")
STYLES = ("photo", "cartoon", "sketch", "painting", "pixel art")
FURS = ("black", "white", "grey", "brown", "golden", "ginger")
PATTERNS = ("plain", "striped", "spotted", "patched")
EYES = ("brown", "blue", "green", "amber")
EARS = ("pricked", "folded")

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "species": SPECIES,
    "style": STYLES,
    "fur": FURS,
    "pattern": PATTERNS,
    "eyes": EYES,
    "ears": EARS,
}
"""Categorical factors: field of :class:`Factors` -> the names of its values."""

# Deviations from the mean of the species, in its standard deviations (normal, cut at 2).
SHAPE = (
    "head_width", "head_height", "jaw_width", "ear_spread", "ear_angle", "ear_length", "ear_base", "ear_tip",
    "muzzle_width", "muzzle_height", "muzzle_drop", "nose_size", "eye_size", "eye_aspect", "eye_slant",
    "eye_spread", "pupil_width",
)  # fmt: skip
# The same distribution for every species and style.
SCENE = (
    "yaw", "tilt", "shift_x", "shift_y", "scale", "mouth_open", "gaze_x", "gaze_y", "white_muzzle", "blaze",
    "fur_lightness", "light_x", "light_strength", "background_red", "background_green", "background_blue",
)  # fmt: skip
CONTINUOUS = SHAPE + SCENE
"""Names of the columns of :attr:`Factors.continuous`."""

# How often each value occurs. Species overlap on purpose: no single trait gives one away.
_STYLE_ODDS = (0.4, 0.15, 0.15, 0.15, 0.15)
_FUR_ODDS = {
    "dog": (0.17, 0.15, 0.14, 0.20, 0.20, 0.14),
    "cat": (0.18, 0.17, 0.20, 0.11, 0.14, 0.20),
    "fox": (0.05, 0.07, 0.12, 0.15, 0.16, 0.45),
    "bear": (0.23, 0.17, 0.10, 0.34, 0.11, 0.05),
    "rabbit": (0.12, 0.26, 0.24, 0.20, 0.12, 0.06),
    "mouse": (0.12, 0.23, 0.38, 0.15, 0.08, 0.04),
}
_PATTERN_ODDS = {
    "dog": (0.40, 0.10, 0.20, 0.30),
    "cat": (0.33, 0.34, 0.13, 0.20),
    "fox": (0.70, 0.10, 0.10, 0.10),
    "bear": (0.70, 0.10, 0.10, 0.10),
    "rabbit": (0.50, 0.10, 0.18, 0.22),
    "mouse": (0.64, 0.12, 0.12, 0.12),
}
_EYES_ODDS = {
    "dog": (0.50, 0.20, 0.12, 0.18),
    "cat": (0.12, 0.24, 0.36, 0.28),
    "fox": (0.25, 0.10, 0.15, 0.50),
    "bear": (0.64, 0.10, 0.12, 0.14),
    "rabbit": (0.52, 0.22, 0.12, 0.14),
    "mouse": (0.64, 0.14, 0.11, 0.11),
}
_FOLDED_ODDS = {"dog": 0.35, "cat": 0.15, "fox": 0.10, "bear": 0.0, "rabbit": 0.25, "mouse": 0.0}
_TEXTURES = 4096


@dataclass(frozen=True)
class Factors:
    """What determines N portraits entirely.

    Attributes:
        species: (N,) index into SPECIES.
        style: (N,) index into STYLES.
        fur: (N,) index into FURS.
        pattern: (N,) index into PATTERNS.
        eyes: (N,) index into EYES (colour of the iris).
        ears: (N,) index into EARS.
        continuous: (N, len(CONTINUOUS)), columns named by CONTINUOUS: shape in standard deviations from the
            mean of the species, scene in the units of the drawing (see ``draw``).
        texture: (N,) which fur and background texture, in [0, 4096).
    """

    species: Tensor
    style: Tensor
    fur: Tensor
    pattern: Tensor
    eyes: Tensor
    ears: Tensor
    continuous: Tensor
    texture: Tensor

    def __len__(self) -> int:
        return len(self.species)

    def __getitem__(self, index: slice | Tensor) -> "Factors":
        """The portraits that ``index`` (a slice, or a tensor of indices or flags) picks."""
        return Factors(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def column(self, name: str) -> Tensor:
        """One continuous factor, (N,)."""
        return self.continuous[:, CONTINUOUS.index(name)]

    def to(self, device: torch.device | str) -> "Factors":
        """The same factors on another device."""
        return Factors(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


def index_of(kind: str, name: str) -> int:
    """Index of a categorical value by name.

    Raises:
        ValueError: there is no such value.
    """
    names = CATEGORIES[kind]
    if name not in names:
        raise ValueError(f"{kind}={name!r} is unknown; choose one of {', '.join(names)}")
    return names.index(name)


def sample_factors(
    n: int, generator: torch.Generator, species: str | None = None, style: str | None = None
) -> Factors:
    """Draw the factors of ``n`` portraits from the world's distribution.

    Args:
        n: how many, >= 1.
        generator: the source of randomness.
        species: one of SPECIES for all; ``None`` draws it uniformly.
        style: one of STYLES for all; ``None`` draws it, photo most often.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator)

    def normal(sd: float) -> Tensor:
        return sd * torch.randn(n, generator=generator).clamp(-2, 2)

    def pick(odds: Tensor) -> Tensor:
        return torch.multinomial(odds, 1, generator=generator)[:, 0]

    def per_species(table: Mapping[str, tuple[float, ...]]) -> Tensor:
        return torch.tensor([table[name] for name in SPECIES])[kind]

    kind = torch.randint(len(SPECIES), (n,), generator=generator)
    manner = pick(torch.tensor(_STYLE_ODDS).expand(n, -1))
    if species is not None:
        kind = torch.full((n,), index_of("species", species))
    if style is not None:
        manner = torch.full((n,), index_of("style", style))
    fur, pattern, eyes = (pick(per_species(odds)) for odds in (_FUR_ODDS, _PATTERN_ODDS, _EYES_ODDS))
    ears = (uniform() < torch.tensor([_FOLDED_ODDS[name] for name in SPECIES])[kind]).long()

    shape = torch.randn(n, len(SHAPE), generator=generator).clamp(-2, 2)
    background = _hsv(uniform(), uniform(0.15, 0.6), uniform(0.35, 0.9))
    scene = {
        "yaw": uniform(-1, 1),
        "tilt": normal(0.15),
        "shift_x": normal(0.06),
        "shift_y": normal(0.04),
        "scale": 1.2 + normal(0.07),
        "mouth_open": uniform(-0.8, 1).clamp_min(0),
        "gaze_x": normal(0.12),
        "gaze_y": normal(0.12),
        "white_muzzle": (uniform() < 0.5) * uniform(0.4, 0.9),
        "blaze": (uniform() < 0.2) * uniform(0.6, 1.0),
        "fur_lightness": normal(0.05),
        "light_x": uniform(-1, 1),
        "light_strength": uniform(0.35, 0.65),
        "background_red": background[:, 0],
        "background_green": background[:, 1],
        "background_blue": background[:, 2],
    }
    continuous = torch.cat([shape, torch.stack([scene[name] for name in SCENE], 1)], 1)
    texture = torch.randint(_TEXTURES, (n,), generator=generator)
    return Factors(kind, manner, fur, pattern, eyes, ears, continuous, texture)


def with_species(factors: Factors, species: str) -> Factors:
    """The same animals as another species: the ideal answer to an adaptation between species."""
    return replace(factors, species=torch.full_like(factors.species, index_of("species", species)))


def with_style(factors: Factors, style: str) -> Factors:
    """The same portraits in another style: the ideal answer to an adaptation between styles."""
    return replace(factors, style=torch.full_like(factors.style, index_of("style", style)))


def _hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV, each (N,) in [0, 1], to RGB (N, 3)."""
    k = (torch.tensor([5.0, 3.0, 1.0]) + hue[:, None] * 6) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))
