"""Faces in the place where FFHQ has them (Karras et al. 2019, appendix A), by their eyes and mouth."""

import importlib
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zsgan.assets import manifest

DETECTOR = "face-detector"
"""Name of YuNet's weights in the manifest."""
_BLUR = 0.02  # deviation of the blur of the padding, relative to the side of the square
_PAD = 0.3  # most that the picture is continued beyond its edges, relative to that side


def landmarks(picture: Image.Image) -> Tensor:
    """Places of eyes and mouth of the largest face, by YuNet of OpenCV.

    Args:
        picture: mode RGB.

    Returns:
        (4, 2), x and y in pixels: the left eye in the picture, the right one, and the mouth's corners, left
        and right.

    Raises:
        ModuleNotFoundError: OpenCV, the extra "faces", is missing.
        FileNotFoundError: the detector's weights are missing; ``zsgan fetch face-detector`` gets them.
        ValueError: there is no face in the picture.
    """
    try:
        cv2 = importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "fit='face' needs the package opencv-python-headless; install it with: pip install 'zsgan[faces]'"
        ) from error
    detector = cv2.FaceDetectorYN.create(str(manifest.path(DETECTOR)), "", picture.size)
    _, faces = detector.detect(np.array(picture)[:, :, ::-1])  # OpenCV has blue first
    if faces is None:
        raise ValueError("shows no face that was found; crop it by hand, or choose fit='crop'")
    largest = faces[(faces[:, 2] * faces[:, 3]).argmax()]
    # a box (4), then right eye, left eye, nose, right and left corner of the mouth, as the person has them
    points = torch.from_numpy(largest[4:14].astype(np.float64)).view(5, 2)
    return points[[0, 1, 3, 4]]


def square_of(points: Tensor) -> Tensor:
    """The oriented square that FFHQ cuts around a face.

    Its x axis is between the line of the eyes and the normal of the line from eyes to mouth. Half of its side
    is twice the distance of the eyes, or 1.8 times that from eyes to mouth if this is more. Its centre is a
    tenth of the latter below the eyes.

    Args:
        points: (4, 2) eyes and corners of the mouth, as from :func:`landmarks`.

    Returns:
        (4, 2) its corners in pixels: upper left, lower left, lower right, upper right.

    Raises:
        ValueError: the points are not (4, 2), or eyes and mouth are one point.
    """
    if tuple(points.shape) != (4, 2):
        raise ValueError(
            f"points must be (4, 2): two eyes and two corners of the mouth, got {tuple(points.shape)}"
        )
    points = points.double()
    eyes, mouth = points[:2].mean(0), points[2:].mean(0)
    across, down = points[1] - points[0], mouth - eyes
    x = across - torch.stack([-down[1], down[0]])
    if not (float(x.norm()) > 0 and float(across.norm()) > 0):
        raise ValueError("points must be those of a face, got eyes and mouth in one place")
    x = x / x.norm() * max(2.0 * float(across.norm()), 1.8 * float(down.norm()))
    y = torch.stack([-x[1], x[0]])
    centre = eyes + 0.1 * down
    return torch.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def align(picture: Image.Image, points: Tensor, size: int) -> Image.Image:
    """A picture, turned and cut so that the face lies as in FFHQ.

    Where the square leaves the picture, the picture is mirrored at its edges and fades into a blur, as in
    FFHQ.

    Args:
        picture: mode RGB.
        points: (4, 2) eyes and corners of the mouth in its pixels.
        size: side of the result in pixels.

    Returns:
        the face, size x size px.

    Raises:
        ValueError: the points are not those of a face.
    """
    quad = square_of(points).numpy()
    side = float(np.hypot(*(quad[3] - quad[0])))
    if (shrink := math.floor(side / size / 2)) > 1:
        picture = picture.resize(
            [max(1, round(length / shrink)) for length in picture.size], Image.Resampling.LANCZOS
        )
        quad, side = quad / shrink, side / shrink
    picture, quad = _padded(picture, quad, side)
    corners = tuple((quad + 0.5).flatten())
    # at four times the size, and then smaller, which is a good filter
    large = picture.transform((4 * size, 4 * size), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
    return large.resize((size, size), Image.Resampling.LANCZOS)


def _padded(picture: Image.Image, quad: np.ndarray, side: float) -> tuple[Image.Image, np.ndarray]:
    """The picture continued to the square's corners, and these in its new pixels."""
    from scipy.ndimage import gaussian_filter

    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    width, height = picture.size
    left, top = (max(0, -int(value)) for value in low)
    right, bottom = max(0, int(high[0]) - width), max(0, int(high[1]) - height)
    if not any((left, top, right, bottom)):
        return picture, quad
    pixels = np.pad(np.asarray(picture, np.float32), ((top, bottom), (left, right), (0, 0)), mode="reflect")
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]].astype(np.float32)
    outside = np.maximum.reduce(
        [left - columns, columns - (left + width - 1), top - rows, rows - (top + height - 1), rows * 0]
    )
    share = np.clip(outside / max(1.0, _PAD * side), 0, 1)[..., None]
    deviation = _BLUR * side
    blurred = gaussian_filter(pixels, (deviation, deviation, 0))
    pixels += (blurred - pixels) * np.clip(3 * share + (share > 0), 0, 1)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * share
    return Image.fromarray(np.uint8(np.clip(np.rint(pixels), 0, 255))), quad + np.array([left, top])


def aligned(file: Path, picture: Image.Image, size: int) -> Image.Image:
    """The largest face of a picture, see :func:`align`; a ValueError that names the file if there is none."""
    try:
        return align(picture, landmarks(picture), size)
    except ValueError as error:
        raise ValueError(f"{file} {error}") from error
