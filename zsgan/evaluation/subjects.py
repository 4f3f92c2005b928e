"""Images to measure: those of a run, a folder or a tensor, with their texts and origin."""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan.base.images import Folder, Images, checked, file_names
from zsgan.base.pictures import check_pairs
from zsgan.menagerie.portraits import TRUTH_SEED, Drawing
from zsgan.networks.load import of_demo
from zsgan.networks.sampling import Samples
from zsgan.runs.run import Run, open_run

log = logging.getLogger(__name__)

Given = str | Path | Tensor
"""Images as a caller gives them: a folder, or (N, 3, H, W) in [-1, 1]."""

PSI = {"evaluator": 1.0, "photographs": 0.7}
"""Eyes -> truncation in the tables: that of demo for runs of the demo world, else that of paper."""


@dataclass(frozen=True, eq=False)
class Subject:
    """Images to measure, with their origin.

    Attributes:
        images: N images.
        key: cache key of the images, as JSON.
        settings: number of images, and for a run seed and truncation; part of the result.
        before: the source's images of the same latents, if there are any.
        text: the target in words, known for a run.
        source_text: the source in words, known for a run.
        prompts: templates of the texts; ``None`` for the texts as they are.
        networks: identities of the weights used to make the images.
        eyes: default eyes: "photographs" for a run of a generator outside the demo world, else
            "evaluator", also for a folder or a tensor.
    """

    images: Images
    key: Mapping[str, Any]
    settings: Mapping[str, Any]
    before: Images | None
    text: str | None = None
    source_text: str | None = None
    prompts: Sequence[str] | None = None
    networks: frozenset[str] = frozenset()
    eyes: str = "evaluator"


def subject_of(
    given: Run | Given,
    before: Given | None,
    n: int,
    seed: int,
    truncation_psi: float | None,
    device: torch.device | str,
    recursive: bool = False,
    progress: bool = False,
) -> Subject:
    """The images of a run (samples), of a folder (all), or of a tensor.

    Args:
        given: a run or its folder, or images.
        before: the source's images. Their file names match those of ``given``; for a run or a tensor, they
            match the numbers 0, 1... of its images. By default, those of a run are made.
        n: number of samples of a run.
        seed: seed of their latents.
        truncation_psi: truncation of their latents; by default the one in :data:`PSI`.
        device: device of a run's generator.
        recursive: whether to read sub-folders of image folders too.
        progress: show progress bars while files are checked.

    Returns:
        the images; files are checked, and samples are made on access.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a path is a file instead of a folder.
        TypeError: ``given`` is neither, or a tensor of integers.
        ValueError: a file is not an image, the images differ in size, number or names, the run is damaged, or
            its source has changed since (give ``before``).
    """
    if isinstance(given, str | Path) and is_run(Path(given)):
        given = open_run(given)
    earlier = None if before is None else images_of("before", before, recursive, progress)
    if isinstance(given, Run):
        subject = _samples(given, earlier, n, seed, truncation_psi, device)
    else:
        images = images_of("images", given, recursive, progress)
        content = {"folder": images.content()} if isinstance(images, Folder) else {"tensor": _hash(images[:])}
        subject = Subject(images, content, {"n": len(images)}, earlier)
    images, earlier = subject.images, subject.before
    if earlier is not None and len(earlier) != len(images):
        raise ValueError(
            f"before={name_of(before)!r} must hold the source's image of each of the {len(images)} latents, "
            f"got {len(earlier)} images"
        )
    if isinstance(earlier, Folder):
        made = images.names if isinstance(images, Folder) else file_names(len(images))
        check_pairs(made, earlier.names, f"before={name_of(before)!r}")
    return subject


def _samples(
    found: Run, before: Images | None, n: int, seed: int, truncation_psi: float | None,
    device: torch.device | str,
) -> Subject:  # fmt: skip
    config, weights = found.config, found.provenance["weights"]
    generator = found.generator(device=device)
    drawn = of_demo(generator)
    eyes = "evaluator" if drawn else "photographs"
    psi = PSI[eyes] if truncation_psi is None else truncation_psi
    settings = {"n": n, "seed": seed, "psi": psi}
    if before is None:
        before = Samples(found.generator(0, device), n, seed, psi)
    return Subject(
        Samples(generator, n, seed, psi), {"run": found.provenance["id"], **settings},
        settings, before, config.target_text, config.source_text, config.prompts, frozenset(weights.values()),
        eyes,
    )  # fmt: skip


