"""What the command line and a few lines of Python share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zsgan import names
from zsgan.config import override
from zsgan.images import load_images
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics import PAPER, Lpips, extract, intra_cluster_lpips
from zsgan.models import load_generator
from zsgan.profiles import load_profile
from zsgan.results import closeness, draw_truth
from zsgan.runs import RUNS, Run, open_run, run
from zsgan.sampling import sample_images
from zsgan.stylegan2 import Generator


def adapt(
    source: str,
    text: str,
    *,
    source_text: str | None = None,
    profile: str = "demo",
    row: str | None = None,
    seed: int = 0,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Adapt a generator to a text, or find the finished run.

    Args:
        source: source generator: "dog", "cat", or a .safetensors file.
        text: the target domain in words.
        source_text: what the source generator makes; the name of the generator by default.
        profile: where the settings come from.
        row: row of Table 1; the full method (the profile's last row) by default.
        seed: of variations, latents and noise.
        folder: of runs.
        device: torch device.
        progress: show progress bars.
        settings: dotted names of :class:`zsgan.config.AdaptConfig`, such as "moment.lambda_cov" -> values
            that take the place of the profile's.

    Raises:
        ValueError: a name, a setting or a word of the text is unknown.
    """
    chosen = load_profile(profile)
    label = list(chosen.rows)[-1] if row is None else row
    if source_text is None:
        if Path(source).suffix:
            raise ValueError(f"source_text is needed: what does the generator in {source} make, in words?")
        source_text = source.removeprefix("generator-")
    base = chosen.config(next(iter(chosen.scenarios)), label, seed)
    place = {"generator": source, "source_text": source_text, "target_text": text}
    config = override(base, {**place, **(settings or {})})
    return run(config, folder=folder, device=device, progress=progress)


def open_generator(name: str, device: torch.device | str = "cpu") -> Generator:
    """The generator of a run's folder, or a source generator by name or file."""
    if Path(name).is_dir() and not names.is_generator(name):
        return open_run(Path(name)).generator(device=device)
    return load_generator(name, device)


def evaluate(
    images: str,
    *,
    against: str | None = None,
    n: int = 500,
    seed: int = 0,
    truncation_psi: float = 0.7,
    clusters: int = 10,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Diversity of images, and their closeness to a target domain.

    The features are the demo evaluator's, made for its world; every result says so.

    Args:
        images: folder of a run (n images are sampled) or of images (all are read).
        against: true images of the target: a folder, or "drawn:SPECIES[:STYLE]" for n of the demo world.
        n: how many images to draw.
        seed: of latents and of drawn images.
        truncation_psi: when sampling a run.
        clusters: k of intra-cluster LPIPS.
        device: torch device.
        progress: show progress bars.

    Returns:
        the numbers, with how many images and which features they rest on.
    """
    if (Path(images) / "config.json").exists():
        generator = open_run(Path(images)).generator(device=device)
        made = sample_images(generator, n, seed=seed, truncation_psi=truncation_psi, progress=progress)
    else:
        made = load_images(Path(images), progress)
    evaluator = load_evaluator(device)
    distances = Lpips(evaluator.features).distances(made, device=device, progress=progress)
    lpips = intra_cluster_lpips(distances, clusters, **PAPER)
    result: dict[str, Any] = {
        "n": len(made),
        "features": "evaluator of the demo world, 64 px",
        "lpips_avg": lpips.avg, "lpips_avg_std": lpips.avg_std,
        "lpips_all": lpips.all, "lpips_all_std": lpips.all_std, "clusters": clusters,
    }  # fmt: skip
    if against is None:
        return result
    true = _truth(against, n, seed, progress)
    made_features, true_features = (extract(evaluator.embed, x, device=device) for x in (made, true))
    return result | {"against": against, "n_against": len(true)} | closeness(made_features, true_features)


def _truth(against: str, n: int, seed: int, progress: bool) -> torch.Tensor:
    kind, _, domain = against.partition(":")
    if kind != "drawn":
        return load_images(Path(against), progress)
    species, _, style = domain.partition(":")
    return draw_truth({"species": species, "style": style or "photo"}, n, seed)
