"""Crops: places and values against torch's own sampling of a grid."""

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from zsgan.rivals.crops import LARGEST, SHIFT, SMALLEST, random_crops


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def reference(images, crops, generator):
    """The same places, sampled by torch."""
    n = crops * len(images)
    scale = SMALLEST + (LARGEST - SMALLEST) * torch.rand(n, 1, generator=generator)
    y, x = SHIFT * (2 * torch.rand(2, n, 1, generator=generator) - 1)
    zero = torch.zeros(n, 1)
    places = torch.cat([1 / scale, zero, x, zero, 1 / scale, y], 1).view(n, 2, 3).to(images)
    repeated = images.repeat(crops, 1, 1, 1)
    grid = F.affine_grid(places, list(repeated.shape), align_corners=False)
    views = F.grid_sample(repeated, grid, padding_mode="reflection", align_corners=False)
    return views.view(crops, *images.shape)


@pytest.mark.parametrize(("crops", "n", "size"), [(1, 1, 4), (4, 3, 16), (3, 2, 33)])
def test_crops_are_those_of_grid_sample(crops, n, size):
    images = torch.randn(n, 3, size, size, dtype=torch.float64, generator=random(1))
    views = random_crops(images, crops, random())
    assert views.shape == (crops, n, 3, size, size)
    torch.testing.assert_close(views, reference(images, crops, random()), atol=1e-4, rtol=0)


def test_places_depend_on_the_generator_alone():
    images = torch.randn(2, 3, 16, 16, generator=random(1))
    views = random_crops(images, 3, random())
    torch.testing.assert_close(random_crops(2 * images + 1, 3, random()), 2 * views + 1)
    assert not torch.allclose(random_crops(images, 3, random(5)), views, atol=0.1)
    same = images[:1].expand(4, -1, -1, -1)
    assert (
        len({tuple(view.flatten().tolist()) for view in random_crops(same, 3, random()).flatten(0, 1)}) == 12
    )


def test_a_flat_image_stays_flat():
    """Reflection leaves no border."""
    flat = torch.full((1, 3, 16, 16), 0.7)
    torch.testing.assert_close(random_crops(flat, 50, random()), flat.expand(50, -1, -1, -1, -1))


def test_scales_and_shifts_keep_their_bounds():
    """Of images whose values are their coordinates, far from the edges."""
    size = 101
    axis = (2 * torch.arange(size) + 1) / size - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    views = random_crops(torch.stack([x, y, x])[None], 400, random())[:, 0, :2]
    centre = views[:, :, size // 2, size // 2]
    assert (centre.abs().amax(0) > 0.95 * SHIFT).all() and centre.abs().max() <= SHIFT + 1e-6
    scale = (axis[60] - axis[40]) / (views[:, 0, 50, 60] - views[:, 0, 50, 40])
    torch.testing.assert_close(scale, (axis[60] - axis[40]) / (views[:, 1, 60, 50] - views[:, 1, 40, 50]))
    assert SMALLEST - 1e-4 <= scale.min() < 0.72 and 1.28 < scale.max() <= LARGEST + 1e-4


def test_gradients_of_both_orders():
    images = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=random(1), requires_grad=True)
    assert gradcheck(lambda x: random_crops(x, 2, random()), images)
    assert gradgradcheck(lambda x: random_crops(x, 2, random()).square(), images)
