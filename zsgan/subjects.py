"""What is to be measured: the images of a run or of a folder, and what is known about them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from zsgan import names
from zsgan.images import Folder, Images
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
    place: Path, before: Path | None, n: int, seed: int, truncation_psi: float, device: torch.device | str
) -> Subject:
    """The images of a run's folder (samples), or of any other (all that it holds).

    Args:
        place: the folder.
        before: folder of the source's images, in the order of ``place``; a run has its own.
        n: samples of a run.
        seed: of their latents.
        truncation_psi: of their latents.
        device: where a run's generator lives.

    Returns:
        the images, none of which is made or read yet.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: a file is no image, the images differ in size or number, the run is damaged, or its source
            has changed since (give ``before``).
    """
    earlier: Images | None = None if before is None else Folder(before)
    if (place / "config.json").exists():
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
        images = Folder(place)
        subject = Subject(images, {"folder": images.content()}, {"n": len(images)}, earlier)
    if earlier is not None and len(earlier) != len(images):
        raise ValueError(
            f"before={str(before)!r} must hold the source's image of each of the {len(images)} latents, got "
            f"{len(earlier)} images"
        )
    return subject


def true_images(against: str, n: int, seed: int, made: Images) -> tuple[Images, dict[str, str] | None]:
    """Images of the target domain.

    Args:
        against: a folder, or "drawn:SPECIES[:STYLE]" of the demo world; the style is photo by default.
        n: how many to draw.
        seed: of drawn ones.
        made: what they are compared with; drawn ones are as large.

    Returns:
        the images, and the factors that they share where that is known.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: a species or style is unknown, or a file is no image.
    """
    kind, _, domain = against.partition(":")
    if kind != "drawn":
        return Folder(Path(against)), None
    species, _, style = domain.partition(":")
    labels = {"species": species, "style": style or "photo"}
    # as large as the images, up to the next size that can be drawn
    resolution = 16 * math.ceil(max(made[:1].shape[2:]) / 16)
    return Drawing(labels, n, resolution, seed), labels
