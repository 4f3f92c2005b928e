"""Random crops of images, against changes that fool CLIP in a single view.

With one view CLIP rewards everything that moves its feature, including halos in the background; a change that
helps in many crops has to be part of the animal. Methods that optimise images by CLIP therefore use random
views (Liu et al. 2021, "FuseDream", sec. 3.1; Frans et al. 2022, "CLIPDraw"); the paper uses none.
"""

import torch
from torch import Tensor

SMALLEST, LARGEST = 0.7, 1.3
"""Scale of the image inside a crop: below 1 it is surrounded by its reflection, above 1 its edges are cut."""
SHIFT = 0.25
"""Largest shift of the centre in x and in y, in half picture widths."""


def random_crops(images: Tensor, crops: int, generator: torch.Generator) -> Tensor:
    """Randomly shifted and scaled views of each image, with reflection padding.

    Args:
        images: (N, C, H, H).
        crops: M, the number of views of each image.
        generator: the source of randomness, on the CPU; the views' places depend only on its state.

    Returns:
        (M, N, C, H, H), differentiable; bilinear.
    """
    n, size = crops * len(images), images.shape[-1]
    scale = SMALLEST + (LARGEST - SMALLEST) * torch.rand(n, 1, generator=generator)
    centre = SHIFT * (2 * torch.rand(2, n, 1, generator=generator) - 1)
    pixels = torch.arange(size)
    axis = (2 * pixels + 1) / size - 1  # positions of the view's pixels, in half widths
    places = ((axis / scale + centre + 1) * size - 1) / 2  # in pixels of the image: (2, n, H)
    places = size - 0.5 - ((places + 0.5) % (2 * size) - size).abs()  # mirrored at its edges
    places = places.clamp(0, size - 1)
    # Bilinear interpolation is one matrix per axis: it has all derivatives and the same sums on every device.
    rows, columns = (1 - (places[..., None] - pixels).abs()).clamp_min(0).to(images).unflatten(1, (crops, -1))
    with torch.autocast(images.device.type, enabled=False):  # it would round the pixels
        return rows[:, :, None] @ images @ columns[:, :, None].mT
