"""Measurement of a scenario's runs: the same latents, judges and truth for all, loaded and computed once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets.names import encoder, generator, weights_id
from zsgan.base.cache import Cache
from zsgan.base.device import set_up
from zsgan.base.images import Images, held
from zsgan.evaluation.aims import aims
from zsgan.evaluation.files import NETWORKS_OF_EYES
from zsgan.evaluation.judges import Judges
from zsgan.evaluation.loading import load_judges
from zsgan.evaluation.seen import Seen
from zsgan.evaluation.truth import Truth, truth_of
from zsgan.menagerie.factor_report import LEFT, FactorReports, ideal_species, left
from zsgan.metrics import Aim, extract, sse
from zsgan.metrics.columns import OF_SOURCE
from zsgan.networks.clip import ClipEncoder
from zsgan.networks.dinov2 import DINOV2
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import Samples
from zsgan.runs.profiles import Profile
from zsgan.runs.run import RUNS, Run, run

METRICS = {"evaluator": 3, "photographs": 4}
"""Eyes -> version of the measurements; increased whenever the same images give different numbers, beyond
rounding."""

SAMPLES_SEED = 7_000_001
"""Seed of the images for the measurements of every row, far from the seeds of training."""


@dataclass(frozen=True)
class Numbers:
    """Measurements of one generator.

    Attributes:
        columns: measure -> number.
        each: measure that is a mean over images -> the contribution of each of the N images.
        factors: factor of the demo world -> its columns of
            :func:`zsgan.menagerie.factor_report.report`; empty if no ideal answer is known.
    """

    columns: Mapping[str, float]
    each: Mapping[str, list[float]]
    factors: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, eq=False)
class Bench:
    """Measures the runs of one scenario; a cache beside the runs keeps the results.

    Attributes:
        profile: profile of the runs, the numbers of images and the settings.
        scenario: one of the profile's.
        folder: folder of runs.
        device: device for runs, images and measurements.
    """

    profile: Profile
    scenario: str
    folder: Path = RUNS
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        """Set up the device; an unavailable one is refused."""
        set_up(self.device)

    @cached_property
    def judges(self) -> Judges:
        """The judges of the scenario."""
        return load_judges(self.profile, self.scenario, self.device)

    @cached_property
    def factors(self) -> FactorReports | None:
        """Reports on the demo's factors in images of the rows' latents, if their ideal answers are known."""
        judges, labels = self.judges, self.judges.truth.labels
        if labels is None or judges.eyes.labels is None:
            return None
        species = ideal_species(labels, self.profile.scenarios[self.scenario].generator)
        if species is None:
            return None
        latents = self.source(self.profile.samples, 1.0).latents
        return FactorReports(judges.eyes, labels, species, latents, judges.resolution, self.device)

    @cached_property
    def runs(self) -> list[tuple[str, int, Run]]:
        """Row, seed and run, in the order of the profile; missing runs are made."""
        rows = self.profile.rows_of(self.scenario)
        return [(row, seed, self._run(row, seed)) for row in rows for seed in self.profile.seeds]

    def _run(self, row: str, seed: int) -> Run:
        return run(self.profile.config(self.scenario, row, seed), folder=self.folder, device=self.device)

    def source(self, n: int, truncation_psi: float) -> Samples:
        """The source generator's images of the latents that all rows share."""
        generator = load_generator(self.profile.scenarios[self.scenario].generator, self.device)
        return Samples(generator, n, SAMPLES_SEED, truncation_psi)

    @cached_property
    def source_seen(self) -> Seen:
        """What :meth:`source` at the profile's truncation shows, as far as measures need it."""
        images = self.source(self.profile.samples, self.profile.truncation_psi)
        return self.judges.look(images, set(OF_SOURCE) & set(self.judges.measures))

    def at(self, found: Run, step: int | None = None, progress: bool = False) -> Numbers:
        """All measurements of a run after ``step`` steps, by default the last, on ``profile.samples`` images.

        The images are made once for all of them; tables, curves and figures read the same measurement.

        Args:
            found: the run.
            step: one of its snapshots, or 0 for the source generator.
            progress: show progress bars.

        Returns:
            the columns of :meth:`Judges.everything <zsgan.evaluation.judges.Judges.everything>` and sse
            (Fig. 3a; of the first guiding CLIP), and those of :func:`zsgan.menagerie.factor_report.left`,
            nan unless ideal answers are known and the images are not truncated. With the measure "aim" also
            :class:`zsgan.metrics.directions.Aim` by the first guiding CLIP (guide_ahead...) and by the
            judging one (judge_ahead...), nan likewise.
        """
        n, step = self.profile.samples, found.iterations if step is None else step

        def measure() -> dict[str, Any]:
            return self.measure(found, self.samples(found, n, step), progress)

        return Numbers(**self.kept(found, self._what(found, step), measure))

    def measure(self, found: Run, images: Images, progress: bool = False) -> dict[str, Any]:
        """The entries of :class:`Numbers` of a run, as JSON, for images of the latents that all rows share.

        Args:
            found: the run, whose first guiding CLIP looks, too.
            images: ``profile.samples`` images, of the run or of another generator.
            progress: show progress bars.

        Returns:
            columns, each and factors, see :meth:`at`.
        """
        guide = self._guide(found.config.clips[0]).encode_images
        seen = self.judges.look(images, guide=guide, progress=progress)
        columns = {"sse": float(sse(seen["guide"]))} | self.judges.everything(seen, self.source_seen)
        factors: dict[Any, Any] = {}
        columns |= dict.fromkeys(LEFT, math.nan)
        if self.profile.truncation_psi == 1 and self.factors is not None:
            report = self.factors.of(seen["eyes"])
            factors, columns = report.to_dict(orient="index"), columns | left(report)
        if "aim" in self.profile.measures:
            columns |= self._aims("guide", found.config.clips[0], seen["guide"])
            columns |= self._aims("judge", self.profile.judge, seen["clip"])
        return {"columns": columns, "each": self.judges.each(seen), "factors": factors}

    def _aims(self, by: str, clip: str, features: Tensor) -> dict[str, float]:
        """Columns of the measure "aim" from a CLIP's features (N, D) of an adapted generator's images."""
        known = self.profile.truncation_psi == 1 and self.factors is not None
        found = self._aim(clip)(features) if known else Aim(math.nan, math.nan, math.nan)
        return {f"{by}_{name}": value for name, value in found._asdict().items()}

    @cached_property
    def _aim(self) -> Callable[[str], Callable[[Tensor], Aim]]:
        assert self.factors is not None
        n = self.profile.samples
        given = self._asked, held(self.source(n, 1.0)), held(self.factors.ideal(n)), self.device
        return cache(lambda clip: aims(self._guide(clip), *given))

    def steps(self, found: Run) -> list[int]:
        """Steps at which a run is measured: 0 for the source, and snapshots, as the profile says."""
        return [0, *self.profile.measured(found.snapshots)]

    @property
    def complete(self) -> bool:
        """Whether the cache has :meth:`at` of all runs and snapshots; no network is loaded to know."""
        cached = Cache(self.folder / "cache")
        return all(
            cached.has_json(self._key(found, self._what(found, step)))
            for _, _, found in self.runs
            for step in self.steps(found)
        )

    def _what(self, found: Run, step: int) -> dict[str, Any]:
        """The part of the key of :meth:`at` that no other measurement has."""
        what = {"n": self.profile.samples, "step": step, "guide": found.config.clips[0]}
        return what | ({"measures": list(self.profile.measures)} if self.profile.measures else {})

    @cached_property
    def _guide(self) -> Callable[[str], ClipEncoder]:
        return cache(lambda name: load_clip(name, device=self.device))

    def embedding(self, images: Images) -> Tensor:
        """(n, D) the eyes' features."""
        return extract(self.judges.eyes.embed, images, device=self.device)

    def samples(self, found: Run, n: int, step: int | None = None, psi: float | None = None) -> Samples:
        """Images of the shared latents; by default after the last step, and with the rows' truncation."""
        psi = self.profile.truncation_psi if psi is None else psi
        return Samples(found.generator(step, self.device), n, SAMPLES_SEED, psi)

    def networks(self, found: Run) -> dict[str, str]:
        """Name -> identity of every network used in a run or its measurement."""
        names = [
            found.config.generator, *found.config.clips, self.profile.judge,
            *NETWORKS_OF_EYES[self.profile.eyes],
        ]  # fmt: skip
        if (difa := found.config.difa) is not None:
            names.append(encoder(difa.encoder, generator(found.config.generator)).name)
        names += [DINOV2] if "fd_dinov2" in self.profile.measures and self._truth.seen else []
        return {name: weights_id(name) for name in names}

    def kept(self, found: Run, what: Mapping[str, Any], measure: Callable[[], Any]) -> Any:
        """A measurement of a run from the cache.

        Args:
            found: the run.
            what: key of the measurement beside the run, the judges and the settings; as JSON.
            measure: makes the measurement if it is missing, as JSON.

        Returns:
            the measurement.
        """
        return Cache(self.folder / "cache").json(self._key(found, what), measure)

    def _key(self, found: Run, what: Mapping[str, Any]) -> dict[str, Any]:
        """The key of a measurement in the cache; no network is loaded for it."""
        asked = self._asked
        # Step 0 is the source generator, which a scenario's runs share (its weights are below).
        return {
            "run": "source" if what.get("step") == 0 else found.folder.name, **what,
            "texts": [asked.source_text, asked.target_text], "templates": asked.templates,
            "truth": self._truth.key,
            "clusters": self.profile.clusters, "neighbours": self.profile.neighbours,
            "psi": self.profile.truncation_psi, "weights": list(self.networks(found).values()),
            "metrics": METRICS[self.profile.eyes],
        }  # fmt: skip

    @cached_property
    def _asked(self) -> AdaptConfig:
        """Has the scenario's texts, since a run guided by images does not depend on any."""
        return self.profile.config(self.scenario, next(iter(self.profile.rows)))

    @cached_property
    def _truth(self) -> Truth:
        return truth_of(self.profile.scenarios[self.scenario].truth)
