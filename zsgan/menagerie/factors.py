"""Factors of a portrait: species, style, and the scores of its shape, colours, pose and light.

A photo's pixels are smooth functions of the scores, each of which is normal with mean 0 and deviation 1 in
every species and style. A generator's latent can therefore *be* the portrait (:func:`from_latent`), and the
same scores under another species or style are the ideal answer to an adaptation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.menagerie.species import BEND_DEVIATION, DEVIATIONS, FIXED, MEANS, SHIFTS, SPECIES

STYLES = ("photo", "cartoon", "sketch", "painting", "pixel art")
FURS = ("black", "white", "grey", "brown", "golden", "ginger")
PATTERNS = ("plain", "striped", "spotted", "patched")
EYES = ("brown", "amber", "green", "blue")
EARS = ("pricked", "folded")

CATEGORIES: Mapping[str, tuple[str, ...]] = {
    "species": SPECIES,
    "style": STYLES,
    "fur": FURS,
    "pattern": PATTERNS,
    "eyes": EYES,
    "ears": EARS,
}
"""What a caption can name: attribute of :class:`Factors` -> the names of its values."""

COAT = (
    "fur_light", "fur_warm", "fur_saturation", "pale", "stripes", "spots", "patch", "iris", "blaze",
    "nose_pink",
)  # fmt: skip
SHAPE = (
    "head_width", "head_height", "jaw_width", "ear_bend", "ear_length", "ear_spread", "ear_width",
    "muzzle_width", "muzzle_height", "muzzle_drop", "nose_size", "eye_size", "eye_slant", "eye_spread",
    "pupil_width",
)  # fmt: skip
SCENE = (
    "yaw", "pitch", "mouth_open", "gaze_x", "light_x", "light_strength", "background_warm",
    "background_green", "background_light", "background_gradient", "scale", "shift_x",
)  # fmt: skip
CONTINUOUS = COAT + SHAPE + SCENE
"""Names of the scores, the columns of ``continuous`` in :class:`Factors`."""

LIMIT = 2.5
"""Scores are clamped to this many standard deviations."""

_IRIS_COLOURS = ((0.38, 0.20, 0.07), (0.96, 0.70, 0.14), (0.40, 0.75, 0.28), (0.30, 0.62, 0.95))  # as EYES
_IRIS_PLACES = (0.3, 1.1, 1.9, 2.7)  # of these colours on the scale of the iris score, 0 to 3
_FOLDED = 0.95  # ears bent by more than this many radians are called folded
_STYLE_ODDS = (0.4, 0.15, 0.15, 0.15, 0.15)


@dataclass(frozen=True)
class Factors:
    """Factors of N portraits, which determine them entirely.

    Attributes:
        species: (N,) index into SPECIES.
        style: (N,) index into STYLES.
        continuous: (N, len(CONTINUOUS)) scores, columns named by CONTINUOUS.
    """

    species: Tensor
    style: Tensor
    continuous: Tensor

    def __len__(self) -> int:
        return len(self.species)

    def __getitem__(self, index: slice | Tensor) -> "Factors":
        """Portraits selected by ``index`` (a slice, or a tensor of indices or flags)."""
        return Factors(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def column(self, name: str) -> Tensor:
        """One score, (N,)."""
        return self.continuous[:, CONTINUOUS.index(name)]

    def to(self, device: torch.device | str) -> "Factors":
        """The same factors on another device."""
        return Factors(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})

    @property
    def fur(self) -> Tensor:
        """(N,) index into FURS: the nearest word for the colour of the coat."""
        seen = appearance(self)
        hue, saturation, value = seen["hue"], seen["saturation"], seen["value"]
        dull = torch.where(value < 0.36, 0, torch.where(value > 0.76, 1, 2))
        bright = torch.where((value > 0.84) & (saturation < 0.34), 1, torch.where(hue > 0.075, 4, 5))
        coloured = torch.where(value < 0.32, 0, torch.where(value < 0.58, 3, bright))
        return torch.where(saturation < 0.24, dull, coloured)

    @property
    def pattern(self) -> Tensor:
        """(N,) index into PATTERNS: the most prominent marking."""
        seen = appearance(self)
        patched = torch.maximum(seen["patch_left"], seen["patch_right"]) > 0.5
        marked = torch.where(seen["spots"] > 0.5, 2, torch.where(patched, 3, 0))
        return torch.where(seen["stripes"] > 0.5, 1, marked)

    @property
    def eyes(self) -> Tensor:
        """(N,) index into EYES: the colour of the iris."""
        return appearance(self)["iris_mix"].argmax(1)

    @property
    def ears(self) -> Tensor:
        """(N,) index into EARS."""
        return (appearance(self)["ear_bend"] > _FOLDED).long()


def index_of(kind: str, name: str) -> int:
    """Place of a value in ``CATEGORIES[kind]`` by its name; a ValueError if it is unknown."""
    names = CATEGORIES[kind]
    if name not in names:
        raise ValueError(f"{kind}={name!r} is unknown; choose one of {', '.join(names)}")
    return names.index(name)


def sample_factors(
    n: int, generator: torch.Generator, species: str | None = None, style: str | None = None
) -> Factors:
    """Draw the factors of ``n`` portraits from the world's distribution.

    Args:
        n: number of portraits, >= 1.
        generator: the source of randomness.
        species: one of SPECIES for all; ``None`` draws it uniformly.
        style: one of STYLES for all; ``None`` draws it, photo most often.

    Returns:
        N = ``n`` portraits, on the CPU.

    Raises:
        ValueError: n is below 1, or a name is unknown.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    continuous = torch.randn(n, len(CONTINUOUS), generator=generator)
    kind = torch.randint(len(SPECIES), (n,), generator=generator)
    manner = torch.multinomial(torch.tensor(_STYLE_ODDS), n, replacement=True, generator=generator)
    if species is not None:
        kind = torch.full((n,), index_of("species", species))
    if style is not None:
        manner = torch.full((n,), index_of("style", style))
    return Factors(kind, manner, continuous)


