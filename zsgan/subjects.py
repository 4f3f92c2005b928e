"""What is to be measured: the images of a run or of a folder, and what is known about them."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsgan import names
from zsgan.images import Folder, Images, file_names
from zsgan.pictures import check_pairs
from zsgan.runs import open_run
from zsgan.sampling import Samples
from zsgan.truth import Drawing


@dataclass(frozen=True, eq=False)
class Subject:
    """Images, and what comes with them.

    Attributes:
        images: N images.
        key: what determines them, as JSON.
        settings: what a reader has to know of them.
        before: the source's images of the same latents, where there are some.
        text: the target in words; a run knows it, as what follows.
        source_text: the source in words.
        prompts: templates of the texts; ``None`` for the texts as they are.
        networks: identities of the weights that took part in making them.
        eyes: which suit: "photographs" for a run of a generator that is not of the demo world, else the
            "evaluator", also for a folder of which nothing is known.
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
    place: Path,
    before: Path | None,
    n: int,
    seed: int,
    truncation_psi: float,
    device: torch.device | str,
    recursive: bool = False,
    progress: bool = False,
) -> Subject:
    """The images of a run's folder (samples), or of any other (all that it holds).

    Args:
        place: the folder.
        before: folder of the source's images, whose names correspond to those of ``place``; a run has its
            own. Beside a run, 0, 1... are the numbers of its latents.
        n: samples of a run.
        seed: of their latents.
        truncation_psi: of their latents.
        device: where a run's generator lives.
        recursive: of folders of images, their sub-folders too.
        progress: show progress bars while files are checked.

    Returns:
        the images: those of folders are checked, those of generators not made yet.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: a file is no image, the images differ in size, number or names, the run is damaged, or its
            source has changed since (give ``before``).
    """
    given = None if before is None else Folder(before, recursive, progress)
    earlier: Images | None = given
    if is_run(place):
        found = open_run(place)
        config, weights = found.config, found.provenance["weights"]
        drawn = names.of_demo(config.generator, weights.get(config.generator, ""))
        settings = {"n": n, "seed": seed, "psi": truncation_psi}
        if earlier is None:
            earlier = Samples(found.generator(0, device), n, seed, truncation_psi)
        images: Images = Samples(found.generator(device=device), n, seed, truncation_psi)
        subject = Subject(
            images, {"run": found.provenance["id"], **settings}, settings, earlier,
            config.target_text, config.source_text, config.prompts,
            frozenset(weights.values()), "evaluator" if drawn else "photographs",
        )  # fmt: skip
    else:
        images = Folder(place, recursive, progress)
        subject = Subject(images, {"folder": images.content()}, {"n": len(images)}, earlier)
    if earlier is not None and len(earlier) != len(images):
        raise ValueError(
            f"before={str(before)!r} must hold the source's image of each of the {len(images)} latents, got "
            f"{len(earlier)} images"
        )
    if given is not None:
        names_made = images.names if isinstance(images, Folder) else file_names(n)
        check_pairs(names_made, given.names, f"before={str(before)!r}")
    return subject


def is_run(place: Path) -> bool:
    """Whether a folder is one of a run, finished or not; files of other programs may be called as a run's.

    Args:
        place: the folder, which may be missing.

    Returns:
        there is a configuration or a provenance as zsgan writes them, or a generator of a damaged run.
    """
    ours = {"config.json": {"generator", "target_text"}, "provenance.json": {"id", "weights"}}
    return (place / "generator.safetensors").is_file() or any(
        keys <= _keys(place / name) for name, keys in ours.items()
    )


def _keys(file: Path) -> set[str]:
    """Of the JSON object in a file; none if it holds anything else or is no regular file."""
    if not file.is_file():
        return set()
    try:
        value = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return set()
    return set(value) if isinstance(value, dict) else set()


def true_images(
    against: str, n: int, seed: int, made: Images, recursive: bool = False, progress: bool = False
) -> tuple[Images, dict[str, str] | None]:
    """Images of the target domain.

    Args:
        against: a folder, or "drawn:SPECIES[:STYLE]" of the demo world; the style is photo by default.
        n: how many to draw.
        seed: of drawn ones.
        made: what they are compared with; drawn ones are as large.
        recursive: of a folder, its sub-folders too.
        progress: show a progress bar while files are checked.

    Returns:
        the images, and the factors that they share where that is known.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: a species or style is unknown, or a file is no image.
    """
    kind, _, domain = against.partition(":")
    if kind != "drawn":
        return Folder(Path(against), recursive, progress), None
    species, _, style = domain.partition(":")
    labels = {"species": species, "style": style or "photo"}
    # as large as the images, up to the next size that can be drawn
    resolution = 16 * math.ceil(max(made[:1].shape[2:]) / 16)
    return Drawing(labels, n, resolution, seed), labels
