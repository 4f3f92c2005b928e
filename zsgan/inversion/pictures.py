"""People's picture files at a generator's size: as a viewer shows them, cropped, letterboxed or aligned."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from zsgan.base.images import from_bytes
from zsgan.base.pictures import BACKGROUND, ENDINGS, FORMATS, find, in_words, shown
from zsgan.inversion.faces import aligned

log = logging.getLogger(__name__)

Fit = Literal["crop", "letterbox", "face"]
"""What becomes of a picture that is not square: the middle of it; all of it, with white bars; or, for
generators of faces, its largest face, turned and cut as in FFHQ."""

SHOWN = 6
"""Pictures of Figure 7."""

_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")  # Pillow's modes of grey pictures of 16 bits


def files_in(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order; what is left out is logged.

    Args:
        folder: the folder.

    Returns:
        the files, at least one.

    Raises:
        FileNotFoundError: the folder is missing, or holds no picture.
        NotADirectoryError: it is a file.
    """
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file; give the folder that holds the pictures")
    if not folder.exists():
        raise FileNotFoundError(f"folder {folder} is missing")
    files, others = find(folder)
    if others:
        log.info("%s: left out: %s", folder, in_words(others))
    if not files:
        raise FileNotFoundError(f"{folder} holds no image ({', '.join(sorted(ENDINGS))})")
    return files


def read(file: Path, size: int, fit: Fit = "crop") -> Tensor:
    """A picture file at a generator's size.

    It is read as :func:`zsgan.base.pictures.shown` does, also with 16 bits of grey, of which the upper 8 are
    kept.

    Args:
        file: in any format of :data:`zsgan.base.pictures.FORMATS`.
        size: side of the result in pixels.
        fit: see :data:`Fit`.

    Returns:
        (3, size, size) in [-1, 1].

    Raises:
        ValueError: ``fit`` is unknown, or the file cannot be read or shows no face; the message names it.
        FileNotFoundError: the weights of the face detector are missing.
        ModuleNotFoundError: the package of the face detector is missing.
    """
    if fit not in get_args(Fit):
        raise ValueError(f"fit must be one of {', '.join(get_args(Fit))}, got {fit!r}")
    picture = _eight_bits(file) or shown(file)
    if fit == "face":
        picture = aligned(file, picture, size)
    elif fit == "crop":
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    else:
        picture = ImageOps.pad(picture, (size, size), Image.Resampling.LANCZOS, BACKGROUND)
    return from_bytes(torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def read_all(files: Sequence[Path], size: int, fit: Fit = "crop") -> tuple[list[Path], Tensor, list[str]]:
    """All pictures that can be read.

    Args:
        files: picture files.
        size: side of the result in pixels.
        fit: see :data:`Fit`.

    Returns:
        the files read, these N pictures (N, 3, size, size), and a message for each of the other files.

    Raises:
        ValueError: none can be read; the message has that of the first.
        FileNotFoundError: the weights of the face detector are missing.
        ModuleNotFoundError: the package of the face detector is missing.
    """
    good, pictures, faults = [], [], []
    for file in files:
        try:
            pictures.append(read(file, size, fit))
            good.append(file)
        except ValueError as error:
            faults.append(str(error))
    if not good:
        more = f"; and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ValueError(f"no picture can be read: {faults[0]}{more}")
    return good, torch.stack(pictures), faults


def first_in(folder: Path, size: int) -> tuple[list[Path], Tensor]:
    """The first :data:`SHOWN` pictures of a folder, cropped to the square in their middle; all can be read.

    Args:
        folder: the folder.
        size: side of the result in pixels.

    Returns:
        the files in natural order, and the pictures (N, 3, size, size).

    Raises:
        ValueError: one cannot be read; the message names it.
        FileNotFoundError: the folder is missing, or holds no picture.
        NotADirectoryError: it is a file.
    """
    files, pictures, faults = read_all(files_in(folder)[:SHOWN], size)
    if faults:
        raise ValueError("; ".join(faults))
    return files, pictures


def _eight_bits(file: Path) -> Image.Image | None:
    """A grey picture of 16 bits in RGB, upright; ``None`` for all others, also for damaged ones."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            if picture.mode not in _DEEP or (picture.mode == "I" and picture.format != "PNG"):
                return None
            values = np.asarray(ImageOps.exif_transpose(picture)).astype(np.int64)
    except Exception:  # ``shown`` says what is wrong
        return None
    return Image.fromarray(np.uint8(values.clip(0, 65535) >> 8)).convert("RGB")