def from_latent(z: Tensor, species: Tensor | str, style: str = "photo") -> Factors:
    """The portraits that latents stand for: what a matched generator learns to draw.

    Args:
        z: (N, D_z) samples of N(0, I), D_z >= len(CONTINUOUS). They are scaled to unit second moment, as at
            the start of a StyleGAN2's mapping network; the first columns are then the scores.
        species: one for all, or (N,) indices into SPECIES.
        style: one for all.

    Returns:
        N portraits, on the device of ``z``.

    Raises:
        ValueError: z is too narrow, or a name is unknown.
    """
    if z.ndim != 2 or z.shape[1] < len(CONTINUOUS):
        raise ValueError(f"z must be (N, D) with D >= {len(CONTINUOUS)} scores, got {tuple(z.shape)}")
    scores = (z * z.square().mean(1, keepdim=True).rsqrt())[:, : len(CONTINUOUS)]
    if isinstance(species, str):
        species = torch.full((len(z),), index_of("species", species), device=z.device)
    return Factors(species, torch.full_like(species, index_of("style", style)), scores)


def with_species(factors: Factors, species: str) -> Factors:
    """The same animals as another species: the ideal answer to an adaptation between species."""
    return replace(factors, species=torch.full_like(factors.species, index_of("species", species)))


def with_style(factors: Factors, style: str) -> Factors:
    """The same portraits in another style: the ideal answer to an adaptation between styles."""
    return replace(factors, style=torch.full_like(factors.style, index_of("style", style)))


