"""Tables of measurements: every run of a scenario, its bounds, its course and its factors."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.adaptation.stopping import alignment, plateau
from zsgan.base.device import set_up
from zsgan.base.images import Images
from zsgan.evaluation.bench import METRICS, SAMPLES_SEED, Bench, Measured
from zsgan.evaluation.judges import rate
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics import extract
from zsgan.metrics.summaries import closeness
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples
from zsgan.runs.profiles import Profile
from zsgan.runs.run import RUNS, Run

__all__ = [
    "METRICS",
    "SAMPLES_SEED",
    "bounds",
    "course",
    "factor_table",
    "frontier",
    "generator_quality",
    "provenance",
    "results",
]

Device = torch.device | str


def results(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """All measurements of the rows of Table 1.

    Args:
        profile: profile of the runs; missing ones are made.
        scenario: one of the profile's; ``None`` for all.
        folder: folder of runs.
        device: device for runs, images and measurements.
        progress: show a progress bar.

    Returns:
        a line for each run, with columns scenario, row, seed, iterations, n, psi (truncation), those of
        :meth:`Judges.everything <zsgan.evaluation.judges.Judges.everything>`, and the recorded cost of
        the run: step_seconds and peak_memory (bytes on a GPU), nan if unknown; and levelled_off, the step at
        which :func:`zsgan.adaptation.stopping.plateau` would stop: inf for none, nan for a run without texts.
    """
    lines = []
    for bench in _benches(profile, scenario, folder, device):
        for row, seed, found in _with_bar(bench, "measuring", progress):
            columns = bench.final(found, progress).columns
            lines.append(
                {
                    "scenario": bench.scenario, "row": row, "seed": seed, "iterations": found.iterations,
                    "n": profile.samples, "psi": profile.truncation_psi, **columns,
                    **_cost(found), "levelled_off": _levelled_off(found),
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def bounds(profile: Profile, scenario: str | None = None, *, device: Device = "cpu") -> pd.DataFrame:
    """Reference rows of :func:`results`: the source generator, and fresh true images of the target.

    Args:
        profile: see :func:`results`.
        scenario: one of the profile's, or ``None`` for all.
        device: device for images and measurements.

    Returns:
        up to three lines for each scenario: the source at the truncation of the rows, the source at the
        profile's other truncation (if it differs), and the truth (if there are images of it).
    """
    lines = []
    n, psi, other = profile.samples, profile.truncation_psi, profile.other_psi
    for bench in _benches(profile, scenario, RUNS, device):
        judges, before = bench.judges, bench.source_features
        sets: list[tuple[str, float, Images, Tensor | None]] = [
            ("source, not adapted", psi, bench.source(n, psi), before)
        ]
        if other != psi:
            sets.append((f"source, ψ = {other:g}", other, bench.source(n, other), before))
        if judges.truth.seen:
            true = judges.truth.images(n, judges.resolution, fresh=True)
            sets.append(("true target", math.nan, true, None))
        for row, psi_, images, known in sets:
            line = {"scenario": bench.scenario, "row": row, "psi": psi_, "n": len(images)}
            lines.append(line | judges.everything(judges.inspect(images), known))
    return pd.DataFrame(lines)


def course(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Course of every run: SSE in the guiding CLIP's space (Fig. 3a) and adaptation at each snapshot.

    Args:
        profile: see :func:`results`.
        scenario: one of the profile's, or ``None`` for all.
        folder: folder of runs.
        device: torch device.
        progress: show a progress bar.

    Returns:
        columns scenario, row, seed, step, n, sse and those of
        :meth:`Judges.adaptation <zsgan.evaluation.judges.Judges.adaptation>`; step 0 is the source generator,
        the last one the adapted.
    """
    return _along(Bench.snapshot, profile, scenario, folder, device, progress)


