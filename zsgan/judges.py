"""What measures an adaptation: eyes, a judging CLIP and the true target domain; no row is guided by them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zsgan.clip import ClipEncoder
from zsgan.images import Images
from zsgan.menagerie.evaluator import Prediction, load_evaluator
from zsgan.menagerie.factors import index_of
from zsgan.metrics import (
    PAPER,
    Eyes,
    Lpips,
    extract,
    extract_all,
    frechet_distance,
    intra_cluster_lpips,
    precision_recall,
    target_rate,
    variance,
)
from zsgan.metrics.extract import Network
from zsgan.models import load_clip, load_generator
from zsgan.profiles import Profile
from zsgan.truth import Truth, truth_of


def truth_rate(prediction: Prediction, labels: Mapping[str, str]) -> float:
    """Share of images in which the evaluator reads every factor that the target domain shares."""
    right = torch.ones(len(prediction), dtype=torch.bool)
    for kind, name in labels.items():
        right &= prediction.label(kind).cpu() == index_of(kind, name)
    return right.double().mean().item()


def rate(
    eyes: Eyes, embedding: Tensor, labels: Mapping[str, str] | None, device: torch.device | str
) -> float:
    """:func:`truth_rate` of an embedding (N, D); nan where nothing can be read or nothing is labelled."""
    if labels is None or eyes.labels is None:
        return math.nan
    return truth_rate(eyes.read(embedding.to(device)), labels)


def closeness(made: Tensor, true: Tensor, neighbours: int = 3) -> dict[str, float]:
    """How close images are to true ones: FID, precision and recall.

    Args:
        made: (N, D) features of the images.
        true: (M, D) features of true images.
        neighbours: k of precision and recall.

    Returns:
        "fid" >= 0, "precision" and "recall" in [0, 1].
    """
    precision, recall = precision_recall(made, true, neighbours)
    return {"fid": frechet_distance(made, true), "precision": precision, "recall": recall}


@dataclass(frozen=True, eq=False)
class Judges:
    """Networks and true images that measure what an adaptation made.

    Attributes:
        eyes: their features serve LPIPS, FID, precision and recall; they read factors where they can.
        clip: the judging CLIP.
        texts: (2, D) the judging CLIP's features of source and target text.
        truth: the true target domain.
        resolution: pixels a side of the true images, those of the generator.
        n: images of the truth.
        clusters: k of the k-medoids.
        neighbours: k of precision and recall.
        device: where eyes and CLIP live.
    """

    eyes: Eyes
    clip: ClipEncoder
    texts: Tensor
    truth: Truth
    resolution: int
    n: int
    clusters: int
    neighbours: int
    device: torch.device | str = "cpu"

    @cached_property
    def true_features(self) -> Tensor:
        """(n, D) the eyes' features of the true target domain."""
        return extract(self.eyes.embed, self.truth.images(self.n, self.resolution), device=self.device)

    def look(self, images: Images, **others: Network) -> dict[str, Tensor]:
        """Features "eyes" and "clip", and of other networks by their names: (N, D) each, in one pass."""
        networks = {"eyes": self.eyes.embed, "clip": self.clip.encode_images, **others}
        return extract_all(networks, images, device=self.device)

    def adaptation(self, images: Images, seen: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """How far the adaptation went: share that each judge calls target, and closeness to the truth.

        Args:
            images: what the adaptation made.
            seen: what :meth:`look` gives of them, where that is known already.

        Returns:
            evaluator_rate (nan where nothing can be read), clip_rate, and those of :func:`closeness`.
        """
        seen = self.look(images) if seen is None else seen
        return {
            "evaluator_rate": rate(self.eyes, seen["eyes"], self.truth.labels, self.device),
            "clip_rate": target_rate(seen["clip"], self.texts[1], self.texts[0]),
        } | closeness(seen["eyes"], self.true_features, self.neighbours)

    def diversity(self, images: Images, seen: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """Intra-cluster LPIPS as in Table 1, and the variance of the judging CLIP's features.

        Args:
            images: what the adaptation made.
            seen: what :meth:`look` gives of them, where that is known already.

        Returns:
            "lpips_avg", "lpips_all" and their standard deviations ("_std"), "clip_variance".
        """
        seen = self.look(images) if seen is None else seen
        distances = Lpips.through(self.eyes).distances(images, device=self.device)
        lpips = intra_cluster_lpips(distances, self.clusters, **PAPER)
        return {
            "lpips_avg": lpips.avg, "lpips_avg_std": lpips.avg_std, "lpips_all": lpips.all,
            "lpips_all_std": lpips.all_std, "clip_variance": float(variance(seen["clip"])),
        }  # fmt: skip

    def everything(self, images: Images) -> dict[str, float]:
        """:meth:`diversity` and :meth:`adaptation`."""
        seen = self.look(images)
        return self.diversity(images, seen) | self.adaptation(images, seen)


def load_judges(profile: Profile, scenario: str, device: torch.device | str = "cpu") -> Judges:
    """The judges of a scenario.

    Args:
        profile: the judging CLIP, the number of true images, and the settings of the metrics.
        scenario: one of the profile's.
        device: where the networks look.

    Returns:
        the judges, their resolution that of the scenario's generator.

    Raises:
        ValueError: the profile has no such scenario, or its truth cannot be understood.
    """
    config = profile.config(scenario, next(iter(profile.rows)))
    clip = load_clip(profile.judge, device=device)
    texts = clip.encode_texts([config.source_text, config.target_text], config.prompts).cpu()
    resolution = load_generator(profile.scenarios[scenario].generator).config["resolution"]
    return Judges(
        load_evaluator(device), clip, texts, truth_of(profile.scenarios[scenario].truth), resolution,
        profile.samples, profile.clusters, profile.neighbours, device,
    )  # fmt: skip
