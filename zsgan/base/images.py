"""Images as tensors or lazy sequences, in [-1, 1] inside the library and uint8 in files."""

import hashlib
import logging
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zsgan.base.device import free_memory, memory
from zsgan.base.files import naming
from zsgan.base.pictures import ENDINGS, find, in_words, look_at, shown

log = logging.getLogger(__name__)

_MEMORY = 2**28  # 256 MiB, the limit for the activations of a batch and for images held in memory
PIXEL = 2**10
"""Bytes per pixel of a batch: four float32 maps of 64 channels, as in StyleGAN2 or VGG at full resolution."""
_MOST_GPU = 64
BATCH_SIZE = "ZSGAN_BATCH_SIZE"
"""Environment variable with the number of images made or measured at a time."""


class Images(Protocol):
    """N images of one size: ``len(images)``, and ``images[a:b]`` as (b - a, 3, H, W) in [-1, 1].

    A tensor is one implementation. The others make images on demand, so that only one batch is in memory.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Tensor: ...


def batch_size(pixels: int, device: torch.device | str = "cpu") -> int:
    """Batch size for images of that many pixels (height times width), for instance 64 at 64 x 64 px.

    One KiB per pixel is allowed for activations. On a CPU they stay within 256 MiB. A GPU may use a quarter
    of its free memory, for at most 64 images. The environment variable ``ZSGAN_BATCH_SIZE``, which
    ``--batch-size`` sets, comes first; worker processes and notebooks inherit it.

    Args:
        pixels: of an image.
        device: where the batch is processed.

    Returns:
        the number of images, at least 1.

    Raises:
        ValueError: the variable is not a whole number of at least 1.
    """
    if asked := os.environ.get(BATCH_SIZE):
        if not asked.isdecimal() or int(asked) < 1:
            raise ValueError(f"{BATCH_SIZE} must be a whole number of at least 1, got {asked!r}")
        return int(asked)
    if torch.device(device).type == "cuda":
        return max(1, min(_MOST_GPU, free_memory(device) // 4 // (PIXEL * pixels)))
    return max(1, _MEMORY // (PIXEL * pixels))


class InBytes:
    """Images in the 8 bits of an image file, each made or read once and kept in memory, on the CPU.

    An image of a folder stays as it is; one of a generator is rounded, as it is when written to a file.
    Beyond a quarter of the machine's memory images are rounded alike, but not kept.

    Args:
        images: N images.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        first = checked(images[:1])
        shape = (len(images), *first.shape[1:])
        there = memory()
        self._kept: Tensor | None = None
        if there is None or 4 * torch.Size(shape).numel() <= there:
            self._kept = torch.empty(shape, dtype=torch.uint8)  # takes memory as it is filled
            self._kept[:1] = to_bytes(first.cpu())
        self._made = torch.arange(len(images)) < 1

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, part: slice | Tensor) -> Tensor:
        """Images (n, 3, H, W) in [-1, 1] of a slice or of n indices, on the CPU."""
        if self._kept is None:
            parts = [part] if isinstance(part, slice) else [slice(i, i + 1) for i in part.tolist()]
            return from_bytes(torch.cat([to_bytes(self._images[each].cpu()) for each in parts]))
        missing = torch.arange(len(self))[part]
        missing = missing[~self._made[missing]]
        if len(missing):  # with those between, in batches: all as floats would take four times as much
            size, end = batch_size(self._kept[0, 0].numel()), int(missing.max()) + 1
            for start in range(int(missing.min()), end, size):
                between = slice(start, min(start + size, end))
                self._kept[between] = to_bytes(self._images[between].cpu())
                self._made[between] = True
        return from_bytes(self._kept[part])


def held(images: Images) -> Images:
    """The images for several passes, made once: one tensor up to 256 MiB, and :class:`InBytes` beyond.

    Args:
        images: N images; those in memory stay as they are.

    Returns:
        the images. 1000 of 512 px take 0.8 GB in 8 bits, 5000 take 3.9 GB.
    """
    if isinstance(images, Tensor | InBytes):
        return images
    return images[:] if len(images) * images[:1].nbytes <= _MEMORY else InBytes(images)


def batches(
    images: Images,
    size: int | None = None,
    *,
    label: str = "images",
    progress: bool = False,
    device: torch.device | str = "cpu",
) -> Iterator[Tensor]:
    """The images in order, in batches.

    Args:
        images: N >= 1 images.
        size: images per batch; by default :func:`batch_size`.
        label: of the progress bar.
        progress: show a progress bar.
        device: where a batch is processed.

    Yields:
        (size or fewer, 3, H, W) in [-1, 1].

    Raises:
        TypeError: the images are not a tensor, or are integers; see :func:`checked`.
        ValueError: they are not (N, 3, H, W), or there are none.
    """
    size = size or batch_size(checked(images[:1])[0, 0].numel(), device)
    with tqdm(total=len(images), desc=label, disable=not progress, leave=None) as bar:
        for start in range(0, len(images), size):
            part = checked(images[start : start + size])
            yield part
            bar.update(len(part))


