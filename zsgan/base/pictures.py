"""Image files as a viewer shows them, and the image files of a folder in natural order."""

import hashlib
import io
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from PIL import Image, ImageCms, PngImagePlugin, UnidentifiedImageError
from tqdm import tqdm

Image.init()
FORMATS = tuple(  # without formats that are read by other programs, such as EPS
    name
    for name in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
    if name in Image.OPEN
)
"""Formats of pictures that can be read, by Pillow's names."""
ENDINGS = frozenset(ending for ending, name in Image.registered_extensions().items() if name in FORMATS)

BACKGROUND = "white"
"""Background of transparent pixels."""

# Pillow refuses a text or a colour profile of more than 1 MiB, but editors write larger ones. All texts of a
# file together are still limited to MAX_TEXT_MEMORY, 64 MiB.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

_ORIENTATION = 0x0112  # EXIF tag
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Look:
    """Properties of an image file whose pixels have been read.

    Attributes:
        size: width and height as shown.
        pixels: SHA-256 of size and pixels as shown.
        as_stored: the pixels are shown as stored: without rotation, background or colour conversion.
    """

    size: tuple[int, int]
    pixels: str
    as_stored: bool


def shown(file: Path) -> Image.Image:
    """The picture in a file as a viewer shows it.

    It is rotated according to EXIF, its colours are converted to sRGB if the file has a colour profile, and
    transparent pixels are put on white.

    Args:
        file: in one of ``FORMATS``, with any name.

    Returns:
        the picture, in mode RGB.

    Raises:
        ValueError: it is damaged, not an image, an animation, or has more than 8 bits per value; the message
            names the file.
    """
    with _no_warnings():
        return _shown(file)[0]


def look_at(files: Sequence[Path], label: str, progress: bool = False) -> list[Look]:
    """Read all files in threads; a process reads an unchanged file only once.

    Args:
        files: the image files.
        label: of the progress bar.
        progress: show a progress bar.

    Returns:
        one look per file, in their order.

    Raises:
        ValueError: files cannot be read, see :func:`shown`; the message names the first four and counts all.
    """
    with _no_warnings(), ThreadPoolExecutor() as pool:
        found = list(tqdm(pool.map(_look, files), label, len(files), disable=not progress))
    looks = [look for look in found if isinstance(look, Look)]
    if len(looks) < len(files):
        first, *others = [fault for fault in found if isinstance(fault, ValueError)]
        more = f"; and {len(others)} more: {_listed(list(map(str, others)))}" if others else ""
        raise ValueError(f"{first}{more}")
    return looks


def find(folder: Path, recursive: bool = False) -> tuple[list[Path], dict[str, list[str]]]:
    """The image files of a folder, and the paths that are left out.

    Args:
        folder: an existing folder.
        recursive: include the files of its sub-folders, but do not follow links.

    Returns:
        the files with the ending of an image, in natural order (img2 before img10), folder by folder; and
        reason for leaving paths out ("hidden", "sub-folders", their ending...) -> paths below the folder.
    """
    files, left_out, places = [], defaultdict(list), [folder]
    while places:
        for path in places.pop().iterdir():
            reason = _reason(path, recursive)
            if reason == "sub-folders" and recursive:
                places.append(path)
            elif reason is None:
                files.append(path)
            else:
                left_out[reason].append(str(path.relative_to(folder)))
    files.sort(key=lambda file: _order(file.relative_to(folder)))
    return files, {reason: sorted(left_out[reason]) for reason in sorted(left_out)}


def in_words(left_out: dict[str, list[str]]) -> str:
    """The paths that :func:`find` left out, such as "3 .txt (a.txt...), 1 hidden (.DS_Store)"."""
    listed = ", ".join(f"{len(paths)} {reason} ({_listed(paths, 1)})" for reason, paths in left_out.items())
    hint = "; zsgan evaluate --recursive reads sub-folders" if "sub-folders" in left_out else ""
    return listed + hint


def check_pairs(names: Sequence[str], others: Sequence[str], what: str) -> None:
    """Check that the names of two folders correspond, one by one.

    Two names correspond if they are equal or have the same numbers, such as img7 and 00007. Numbers that
    all names of a folder share, as in dog2cat-7, are not compared.

    Args:
        names: file names without endings.
        others: the names of the other folder, the same number.
        what: name of the argument for the other folder, for the message.

    Raises:
        ValueError: two names do not correspond; the message shows the first two.
    """
    for name, other, a, b in zip(names, others, _numbers(names), _numbers(others), strict=True):
        if name != other and (a != b or not a):
            raise ValueError(
                f"{what}: its image {other!r} stands beside {name!r}, which does not correspond; give both "
                "the same names or the same numbers, such as img7 and 00007"
            )


