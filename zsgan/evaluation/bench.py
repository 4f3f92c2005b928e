"""Measurement of a scenario's runs: the same latents, judges and truth for all, each computed once."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from zsgan.assets.names import weights_id
from zsgan.base.cache import Cache
from zsgan.base.device import set_up
from zsgan.base.images import Images
from zsgan.evaluation.judges import Judges, load_judges
from zsgan.menagerie.factor_report import report
from zsgan.menagerie.factors import CONTINUOUS
from zsgan.menagerie.portraits import ideal_answers
from zsgan.menagerie.species import SPECIES
from zsgan.metrics import extract, sse
from zsgan.metrics.eyes import Prediction
from zsgan.networks.clip import ClipEncoder
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import Samples
from zsgan.runs.gradient_shares import shares_of
from zsgan.runs.profiles import Profile
from zsgan.runs.run import RUNS, Run, run

METRICS = 3
"""Version of the measurements; increased whenever the same images give different numbers."""

SAMPLES_SEED = 7_000_001
"""Seed of the images for the measurements of every row, far from the seeds of training."""


@dataclass(frozen=True)
class Measured:
    """Measurements of one generator.

    Attributes:
        columns: measure -> number.
        each: measure that is a mean over images -> the contribution of each of the N images.
    """

    columns: Mapping[str, float]
    each: Mapping[str, list[float]]


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
    def runs(self) -> list[tuple[str, int, Run]]:
        """Row, seed and run, in the order of the profile; missing runs are made."""
        return [(row, seed, self._run(row, seed)) for row in self.profile.rows for seed in self.profile.seeds]

    def _run(self, row: str, seed: int) -> Run:
        return run(self.profile.config(self.scenario, row, seed), folder=self.folder, device=self.device)

    def source(self, n: int, truncation_psi: float) -> Samples:
        """The source generator's images of the latents that all rows share."""
        generator = load_generator(self.profile.scenarios[self.scenario].generator, self.device)
        return Samples(generator, n, SAMPLES_SEED, truncation_psi)

    @cached_property
    def source_features(self) -> Tensor:
        """(n, D) the eyes' features of :meth:`source` at the profile's truncation."""
        return self._embedding(self.source(self.profile.samples, self.profile.truncation_psi))

    def final(self, found: Run, progress: bool = False) -> Measured:
        """All measurements of an adapted generator, on ``profile.samples`` images."""
        n = self.profile.samples

        def measure() -> dict[str, Any]:
            images = self._samples(found, n)
            seen = self.judges.inspect(images, progress=progress)
            columns = self.judges.everything(seen, self.source_features)
            return {"columns": columns, "each": self.judges.each(seen)}

        return Measured(**self._kept(found, {"n": n}, measure))

    def snapshot(self, found: Run, step: int) -> Measured:
        """The adaptation and the SSE (Fig. 3a) after ``step`` steps, on ``profile.curve_samples`` images."""
        n = self.profile.curve_samples

        def measure() -> dict[str, Any]:
            images = self._samples(found, n, step)
            guide = self._guide(found.config.clips[0])
            seen = self.judges.look(images, guide=guide.encode_images)
            columns = {"sse": float(sse(seen["guide"]))} | self.judges.adaptation(seen)
            return {"columns": columns, "each": self.judges.each(seen)}

        return Measured(**self._kept(found, {"true_n": self.profile.samples, "n": n, "step": step}, measure))

    def point(self, found: Run, step: int) -> Measured:
        """A point of the frontier: adaptation and diversity after ``step`` steps, on as many images.

        Columns besides those of :meth:`snapshot`: lpips_avg and lpips_all (see
        :func:`zsgan.metrics.summaries.lpips_columns`), clip_variance, other_fid and other_recall (at the
        profile's other truncation), and for images without truncation the means over the continuous factors
        of :func:`zsgan.menagerie.factor_report.report`: factors_kept (1: as varied as true images) and
        ideal_distance, the error relative to that of chance (0: the ideal answers, 1: no better than chance).
        The last two are nan where no ideal answer is known.
        """
        n, truth_n, other = self.profile.curve_samples, self.profile.samples, self.profile.other_psi

        def measure() -> dict[str, Any]:
            images = self._samples(found, n, step)
            seen = self.judges.inspect(images, guide=self._guide(found.config.clips[0]).encode_images)
            varied = self.judges.diversity(seen)
            columns = {"sse": float(sse(seen["guide"]))} | self.judges.adaptation(seen)
            columns |= {name: varied[name] for name in ("lpips_avg", "lpips_all", "clip_variance")}
            embedding = {self.profile.truncation_psi: seen["eyes"]}
            for psi in {other, 1.0} - embedding.keys():
                embedding[psi] = self._embedding(self._samples(found, n, step, psi))
            close = self.judges.closeness(embedding[other])
            columns |= {f"other_{name}": close[name] for name in ("fid", "recall")}
            columns |= self._factors_left(embedding[1.0])
            return {"columns": columns, "each": self.judges.each(seen)}

        key = {"true_n": truth_n, "n": n, "step": step, "what": "frontier", "other": other}
        return Measured(**self._kept(found, key, measure))

    def _factors_left(self, embedding: Tensor) -> dict[str, float]:
        if self.species is None:
            return {"factors_kept": math.nan, "ideal_distance": math.nan}
        found = self._report(embedding).loc[list(CONTINUOUS)]
        lost = (found["error"] / found["chance"]).mean()
        return {"factors_kept": float(found["kept"].mean()), "ideal_distance": float(lost)}

    def factors(self, found: Run) -> dict[str, dict[str, float]]:
        """Result of :meth:`factor_report` for an adapted generator's images, without truncation."""

        def measure() -> dict[str, dict[str, float]]:
            return self.factor_report(Samples(found.generator(device=self.device), n, SAMPLES_SEED, 1.0))

        n = self.profile.samples
        kept: dict[str, dict[str, float]] = self._kept(found, {"n": n, "what": "factors"}, measure)
        return kept

    def shares(self, found: Run) -> dict[str, dict[str, float]]:
        """Gradient shares of the parts of the loss, see :func:`zsgan.runs.gradient_shares.shares_of`."""
        kept: dict[str, dict[str, float]] = self._kept(
            found, {"what": "shares"}, lambda: shares_of(found, folder=self.folder, device=self.device)
        )
        return kept

    def factor_report(self, images: Samples) -> dict[str, dict[str, float]]:
        """:func:`zsgan.menagerie.factor_report.report` of a generator that came from the scenario's source.

        Args:
            images: images of the rows' latents without truncation; ideal answers are known for these alone.

        Returns:
            factor -> kept, error and chance.

        Raises:
            ValueError: the target's species is not known, or the eyes read no factors.
        """
        if self.judges.eyes.labels is None:
            raise ValueError(
                f"eyes={self.profile.eyes!r} read no factors; only the evaluator of the demo world does, "
                "eyes: evaluator in the profile"
            )
        if self.species is None:
            scenario = self.profile.scenarios[self.scenario]
            raise ValueError(
                f"scenario={self.scenario!r}: no ideal answer is known without a species in its truth, "
                f"{dict(scenario.truth)}, or in the name of a matched generator, {scenario.generator!r}"
            )
        report: dict[str, dict[str, float]] = self._report(self._embedding(images)).to_dict(orient="index")
        return report

    @cached_property
    def species(self) -> str | None:
        """Species of the ideal answers: the truth's, else that of a matched source; ``None`` if unknown.

        Also ``None`` where the eyes read no factors, since images cannot be compared with answers then.
        """
        labels, generator = self.judges.truth.labels, self.profile.scenarios[self.scenario].generator
        if labels is None or self.judges.eyes.labels is None:
            return None
        species = labels.get("species", generator.removeprefix("generator-"))
        return species if species in SPECIES else None

    def _report(self, embedding: Tensor) -> pd.DataFrame:
        return report(self._read(embedding), *self._answers(len(embedding)))

    @cached_property
    def _answers(self) -> Callable[[int], tuple[Prediction, Prediction]]:
        """Function of n: factors read in the ideal answers to the first n latents, and in n true images."""

        def answers(n: int) -> tuple[Prediction, Prediction]:
            truth, resolution = self.judges.truth, self.judges.resolution
            assert self.species is not None and truth.labels is not None
            latents, style = self.source(n, 1.0).latents, truth.labels.get("style", "photo")
            ideal = ideal_answers(latents, self.species, style, resolution)
            true = truth.images(n, resolution, fresh=True)
            return self._read(self._embedding(ideal)), self._read(self._embedding(true))

        return cache(answers)

    @cached_property
    def _guide(self) -> Callable[[str], ClipEncoder]:
        return cache(lambda name: load_clip(name, device=self.device))

    def _embedding(self, images: Images) -> Tensor:
        """(n, D) the eyes' features."""
        return extract(self.judges.eyes.embed, images, device=self.device)

    def _read(self, embedding: Tensor) -> Prediction:
        return self.judges.eyes.read(embedding.to(self.device))

    def _samples(self, found: Run, n: int, step: int | None = None, psi: float | None = None) -> Samples:
        psi = self.profile.truncation_psi if psi is None else psi
        return Samples(found.generator(step, self.device), n, SAMPLES_SEED, psi)

    def networks(self, found: Run) -> dict[str, str]:
        """Name -> identity of every network used in a run or its measurement."""
        names = [
            found.config.generator, *found.config.clips, self.profile.judge, *self.judges.eyes.networks
        ]  # fmt: skip
        return {name: weights_id(name) for name in names}

    def _kept(self, found: Run, what: Mapping[str, Any], measure: Callable[[], Any]) -> Any:
        """The measurement from the cache; computed and stored if missing."""
        # Texts for the judging CLIP: a run guided by images does not depend on any text.
        asked = self.profile.config(self.scenario, next(iter(self.profile.rows)))
        # Step 0 is the source generator, which a scenario's runs share (its weights are below).
        key = {
            "run": "source" if what.get("step") == 0 else found.folder.name, **what,
            "texts": [asked.source_text, asked.target_text], "templates": asked.templates,
            "truth": self.judges.truth.key,
            "clusters": self.profile.clusters, "neighbours": self.profile.neighbours,
            "psi": self.profile.truncation_psi, "weights": list(self.networks(found).values()),
            "metrics": METRICS,
        }  # fmt: skip
        return Cache(self.folder / "cache").json(key, measure)
