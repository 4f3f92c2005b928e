"""What the chapter on people's pictures needs: the texts of its figure, held-out animals, true answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig, override
from zsgan.inversion.edit import factor_distance
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import Factors, with_species, with_style
from zsgan.menagerie.portraits import FRESH_SEED, Drawing
from zsgan.metrics.eyes import Eyes
from zsgan.runs.profiles import Profile, load_profile

HELD_OUT_SEED = FRESH_SEED + 1
"""Seed of the animals of the figure, with which no network was trained and nothing else is measured."""


@dataclass(frozen=True)
class Wish:
    """A text, and the true answer to it.

    Attributes:
        source_text: the source in words.
        target_text: the target in words.
        label: what changes: the species, or the style.
        changes_style: whether it is the style.
    """

    source_text: str
    target_text: str
    label: str
    changes_style: bool = False

    def answer(self, factors: Factors) -> Factors:
        """The same animals in the target domain."""
        return (with_style if self.changes_style else with_species)(factors, self.label)


WISHES = (
    Wish("dog", "cat", "cat"),
    Wish("dog", "fox", "fox"),
    Wish("photo of a dog", "cartoon of a dog", "cartoon", True),
    Wish("photo of a dog", "sketch of a dog", "sketch", True),
)
"""Two species and two styles, with the texts of the profiles *demo* and *scenarios*."""


def config_of(profile: Profile, wish: Wish, row: str, seed: int = 0) -> AdaptConfig:
    """The run of the dog generator for a wish, with a profile's settings and the templates of its kind.

    Args:
        profile: *demo* or a smaller one.
        wish: one of :data:`WISHES`.
        row: row of the profile.
        seed: seed of the run.

    Returns:
        the configuration; for the styles that of the profile *scenarios*, whose runs are found.
    """
    texts = {"source_text": wish.source_text, "target_text": wish.target_text, "generator": "generator-dog"}
    if wish.changes_style:
        texts["templates"] = load_profile("scenarios").settings["templates"]
    return override(profile.config(next(iter(profile.scenarios)), row, seed), texts)


def held_out(n: int) -> Drawing:
    """Photos of n dogs that no network has seen."""
    return Drawing({"species": "dog", "style": "photo"}, n, seed=HELD_OUT_SEED)


@torch.no_grad()
def distances(eyes: Eyes, images: Mapping[str, Tensor], answers: Tensor) -> dict[str, float]:
    """Mean distance of images to the true answers, over animals and then over factors, as the eyes read them.

    Args:
        eyes: eyes that read factors.
        images: label -> images (N, 3, H, W) in [-1, 1].
        answers: (N, 3, H, W), the true answers.

    Returns:
        label -> root mean square over the factors, in deviations of the world, averaged over the animals.
    """
    true = eyes.read(eyes.embed(answers)).continuous
    return {
        label: float(factor_distance(eyes.read(eyes.embed(made)).continuous, true).mean())
        for label, made in images.items()
    }


def answers_of(factors: Factors, wishes: Sequence[Wish] = WISHES) -> dict[str, Tensor]:
    """Label of a wish -> the animals as it wants them, (N, 3, 64, 64)."""
    return {wish.label: draw(wish.answer(factors)) for wish in wishes}


def distance_table(found: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The distances of :func:`distances` with two decimals, a line for each wish."""
    return pd.DataFrame(found).T.rename_axis("becomes").map("{:.2f}".format)