def frontier(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """:func:`course` with diversity beside adaptation at each snapshot; takes about three times as long.

    Args:
        profile: see :func:`results`.
        scenario: one of the profile's, or ``None`` for all.
        folder: folder of runs.
        device: torch device.
        progress: show a progress bar.

    Returns:
        the columns of :func:`course` and those that :meth:`Bench.point <zsgan.evaluation.bench.Bench.point>`
        adds.
    """
    return _along(Bench.point, profile, scenario, folder, device, progress)


def _along(
    measure: Callable[[Bench, Run, int], Measured], profile: Profile, scenario: str | None, folder: Path,
    device: Device, progress: bool,
) -> pd.DataFrame:  # fmt: skip
    n, lines = profile.curve_samples, []
    for bench in _benches(profile, scenario, folder, device):
        for row, seed, found in _with_bar(bench, "curves", progress):
            for step in [0, *found.snapshots]:
                line = {"scenario": bench.scenario, "row": row, "seed": seed, "step": step, "n": n}
                lines.append(line | dict(measure(bench, found, step).columns))
    return pd.DataFrame(lines)


def factor_table(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Spread of each factor of the demo world, and its distance from the ideal answers.

    Args:
        profile: see :func:`results`.
        scenario: one of the profile's, or ``None`` for all.
        folder: folder of runs.
        device: torch device.
        progress: show a progress bar.

    Returns:
        a line for each run and factor: columns scenario, row, seed, n, factor, and those of
        :func:`zsgan.menagerie.factor_report.report`. The row "source, not adapted" (seed nan) is the
        reference. Images have no truncation.

    Raises:
        ValueError: the ideal answers are not known, see
            :meth:`Bench.factor_report <zsgan.evaluation.bench.Bench.factor_report>`.
    """
    lines: list[dict[str, Any]] = []
    for bench in _benches(profile, scenario, folder, device):
        source = bench.factor_report(bench.source(profile.samples, 1.0))
        reports = {("source, not adapted", math.nan): source}
        for row, seed, found in _with_bar(bench, "factors", progress):
            reports[row, seed] = bench.factors(found)
        for (row, of_seed), factors in reports.items():
            place = {"scenario": bench.scenario, "row": row, "seed": of_seed, "n": profile.samples}
            lines += [place | {"factor": factor} | values for factor, values in factors.items()]
    return pd.DataFrame(lines)


def generator_quality(
    name: str,
    truth: Mapping[str, str],
    n: int,
    *,
    truncations: Sequence[float] = (1.0,),
    neighbours: int = 3,
    device: Device = "cpu",
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
        columns evaluator_rate and those of :func:`zsgan.metrics.summaries.closeness`. The first line, "drawn"
        or "true", measures other images of the domain: the best that a generator can be expected to reach.
    """
    set_up(device)
    eyes, generator, domain = load_evaluator(device), load_generator(name, device), truth_of(truth)
    resolution = generator.config["resolution"]
    true = extract(eyes.embed, domain.images(n, resolution), device=device)
    label = "true" if domain.labels is None else "drawn"
    sets = {label: domain.images(n, resolution, fresh=True)} | {
        f"generated, ψ = {psi:g}": Samples(generator, n, SAMPLES_SEED, psi) for psi in truncations
    }
    lines = {}
    for label, images in sets.items():
        embedding = extract(eyes.embed, images, device=device)
        reached = {"evaluator_rate": rate(eyes, embedding, domain.labels, device)}
        lines[label] = reached | closeness(embedding, true, neighbours)
    return pd.DataFrame.from_dict(lines, orient="index")


def provenance(
    profile: Profile, scenario: str, folder: Path = RUNS, device: Device = "cpu"
) -> dict[str, Any]:
    """Origin of a figure or table of a scenario: settings, seeds, runs and weights."""
    bench = Bench(profile, scenario, folder, device)
    return {
        "profile": profile.name,
        "scenario": scenario,
        "settings": json.loads(json.dumps(asdict(profile))),
        "seeds": list(profile.seeds),
        "runs": {f"{row}, seed {seed}": found.folder.name for row, seed, found in bench.runs},
        "weights": bench.networks(bench.runs[0][2]),
    }


def _benches(profile: Profile, scenario: str | None, folder: Path, device: Device) -> list[Bench]:
    chosen = list(profile.scenarios) if scenario is None else [scenario]
    return [Bench(profile, name, folder, device) for name in chosen]


def _with_bar(bench: Bench, what: str, progress: bool) -> Iterator[tuple[str, int, Run]]:
    with tqdm(bench.runs, disable=not progress) as bar:
        for row, seed, found in bar:
            bar.set_description(f"{what} {bench.scenario}, {row}, seed {seed}")
            yield row, seed, found


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
