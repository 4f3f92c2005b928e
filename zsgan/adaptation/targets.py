"""Target images for few-shot adaptation: drawn ones, or those of a folder."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan.adaptation.rival_settings import FewShot
from zsgan.base.files import sha256
from zsgan.base.images import Folder
from zsgan.base.resize import resize
from zsgan.menagerie.portraits import Drawing

TARGETS_SEED = 8_100_001
"""Seed of drawn target images; those of the evaluation have another."""


def targets_key(settings: FewShot) -> dict[str, Any]:
    """Cache key of the target images.

    Args:
        settings: source and number of the images.

    Returns:
        as JSON: hashes of the files, and of the pixels if those shown differ from those stored (rotated, on
        white, in sRGB); or labels, seed and number of drawn images.

    Raises:
        ValueError: the folder holds too few images, or a factor is unknown.
    """
    if set(settings.target) == {"folder"}:
        folder = _folder(settings)
        places = _places(folder, settings)
        key = {"files": [sha256(folder.files[place]) for place in places]}
        looks = [folder.looks[place] for place in places]
        # added only if they differ, so that earlier runs keep their id
        stored = all(look.as_stored for look in looks)
        return key if stored else key | {"pixels": [look.pixels for look in looks]}
    unknown = set(settings.target) - {"species", "style"}
    if unknown or not settings.target:
        raise ValueError(
            f"few_shot.target={dict(settings.target)} must be {{species: ..., style: ...}} or one of them, "
            "or {folder: ...}"
        )
    Drawing(settings.target, 1)  # refuses unknown names
    return {"drawn": dict(settings.target), "seed": TARGETS_SEED, "images": settings.images}


def targets(settings: FewShot, resolution: int) -> Tensor:
    """The target images: those of a folder, or drawn ones.

    In a folder with more images than needed, every second one comes first, starting with the second, because
    :class:`zsgan.evaluation.truth.Found` compares with the others if the folder is also the truth.

    Args:
        settings: source and number of the images.
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
    """Odd indices before even ones, which the evaluation compares with."""
    n = len(folder)
    return sorted([*range(1, n, 2), *range(0, n, 2)][: settings.images])


def _folder(settings: FewShot) -> Folder:
    folder = Folder(Path(settings.target["folder"]))
    if len(folder) < settings.images:
        raise ValueError(
            f"few_shot.images={settings.images}, but {folder.path} holds {len(folder)}; add some, or lower it"
        )
    return folder
