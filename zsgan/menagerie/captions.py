"""Captions of portraits: what a person might write under one, with synonyms, and rarely all that is seen."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.menagerie.factors import (
    CATEGORIES,
    EARS,
    EYES,
    FURS,
    PATTERNS,
    SPECIES,
    STYLES,
    Factors,
    appearance,
)

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

TRAITS: Mapping[str, tuple[float, float, str, str]] = {
    "jaw_width": (0.33, 0.41, "a narrow jaw", "a wide jaw"),
    "muzzle_width": (0.20, 0.30, "a narrow muzzle", "a broad muzzle"),
    "muzzle_height": (0.19, 0.26, "a flat muzzle", "a deep muzzle"),
    "nose_size": (0.078, 0.11, "a small nose", "a big nose"),
    "pink_nose": (0.3, 0.7, "a black nose", "a pink nose"),
    "eye_size": (0.095, 0.125, "small eyes", "big eyes"),
    "eye_slant": (0.08, 0.25, "level eyes", "slanted eyes"),
    "pupil_width": (0.45, 0.65, "slit pupils", "round pupils"),
    "ear_length": (0.25, 0.52, "short ears", "long ears"),
    "ear_width": (0.18, 0.23, "thin ears", "broad ears"),
    "head_width": (0.53, 0.59, "a narrow face", "a wide face"),
    "head_height": (0.52, 0.57, "a short face", "a long face"),
    "whiskers": (0.2, 0.5, "no whiskers", "long whiskers"),
}
"""What captions say of a trait: its name in ``appearance``, below and above which values, and the words."""

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
"""Sentences; {animal}: noun with adjectives, {coat}: these alone, {tail}: "with ... and ..."."""

_ODDS = (0.2, 0.2, 0.08, 0.08, 0.06, 0.07, 0.05, 0.06, 0.04, 0.04, 0.06, 0.06)
UNSAID = -1
KINDS = (*CATEGORIES, *TRAITS)
"""What a caption can name."""
_TRAIT_ODDS = 0.13
_DETAILS = 3  # at most: a longer text does not fit the demo's CLIP


@dataclass(frozen=True)
class Captions:
    """M captions, and what each says.

    Attributes:
        texts: M lower-case texts, all made of words in :data:`VOCABULARY`.
        said: (M, len(KINDS)) the index of the value that a caption names, or UNSAID.
    """

    texts: list[str]
    said: Tensor

    def true_of(self, factors: Factors) -> Tensor:
        """Whether caption m is true of portrait n: (N, M), 1.0 or 0.0."""
        return ((self.said == UNSAID) | (self.said == values(factors)[:, None])).all(2).float()


def values(factors: Factors) -> Tensor:
    """What could be said of N portraits: (N, len(KINDS)).

    Indices into CATEGORIES; of a trait 0 for the first of its words, 1 for the second, 2 for neither.
    """
    seen = appearance(factors)
    traits = [
        torch.where(seen[name] < low, 0, torch.where(seen[name] > high, 1, 2))
        for name, (low, high, *_) in TRAITS.items()
    ]
    return torch.stack([*(getattr(factors, kind) for kind in CATEGORIES), *traits], 1)


def captions(factors: Factors, generator: torch.Generator) -> Captions:
    """A caption for each of N portraits, drawn at random among the true ones.

    Args:
        factors: N portraits.
        generator: the source of randomness; another draw gives other captions of the same portraits.

    Returns:
        N captions, with what each says.
    """
    n = len(factors)
    chances = torch.rand(n, 10, generator=generator).tolist()
    trait_chances = torch.rand(n, len(TRAITS), generator=generator).tolist()
    template_odds = torch.tensor(_ODDS).repeat(n, 1)
    nameless = factors.species == len(SPECIES)
    template_odds[nameless] *= torch.tensor(["{animal}" not in template for template in TEMPLATES])
    which = torch.multinomial(template_odds, 1, generator=generator)[:, 0].tolist()
    made = [
        _caption(chance, traits, TEMPLATES[template], dict(zip(KINDS, seen, strict=True)))
        for chance, traits, template, seen in zip(
            chances, trait_chances, which, values(factors).tolist(), strict=True
        )
    ]
    said = [[saying.get(kind, UNSAID) for kind in KINDS] for _, saying in made]
    return Captions([text for text, _ in made], torch.tensor(said))


def _caption(
    chance: list[float], trait_chance: list[float], template: str, seen: dict[str, int]
) -> tuple[str, dict[str, int]]:
    """A text, and the values that it names."""

    def word(value: str, u: float) -> str:
        options = SYNONYMS.get(value, (value,))
        return options[int(u * len(options))]

    said = [kind for kind, place in (("species", "{animal}"), ("style", "{style}")) if place in template]
    adjectives = []
    coat_only = "{coat}" in template
    if coat_only or "{animal}" in template:
        if PATTERNS[seen["pattern"]] != "plain" and chance[0] < 0.4:
            adjectives.append(word(PATTERNS[seen["pattern"]], chance[1]))
            said.append("pattern")
        if coat_only or chance[2] < 0.5:
            adjectives.append(word(FURS[seen["fur"]], chance[3]))
            said.append("fur")
    tail = ""
    if "{tail}" in template:
        details = _details(chance, trait_chance, seen)
        told = {kind: word(words, chance[5]) for kind, words in details.items()}
        said += told
        tail = " with " + " and ".join(told.values()) if told else ""
    coat = " ".join(adjectives)
    noun = coat
    if "{animal}" in template:
        noun = " ".join([*adjectives, word(SPECIES[seen["species"]], chance[8])])
    style_word = word(STYLES[seen["style"]], chance[9])
    text = template.format(style=style_word, article=_article(noun), animal=noun, coat=coat, tail=tail)
    text = text.replace(f"a {style_word}", f"{_article(style_word)} {style_word}")
    return text, {kind: seen[kind] for kind in said}


def _details(chance: list[float], trait_chance: list[float], seen: dict[str, int]) -> dict[str, str]:
    """What a tail names, and the words for it: a few things, the order left to chance."""
    found = {}
    if chance[4] < 0.35:
        found["eyes"] = (chance[4] / 0.35, f"{EYES[seen['eyes']]} eyes")
    if chance[6] < 0.25:
        found["ears"] = (chance[6] / 0.25, EARS[seen["ears"]])
    for (kind, (*_, low, high)), u in zip(TRAITS.items(), trait_chance, strict=True):
        if u < _TRAIT_ODDS and seen[kind] < 2:
            found[kind] = (u / _TRAIT_ODDS, (low, high)[seen[kind]])
    chosen = sorted(found, key=lambda kind: found[kind][0])[:_DETAILS]
    return {kind: found[kind][1] for kind in chosen}


def _article(words: str) -> str:
    return "an" if words[:1] in tuple("aeiou8") else "a"


def _words() -> tuple[str, ...]:
    texts = [*TEMPLATES, *SPECIES, *STYLES, *FURS, *PATTERNS[1:], *EYES]
    texts += [option for options in SYNONYMS.values() for option in options]
    texts += [words for *_, low, high in TRAITS.values() for words in (low, high)]
    texts += ["an animal with and eyes,"]
    return tuple(sorted(set(re.findall(r"[a-z0-9]+|[,.-]", re.sub(r"{\w+}", "", " ".join(texts))))))


VOCABULARY = _words()
"""Every word and sign that captions use, sorted: what the demo's CLIP is taught to read."""
