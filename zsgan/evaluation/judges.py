"""Judges of an adaptation: eyes, a CLIP and the true target domain, none of which guides a row.

Numbers come from images in one way: :meth:`Judges.look` turns images into what the judges see,
:class:`zsgan.evaluation.seen.Seen`, and every measure is computed from that.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from zsgan.base.images import Images, held
from zsgan.evaluation.seen import Seen
from zsgan.evaluation.truth import Truth
from zsgan.menagerie.factors import index_of
from zsgan.metrics import (
    PAPER,
    Eyes,
    Lpips,
    clip_direction,
    clip_quality,
    clip_score,
    cmmd,
    extract_all,
    frechet_distance,
    identity_kept,
    intra_cluster_lpips,
    kernel_distance,
    manifolds,
    structure_kept,
    target_rate,
    variance,
    vendi_score,
)
from zsgan.metrics.clip_space import target_hits
from zsgan.metrics.columns import OF_CLIP, OF_EYES, OF_SOURCE, OF_TRUTH, USUAL, label_scores, lpips_columns
from zsgan.metrics.extract import Network
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.manifold import Manifolds
from zsgan.metrics.progress import Advance, told
from zsgan.networks.clip import ClipEncoder


def truth_hits(prediction: Prediction, labels: Mapping[str, str]) -> Tensor:
    """(N,) whether the evaluator reads the shared factors of the target domain in each image."""
    right = torch.ones(len(prediction), dtype=torch.bool)
    for kind, name in labels.items():
        right &= prediction.label(kind).cpu() == index_of(kind, name)
    return right


def prompt_features(clip: ClipEncoder, text: str, templates: Sequence[str] | None) -> Tensor:
    """(P, D) unit-norm features of a text in each of P templates; without templates of the text alone."""
    return clip.encode_texts([template.replace("{}", text) for template in templates or ("{}",)]).cpu()


@dataclass(frozen=True, eq=False)
class Judges:
    """Networks and true images that measure an adaptation.

    Attributes:
        eyes: networks for all measures outside CLIP space; some also read factors.
        truth: the true target domain.
        resolution: pixels a side of the true images, as of the generator's.
        n: number of true images.
        clip: the judging CLIP; ``None`` if no measure of :data:`zsgan.metrics.columns.OF_CLIP` is computed.
        texts: (2, D) the judging CLIP's features of source and target text; (1, D) of the target alone, or
            empty, if no computed measure needs the others.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
        device: device of eyes and CLIP.
        measures: names of :data:`zsgan.metrics.columns.MEASURES`, which all methods compute by default.
        dinov2: DINOv2's features, for fd_dinov2.
        prompts: (P, D) the judging CLIP's features of the target text in every template, for clip_quality.
        definitions: definitions of intra-cluster LPIPS, see :data:`zsgan.metrics.diversity.DEFINITIONS`.
        seed: seed of random choices in a definition.
    """

    eyes: Eyes
    truth: Truth
    resolution: int
    n: int
    clip: ClipEncoder | None = None
    texts: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    clusters: int = 10
    neighbours: int = 3
    device: torch.device | str = "cpu"
    measures: Collection[str] = USUAL
    dinov2: Network | None = None
    prompts: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    definitions: Sequence[str] = ("paper", "literal")
    seed: int = 0

    @cached_property
    def true(self) -> Seen:
        """What the judges see in n images of the true target domain."""
        return self.look(self.truth.images(self.n, self.resolution), set(OF_TRUTH) & set(self.measures))

    @property
    def rate_column(self) -> str:
        """The strictest known rate: evaluator_rate, or clip_rate without factors read or labels."""
        known = self.truth.labels is not None and self.eyes.labels is not None
        return "evaluator_rate" if known else "clip_rate"

    def look(
        self,
        images: Images,
        measures: Collection[str] | None = None,
        *,
        guide: Network | None = None,
        progress: bool = False,
    ) -> Seen:
        """Look at images, which are made or read once if they fit into memory.

        Args:
            images: N images.
            measures: the measures to be computed.
            guide: a guiding CLIP, which looks as well.
            progress: show progress bars.

        Returns:
            what the measures need.
        """
        seen, networks = Seen(), dict[str, Network]()
        measures = set(self.measures if measures is None else measures)
        near = measures & set(Manifolds._fields)
        if self.eyes.near is not None and near:
            measures -= near
            if self.truth.seen:
                networks["near"] = self.eyes.near
        if measures & OF_EYES - {"lpips"}:
            networks["eyes"] = self.eyes.embed
        if OF_CLIP & measures:
            assert self.clip is not None
            networks["clip"] = self.clip.encode_images
        if guide is not None:
            networks["guide"] = guide
        if "fd_dinov2" in measures and self.truth.seen:
            assert self.dinov2 is not None
            networks["dinov2"] = self.dinov2
        if "lpips" in measures:
            images = held(images)
        if networks:
            seen.update(extract_all(networks, images, device=self.device, progress=progress))  # type: ignore[typeddict-item]
        if "lpips" in measures:
            lpips = Lpips.through(self.eyes)
            seen["distances"] = lpips.distances(images, device=self.device, progress=progress)
        return seen

    def read(self, seen: Seen) -> Prediction:
        """The factors that the eyes read."""
        return self.eyes.read(seen["eyes"].to(self.device))

    def hits(self, seen: Seen) -> Tensor | None:
        """:func:`truth_hits` of the target; ``None`` if the eyes read no factors or there are no labels."""
        if self.truth.labels is None or self.eyes.labels is None:
            return None
        return truth_hits(self.read(seen), self.truth.labels).double()

    def diversity(self, seen: Seen, measures: Collection[str] | None = None) -> dict[str, float]:
        """Measures of diversity, which need no target.

        Args:
            seen: what :meth:`look` returns.
            measures: measures to compute.

        Returns:
            intra-cluster LPIPS in the definitions (see :func:`zsgan.metrics.columns.lpips_columns`),
            clip_variance (in the judging CLIP's space), vendi (in the eyes' space), and, if the eyes read
            factors, an Inception score of every factor that the target leaves open.
        """
        measures = self.measures if measures is None else measures
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
            columns |= label_scores(self.read(seen), self.truth.labels)
        return columns

    def adaptation(self, seen: Seen, measures: Collection[str] | None = None) -> dict[str, float]:
        """Measures of adaptation: target rates of the judges, and closeness to the truth.

        Args:
            seen: what :meth:`look` returns for the adapted images.
            measures: measures to compute.

        Returns:
            evaluator_rate (nan if no factors can be read), clip_rate, clip_score, clip_quality, and those of
            :meth:`closeness`.
        """
        measures = self.measures if measures is None else measures
        columns = {}
        if "evaluator_rate" in measures:
            hits = self.hits(seen)
            columns["evaluator_rate"] = math.nan if hits is None else hits.mean().item()
        if "clip_rate" in measures:
            columns["clip_rate"] = target_rate(seen["clip"], self.texts[1], self.texts[0])
        if "clip_score" in measures:
            columns["clip_score"] = clip_score(seen["clip"], self.texts[-1])
        if "clip_quality" in measures:
            columns["clip_quality"] = clip_quality(seen["clip"], self.prompts)
        return columns | self.closeness(seen, measures)

    def closeness(
        self, seen: Seen, measures: Collection[str] | None = None, progress: bool | Advance = False
    ) -> dict[str, float]:
        """Closeness of images to the truth.

        Args:
            seen: what :meth:`look` returns.
            measures: measures to compute.
            progress: show a bar for the neighbours' distances, or a function to call with the finished share.

        Returns:
            the columns of :data:`zsgan.metrics.columns.OF_TRUTH`; nan where there are no true images.
        """
        measures = self.measures if measures is None else measures
        columns = {name: math.nan for name in OF_TRUTH if name in measures}
        if not columns or not self.truth.seen:
            return columns
        true = self.true
        if "fid" in columns:
            columns["fid"] = frechet_distance(seen["eyes"], true["eyes"])
        if "kid" in columns:
            columns["kid"] = kernel_distance(seen["eyes"], true["eyes"])
        if near := columns.keys() & set(Manifolds._fields):
            made, known = (x["eyes"] if self.eyes.near is None else x["near"] for x in (seen, true))
            with told(progress, "neighbours") as advance:
                found = manifolds(made, known, self.neighbours, advance)._asdict()
            columns |= {name: found[name] for name in near}
        if "cmmd" in columns:
            columns["cmmd"] = cmmd(seen["clip"], true["clip"])
        if "fd_dinov2" in columns:
            columns["fd_dinov2"] = frechet_distance(seen["dinov2"], true["dinov2"])
        return columns

    def kept(
        self, seen: Seen, source: Seen | None, measures: Collection[str] | None = None
    ) -> dict[str, float]:
        """What an adaptation keeps of the source's images, and which way it moves them.

        Args:
            seen: what :meth:`look` returns for the adapted images.
            source: the same for the source's images of the same latents; ``None`` if there are none.
            measures: measures to compute.

        Returns:
            the columns of :data:`zsgan.metrics.columns.OF_SOURCE`; nan without ``source``.
        """
        measures = self.measures if measures is None else measures
        columns = {name: math.nan for name in OF_SOURCE if name in measures}
        if source is not None and "identity_kept" in columns:
            columns["identity_kept"] = float(identity_kept(source["eyes"], seen["eyes"]).mean())
        if source is not None and "structure_kept" in columns:
            columns["structure_kept"] = structure_kept(source["eyes"], seen["eyes"])
        if source is not None and "clip_direction" in columns:
            columns["clip_direction"] = clip_direction(source["clip"], seen["clip"], *self.texts)
        return columns

    def everything(self, seen: Seen, source: Seen | None = None) -> dict[str, float]:
        """The columns of :meth:`diversity`, :meth:`adaptation` and :meth:`kept`."""
        return self.diversity(seen) | self.adaptation(seen) | self.kept(seen, source)

    def each(self, seen: Seen) -> dict[str, list[float]]:
        """Contribution of each image to measures that are means over images, for intervals over latents.

        Args:
            seen: what :meth:`look` returns.

        Returns:
            N values each: evaluator_rate and clip_rate (hits, 0 or 1; the first is missing if no factors can
            be read), clip_score, clip_variance (squared distances to the mean, scaled so that their mean is
            the variance), and with "distances" lpips_all (distances to the medoid, as in Table 1).
        """
        clip = seen["clip"].double()
        spread = (clip - clip.mean(0)).square().sum(1) * len(clip) / max(len(clip) - 1, 1)
        values = {
            "clip_rate": target_hits(clip, self.texts[1], self.texts[0]),
            "clip_score": clip @ self.texts[1].double(),
            "clip_variance": spread,
        }
        if (hits := self.hits(seen)) is not None:
            values["evaluator_rate"] = hits
        if "distances" in seen:
            values["lpips_all"] = intra_cluster_lpips(seen["distances"], PAPER, self.clusters).each
        return {name: value.tolist() for name, value in values.items()}
