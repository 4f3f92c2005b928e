"""Sprites: the images of a run along its steps in one WebP picture, small enough to embed in a page."""

import io
from collections.abc import Mapping

from PIL import Image
from torch import Tensor

from zsgan.base.images import to_array

BUDGET = 2_000_000
"""Bytes of all sprites of a page; as text in the page they take a third more."""
QUALITIES = (90, 80, 70, 60, 50, 40, 30, 20)
"""Qualities of WebP to choose from, the best first."""


def sprites(films: Mapping[str, Tensor], budget: int = BUDGET) -> dict[str, bytes]:
    """Each film as one WebP picture without gaps: a column is a step, a line is a latent.

    The same films give the same bytes. All have one quality, the best of :data:`QUALITIES` that keeps them
    within the budget, or the lowest.

    Args:
        films: name -> images (S, n, 3, H, W) in [-1, 1] of n latents after each of S steps.
        budget: bytes of all pictures together.

    Returns:
        name -> the picture, n H pixels high and S W pixels wide.
    """
    pictures = {name: Image.fromarray(to_array(_sheet(film))) for name, film in films.items()}
    for quality in QUALITIES:
        found = {name: _webp(picture, quality) for name, picture in pictures.items()}
        if sum(map(len, found.values())) <= budget:
            break
    return found


def _sheet(film: Tensor) -> Tensor:
    """(3, n H, S W) from (S, n, 3, H, W)."""
    steps, n, _, height, width = film.shape
    return film.permute(2, 1, 3, 0, 4).reshape(3, n * height, steps * width)


def _webp(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality)
    return buffer.getvalue()
