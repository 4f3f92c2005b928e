"""Measurements of runs: diversity beside adaptation, against the true target domain; kept beside each run."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.clip import ClipEncoder
from zsgan.files import write_json
from zsgan.menagerie.draw import draw
from zsgan.menagerie.evaluator import Evaluator, Prediction, load_evaluator
from zsgan.menagerie.factors import index_of, sample_factors
from zsgan.metrics import (
    PAPER,
    Lpips,
    extract,
    frechet_distance,
    intra_cluster_lpips,
    precision_recall,
    sse,
    target_rate,
    variance,
)
from zsgan.models import load_clip, load_generator
from zsgan.names import weights_id
from zsgan.profiles import Profile
from zsgan.runs import RUNS, Run, run
from zsgan.sampling import sample_images

METRICS = 1
"""Version of the measurements; raised whenever the same images give other numbers."""

# Seeds of the images that every row is measured on, far from those of training.
SAMPLES_SEED, TRUTH_SEED = 7_000_001, 8_000_009


def draw_truth(truth: Mapping[str, str], n: int, seed: int = TRUTH_SEED, resolution: int = 64) -> Tensor:
    """Images (n, 3, R, R) of a domain of the demo world, such as {"species": "cat", "style": "photo"}."""
    factors = sample_factors(n, torch.Generator().manual_seed(seed), **truth)
    return torch.cat([draw(factors[i : i + 50], resolution) for i in range(0, n, 50)])


def truth_rate(prediction: Prediction, truth: Mapping[str, str]) -> float:
    """Share of images in which the evaluator reads every factor that the target domain shares."""
    right = torch.ones(len(prediction), dtype=torch.bool)
    for kind, name in truth.items():
        right &= prediction.label(kind).cpu() == index_of(kind, name)
    return right.double().mean().item()


def closeness(made: Tensor, true: Tensor, neighbours: int = 3) -> dict[str, float]:
    """How close images are to true ones: FID, precision and recall.

    Args:
        made: (N, D) features of the images.
        true: (M, D) features of true images.
        neighbours: k of precision and recall.
    """
    precision, recall = precision_recall(made, true, neighbours)
    return {"fid": frechet_distance(made, true), "precision": precision, "recall": recall}


@dataclass(frozen=True, eq=False)
class Judges:
    """Networks and true images that measure what an adaptation made; no row is guided by them.

    Attributes:
        evaluator: reads factors; its features serve LPIPS, FID, precision and recall.
        clip: the judging CLIP.
        texts: (2, D) the judging CLIP's features of source and target text.
        truth: factors that the images of the true target domain share.
        n: images of the truth.
        clusters: k of the k-medoids.
        neighbours: k of precision and recall.
    """

    evaluator: Evaluator
    clip: ClipEncoder
    texts: Tensor
    truth: Mapping[str, str]
    n: int
    clusters: int
    neighbours: int

    @cached_property
    def true_features(self) -> Tensor:
        """(n, D) evaluator features of the true target domain."""
        return extract(self.evaluator.embed, draw_truth(self.truth, self.n))

    def adaptation(self, images: Tensor) -> dict[str, float]:
        """How far the adaptation went: share that each judge calls target, and closeness to the truth."""
        embedding = extract(self.evaluator.embed, images)
        judged = extract(self.clip.encode_images, images)
        return {
            "evaluator_rate": truth_rate(self.evaluator.read(embedding), self.truth),
            "clip_rate": target_rate(judged, self.texts[1], self.texts[0]),
        } | closeness(embedding, self.true_features, self.neighbours)

    def diversity(self, images: Tensor) -> dict[str, float]:
        """Intra-cluster LPIPS as in Table 1, and the variance of the judging CLIP's features."""
        distances = Lpips(self.evaluator.features).distances(images)
        lpips = intra_cluster_lpips(distances, self.clusters, **PAPER)
        return {
            "lpips_avg": lpips.avg, "lpips_avg_std": lpips.avg_std, "lpips_all": lpips.all,
            "lpips_all_std": lpips.all_std,
            "clip_variance": float(variance(extract(self.clip.encode_images, images))),
        }  # fmt: skip


def load_judges(profile: Profile, scenario: str) -> Judges:
    """The judges of a scenario.

    Raises:
        ValueError: the profile has no such scenario.
    """
    config = profile.config(scenario, next(iter(profile.rows)))
    clip = load_clip(profile.judge)
    texts = clip.encode_texts([config.source_text, config.target_text], config.prompts)
    truth = profile.scenarios[scenario].truth
    return Judges(load_evaluator(), clip, texts, truth, profile.samples, profile.clusters, profile.neighbours)


def generator_quality(
    name: str, truth: Mapping[str, str], n: int, *, truncations: Sequence[float] = (1.0,), neighbours: int = 3
) -> pd.DataFrame:
    """How close a source generator is to the domain that it was trained on.

    Args:
        name: the generator.
        truth: factors that its domain shares.
        n: images of each line, and drawings that they are compared with.
        truncations: psi of the generator's images, a line for each; 1 for none.
        neighbours: k of precision and recall.

    Returns:
        columns evaluator_rate and those of :func:`closeness`. The first line, "drawn", is for other drawings
        of the domain, and the best that a generator can be expected to reach.
    """
    evaluator, generator = load_evaluator(), load_generator(name)
    true = extract(evaluator.embed, draw_truth(truth, n))
    sets = {"drawn": draw_truth(truth, n, TRUTH_SEED + 1)} | {
        f"generated, ψ = {psi:g}": sample_images(generator, n, seed=SAMPLES_SEED, truncation_psi=psi)
        for psi in truncations
    }
    lines = {}
    for label, images in sets.items():
        embedding = extract(evaluator.embed, images)
        rate = truth_rate(evaluator.read(embedding), truth)
        lines[label] = {"evaluator_rate": rate} | closeness(embedding, true, neighbours)
    return pd.DataFrame.from_dict(lines, orient="index")


