"""Captions of portraits: what a person might write under one, with synonyms, and rarely all that is seen."""

import re

import torch
from torch import Tensor

from zsgan.menagerie.factors import EARS, EYES, FURS, PATTERNS, SPECIES, STYLES, Factors

SYNONYMS: dict[str, tuple[str, ...]] = {
    "dog": ("dog", "dog", "dog", "puppy", "hound"),
    "cat": ("cat", "cat", "cat", "kitten", "kitty"),
    "fox": ("fox", "fox", "fox", "vixen"),
    "bear": ("bear", "bear", "bear", "bear cub"),
    "rabbit": ("rabbit", "rabbit", "rabbit", "bunny"),
    "mouse": ("mouse", "mouse", "mouse", "rodent"),
    "photo": ("photo", "photo", "photo", "photograph", "picture", "close-up photo"),
    "cartoon": ("cartoon", "cartoon", "comic", "cartoon drawing"),
    "sketch": ("sketch", "sketch", "pencil sketch", "pencil drawing"),
    "painting": ("painting", "painting", "oil painting"),
    "pixel art": ("pixel art", "pixel art", "8-bit pixel art"),
    "grey": ("grey", "gray"),
    "golden": ("golden", "cream"),
    "striped": ("striped", "tabby"),
    "brown eyes": ("brown eyes", "dark eyes"),
    "pricked": ("pricked ears", "pointed ears"),
    "folded": ("folded ears", "floppy ears"),
}
"""Values of factors -> the words for them, the usual ones repeated."""

BACKGROUNDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "grey")

TEMPLATES = (
    "a {style} of {article} {animal}{tail}",
    "a {style} of {article} {animal}{tail}",
    "a {style} of the {animal}{tail}",
    "{article} {animal}{tail}, {style}",
    "the {style} of {article} {animal}{tail}",
    "{article} {animal}{tail}",
    "{animal}{tail}",
    "{animal}",
    "{style}",
    "a {style}",
    "a {style} of an animal{tail}",
    "a {style} of {article} {coat} animal{tail}",
)
"""Sentences; {animal}: noun with adjectives, {coat}: these alone, {tail}: "with ... on a ... background"."""

_ODDS = (0.2, 0.2, 0.08, 0.08, 0.06, 0.07, 0.05, 0.06, 0.04, 0.04, 0.06, 0.06)


def captions(factors: Factors, generator: torch.Generator) -> list[str]:
    """A caption for each of N portraits, drawn at random among the true ones.

    Args:
        factors: N portraits.
        generator: the source of randomness; another draw gives other captions of the same portraits.

    Returns:
        N lower-case texts, all made of words in :data:`VOCABULARY`.
    """
    chances = torch.rand(len(factors), 16, generator=generator).tolist()
    which = torch.multinomial(
        torch.tensor(_ODDS), len(factors), replacement=True, generator=generator
    ).tolist()
    columns = [factors.column(c).tolist() for c in ("mouth_open", "white_muzzle", "blaze")]
    backgrounds = [background_name(rgb) for rgb in factors.continuous[:, -3:]]
    kinds = zip(
        factors.species.tolist(), factors.style.tolist(), factors.fur.tolist(), factors.pattern.tolist(),
        factors.eyes.tolist(), factors.ears.tolist(), *columns, strict=True,
    )  # fmt: skip
    return [
        _caption(chance, TEMPLATES[template], background, *kind)
        for chance, template, background, kind in zip(chances, which, backgrounds, kinds, strict=True)
    ]


def _caption(
    chance: list[float], template: str, background: str,
    species: int, style: int, fur: int, pattern: int, eyes: int, ears: int,
    mouth_open: float, white_muzzle: float, blaze: float,
) -> str:  # fmt: skip
    def word(value: str, u: float) -> str:
        options = SYNONYMS.get(value, (value,))
        return options[int(u * len(options))]

    coat_only = "{coat}" in template
    adjectives = []
    if mouth_open > 0.3 and chance[0] < 0.25:
        adjectives.append("happy")
    if PATTERNS[pattern] != "plain" and chance[1] < 0.35:
        adjectives.append(word(PATTERNS[pattern], chance[2]))
    if coat_only or chance[3] < 0.45:
        adjectives.append(word(FURS[fur], chance[4]))
    details = []
    if chance[5] < 0.3:
        details.append(word(f"{EYES[eyes]} eyes", chance[6]))
    if chance[7] < 0.2:
        details.append(word(EARS[ears], chance[8]))
    if white_muzzle > 0 and chance[9] < 0.15:
        details.append("a white muzzle")
    if blaze > 0 and chance[10] < 0.2:
        details.append("a white blaze")
    tail = " with " + " and ".join(details) if details else ""
    if chance[11] < 0.2:
        tail += f" on {_article(background)} {background} background"
    animal = " ".join([*adjectives, word(SPECIES[species], chance[12])])
    coat = " ".join(adjectives)
    style_word, noun = word(STYLES[style], chance[13]), coat if coat_only else animal
    text = template.format(style=style_word, article=_article(noun), animal=animal, coat=coat, tail=tail)
    return text.replace(f"a {style_word}", f"{_article(style_word)} {style_word}")


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou8" else "a"


def background_name(rgb: Tensor) -> str:
    """Name, one of BACKGROUNDS, of a colour (3,) in [0, 1]."""
    red, green, blue = rgb.tolist()
    top, low = max(red, green, blue), min(red, green, blue)
    if top - low < 0.22 * top:
        return "grey"
    if top == red:
        hue = ((green - blue) / (top - low)) % 6
    elif top == green:
        hue = (blue - red) / (top - low) + 2
    else:
        hue = (red - green) / (top - low) + 4
    limits = (0.3, 0.75, 1.2, 2.8, 4.3, 5.0, 5.7)
    return ("red", "orange", "yellow", "green", "blue", "purple", "pink", "red")[
        sum(hue >= x for x in limits)
    ]


def _words() -> tuple[str, ...]:
    texts = [*TEMPLATES, *SPECIES, *STYLES, *FURS, *PATTERNS[1:], *EYES, *BACKGROUNDS]
    texts += [option for options in SYNONYMS.values() for option in options]
    texts += ["an happy with and on background white blaze muzzle, eyes"]
    return tuple(sorted(set(re.findall(r"[a-z0-9]+|[,.-]", re.sub(r"{\w+}", "", " ".join(texts))))))


VOCABULARY = _words()
"""Every word and sign that captions use, sorted: what the demo's CLIP is taught to read."""
