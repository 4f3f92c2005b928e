"""Spread and error of the demo world's factors after an adaptation.

All values come from the evaluator's predictions, so source, adapted and drawn images are measured alike.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import pandas as pd
import torch
from torch import Tensor

from zsgan.base.precision import at_least_float32
from zsgan.menagerie.factors import CONTINUOUS
from zsgan.menagerie.portraits import FRESH_SEED, Drawing, Portraits, ideal_answers
from zsgan.menagerie.species import SPECIES
from zsgan.metrics.extract import extract
from zsgan.metrics.eyes import Eyes, Prediction

LEFT = ("factors_kept", "ideal_distance")
"""Columns of :func:`left`."""


def spread(prediction: Prediction) -> dict[str, float]:
    """Spread of each factor over N images.

    Args:
        prediction: the evaluator's prediction on the images.

    Returns:
        categorical factor -> entropy of its most likely values over the images, in nats (0 if all are equal);
        continuous factor -> standard deviation (1 over the world of all species and styles).
    """
    result = {}
    for kind, logits in prediction.logits.items():
        share = prediction.label(kind).bincount(minlength=logits.shape[1]).double() / len(prediction)
        result[kind] = float(-share.xlogy(share).sum())
    deviation = at_least_float32(prediction.continuous).std(0, correction=0)
    return result | {name: float(value) for name, value in zip(CONTINUOUS, deviation, strict=True)}


def kept(reference: Prediction, images: Prediction) -> dict[str, float]:
    """Spread of each factor relative to a reference: 1 is kept, 0 is collapsed.

    Relative to true images of the target, a perfect adaptation has 1; relative to the source's images, the
    ratio shows what the adaptation changed. Factors that the evaluator cannot read are meaningless here: see
    :func:`zsgan.menagerie.evaluator.reliability`.

    Args:
        reference: prediction on true images, or on images of the source generator.
        images: prediction on images of the adapted generator.

    Returns:
        factor -> ratio of entropies or of standard deviations; nan where the reference has no spread at all.
    """
    before, after = spread(reference), spread(images)
    return {name: after[name] / before[name] if before[name] else math.nan for name in before}


def error(ideal: Prediction, adapted: Prediction) -> dict[str, float]:
    """Error of an adaptation's images against the ideal answers to their latents, for each factor.

    The evaluator reads both, so an error that it makes on both does not count.

    Args:
        ideal: prediction on the portraits that the N latents stand for, in the target domain
            (:func:`zsgan.menagerie.portraits.ideal_answers`).
        adapted: prediction on the adapted generator's images of the same latents, not truncated.

    Returns:
        categorical factor -> share of images with another value; continuous factor -> root mean squared
        difference in standard deviations of the world.

    Raises:
        ValueError: the numbers of images differ.
    """
    if len(ideal) != len(adapted):
        raise ValueError(f"each image needs its ideal answer, got {len(adapted)} and {len(ideal)}")
    wrong = {
        kind: float((adapted.label(kind) != ideal.label(kind)).double().mean()) for kind in adapted.logits
    }
    squares = (adapted.continuous.double() - ideal.continuous.double()).square().mean(0)
    return wrong | dict(zip(CONTINUOUS, squares.sqrt().tolist(), strict=True))


def chance(ideal: Prediction, adapted: Prediction) -> dict[str, float]:
    """Mean :func:`error` over all pairings of images and latents, the level of chance.

    An adaptation with an error as large as this has lost the latents' information about the factor.

    Args:
        ideal: prediction on the ideal answers.
        adapted: prediction on the adapted generator's images.

    Returns:
        as :func:`error`.
    """
    wrong = {}
    for kind, logits in adapted.logits.items():
        shares = [p.label(kind).bincount(minlength=logits.shape[1]) / len(p) for p in (ideal, adapted)]
        wrong[kind] = 1 - float(shares[0].double() @ shares[1].double())
    a, b = adapted.continuous.double(), ideal.continuous.double()
    squares = a.var(0, correction=0) + b.var(0, correction=0) + (a.mean(0) - b.mean(0)).square()
    return wrong | dict(zip(CONTINUOUS, squares.sqrt().tolist(), strict=True))


def report(adapted: Prediction, ideal: Prediction, truth: Prediction) -> pd.DataFrame:
    """Kept spread, error and chance error of each factor, as a table.

    Args:
        adapted: prediction on the adapted generator's images, not truncated.
        ideal: prediction on the ideal answers to their latents.
        truth: prediction on true images of the target domain.

    Returns:
        a row for each factor; columns kept (see :func:`kept`, relative to the truth), error and chance.
    """
    wrong, by_chance = error(ideal, adapted), chance(ideal, adapted)
    columns = {"kept": kept(truth, adapted), "error": wrong, "chance": by_chance}
    return pd.DataFrame(columns).rename_axis("factor")


def left(found: pd.DataFrame) -> dict[str, float]:
    """Means of a report over the continuous factors.

    Args:
        found: from :func:`report`.

    Returns:
        factors_kept (1: as varied as true images) and ideal_distance, the error relative to that of chance
        (0: the ideal answers, 1: no better than chance).
    """
    found = found.loc[list(CONTINUOUS)]
    distance = (found["error"] / found["chance"]).mean()
    return dict(zip(LEFT, (float(found["kept"].mean()), float(distance)), strict=True))


@dataclass(frozen=True, eq=False)
class FactorReports:
    """Reports on generators from one source for the same latents; the references are made once.

    Attributes:
        eyes: eyes that read factors.
        labels: factors that all true images of the target share.
        species: species of the ideal answers.
        latents: (N, D_z) latents of the images.
        resolution: pixels a side of the images.
        device: device of the eyes.
    """

    eyes: Eyes
    labels: Mapping[str, str]
    species: str
    latents: Tensor
    resolution: int
    device: torch.device | str = "cpu"

    def of(self, embedding: Tensor) -> pd.DataFrame:
        """:func:`report` of images, from the eyes' features of them.

        Args:
            embedding: (n, D) features of a generator's images of the first n latents, not truncated.

        Returns:
            the report.
        """
        return report(self._read(embedding), *self._references(len(embedding)))

    def ideal(self, n: int) -> Portraits:
        """The ideal answers to the first n latents."""
        style = self.labels.get("style", "photo")
        return ideal_answers(self.latents[:n], self.species, style, self.resolution)

    @cached_property
    def _references(self) -> Callable[[int], tuple[Prediction, Prediction]]:
        """Function of n: factors read in the ideal answers to the first n latents, and in n true images."""

        def references(n: int) -> tuple[Prediction, Prediction]:
            true = Drawing(self.labels, n, self.resolution, FRESH_SEED)
            embed = self.eyes.embed
            first, second = (extract(embed, images, device=self.device) for images in (self.ideal(n), true))
            return self._read(first), self._read(second)

        return cache(references)

    def _read(self, embedding: Tensor) -> Prediction:
        return self.eyes.read(embedding.to(self.device))


def ideal_species(labels: Mapping[str, str], generator: str) -> str | None:
    """Species of the ideal answers: the target's, else that of a matched source; ``None`` if unknown."""
    species = labels.get("species", generator.removeprefix("generator-"))
    return species if species in SPECIES else None
