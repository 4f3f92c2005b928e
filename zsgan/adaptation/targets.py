"""The few images that stand for a target domain where no text does: drawn, or those of a folder."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan.adaptation.config import FewShot
from zsgan.base.files import sha256
from zsgan.base.images import Folder
from zsgan.base.resize import resize
from zsgan.menagerie.portraits import Drawing

TARGETS_SEED = 8_100_001
"""Seed of drawn target images, which are none of those that runs are measured against."""


def targets_key(settings: FewShot) -> dict[str, Any]:
    """What determines the target images.

    Args:
        settings: which images, and how many.

    Returns:
        as JSON: their files' hashes, and those of the pixels if a viewer shows others than a file stores
        (turned, on white, in sRGB); or what is drawn.

    Raises:
        ValueError: the folder holds too few images, or a factor is unknown.
    """
    if set(settings.target) == {"folder"}:
        folder = _folder(settings)
        places = _places(folder, settings)
        key = {"files": [sha256(folder.files[place]) for place in places]}
        looks = [folder.looks[place] for place in places]
        # only then, so that runs of files whose pixels are as stored keep their id
        stored = all(look.as_stored for look in looks)
        return key if stored else key | {"pixels": [look.pixels for look in looks]}
    unknown = set(settings.target) - {"species", "style"}
    if unknown or not settings.target:
        raise ValueError(
            f"few_shot.target={dict(settings.target)} must be {{species: ..., style: ...}} or one of them, "
            "or {folder: ...}"
        )
    Drawing(settings.target, 1)  # which refuses names that are unknown
    return {"drawn": dict(settings.target), "seed": TARGETS_SEED, "images": settings.images}


def targets(settings: FewShot, resolution: int) -> Tensor:
    """The target images: those of a folder, or drawn ones.

    Of a folder that holds more than are asked for it is every second one, from the second on, as far as they
    go. For if it is the truth's, :class:`zsgan.evaluation.truth.Found` compares with the others.

    Args:
        settings: which images, and how many.
        resolution: R, pixels a side.

    Returns:
        (n, 3, R, R) in [-1, 1].

    Raises:
        ValueError: the folder holds too few images, or they are not square; or a factor is unknown.
    """
    if set(settings.target) != {"folder"}:
        return Drawing(settings.target, settings.images, resolution, TARGETS_SEED)[:]
    folder = _folder(settings)
    images = torch.cat([folder[place : place + 1] for place in _places(folder, settings)])
    if images.shape[2] != images.shape[3]:
        raise ValueError(
            f"few_shot.target: images in {settings.target['folder']} must be square, got "
            f"{images.shape[3]} x {images.shape[2]} px; crop them"
        )
    return resize(images, resolution, "bicubic").clamp(-1, 1)


def _places(folder: Folder, settings: FewShot) -> list[int]:
    """Odd ones before even ones, which are those that a truth is compared with."""
    n = len(folder)
    return sorted([*range(1, n, 2), *range(0, n, 2)][: settings.images])


def _folder(settings: FewShot) -> Folder:
    folder = Folder(Path(settings.target["folder"]))
    if len(folder) < settings.images:
        raise ValueError(
            f"few_shot.images={settings.images}, but {folder.path} holds {len(folder)}; add some, or lower it"
        )
    return folder
