"""Sprites hold every image at its place, within the budget."""

import io

import numpy as np
import torch
from PIL import Image

from zsgan.report.sprites import QUALITIES, sprites


def films(steps=3, n=2, side=16):
    """Two films whose images have one shade each."""
    shades = torch.linspace(-1, 1, steps * n).reshape(steps, n, 1, 1, 1)
    film = shades.expand(steps, n, 3, side, side)
    return {"one": film, "two": -film}


def test_a_column_is_a_step_and_a_line_a_latent():
    for name, picture in sprites(films()).items():
        found = np.array(Image.open(io.BytesIO(picture)).convert("L")).astype(int)
        assert found.shape == (2 * 16, 3 * 16)
        for step, images in enumerate(films()[name]):
            for latent, image in enumerate(images):
                inside = found[latent * 16 + 4 : latent * 16 + 12, step * 16 + 4 : step * 16 + 12]
                assert np.abs(inside - (image[0, 0, 0].item() + 1) * 127.5).max() < 4, (step, latent)


def test_quality_gives_way_to_the_budget_and_the_same_films_give_the_same_bytes():
    random = torch.Generator().manual_seed(0)
    noise = {name: 2 * torch.rand(4, 5, 3, 32, 32, generator=random) - 1 for name in ("one", "two")}
    best, least = sprites(noise), sprites(noise, budget=0)
    size = {name: sum(map(len, found.values())) for name, found in (("best", best), ("least", least))}
    budget = (size["best"] + size["least"]) // 2
    between = sum(map(len, sprites(noise, budget).values()))
    assert size["least"] < between <= budget < size["best"]
    assert best == sprites(noise) and sorted(QUALITIES, reverse=True) == [*QUALITIES]
