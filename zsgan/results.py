"""Measurements of runs: diversity beside adaptation, against the true target domain; each is made once."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

from zsgan.cache import Cache
from zsgan.judges import Judges, closeness, load_judges, rate
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics import extract, sse
from zsgan.models import load_clip, load_generator
from zsgan.names import weights_id
from zsgan.profiles import Profile
from zsgan.runs import RUNS, Run, run
from zsgan.sampling import Samples
from zsgan.truth import truth_of

METRICS = 2
"""Version of the measurements; raised whenever the same images give other numbers."""

SAMPLES_SEED = 7_000_001
"""Seed of the images that every row is measured on, far from those of training."""

Device = torch.device | str


def results(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """Every measurement of Table 1's rows.

    Args:
        profile: whose runs; missing ones are made.
        scenario: one of the profile's; ``None`` for all of them, one after the other.
        folder: of runs.
        device: where runs are made, and images made and measured.
        progress: show a progress bar.

    Returns:
        a line for each run, with columns scenario, row, seed, iterations, n, psi (truncation), and those of
        :meth:`Judges.everything <zsgan.judges.Judges.everything>`.
    """
    lines = []
    for name in _chosen(profile, scenario):
        judges = load_judges(profile, name, device)
        for row, seed, found in tqdm(
            _runs(profile, name, folder, device), desc=f"measuring {name}", disable=not progress
        ):

            def measure(judges: Judges = judges, found: Run = found) -> dict[str, float]:
                return judges.everything(_samples(found, profile.samples, profile, device))

            metrics = _kept(found, profile, judges, {"n": profile.samples}, measure, folder)
            lines.append(
                {
                    "scenario": name, "row": row, "seed": seed, "iterations": found.snapshots[-1],
                    "n": profile.samples, "psi": profile.truncation_psi, **metrics,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def bounds(profile: Profile, scenario: str | None = None, *, device: Device = "cpu") -> pd.DataFrame:
    """The same of what needs no adaptation: the source generator, and fresh true images of the target.

    Args:
        profile: see :func:`results`, as for ``scenario``.
        scenario: one of the profile's, or ``None`` for all.
        device: where images are made and measured.

    Returns:
        three lines for each scenario, those of the source truncated as the rows are, the source not
        truncated, and the truth.
    """
    lines = []
    n, psi = profile.samples, profile.truncation_psi
    for name in _chosen(profile, scenario):
        judges = load_judges(profile, name, device)
        source = load_generator(profile.scenarios[name].generator, device)
        sets = [
            ("source, not adapted", psi, Samples(source, n, SAMPLES_SEED, psi)),
            ("source, not truncated", 1.0, Samples(source, n, SAMPLES_SEED, 1.0)),
            ("true target", math.nan, judges.truth.images(n, judges.resolution, fresh=True)),
        ]
        for row, psi_, images in sets:
            lines.append(
                {"scenario": name, "row": row, "psi": psi_, "n": len(images)} | judges.everything(images)
            )
    return pd.DataFrame(lines)


def course(
    profile: Profile,
    scenario: str | None = None,
    *,
    folder: Path = RUNS,
    device: Device = "cpu",
    progress: bool = False,
) -> pd.DataFrame:
    """How every run went: SSE in the guiding CLIP's space (Fig. 3a) and the adaptation, at each snapshot.

    Args:
        profile: see :func:`results`, as for what follows.
        scenario: one of the profile's, or ``None`` for all.
        folder: of runs.
        device: where to compute.
        progress: show a progress bar.

    Returns:
        columns scenario, row, seed, step, n, sse and those of
        :meth:`Judges.adaptation <zsgan.judges.Judges.adaptation>`; step 0 is the source generator, the last
        one the adapted.
    """

    @cache
    def guide_of(clip: str) -> Any:
        return load_clip(clip, device=device).encode_images

    n, lines = profile.curve_samples, []
    for name in _chosen(profile, scenario):
        judges = load_judges(profile, name, device)
        for row, seed, found in tqdm(
            _runs(profile, name, folder, device), desc=f"curves {name}", disable=not progress
        ):
            for step in [0, *found.snapshots]:

                def measure(
                    judges: Judges = judges, found: Run = found, step: int = step
                ) -> dict[str, float]:
                    images = _samples(found, n, profile, device, step)
                    seen = judges.look(images, guide=guide_of(found.config.clips[0]))
                    return {"sse": float(sse(seen["guide"]))} | judges.adaptation(images, seen)

                what = {"true_n": judges.n, "n": n, "step": step}
                metrics = _kept(found, profile, judges, what, measure, folder)
                lines.append({"scenario": name, "row": row, "seed": seed, "step": step, "n": n, **metrics})
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
    """How close a source generator is to the domain that it was trained on.

    Args:
        name: the generator.
        truth: its domain, as a scenario names one.
        n: images of each line, and true ones that they are compared with.
        truncations: psi of the generator's images, a line for each; 1 for none.
        neighbours: k of precision and recall.
        device: where to compute.

    Returns:
        columns evaluator_rate and those of :func:`zsgan.judges.closeness`. The first line, "drawn" or
        "true", is for other images of the domain, and the best that a generator can be expected to reach.
    """
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
    """What a figure or table of a scenario rests on: settings, seeds, runs and weights."""
    runs = _runs(profile, scenario, folder, device)
    return {
        "profile": profile.name,
        "scenario": scenario,
        "settings": json.loads(json.dumps(asdict(profile))),
        "seeds": list(profile.seeds),
        "runs": {f"{row}, seed {seed}": found.folder.name for row, seed, found in runs},
        "weights": {name: weights_id(name) for name in _networks(runs[0][2], profile, "evaluator")},
    }


def _chosen(profile: Profile, scenario: str | None) -> list[str]:
    return list(profile.scenarios) if scenario is None else [scenario]


def _runs(profile: Profile, scenario: str, folder: Path, device: Device) -> list[tuple[str, int, Run]]:
    return [
        (row, seed, run(profile.config(scenario, row, seed), folder=folder, device=device))
        for row in profile.rows
        for seed in profile.seeds
    ]


def _samples(found: Run, n: int, profile: Profile, device: Device, step: int | None = None) -> Samples:
    return Samples(found.generator(step, device), n, SAMPLES_SEED, profile.truncation_psi)


def _networks(found: Run, profile: Profile, eyes: str) -> Sequence[str]:
    return [found.config.generator, *found.config.clips, profile.judge, eyes]


def _kept(
    found: Run,
    profile: Profile,
    judges: Judges,
    what: Mapping[str, Any],
    measure: Callable[[], dict[str, float]],
    folder: Path,
) -> dict[str, float]:
    """The measurement from the cache if it is there, else made and kept."""
    key = {
        "run": found.folder.name, **what, "truth": judges.truth.key,
        "clusters": profile.clusters, "neighbours": profile.neighbours, "psi": profile.truncation_psi,
        "weights": [weights_id(name) for name in _networks(found, profile, judges.eyes.name)],
        "metrics": METRICS,
    }  # fmt: skip
    kept: dict[str, float] = Cache(folder / "cache").json(key, measure)
    return kept