def results(profile: Profile, scenario: str, *, folder: Path = RUNS, progress: bool = False) -> pd.DataFrame:
    """Every measurement of Table 1's rows.

    Returns:
        a line for each run: columns row, seed, iterations, n, psi (truncation), and those of
        :meth:`Judges.diversity` and :meth:`Judges.adaptation`.
    """
    judges = load_judges(profile, scenario)
    lines = []
    for row, seed, found in tqdm(_runs(profile, scenario, folder), desc="measuring", disable=not progress):

        def measure(found: Run = found) -> dict[str, float]:
            images = _samples(found, profile.samples, profile)
            return judges.diversity(images) | judges.adaptation(images)

        metrics = _kept(found, profile, {"truth": dict(judges.truth), "n": profile.samples}, measure)
        lines.append(
            {
                "row": row, "seed": seed, "iterations": found.config.optimiser.iterations,
                "n": profile.samples,
                "psi": profile.truncation_psi, **metrics,
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def bounds(profile: Profile, scenario: str) -> pd.DataFrame:
    """The same of what needs no adaptation: the source generator, and fresh true images of the target.

    Returns:
        three lines: the source truncated as the rows are, the source not truncated, the truth.
    """
    judges = load_judges(profile, scenario)
    source = load_generator(profile.scenarios[scenario].generator)
    n, psi = profile.samples, profile.truncation_psi
    sets = [
        ("source, not adapted", psi, sample_images(source, n, seed=SAMPLES_SEED, truncation_psi=psi)),
        ("source, not truncated", 1.0, sample_images(source, n, seed=SAMPLES_SEED, truncation_psi=1.0)),
        ("true target", math.nan, draw_truth(judges.truth, n, TRUTH_SEED + 1)),
    ]
    return pd.DataFrame(
        [
            {"row": name, "psi": psi, "n": n} | judges.diversity(x) | judges.adaptation(x)
            for name, psi, x in sets
        ]
    )


def course(profile: Profile, scenario: str, *, folder: Path = RUNS, progress: bool = False) -> pd.DataFrame:
    """How every run went: SSE in the guiding CLIP's space (Fig. 3a) and the adaptation, at each snapshot.

    Returns:
        columns row, seed, step, n, sse and those of :meth:`Judges.adaptation`; step 0 is the source
        generator, the last one the adapted.
    """
    judges = load_judges(profile, scenario)
    n = profile.curve_samples
    lines = []
    for row, seed, found in tqdm(_runs(profile, scenario, folder), desc="curves", disable=not progress):
        guide = load_clip(found.config.clips[0])
        for step in [0, *found.snapshots]:

            def measure(found: Run = found, step: int = step, guide: ClipEncoder = guide) -> dict[str, float]:
                images = _samples(found, n, profile, step)
                return {"sse": float(sse(extract(guide.encode_images, images)))} | judges.adaptation(images)

            what = {"truth": dict(judges.truth), "true_n": judges.n, "n": n, "step": step}
            metrics = _kept(found, profile, what, measure)
            lines.append({"row": row, "seed": seed, "step": step, "n": n, **metrics})
    return pd.DataFrame(lines)


def provenance(profile: Profile, scenario: str, folder: Path = RUNS) -> dict[str, Any]:
    """What a figure or table of a scenario rests on: settings, seeds, runs and weights."""
    runs = _runs(profile, scenario, folder)
    return {
        "profile": profile.name,
        "scenario": scenario,
        "settings": json.loads(json.dumps(asdict(profile))),
        "seeds": list(profile.seeds),
        "runs": {f"{row}, seed {seed}": found.folder.name for row, seed, found in runs},
        "weights": {name: weights_id(name) for name in _networks(runs[0][2], profile)},
    }


def _runs(profile: Profile, scenario: str, folder: Path) -> list[tuple[str, int, Run]]:
    return [
        (row, seed, run(profile.config(scenario, row, seed), folder=folder))
        for row in profile.rows
        for seed in profile.seeds
    ]


def _samples(found: Run, n: int, profile: Profile, step: int | None = None) -> Tensor:
    return sample_images(found.generator(step), n, seed=SAMPLES_SEED, truncation_psi=profile.truncation_psi)


def _networks(found: Run, profile: Profile) -> Sequence[str]:
    return [found.config.generator, *found.config.clips, profile.judge, "evaluator"]


def _kept(
    found: Run, profile: Profile, what: Mapping[str, Any], measure: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """The measurement from the run's folder if it is there, else made and kept."""
    key = {
        **what,
        "clusters": profile.clusters, "neighbours": profile.neighbours, "psi": profile.truncation_psi,
        "weights": [weights_id(name) for name in _networks(found, profile)],
        "metrics": METRICS,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = found.folder / "metrics" / f"{digest}.json"
    if not path.exists():
        write_json(path, {"key": key, "metrics": measure()})
    kept: dict[str, float] = json.loads(path.read_text())["metrics"]
    return kept
