"""Judges of an adaptation: eyes, a CLIP and the true target domain, none of which guides a row."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zsgan.base.images import Images, held
from zsgan.evaluation.truth import Truth, truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.factors import index_of
from zsgan.metrics import (
    PAPER,
    Eyes,
    Lpips,
    clip_score,
    extract,
    extract_all,
    intra_cluster_lpips,
    target_rate,
    variance,
    vendi_score,
)
from zsgan.metrics.extract import Network
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.progress import Advance
from zsgan.metrics.summaries import (
    ALL,
    CLOSENESS,
    OF_CLIP,
    closeness,
    kept_of_source,
    label_scores,
    lpips_columns,
)
from zsgan.networks.clip import ClipEncoder, encode_pair
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.vgg_inception import Photographs
from zsgan.runs.profiles import Profile

Seen = Mapping[str, Tensor]
"""Features of N images: "eyes" and "clip", (N, D) each, and "distances", the LPIPS of all pairs, (N, N). A
measure needs some of these only."""

EYES: Mapping[str, Callable[[torch.device | str], Eyes]] = {
    "evaluator": load_evaluator, "photographs": Photographs
}  # fmt: skip
"""Name -> constructor of the eyes on a device."""


def truth_hits(prediction: Prediction, labels: Mapping[str, str]) -> Tensor:
    """(N,) whether the evaluator reads the shared factors of the target domain in each image."""
    right = torch.ones(len(prediction), dtype=torch.bool)
    for kind, name in labels.items():
        right &= prediction.label(kind).cpu() == index_of(kind, name)
    return right


def truth_rate(prediction: Prediction, labels: Mapping[str, str]) -> float:
    """Share of images in which the evaluator reads the shared factors of the target domain."""
    return truth_hits(prediction, labels).double().mean().item()


def rate(
    eyes: Eyes, embedding: Tensor, labels: Mapping[str, str] | None, device: torch.device | str
) -> float:
    """:func:`truth_rate` of an embedding (N, D); nan if the eyes read no factors or there are no labels."""
    if labels is None or eyes.labels is None:
        return math.nan
    return truth_rate(eyes.read(embedding.to(device)), labels)


@dataclass(frozen=True, eq=False)
class Judges:
    """Networks and true images that measure an adaptation.

    Attributes:
        eyes: networks for all measures outside CLIP space; some also read factors.
        clip: the judging CLIP; ``None`` if no measure of :data:`zsgan.metrics.summaries.OF_CLIP` is computed.
        texts: (2, D) the judging CLIP's features of source and target text; (1, D) of the target alone, or
            empty, if no computed measure needs the others.
        truth: the true target domain.
        resolution: pixels a side of the true images, as of the generator's.
        n: number of true images.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
        device: device of eyes and CLIP.
        definitions: definitions of intra-cluster LPIPS, see :data:`zsgan.metrics.diversity.DEFINITIONS`.
        seed: seed of random choices in a definition.
    """

    eyes: Eyes
    clip: ClipEncoder | None
    texts: Tensor
    truth: Truth
    resolution: int
    n: int
    clusters: int
    neighbours: int
    device: torch.device | str = "cpu"
    definitions: Sequence[str] = ("paper", "literal")
    seed: int = 0

    @cached_property
    def true_features(self) -> Tensor:
        """(n, D) the eyes' features of the true target domain."""
        return extract(self.eyes.embed, self.truth.images(self.n, self.resolution), device=self.device)

    @property
    def known_rate(self) -> str:
        """The strictest known rate: evaluator_rate, or clip_rate without factors read or labels."""
        known = self.truth.labels is not None and self.eyes.labels is not None
        return "evaluator_rate" if known else "clip_rate"

    def closeness(
        self, embedding: Tensor, measures: Collection[str] = ALL, progress: bool | Advance = False
    ) -> dict[str, float]:
        """Closeness of images to the truth.

        Args:
            embedding: (N, D) the eyes' features of the images.
            measures: measures to compute.
            progress: show a bar for the neighbours' distances, or a function to call with the finished share.

        Returns:
            the columns of :data:`zsgan.metrics.summaries.CLOSENESS`; nan where there are no true images.
        """
        wanted = [name for name in CLOSENESS if name in measures]
        if not wanted or not self.truth.seen:
            return dict.fromkeys(wanted, math.nan)
        return closeness(embedding, self.true_features, self.neighbours, measures=wanted, progress=progress)

    def look(
        self, images: Images, *, measures: Collection[str] = ALL, progress: bool = False, **others: Network
    ) -> dict[str, Tensor]:
        """Features (N, D) for the measures and from other networks by name, in one pass over the images."""
        networks: dict[str, Network] = dict(others)
        if OF_CLIP & set(measures):
            assert self.clip is not None
            networks = {"clip": self.clip.encode_images} | networks
        if set(measures) - OF_CLIP - {"lpips"}:
            networks = {"eyes": self.eyes.embed} | networks
        if not networks:
            return {}
        return extract_all(networks, images, device=self.device, progress=progress)

    def inspect(self, images: Images, *, progress: bool = False, **others: Network) -> dict[str, Tensor]:
        """The result of :meth:`look` for all measures, and "distances" (N, N), the LPIPS of all pairs."""
        images = held(images)
        lpips = Lpips.through(self.eyes)
        return self.look(images, measures=ALL, progress=progress, **others) | {
            "distances": lpips.distances(images, device=self.device, progress=progress)
        }

    def adaptation(
        self, seen: Seen, measures: Collection[str] = ALL, progress: bool | Advance = False
    ) -> dict[str, float]:
        """Measures of adaptation: target rates of the judges, and closeness to the truth.

        Args:
            seen: result of :meth:`look` for the adapted images.
            measures: measures to compute.
            progress: see :meth:`closeness`.

        Returns:
            evaluator_rate (nan if no factors can be read), clip_rate, clip_score, and those of
            :meth:`closeness`.
        """
        columns = {}
        if "evaluator_rate" in measures:
            columns["evaluator_rate"] = rate(self.eyes, seen["eyes"], self.truth.labels, self.device)
        if "clip_rate" in measures:
            columns["clip_rate"] = target_rate(seen["clip"], self.texts[1], self.texts[0])
        if "clip_score" in measures:
            columns["clip_score"] = clip_score(seen["clip"], self.texts[-1])
        if not set(CLOSENESS) & set(measures):
            return columns
        return columns | self.closeness(seen["eyes"], measures, progress)

    def diversity(self, seen: Seen, measures: Collection[str] = ALL) -> dict[str, float]:
        """Measures of diversity, which need no target.

        Args:
            seen: result of :meth:`inspect`.
            measures: measures to compute.

        Returns:
            intra-cluster LPIPS in the definitions (see :func:`zsgan.metrics.summaries.lpips_columns`),
            clip_variance (in the judging CLIP's space), vendi (in the eyes' space), and, if the eyes read
            factors, an Inception score of every factor that the target leaves open.
        """
        columns: dict[str, float] = {}
        if "lpips" in measures:
            columns |= lpips_columns(
                seen["distances"], self.clusters, self.definitions,
                to_given=seen.get("to_given"), seed=self.seed,
            )  # fmt: skip
        if "clip_variance" in measures:
            columns["clip_variance"] = float(variance(seen["clip"]))
        if "vendi" in measures:
            columns["vendi"] = vendi_score(seen["eyes"])
        if "inception" in measures and self.eyes.labels is not None:
            columns |= label_scores(self.eyes.read(seen["eyes"].to(self.device)), self.truth.labels)
        return columns

    def everything(self, seen: Seen, source: Tensor | None = None) -> dict[str, float]:
        """:meth:`diversity`, :meth:`adaptation`, and :func:`zsgan.metrics.summaries.kept_of_source`.

        Args:
            seen: result of :meth:`inspect`.
            source: (N, D) the eyes' features of the source's images of the same latents.

        Returns:
            the columns of all three.
        """
        return self.diversity(seen) | self.adaptation(seen) | kept_of_source(source, seen["eyes"])

    def each(self, seen: Seen) -> dict[str, list[float]]:
        """Contribution of each image to measures that are means over images, for intervals over latents.

        Args:
            seen: result of :meth:`look` or :meth:`inspect`.

        Returns:
            N values each: evaluator_rate and clip_rate (hits, 0 or 1; the first is missing if no factors can
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
    """Load the networks behind LPIPS, FID and similar metrics.

    Args:
        name: "evaluator" of the demo world, or "photographs" (VGG-16 and Inception-v3).
        device: torch device.

    Returns:
        the eyes.

    Raises:
        ValueError: the name is unknown.
        FileNotFoundError: their weights are missing or altered.
        ModuleNotFoundError: photographs need two more packages.
    """
    if name not in EYES:
        raise ValueError(f"eyes={name!r} are unknown; choose one of {', '.join(EYES)}")
    return EYES[name](device)


def load_judges(profile: Profile, scenario: str, device: torch.device | str = "cpu") -> Judges:
    """The judges of a scenario.

    Args:
        profile: names the judging CLIP, the number of true images and the settings of the metrics.
        scenario: one of the profile's.
        device: device of the networks.

    Returns:
        the judges, at the resolution of the scenario's generator.

    Raises:
        ValueError: the profile has no such scenario, or its truth is invalid or has too few images.
    """
    config = profile.config(scenario, next(iter(profile.rows)))
    clip = load_clip(profile.judge, device=device)
    texts = encode_pair(clip, config.source_text, config.target_text, config.prompts).cpu()
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
