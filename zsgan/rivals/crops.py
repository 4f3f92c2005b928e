"""Crops of images at random places: what is seen of a picture whose place in the frame does not matter.

Through one view CLIP rewards whatever moves its feature, halos in the background included; what helps in many
crops at once has to be part of the animal. Methods that optimise pictures by CLIP use random views against
that (Liu et al. 2021, "FuseDream", sec. 3.1; Frans et al. 2022, "CLIPDraw"); the paper has none.
"""

import torch
from torch import Tensor

SMALLEST, LARGEST = 0.7, 1.3
"""Scale of the picture inside a crop: below 1 its surroundings are mirrored in, above 1 its edges are cut."""
SHIFT = 0.25
"""Largest shift of the centre in x and in y, in half picture widths."""


def random_crops(images: Tensor, crops: int, generator: torch.Generator) -> Tensor:
    """Views of each image, shifted and scaled at random; what lies outside the image is its reflection.

    Args:
        images: (N, C, H, H).
        crops: M, the views of each image.
        generator: the source of randomness, on the CPU; the same state gives the same places whatever the
            images show.

    Returns:
        (M, N, C, H, H), differentiable; bilinear.
    """
    n, size = crops * len(images), images.shape[-1]
    scale = SMALLEST + (LARGEST - SMALLEST) * torch.rand(n, 1, generator=generator)
    centre = SHIFT * (2 * torch.rand(2, n, 1, generator=generator) - 1)
    pixels = torch.arange(size)
    axis = (2 * pixels + 1) / size - 1  # of the view's pixels, in half widths
    places = ((axis / scale + centre + 1) * size - 1) / 2  # of them in the image, in pixels: (2, n, H)
    places = size - 0.5 - ((places + 0.5) % (2 * size) - size).abs()  # mirrored at its edges
    places = places.clamp(0, size - 1)
    # Bilinear interpolation as a matrix for each axis: any derivative, and the same sums on every device.
    rows, columns = (1 - (places[..., None] - pixels).abs()).clamp_min(0).to(images).unflatten(1, (crops, -1))
    return rows[:, :, None] @ images @ columns[:, :, None].mT
