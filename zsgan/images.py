"""Images as the library hands them on: a tensor, or a part at a time; uint8 outside, [-1, 1] inside."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from zsgan.files import naming, sha256

ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # whatever a file is called: some others start programs to be read

_MEMORY = 2**28  # bytes that the activations of a batch, or images that are held, may take: 256 MiB
_PIXEL = (
    2**10
)  # bytes for each pixel: four float32 maps of 64 channels, as StyleGAN2 or VGG hold at full size


class Images(Protocol):
    """N images of one size: ``len(images)``, and ``images[a:b]`` as (b - a, 3, H, W) in [-1, 1].

    A tensor is one. The others make a part when it is asked for, so that no more than a batch is in memory.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Tensor: ...


def batch_size(pixels: int) -> int:
    """Images of that many pixels (height times width) that a network takes at a time: 64 of 64 px a side.

    As many as keep the activations within 256 MiB, at a kibibyte a pixel; at least one.
    """
    return max(1, _MEMORY // (_PIXEL * pixels))


def held(images: Images) -> Images:
    """The images in one tensor if they take no more than 256 MiB, to look at them twice and make them once.

    Args:
        images: N >= 1 images.

    Returns:
        (N, 3, H, W) in [-1, 1]; of larger images ``images`` itself.
    """
    return images[:] if len(images) * images[:1].nbytes <= _MEMORY else images


def batches(
    images: Images, size: int | None = None, *, label: str = "images", progress: bool = False
) -> Iterator[Tensor]:
    """The images in order, a part at a time.

    Args:
        images: N >= 1 images.
        size: images of a part; ``None`` for :func:`batch_size` of them.
        label: of the progress bar.
        progress: show a progress bar.

    Yields:
        (size or fewer, 3, H, W) in [-1, 1].

    Raises:
        TypeError: the images are no tensor, or hold whole numbers; see :func:`checked`.
        ValueError: they are not (N, 3, H, W), or there is none.
    """
    size = size or batch_size(checked(images[:1])[0, 0].numel())
    with tqdm(total=len(images), desc=label, disable=not progress, leave=None) as bar:
        for start in range(0, len(images), size):
            part = checked(images[start : start + size])
            yield part
            bar.update(len(part))


def checked(images: Tensor) -> Tensor:
    """The same images, once it is clear that they can be ones in [-1, 1].

    Args:
        images: (N, 3, H, W), floating point, N >= 1; the values are not looked at.

    Returns:
        ``images`` itself.

    Raises:
        TypeError: no tensor, or one of whole numbers, which would be taken for values in [-1, 1].
        ValueError: not (N, 3, H, W), or N is 0.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a tensor (N, 3, H, W) in [-1, 1], got {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (N, 3, H, W), got N of shape {tuple(images.shape[1:])}")
    if not len(images):
        raise ValueError("images must be at least one, got none")
    if not images.is_floating_point():
        raise TypeError(f"images must be in [-1, 1], got {images.dtype}; bring uint8 there by x / 127.5 - 1")
    return images


class Folder:
    """The images of a folder in the order of names, read when asked for.

    Args:
        path: the folder.

    Attributes:
        path: as given.
        files: the N files.

    Raises:
        FileNotFoundError: the folder is missing or holds no image.
        NotADirectoryError: it is a file.
        ValueError: a file is no image, or the images differ in size.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.is_file():
            raise NotADirectoryError(f"{path} is a file; give the folder that holds the images")
        if not path.exists():
            raise FileNotFoundError(f"folder {path} is missing")
        self.files = _pictures(path)
        if not self.files:
            raise FileNotFoundError(f"{path} holds no image ({', '.join(sorted(ENDINGS))})")
        sizes = [_size(file) for file in self.files]
        for file, size in zip(self.files, sizes, strict=True):
            if size != sizes[0]:
                raise ValueError(
                    f"{file} is {size[0]} x {size[1]} px, {self.files[0].name} is "
                    f"{sizes[0][0]} x {sizes[0][1]}; bring them to one size"
                )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, part: slice) -> Tensor:
        """Images (b - a, 3, H, W) in [-1, 1], on the CPU."""
        return torch.stack([read_image(file) for file in self.files[part]])

    def content(self) -> str:
        """SHA-256 of the files' bytes in their order, in hexadecimal; reads them all."""
        return hashlib.sha256("".join(map(sha256, self.files)).encode()).hexdigest()


def save_images(images: Images, folder: Path, progress: bool = False) -> None:
    """Write images as ``00000.png``, ``00001.png``...

    Args:
        images: in [-1, 1]; what lies outside is clamped.
        folder: where to write; made if it is missing.
        progress: show a progress bar.

    Raises:
        FileExistsError: the folder holds other images, which would be taken for some of these.
        TypeError: the images are no tensor, or hold whole numbers; see :func:`checked`.
        ValueError: they are not (N, 3, H, W), or there is none.
    """
    names = [f"{i:05d}.png" for i in range(len(images))]
    others = [file.name for file in _pictures(folder) if file.name not in names]
    if others:
        raise FileExistsError(f"{folder} holds other images ({others[0]}...); choose another folder")
    rest = iter(names)
    for part in batches(images, label=f"writing {folder}", progress=progress):
        folder.mkdir(parents=True, exist_ok=True)
        for image in part:
            with naming(file := folder / next(rest)):
                Image.fromarray(to_array(image)).save(file)


def to_array(image: Tensor) -> np.ndarray:
    """One image (3, H, W) in [-1, 1] as uint8 (H, W, 3)."""
    array: np.ndarray = (
        ((image.detach().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    )
    return array


def read_image(file: Path) -> Tensor:
    """An image file as (3, H, W) in [-1, 1]; a ValueError names one that is no image."""
    with _opened(file) as picture:
        array = np.array(picture.convert("RGB"))
    return torch.from_numpy(array).permute(2, 0, 1).float() / 127.5 - 1


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*") if file.suffix.lower() in ENDINGS)


def _size(file: Path) -> tuple[int, int]:
    """Width and height, from the header alone."""
    with _opened(file) as picture:
        return picture.size


@contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(file, formats=_FORMATS) as picture:
            if picture.mode[0] in "IF":
                raise ValueError(
                    f"{file} holds more than 8 bits a value (mode {picture.mode}), which would be cut off at "
                    "255; save it with 8 bits"
                )
            yield picture
    # Pillow raises SyntaxError for a broken PNG.
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{file} cannot be read as an image ({error}); repair or remove it") from None
