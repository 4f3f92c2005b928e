"""What measures an adaptation: eyes, a judging CLIP and the true target domain; no row is guided by them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zsgan.clip import ClipEncoder
from zsgan.images import Images, held
from zsgan.menagerie.evaluator import Prediction, load_evaluator
from zsgan.menagerie.factors import index_of
from zsgan.metrics import (
    PAPER,
    Eyes,
    Lpips,
    clip_score,
    extract,
    extract_all,
    identity_kept,
    intra_cluster_lpips,
    structure_kept,
    target_rate,
    variance,
    vendi_score,
)
from zsgan.metrics.extract import Network
from zsgan.metrics.summaries import CLOSENESS, closeness, label_scores, lpips_columns
from zsgan.models import load_clip, load_generator
from zsgan.photographs import Photographs
from zsgan.profiles import Profile
from zsgan.truth import Truth, truth_of

EYES: Mapping[str, Callable[[torch.device | str], Eyes]] = {
    "evaluator": load_evaluator, "photographs": Photographs
}  # fmt: skip
"""Name -> what makes the eyes on a device."""


def truth_hits(prediction: Prediction, labels: Mapping[str, str]) -> Tensor:
    """(N,) whether the evaluator reads every factor that the target domain shares."""
    right = torch.ones(len(prediction), dtype=torch.bool)
    for kind, name in labels.items():
        right &= prediction.label(kind).cpu() == index_of(kind, name)
    return right


def truth_rate(prediction: Prediction, labels: Mapping[str, str]) -> float:
    """Share of images in which the evaluator reads every factor that the target domain shares."""
    return truth_hits(prediction, labels).double().mean().item()


def rate(
    eyes: Eyes, embedding: Tensor, labels: Mapping[str, str] | None, device: torch.device | str
) -> float:
    """:func:`truth_rate` of an embedding (N, D); nan where nothing can be read or nothing is labelled."""
    if labels is None or eyes.labels is None:
        return math.nan
    return truth_rate(eyes.read(embedding.to(device)), labels)


@dataclass(frozen=True, eq=False)
class Judges:
    """Networks and true images that measure what an adaptation made.

    Attributes:
        eyes: their features serve all but the measures in CLIP space; they read factors where they can.
        clip: the judging CLIP.
        texts: (2, D) the judging CLIP's features of source and target text.
        truth: the true target domain.
        resolution: pixels a side of the true images, those of the generator.
        n: images of the truth.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
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

    @property
    def known_rate(self) -> str:
        """The strictest rate that is known: clip_rate where eyes read nothing or the truth has no labels."""
        known = self.truth.labels is not None and self.eyes.labels is not None
        return "evaluator_rate" if known else "clip_rate"

    def closeness(self, embedding: Tensor) -> dict[str, float]:
        """How close images are to the truth.

        Args:
            embedding: (N, D) the eyes' features of the images.

        Returns:
            the columns of :data:`zsgan.metrics.summaries.CLOSENESS`; nan where there are no true images.
        """
        if not self.truth.seen:
            return dict.fromkeys(CLOSENESS, math.nan)
        return closeness(embedding, self.true_features, self.neighbours)

    def look(self, images: Images, *, progress: bool = False, **others: Network) -> dict[str, Tensor]:
        """Features "eyes" and "clip", and of other networks by their names: (N, D) each, in one pass."""
        networks = {"eyes": self.eyes.embed, "clip": self.clip.encode_images, **others}
        return extract_all(networks, images, device=self.device, progress=progress)

    def inspect(self, images: Images, *, progress: bool = False, **others: Network) -> dict[str, Tensor]:
        """What :meth:`look` gives, and "distances" (N, N), the LPIPS of all pairs: all that is measured."""
        images = held(images)
        lpips = Lpips.through(self.eyes)
        return self.look(images, progress=progress, **others) | {
            "distances": lpips.distances(images, device=self.device, progress=progress)
        }

    def adaptation(self, images: Images, seen: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """How far the adaptation went: share that each judge calls target, and closeness to the truth.

        Args:
            images: what the adaptation made.
            seen: what :meth:`look` gives of them, where that is known already.

        Returns:
            evaluator_rate (nan where nothing can be read), clip_rate, clip_score, and those of
            :meth:`closeness`.
        """
        seen = self.look(images) if seen is None else seen
        return {
            "evaluator_rate": rate(self.eyes, seen["eyes"], self.truth.labels, self.device),
            "clip_rate": target_rate(seen["clip"], self.texts[1], self.texts[0]),
            "clip_score": clip_score(seen["clip"], self.texts[1]),
        } | self.closeness(seen["eyes"])

    def diversity(self, images: Images, seen: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """How different the images are from each other; needs no target.

        Args:
            images: what the adaptation made.
            seen: what :meth:`inspect` gives of them, where that is known already.

        Returns:
            intra-cluster LPIPS in both readings (see :func:`zsgan.metrics.summaries.lpips_columns`),
            clip_variance (in the judging CLIP's space), vendi (in the eyes' space), and, where the eyes read,
            an Inception score of every factor that the target leaves open.
        """
        seen = self.inspect(images) if seen is None else seen
        columns = lpips_columns(seen["distances"], self.clusters) | {
            "clip_variance": float(variance(seen["clip"])),
            "vendi": vendi_score(seen["eyes"]),
        }
        if self.eyes.labels is None:
            return columns
        return columns | label_scores(self.eyes.read(seen["eyes"].to(self.device)), self.truth.labels)

    def everything(
        self, images: Images, source: Tensor | None = None, seen: Mapping[str, Tensor] | None = None
    ) -> dict[str, float]:
        """:meth:`diversity`, :meth:`adaptation`, and what is kept of the source's images.

        Args:
            images: what the adaptation made, or images that no adaptation made.
            source: (N, D) the eyes' features of the source's images of the same latents.
            seen: what :meth:`inspect` gives of ``images``, where that is known already.

        Returns:
            the columns of both, identity_kept (a mean) and structure_kept; these two are nan without
            ``source``.
        """
        seen = self.inspect(images) if seen is None else seen
        kept = {"identity_kept": math.nan, "structure_kept": math.nan}
        if source is not None:
            kept = {
                "identity_kept": float(identity_kept(source, seen["eyes"]).mean()),
                "structure_kept": structure_kept(source, seen["eyes"]),
            }
        return self.diversity(images, seen) | self.adaptation(images, seen) | kept

    def each(self, seen: Mapping[str, Tensor]) -> dict[str, list[float]]:
        """What each image contributes to measures that are means over images, for intervals over latents.

        Args:
            seen: what :meth:`look` or :meth:`inspect` gives.

        Returns:
            N values each: evaluator_rate and clip_rate (hits, 0 or 1; the first is missing where nothing can
            be read), clip_score, clip_variance (squared distances to the mean, scaled so that their mean is
            the variance), and with "distances" lpips_all (distances to the medoid, as in Table 1).
        """
        clip = seen["clip"].double()
        target, source = self.texts[1].double(), self.texts[0].double()
        spread = (clip - clip.mean(0)).square().sum(1) * len(clip) / max(len(clip) - 1, 1)
        values = {
            "clip_rate": (clip @ target > clip @ source).double(),
            "clip_score": clip @ target,
            "clip_variance": spread,
        }
        if self.truth.labels is not None and self.known_rate == "evaluator_rate":
            prediction = self.eyes.read(seen["eyes"].to(self.device))
            values["evaluator_rate"] = truth_hits(prediction, self.truth.labels).double()
        if "distances" in seen:
            values["lpips_all"] = intra_cluster_lpips(seen["distances"], PAPER, self.clusters).each
        return {name: value.tolist() for name, value in values.items()}


def load_eyes(name: str, device: torch.device | str = "cpu") -> Eyes:
    """What the metrics look through.

    Args:
        name: "evaluator" of the demo world, or "photographs" (VGG-16 and Inception-v3).
        device: where to put it.

    Returns:
        the eyes.

    Raises:
        ValueError: there are none of that name.
        FileNotFoundError: their weights are missing or altered.
        ModuleNotFoundError: photographs need two more packages.
    """
    if name not in EYES:
        raise ValueError(f"eyes={name!r} are unknown; choose one of {', '.join(EYES)}")
    return EYES[name](device)


def load_judges(profile: Profile, scenario: str, device: torch.device | str = "cpu") -> Judges:
    """The judges of a scenario.

    Args:
        profile: the judging CLIP, the number of true images, and the settings of the metrics.
        scenario: one of the profile's.
        device: where the networks look.

    Returns:
        the judges, their resolution that of the scenario's generator.

    Raises:
        ValueError: the profile has no such scenario, or its truth cannot be understood or has too few images.
    """
    config = profile.config(scenario, next(iter(profile.rows)))
    clip = load_clip(profile.judge, device=device)
    texts = clip.encode_texts([config.source_text, config.target_text], config.prompts).cpu()
    resolution = load_generator(profile.scenarios[scenario].generator).config["resolution"]
    truth = truth_of(profile.scenarios[scenario].truth)
    least = max(profile.clusters, profile.neighbours) + 1
    if truth.seen and (n := len(truth.images(profile.samples, resolution, fresh=True))) < least:
        raise ValueError(
            f"truth of scenario={scenario!r} gives {n} images to measure (at most {profile.samples}; half "
            f"of a folder's are compared with the others), but clusters={profile.clusters} and "
            f"neighbours={profile.neighbours} need {least}; add images, or lower them"
        )
    return Judges(
        load_eyes(profile.eyes, device), clip, texts, truth, resolution,
        profile.samples, profile.clusters, profile.neighbours, device,
    )  # fmt: skip
