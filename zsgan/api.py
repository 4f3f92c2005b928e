"""What the command line and a few lines of Python share."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zsgan import names
from zsgan.cache import Cache
from zsgan.config import override
from zsgan.images import Folder, Images
from zsgan.judges import closeness, rate
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.metrics import PAPER, Lpips, extract, intra_cluster_lpips
from zsgan.models import load_generator
from zsgan.names import weights_id
from zsgan.profiles import load_profile
from zsgan.results import METRICS
from zsgan.runs import RUNS, Run, open_run, run
from zsgan.sampling import Samples
from zsgan.stylegan2 import Generator
from zsgan.truth import Drawing

NEIGHBOURS = 3
"""k of precision and recall in :func:`evaluate`."""


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
        text: the target domain in words; a row that adapts to images has them from the profile, or by the
            setting few_shot.target.
        source_text: what the source generator makes; the name of the generator by default.
        profile: where the settings come from.
        row: row of Table 1; the full method (the profile's last row) by default.
        seed: of variations, latents and noise.
        folder: of runs.
        device: torch device.
        progress: show progress bars.
        settings: dotted names of :class:`zsgan.config.AdaptConfig`, such as "moment.lambda_cov" -> values
            that take the place of the profile's.

    Returns:
        the finished run, which gives the adapted generator and the history of its losses.

    Raises:
        ValueError: a name, a setting or a word of the text is unknown.
        FileNotFoundError: the file of a name is missing.
        RunInProgress: another process is making the same run.
    """
    chosen = load_profile(profile)
    label = list(chosen.rows)[-1] if row is None else row
    if source_text is None:
        if Path(source).suffix:
            raise ValueError(f"source_text is needed: what does the generator in {source} make, in words?")
        source_text = source.removeprefix("generator-")
    base, changes = chosen.config(next(iter(chosen.scenarios)), label, seed), dict(settings or {})
    named = any(name == "few_shot" or name.startswith("few_shot.target") for name in changes)
    if base.few_shot is not None and text != base.target_text and not named:
        raise ValueError(
            f"row {label!r} adapts to images, and those of {profile!r} show {base.target_text!r}, not "
            f"{text!r}; give others by the setting few_shot.target, a folder or the labels of drawings"
        )
    place = {"generator": source, "source_text": source_text, "target_text": text}
    config = override(base, {**place, **changes})
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
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Diversity of images, and their closeness to a target domain.

    The features are the demo evaluator's, made for its world; every result says so. LPIPS distances are kept
    in ``folder/cache``, so that other clusters or another target are a matter of seconds.

    Args:
        images: folder of a run (n images are sampled) or of images (all are read).
        against: true images of the target: a folder, or "drawn:SPECIES[:STYLE]" for n of the demo world.
        n: how many images to draw.
        seed: of latents and of drawn images.
        truncation_psi: when sampling a run.
        clusters: k of intra-cluster LPIPS.
        folder: of runs.
        device: torch device.
        progress: show progress bars.

    Returns:
        the numbers, with how many images and which features they rest on; "target_rate" where it is known
        what the target is, hence with "drawn:".

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: ``clusters``, ``against`` or an image cannot work, or there are too few images.
    """
    eyes = load_evaluator(device)
    made, key = _made(Path(images), n, seed, truncation_psi, device)
    if not 1 <= clusters <= len(made):
        raise ValueError(f"clusters must lie between 1 and the number of images, {len(made)}, got {clusters}")
    true, labels = (None, None) if against is None else _true(against, n, seed, made)
    if true is not None and min(len(made), len(true)) <= NEIGHBOURS:
        raise ValueError(
            f"images and against={against!r} must be more than {NEIGHBOURS} images each, "
            f"got {len(made)} and {len(true)}"
        )
    distances = Cache(folder / "cache").tensors(
        {"lpips": key, "eyes": weights_id(eyes.name), "metrics": METRICS},
        lambda: {"": Lpips.through(eyes).distances(made, device=device, progress=progress)},
    )[""]
    lpips = intra_cluster_lpips(distances, clusters, **PAPER)
    result: dict[str, Any] = {
        "n": len(made),
        "features": f"evaluator of the demo world, {eyes.size} px",
        "lpips_avg": lpips.avg, "lpips_avg_std": lpips.avg_std,
        "lpips_all": lpips.all, "lpips_all_std": lpips.all_std, "clusters": clusters,
    }  # fmt: skip
    if true is None:
        return result
    seen, known = (extract(eyes.embed, x, device=device, progress=progress) for x in (made, true))
    if labels is not None:
        result["target_rate"] = rate(eyes, seen, labels, device)
    return result | {"against": against, "n_against": len(true)} | closeness(seen, known, NEIGHBOURS)


def _made(
    place: Path, n: int, seed: int, truncation_psi: float, device: torch.device | str
) -> tuple[Images, dict[str, Any]]:
    """Images of a run or of a folder, and what determines them."""
    if (place / "config.json").exists():
        found = open_run(place)
        samples = Samples(found.generator(device=device), n, seed, truncation_psi)
        return samples, {"run": found.folder.resolve().name, "n": n, "seed": seed, "psi": truncation_psi}
    folder = Folder(place)
    return folder, {"folder": folder.content()}


def _true(against: str, n: int, seed: int, made: Images) -> tuple[Images, dict[str, str] | None]:
    """True images, and what they share where that is known."""
    kind, _, domain = against.partition(":")
    if kind != "drawn":
        return Folder(Path(against)), None
    species, _, style = domain.partition(":")
    labels = {"species": species, "style": style or "photo"}
    # as large as the images, up to the next size that can be drawn
    resolution = 16 * math.ceil(max(made[:1].shape[2:]) / 16)
    return Drawing(labels, n, resolution, seed), labels