def _reason(path: Path, recursive: bool) -> str | None:
    """Reason for leaving a path out; ``None`` if it is an image file by its name."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return "linked folders" if recursive and path.is_symlink() else "sub-folders"
    if path.exists() and not path.is_file():
        return "FIFOs and devices"  # reading one may never end
    ending = path.suffix.lower()
    return None if ending in ENDINGS else ending or "without ending"


def _order(path: Path) -> tuple[list[list[tuple[str, int]]], str]:
    """Sort key that compares the numbers in each part of a path as numbers."""
    split = [re.findall("([^0-9]*)([0-9]*)", part) for part in path.with_suffix("").parts]
    return [[(text, int(digits or -1)) for text, digits in part] for part in split], str(path)


def _numbers(names: Sequence[str]) -> list[tuple[int, ...]]:
    """The numbers in each name, without those that all names share."""
    rows = [tuple(map(int, re.findall("[0-9]+", name))) for name in names]
    if len({len(row) for row in rows}) > 1 or len(rows) < 2:
        return rows
    varying = [len(set(column)) > 1 for column in zip(*rows, strict=True)]
    return [tuple(n for n, varies in zip(row, varying, strict=True) if varies) for row in rows]


def _listed(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + ("..." if len(names) > most else "")


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Hide Pillow's warnings, which name no file and are about images that a viewer can show."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _look(file: Path) -> Look | ValueError:
    try:
        stat = file.stat()
        return _looked(file, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    except OSError as error:
        return ValueError(f"{file} cannot be read ({error.strerror}); repair or remove it")
    except ValueError as error:
        return error


@cache
def _looked(file: Path, *version: int) -> Look:
    picture, as_stored = _shown(file)
    pixels = hashlib.sha256(f"{picture.size}".encode() + picture.tobytes()).hexdigest()
    return Look(picture.size, pixels, as_stored)


def _shown(file: Path) -> tuple[Image.Image, bool]:
    """See :func:`shown`; and whether the pixels are those that the file stores."""
    try:
        with Image.open(file, formats=FORMATS) as picture:
            fault = _fault(picture)
            if fault is None:
                _rescale_key(picture)
                picture.load()
                found = _as_shown(picture)
                return found, found is picture or found.tobytes() == picture.convert("RGB").tobytes()
    except UnidentifiedImageError:
        content = f"none of {', '.join(FORMATS)} by its content" if file.stat().st_size else "empty"
        fault = f"cannot be read as an image (it is {content}); repair or remove it"
    except Exception as error:  # decoders raise many kinds of errors for damaged files
        fault = f"cannot be read as an image ({error or type(error).__name__}); repair or remove it"
    raise ValueError(f"{file} {fault}")


def _fault(picture: Image.Image) -> str | None:
    """Why a picture cannot be shown as one picture of 8 bits."""
    if picture.mode[0] in "IF":
        return (
            f"holds more than 8 bits a value (mode {picture.mode}), which would be cut off at 255; save it "
            "with 8 bits"
        )
    # the other pictures in a photograph (MPO) are previews and depth maps
    if picture.format != "MPO" and (frames := getattr(picture, "n_frames", 1)) > 1:
        return f"holds {frames} pictures, an animation or pages; save the one that you mean as a file"
    return None


def _rescale_key(picture: Image.Image) -> None:
    """Scale a PNG's transparent colour to 8 bits, as Pillow scales its pixels."""
    key = picture.info.get("transparency")
    if not isinstance(picture, PngImagePlugin.PngImageFile) or key is None:
        return
    raw = picture.tile[0][3]
    if raw == "RGB;16B":
        picture.info["transparency"] = tuple(value >> 8 for value in key)
    elif raw in ("1", "L;2", "L;4"):
        picture.info["transparency"] = key * 255 // (2 ** int(raw[-1]) - 1)


def _as_shown(picture: Image.Image) -> Image.Image:
    """A loaded picture on the background, in sRGB, upright; the same object if nothing changes."""
    turn, profile = _turn(picture), picture.info.get("icc_profile")
    if picture.mode[-1] in "Aa" or picture.mode == "P" or "transparency" in picture.info:
        picture = picture.convert("LA" if picture.mode in ("1", "L", "La") else "RGBA")
    alpha = picture.getchannel("A") if picture.mode[-1] == "A" else None
    if alpha is not None:
        picture = picture.convert(picture.mode[:-1])
    if profile:
        picture = _in_srgb(picture, profile)
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
    if alpha is not None:
        paper = Image.new("RGB", picture.size, BACKGROUND)
        paper.paste(picture, mask=alpha)
        picture = paper
    return picture if turn is None else picture.transpose(turn)


def _turn(picture: Image.Image) -> Image.Transpose | None:
    """The rotation of a picture according to its EXIF; ``None`` if that is damaged."""
    try:
        return _TURNED.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF raises many kinds of errors
        return None


def _in_srgb(picture: Image.Image, profile: bytes) -> Image.Image:
    """Convert colours by their profile; a profile that is damaged or for another mode is ignored."""
    try:
        transform = _transform(profile, picture.mode)
        return picture if transform is None else ImageCms.applyTransform(picture, transform) or picture
    except (ImageCms.PyCMSError, OSError):
        return picture


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if ImageCms.getProfileDescription(given).startswith("sRGB"):
        return None
    return ImageCms.buildTransform(given, ImageCms.createProfile("sRGB"), mode, "RGB")
