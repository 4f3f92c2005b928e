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
    """Write (N, 3, H, W) in [-1, 1] as ``00000.png``, ``00001.png``..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(to_array(image)).save(folder / f"{i:05d}.png")


def load_images(folder: Path, progress: bool = False) -> Tensor:
    """Every image of a folder in the order of names, (N, 3, H, W) in [-1, 1].

    Raises:
        FileNotFoundError: the folder is missing or holds no image.
        ValueError: the images differ in size.
    """
    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in ENDINGS)
    if not files:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(sorted(ENDINGS))})")
    arrays = []
    for file in tqdm(files, desc=f"reading {folder}", disable=not progress):
        with Image.open(file) as picture:
            arrays.append(np.asarray(picture.convert("RGB")))
        if arrays[-1].shape != arrays[0].shape:
            raise ValueError(
                f"{file} has shape {arrays[-1].shape}, {files[0]} has {arrays[0].shape}; bring them to one size"
            )
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 127.5 - 1