def images_of(name: str, given: Given, recursive: bool = False, progress: bool = False) -> Images:
    """Images of a folder or a tensor.

    Args:
        name: name of the argument, for messages.
        given: a folder or a tensor.
        recursive: whether to read sub-folders of a folder too.
        progress: show a progress bar while files are checked.

    Returns:
        the images; of a tensor, in float32 on the CPU.

    Raises:
        FileNotFoundError: the folder is missing or holds no image.
        NotADirectoryError: the path is a file.
        TypeError: ``given`` is neither, or a tensor of integers.
        ValueError: the tensor is not (N, 3, H, W) with values in [-1, 1], or a file is not an image.
    """
    if isinstance(given, str | Path):
        return Folder(Path(given), recursive, progress)
    if not isinstance(given, Tensor):
        raise TypeError(
            f"{name} must be a folder or a tensor (N, 3, H, W) in [-1, 1], got {type(given).__name__}"
        )
    images = checked(given).detach().float().cpu()
    low, high = images.min().item(), images.max().item()
    if not (low >= -1.001 and high <= 1.001):  # also refuses nan
        raise ValueError(
            f"{name} must lie in [-1, 1], got values from {low:.4g} to {high:.4g}; bytes come there by "
            "x / 127.5 - 1, and what a generator makes by clamp(-1, 1)"
        )
    if low >= 0:
        log.warning("%s has no value below 0; images in [0, 1] must be brought to [-1, 1] by x * 2 - 1", name)
    return images


def _hash(images: Tensor) -> str:
    return hashlib.sha256(repr(tuple(images.shape)).encode() + images.numpy().tobytes()).hexdigest()


def name_of(given: Given | None) -> str:
    """The folder's name, or "a tensor", for messages and results."""
    return "a tensor" if isinstance(given, Tensor) else str(given)


def is_run(place: Path) -> bool:
    """Whether a folder is that of a run, finished or not, by the content of its JSON files.

    Args:
        place: the folder, which may be missing.

    Returns:
        whether it has a configuration or a provenance in zsgan's format, or the generator of a damaged run.
    """
    ours = {"config.json": {"generator", "target_text"}, "provenance.json": {"id", "weights"}}
    return (place / "generator.safetensors").is_file() or any(
        keys <= _keys(place / name) for name, keys in ours.items()
    )


def _keys(file: Path) -> set[str]:
    """Keys of the JSON object in a file; empty for any other content or if it is not a regular file."""
    if not file.is_file():
        return set()
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def true_images(
    against: Given,
    n: int,
    made: Images,
    seed: int = TRUTH_SEED,
    recursive: bool = False,
    progress: bool = False,
) -> tuple[Images, dict[str, str] | None]:
    """Images of the target domain.

    Args:
        against: images, or "drawn:SPECIES[:STYLE]" of the demo world; the style is photo by default.
        n: number of images to draw.
        made: the images to compare with; drawn ones have their size.
        seed: seed of drawn images.
        recursive: whether to read sub-folders of a folder too.
        progress: show a progress bar while files are checked.

    Returns:
        the images, and the factors that they share if those are known.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: the path is a file.
        TypeError: ``against`` is neither a folder nor a tensor.
        ValueError: a species or style is unknown, or a file is not an image.
    """
    if not isinstance(against, str) or not against.startswith("drawn:"):
        return images_of("against", against, recursive, progress), None
    _, species, *style = against.split(":", 2)
    labels = {"species": species, "style": (style and style[0]) or "photo"}
    # drawn sizes are multiples of 16
    resolution = 16 * math.ceil(max(made[:1].shape[2:]) / 16)
    return Drawing(labels, n, resolution, seed), labels