def appearance(factors: Factors) -> dict[str, Tensor]:
    """Visible attributes of portraits by name, all smooth functions of the scores.

    Args:
        factors: N portraits.

    Returns:
        (N,) each unless noted otherwise. Shape in half picture widths, angles in radians ("ear_bend", that of
        the ear's tip against its base; "eye_slant"). Coat: "hue", "saturation", "value" and "fur" (N, 3) in
        [0, 1]; strengths in [0, 1] of "pale" (muzzle), "stripes", "spots", "patch_left", "patch_right",
        "blaze", "pink_nose", "whiskers", "tongue"; "iris_mix" (N, 4), weights of EYES, and "iris" (N, 3).
        Scene: "yaw", "pitch" in [-1, 1], "mouth_open" in [0, 1], "gaze_x" in eye radii, "light_x" in [-1, 1],
        "light_strength", "background" (N, 3) in [0, 1], "background_gradient", "scale", "shift_x".
    """
    scores = factors.continuous.clamp(-LIMIT, LIMIT)
    score = dict(zip(CONTINUOUS, scores.unbind(1), strict=True))

    def of_species(table: tuple[float, ...]) -> Tensor:
        return scores.new_tensor(table)[factors.species]

    shifted = score | {name: score[name] + of_species(shift) for name, shift in SHIFTS.items()}
    seen = {name: of_species(MEANS[name]) + sd * score[name] for name, sd in DEVIATIONS.items()}
    seen |= {name: of_species(table) for name, table in FIXED.items()}
    bend = of_species(MEANS["ear_bend"]) + of_species(BEND_DEVIATION) * score["ear_bend"]
    seen["ear_bend"] = F.softplus(8 * bend) / 8  # ears do not bend inwards

    value = 0.13 + 0.82 * _normal_cdf(shifted["fur_light"])
    hue = 0.03 + 0.085 * _normal_cdf(shifted["fur_warm"])
    saturation = 0.85 * _normal_cdf(shifted["fur_saturation"])
    # Very dark and very light coats are less saturated.
    muted = saturation * (0.45 + 0.55 * (1 - (value - 0.55).abs() / 0.45))
    seen |= {"hue": hue, "saturation": saturation, "value": value, "fur": _hsv(hue, muted, value)}
    seen["stripes"] = torch.sigmoid(5 * (shifted["stripes"] - 0.6))
    seen["spots"] = torch.sigmoid(5 * (shifted["spots"] - 0.9))
    seen["patch_left"] = torch.sigmoid(5 * (-score["patch"] - 0.9))
    seen["patch_right"] = torch.sigmoid(5 * (score["patch"] - 0.9))
    seen["pale"] = torch.sigmoid(5 * (shifted["pale"] - 0.3))
    seen["pink_nose"] = torch.sigmoid(3 * shifted["nose_pink"])
    seen["blaze"] = torch.sigmoid(5 * (score["blaze"] - 1.1))
    place = 3 * _normal_cdf(shifted["iris"])
    seen["iris_mix"] = torch.softmax(-6 * (place[:, None] - scores.new_tensor(_IRIS_PLACES)).square(), 1)
    seen["iris"] = seen["iris_mix"] @ scores.new_tensor(_IRIS_COLOURS)

    seen["yaw"] = 0.8 * torch.tanh(score["yaw"])
    seen["pitch"] = 0.5 * torch.tanh(score["pitch"])
    seen["mouth_open"] = torch.sigmoid(3 * (score["mouth_open"] - 0.2))
    seen["gaze_x"] = 0.12 * score["gaze_x"]
    seen["light_x"] = torch.tanh(score["light_x"])
    seen["light_strength"] = 0.5 + 0.1 * score["light_strength"]
    warm, green = 0.16 * torch.tanh(score["background_warm"]), 0.10 * torch.tanh(score["background_green"])
    light = 0.6 + 0.16 * torch.tanh(score["background_light"])
    seen["background"] = torch.stack([light + warm, light + green, light - warm], 1)
    seen["background_gradient"] = 0.25 * score["background_gradient"]
    seen["scale"] = 1.22 + 0.04 * score["scale"]
    seen["shift_x"] = 0.03 * score["shift_x"]
    return seen


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _hsv(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV, each (N,) in [0, 1], to RGB (N, 3)."""
    k = (hue.new_tensor([5.0, 3.0, 1.0]) + hue[:, None] * 6) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))