def checked(images: Tensor) -> Tensor:
    """The same images, after a check of their type and shape; the values are not checked.

    Args:
        images: (N, 3, H, W), floating point, N >= 1.

    Returns:
        ``images`` itself.

    Raises:
        TypeError: not a tensor, or one of integers, which would be taken for values in [-1, 1].
        ValueError: not (N, 3, H, W), or N is 0.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor (N, 3, H, W) in [-1, 1], got {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (N, 3, H, W), got N of shape {tuple(images.shape[1:])}")
    if not len(images):
        raise ValueError("images must be at least one, got none")
    if not images.is_floating_point():
        raise TypeError(f"images must be in [-1, 1], got {images.dtype}; convert uint8 by x / 127.5 - 1")
    return images


class Folder:
    """The images of a folder in the natural order of names, as a viewer shows them; read on demand.

    All files are read once at construction, so that a damaged one is found at once. Ignored files are logged.

    Args:
        path: the folder.
        recursive: include the images of its sub-folders.
        progress: show a progress bar while files are read for the first time.

    Attributes:
        path: as given.
        files: the N files.
        looks: size and hash of each, see :class:`zsgan.base.pictures.Look`.
        left_out: reason for ignoring files ("hidden", "sub-folders", their ending...) -> how many.

    Raises:
        FileNotFoundError: the folder is missing or holds no image.
        NotADirectoryError: it is a file.
        ValueError: a file is not an image, or the images differ in size.
    """

    def __init__(self, path: Path, recursive: bool = False, progress: bool = False) -> None:
        self.path = path
        if path.is_file():
            raise NotADirectoryError(f"{path} is a file; give the folder that holds the images")
        if not path.exists():
            raise FileNotFoundError(f"folder {path} is missing")
        self.files, others = find(path, recursive)
        self.left_out = {reason: len(names) for reason, names in others.items()}
        words = f", left out: {in_words(others)}" if others else ""
        if not self.files:
            raise FileNotFoundError(f"{path} holds no image ({', '.join(sorted(ENDINGS))}){words}")
        level = logging.WARNING if set(others) - {"hidden"} else logging.INFO
        _say(f"{path}: {len(self.files)} images{words}", level)
        self.looks = look_at(self.files, f"reading {path}", progress)
        first, *rest = [look.size for look in self.looks]
        for file, size in zip(self.files[1:], rest, strict=True):
            if size != first:
                raise ValueError(
                    f"{file} is {size[0]} x {size[1]} px, {self.files[0].name} is "
                    f"{first[0]} x {first[1]}; bring them to one size"
                )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> Tensor:
        """Images (b - a, 3, H, W) in [-1, 1], on the CPU."""
        return torch.stack([read_image(file) for file in self.files[part]])

    @property
    def names(self) -> list[str]:
        """Paths of the files relative to the folder, without their endings."""
        return [file.relative_to(self.path).with_suffix("").as_posix() for file in self.files]

    def counts(self) -> dict[str, Any]:
        """Numbers of files read and left out, as JSON: {"read": N, "left_out": {reason: how many}}."""
        return {"read": len(self), "left_out": self.left_out}

    def content(self) -> str:
        """SHA-256 of the pixels as they are shown, in the order of the files, in hexadecimal."""
        return hashlib.sha256("".join(look.pixels for look in self.looks).encode()).hexdigest()


def save_images(images: Images, folder: Path, progress: bool = False) -> None:
    """Write images as ``00000.png``, ``00001.png``...

    Args:
        images: in [-1, 1]; values outside are clamped.
        folder: where to write; created if it is missing.
        progress: show a progress bar.

    Raises:
        FileExistsError: the folder holds other images, which would be mixed up with these.
        OSError: a file cannot be written, perhaps because the disk is full.
        TypeError: the images are not a tensor, or are integers; see :func:`checked`.
        ValueError: they are not (N, 3, H, W), or there are none.
    """
    names = [f"{name}.png" for name in file_names(len(images))]
    present = find(folder)[0] if folder.exists() else []
    others = sorted({file.name for file in present} - set(names))
    if others:
        raise FileExistsError(f"{folder} holds other images ({others[0]}...); choose another folder")
    rest = iter(names)
    for part in batches(images, label=f"writing {folder}", progress=progress):
        folder.mkdir(parents=True, exist_ok=True)
        for image in part:
            with naming(file := folder / next(rest)):
                Image.fromarray(to_array(image)).save(file)


def file_names(n: int) -> list[str]:
    """File names of n images without endings: 00000, 00001...; more than 100,000 images have more digits."""
    width = max(5, len(str(n - 1)))
    return [f"{i:0{width}d}" for i in range(n)]


def to_array(image: Tensor) -> np.ndarray:
    """One image (3, H, W) in [-1, 1] as uint8 (H, W, 3)."""
    array: np.ndarray = to_bytes(image.detach().cpu()).permute(1, 2, 0).numpy()
    return array


def to_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1], of any shape, as uint8; values outside are clamped."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().byte()


def from_bytes(images: Tensor) -> Tensor:
    """uint8 images of any shape as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def read_image(file: Path) -> Tensor:
    """An image file as a viewer shows it, (3, H, W) in [-1, 1], see :func:`zsgan.base.pictures.shown`."""
    return from_bytes(torch.from_numpy(np.array(shown(file))).permute(2, 0, 1))


@cache
def _say(message: str, level: int) -> None:
    """Log a message about a folder once per process."""
    log.log(level, message)
