"""Images in files and in memory: uint8 outside, [-1, 1] inside."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}


def to_array(image: Tensor) -> np.ndarray:
    """One image (3, H, W) in [-1, 1] as uint8 (H, W, 3)."""
    array: np.ndarray = (
        ((image.detach().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    )
    return array


def save_images(images: Tensor, folder: Path) -> None:
    """Write (N, 3, H, W) in [-1, 1] as ``00000.png``, ``00001.png``...

    Raises:
        FileExistsError: the folder holds other images, which would be taken for some of these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{i:05d}.png" for i in range(len(images))]
    others = [file.name for file in _pictures(folder) if file.name not in names]
    if others:
        raise FileExistsError(f"{folder} holds other images ({others[0]}...); choose another folder")
    for name, image in zip(names, images, strict=True):
        Image.fromarray(to_array(image)).save(folder / name)


def load_images(folder: Path, progress: bool = False) -> Tensor:
    """Every image of a folder in the order of names, (N, 3, H, W) in [-1, 1].

    Raises:
        FileNotFoundError: the folder is missing or holds no image.
        ValueError: the images differ in size.
    """
    files = _pictures(folder)
    if not files:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(sorted(ENDINGS))})")
    arrays = []
    for file in tqdm(files, desc=f"reading {folder}", disable=not progress):
        with Image.open(file) as picture:
            arrays.append(np.asarray(picture.convert("RGB")))
        if arrays[-1].shape != arrays[0].shape:
            raise ValueError(
                f"{file} has shape {arrays[-1].shape}, {files[0]} has {arrays[0].shape}; "
                "bring them to one size"
            )
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in ENDINGS)
