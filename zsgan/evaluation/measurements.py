"""Measurements of a profile's runs, as tables."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from zsgan.adaptation.stopping import alignment, plateau
from zsgan.base.device import set_up
from zsgan.base.images import Images
from zsgan.evaluation.bench import SAMPLES_SEED, Bench
from zsgan.evaluation.judges import Judges
from zsgan.evaluation.seen import Seen
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics.columns import CLOSENESS
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples
from zsgan.runs.profiles import Profile
from zsgan.runs.run import RUNS, Run


@dataclass(frozen=True, eq=False)
class Measurements:
    """Measurements of a profile's runs; missing runs are made.

    The argument ``scenario`` of the methods is one of the profile's scenarios; ``None`` stands for all.

    Attributes:
        profile: profile of the runs, the numbers of images and the settings.
        folder: folder of runs, whose cache keeps the measurements.
        device: device for runs, images and measurements.
        progress: show progress bars.
    """

    profile: Profile
    folder: Path = RUNS
    device: torch.device | str = "cpu"
    progress: bool = False

    @cached_property
    def bench(self) -> Callable[[str], Bench]:
        """Function: name of a scenario -> its bench, which loads the judges once; the last one is kept."""
        return lru_cache(1)(lambda scenario: Bench(self.profile, scenario, self.folder, self.device))

    def load(self, scenario: str) -> None:
        """Load the judges of a scenario, so that what is missing is found before any run is made."""
        _ = self.bench(scenario).judges

    def table(self, scenario: str | None = None) -> pd.DataFrame:
        """All measurements of the rows of Table 1.

        Args:
            scenario: scenario to measure.

        Returns:
            a line for each run, with columns scenario, row, seed, iterations, n, psi (truncation), those of
            :meth:`Judges.everything <zsgan.evaluation.judges.Judges.everything>`, and the recorded cost of
            the run: step_seconds and peak_memory (bytes on a GPU), nan if unknown; and levelled_off, the step
            at which :func:`zsgan.adaptation.stopping.plateau` would stop: inf for none, nan for a run without
            texts.
        """
        lines = []
        for bench in self._benches(scenario):
            for row, seed, found in self._runs(bench, "measuring"):
                columns = bench.at(found, progress=self.progress).columns
                lines.append(
                    {
                        "scenario": bench.scenario, "row": row, "seed": seed, "iterations": found.iterations,
                        "n": self.profile.samples, "psi": self.profile.truncation_psi, **columns,
                        **_cost(found), "levelled_off": _levelled_off(found),
                    }
                )  # fmt: skip
        return pd.DataFrame(lines)

    def bounds(self, scenario: str | None = None) -> pd.DataFrame:
        """Reference rows of :meth:`table`: the source generator, and fresh true images of the target.

        Args:
            scenario: scenario to measure.

        Returns:
            up to three lines for each scenario: the source at the truncation of the rows, the source at the
            profile's other truncation (if it differs), and the truth (if there are images of it).
        """
        lines = []
        n, psi, other = self.profile.samples, self.profile.truncation_psi, self.profile.other_psi
        for bench in self._benches(scenario):
            judges, before = bench.judges, bench.source_seen
            sets: list[tuple[str, float, Images, Seen | None]] = [
                ("source, not adapted", psi, bench.source(n, psi), before)
            ]
            if other != psi:
                sets.append((f"source, ψ = {other:g}", other, bench.source(n, other), before))
            if judges.truth.seen:
                true = judges.truth.images(n, judges.resolution, fresh=True)
                sets.append(("true target", math.nan, true, None))
            for row, psi_, images, known in sets:
                line = {"scenario": bench.scenario, "row": row, "psi": psi_, "n": len(images)}
                lines.append(line | judges.everything(judges.look(images), known))
        return pd.DataFrame(lines)

    def course(self, scenario: str | None = None) -> pd.DataFrame:
        """Course of every run: all measurements at each snapshot, for Fig. 3a and the frontier.

        Args:
            scenario: scenario to measure.

        Returns:
            columns scenario, row, seed, step, n and those of :meth:`Bench.at
            <zsgan.evaluation.bench.Bench.at>`; step 0 is the source generator, the last one the adapted.
        """
        lines = []
        for bench in self._benches(scenario):
            for row, seed, found in self._runs(bench, "curves"):
                line = {"scenario": bench.scenario, "row": row, "seed": seed, "n": self.profile.samples}
                lines += [
                    {**line, "step": step, **bench.at(found, step).columns} for step in bench.steps(found)
                ]
        return pd.DataFrame(lines)

    def factors(self, scenario: str | None = None) -> pd.DataFrame:
        """Spread of each factor of the demo world, and its distance from the ideal answers.

        Args:
            scenario: scenario to measure.

        Returns:
            a line for each run and factor: columns scenario, row, seed, n, factor, and those of
            :func:`zsgan.menagerie.factor_report.report`. The row "source, not adapted" (seed nan) is the
            reference. Images have no truncation.

        Raises:
            ValueError: the target's species is not known, or the eyes read no factors.
        """
        n, lines = self.profile.samples, list[dict[str, Any]]()
        for bench in self._benches(scenario):
            reports = {("source, not adapted", math.nan): _factors(bench, bench.runs[0][2], 0)}
            for row, seed, found in self._runs(bench, "factors"):
                reports[row, seed] = _factors(bench, found)
            for (row, of_seed), factors in reports.items():
                place = {"scenario": bench.scenario, "row": row, "seed": of_seed, "n": n}
                lines += [{**place, "factor": factor, **values} for factor, values in factors.items()]
        columns = ["scenario", "row", "seed", "n", "factor", "kept", "error", "chance"]
        return pd.DataFrame(lines, columns=columns)

    def provenance(self, scenario: str) -> dict[str, Any]:
        """Origin of a figure or table of a scenario: settings, seeds, runs and weights."""
        bench = self.bench(scenario)
        return {
            "profile": self.profile.name,
            "scenario": scenario,
            "settings": json.loads(json.dumps(asdict(self.profile))),
            "seeds": list(self.profile.seeds),
            "runs": {f"{row}, seed {seed}": found.folder.name for row, seed, found in bench.runs},
            "weights": bench.networks(bench.runs[0][2]),
        }

    def _benches(self, scenario: str | None) -> list[Bench]:
        return [self.bench(name) for name in (self.profile.scenarios if scenario is None else [scenario])]

    def _runs(self, bench: Bench, what: str) -> Iterator[tuple[str, int, Run]]:
        """Row, seed and run, with a bar that names them."""
        with tqdm(bench.runs, disable=not self.progress) as bar:
            for row, seed, found in bar:
                bar.set_description(f"{what} {bench.scenario}, {row}, seed {seed}")
                yield row, seed, found


def generator_quality(
    name: str,
    truth: Mapping[str, str],
    n: int,
    *,
    truncations: Sequence[float] = (1.0,),
    neighbours: int = 3,
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """Closeness of a source generator to its training domain.

    Args:
        name: the generator.
        truth: its domain, in the format of a scenario's truth.
        n: number of images in each line, and of true ones for comparison.
        truncations: psi of the generator's images, a line for each; 1 for none.
        neighbours: k of precision, recall, density and coverage.
        device: torch device.

    Returns:
        columns evaluator_rate and those of :data:`zsgan.metrics.columns.CLOSENESS`. The first line, "drawn"
        or "true", measures other images of the domain: the best that a generator can be expected to reach.
    """
    set_up(device)
    generator, domain = load_generator(name, device), truth_of(truth)
    resolution = generator.config["resolution"]
    judges = Judges(load_evaluator(device), domain, resolution, n, neighbours=neighbours, device=device)
    label = "true" if domain.labels is None else "drawn"
    sets = {label: domain.images(n, resolution, fresh=True)} | {
        f"generated, ψ = {psi:g}": Samples(generator, n, SAMPLES_SEED, psi) for psi in truncations
    }
    measures = {"evaluator_rate", *CLOSENESS}
    lines = {
        label: judges.adaptation(judges.look(images, measures), measures) for label, images in sets.items()
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def _factors(bench: Bench, found: Run, step: int | None = None) -> Mapping[str, Mapping[str, float]]:
    """Report on the factors in the images of a run after ``step`` steps, without truncation."""
    if bench.judges.eyes.labels is None:
        raise ValueError(
            f"eyes={bench.profile.eyes!r} read no factors; only the evaluator of the demo world does, "
            "eyes: evaluator in the profile"
        )
    if (reports := bench.factors) is None:
        scenario = bench.profile.scenarios[bench.scenario]
        raise ValueError(
            f"scenario={bench.scenario!r}: no ideal answer is known without a species in its truth, "
            f"{dict(scenario.truth)}, or in the name of a matched generator, {scenario.generator!r}"
        )
    if bench.profile.truncation_psi == 1:
        return bench.at(found, step).factors

    def measure() -> Any:
        images = bench.samples(found, bench.profile.samples, step, psi=1.0)
        return reports.of(bench.embedding(images)).to_dict(orient="index")

    key = {"n": bench.profile.samples, "step": step, "what": "factors"}
    kept: Mapping[str, Mapping[str, float]] = bench.kept(found, key, measure)
    return kept


def _levelled_off(found: Run) -> float:
    try:
        curve = alignment(found.history)
    except ValueError:  # no text guided it
        return math.nan
    return plateau(curve) or math.inf


def _cost(found: Run) -> dict[str, float]:
    """Costs in the run's provenance; nan for runs of earlier versions."""
    return {
        name: math.nan if found.provenance.get(name) is None else found.provenance[name]
        for name in ("step_seconds", "peak_memory")
    }
