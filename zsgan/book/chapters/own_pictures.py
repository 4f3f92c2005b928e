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
from zsgan.metrics.lpips import Lpips
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
def distances(eyes: Eyes, images: Tensor, answers: Tensor) -> dict[str, float]:
    """Mean distances of N images to their true answers.

    Args:
        eyes: eyes that read factors.
        images: (N, 3, H, W) in [-1, 1].
        answers: (N, 3, H, W), the true answers.

    Returns:
        "LPIPS" in the eyes' maps, and "factors": the root mean square over the continuous factors, which
        species and style are not, of the difference, in deviations of the world.
    """
    lpips = Lpips.through(eyes)
    apart = (lpips.features(images) - lpips.features(answers)).square().sum(1)
    read = [eyes.read(eyes.embed(seen)).continuous for seen in (images, answers)]
    return {"LPIPS": float(apart.mean()), "factors": float(factor_distance(*read).mean())}


def answers_of(factors: Factors, wishes: Sequence[Wish] = WISHES) -> dict[str, Tensor]:
    """Label of a wish -> the animals as it wants them, (N, 3, 64, 64)."""
    return {wish.label: draw(wish.answer(factors)) for wish in wishes}


def distance_table(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> pd.DataFrame:
    """The distances of :func:`distances` as a table.

    Args:
        found: label of a wish -> what is compared with the answers -> distances.

    Returns:
        a line for each wish; columns such as "LPIPS, full method"; two decimals.
    """
    lines = {
        label: {f"{what}, {name}": of[name][what] for what in ("LPIPS", "factors") for name in of}
        for label, of in found.items()
    }
    return pd.DataFrame(lines).T.rename_axis("becomes").map("{:.2f}".format)
