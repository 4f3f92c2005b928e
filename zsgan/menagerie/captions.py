"""Random captions of portraits, with synonyms; a caption names only some of a portrait's factors."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.menagerie.factors import CATEGORIES, EARS, EYES, FURS, PATTERNS, STYLES, Factors
from zsgan.menagerie.species import SPECIES

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
"""Factor value -> its synonyms; common ones are repeated, so that they are drawn more often."""

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
"""Caption templates; {animal}: noun with adjectives, {coat}: adjectives alone, {tail}: "with ... and ..."."""

_ODDS = (0.2, 0.2, 0.08, 0.08, 0.06, 0.07, 0.05, 0.06, 0.04, 0.04, 0.06, 0.06)
UNSAID = -1
NONE = -2
"""Species index of an animal that belongs to none of SPECIES; its captions never name a species."""


@dataclass(frozen=True)
class Captions:
    """M captions and the factor values that each names.

    Attributes:
        texts: M lower-case texts, all made of words in :data:`VOCABULARY`.
        said: (M, len(CATEGORIES)) the index of the value that a caption names, or UNSAID.
    """

    texts: list[str]
    said: Tensor

    def true_of_values(self, values: Tensor) -> Tensor:
        """Whether caption m is true of a portrait with values n (:func:`values_of`): (N, M), 1.0 or 0.0."""
        return ((self.said == UNSAID) | (self.said == values[:, None])).all(2).float()


def values_of(factors: Factors) -> Tensor:
    """Indices (N, len(CATEGORIES)) of the values that captions can name, one column for each category."""
    return torch.stack([getattr(factors, kind) for kind in CATEGORIES], 1)


def captions(factors: Factors, generator: torch.Generator) -> Captions:
    """Draw one random true caption for each of N portraits, see :func:`captions_of`."""
    return captions_of(values_of(factors), generator)


def captions_of(values: Tensor, generator: torch.Generator) -> Captions:
    """Draw one random true caption for each of N portraits, given their values.

    Captions of animals of species :data:`NONE` do not name a species.

    Args:
        values: (N, len(CATEGORIES)) indices, see :func:`values_of`.
        generator: see :func:`captions`.

    Returns:
        see :func:`captions`.
    """
    n = len(values)
    chances = torch.rand(n, 10, generator=generator).tolist()
    odds = torch.tensor(_ODDS)
    which = torch.multinomial(odds, n, replacement=True, generator=generator)
    nameless = values[:, list(CATEGORIES).index("species")] == NONE
    if count := int(nameless.sum()):
        silent = torch.tensor(["{animal}" not in template for template in TEMPLATES])
        which[nameless] = torch.multinomial(odds * silent, count, replacement=True, generator=generator)
    made = [
        _caption(chance, TEMPLATES[template], dict(zip(CATEGORIES, of_one, strict=True)))
        for chance, template, of_one in zip(chances, which.tolist(), values.tolist(), strict=True)
    ]
    said = [[saying.get(kind, UNSAID) for kind in CATEGORIES] for _, saying in made]
    return Captions([text for text, _ in made], torch.tensor(said))


def _caption(chance: list[float], template: str, seen: dict[str, int]) -> tuple[str, dict[str, int]]:
    """One caption and the values that it names."""

    def word(value: str, u: float) -> str:
        options = SYNONYMS.get(value, (value,))
        return options[int(u * len(options))]

    said = []
    adjectives, details = [], []
    coat_only = "{coat}" in template
    if coat_only or "{animal}" in template:
        if PATTERNS[seen["pattern"]] != "plain" and chance[0] < 0.4:
            adjectives.append(word(PATTERNS[seen["pattern"]], chance[1]))
            said.append("pattern")
        if coat_only or chance[2] < 0.5:
            adjectives.append(word(FURS[seen["fur"]], chance[3]))
            said.append("fur")
    if "{tail}" in template:
        if chance[4] < 0.35:
            details.append(word(f"{EYES[seen['eyes']]} eyes", chance[5]))
            said.append("eyes")
        if chance[6] < 0.25:
            details.append(word(EARS[seen["ears"]], chance[7]))
            said.append("ears")
    said += [kind for kind, place in (("species", "{animal}"), ("style", "{style}")) if place in template]
    tail = " with " + " and ".join(details) if details else ""
    animal = " ".join([*adjectives, word(SPECIES[seen["species"]], chance[8])])
    coat = " ".join(adjectives)
    style_word, noun = word(STYLES[seen["style"]], chance[9]), coat if coat_only else animal
    text = template.format(style=style_word, article=_article(noun), animal=animal, coat=coat, tail=tail)
    text = text.replace(f"a {style_word}", f"{_article(style_word)} {style_word}")
    return text, {kind: seen[kind] for kind in said}


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou8" else "a"


def _words() -> tuple[str, ...]:
    texts = [*TEMPLATES, *SPECIES, *STYLES, *FURS, *PATTERNS[1:], *EYES]
    texts += [option for options in SYNONYMS.values() for option in options]
    texts += ["an animal with and eyes,"]
    return tuple(sorted(set(re.findall(r"[a-z0-9]+|[,.-]", re.sub(r"{\w+}", "", " ".join(texts))))))


VOCABULARY = _words()
"""All words and punctuation marks of captions, sorted; the demo's CLIP is trained on these."""
