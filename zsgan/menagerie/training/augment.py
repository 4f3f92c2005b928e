"""Random augmentations of images that keep their captions true."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift, scale and rotate images, change their tones, and blur, coarsen or add noise to some of them.

    Images are not mirrored, and their hues do not change, because captions name colours.

    Args:
        images: (N, 3, H, H) in [-1, 1].
        generator: the source of randomness, on the CPU.

    Returns:
        images of the same shape, in [-1, 1].
    """
    n = len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator).to(images)

    def some(part: float) -> Tensor:
        return (torch.rand(n, generator=generator) < part).nonzero()[:, 0].to(images.device)

    scale, angle = uniform(0.85, 1.1), uniform(-math.pi / 12, math.pi / 12)
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    affine = torch.stack([cosine, -sine, uniform(-0.12, 0.12), sine, cosine, uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(affine.view(n, 2, 3), list(images.shape), align_corners=False)
    x = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)

    brightness, contrast, saturation = (
        v.view(n, 1, 1, 1) for v in (uniform(-0.2, 0.2), uniform(0.8, 1.2), uniform(0.75, 1.25))
    )
    grey = x.mean(1, keepdim=True)
    x = (grey + (x - grey) * saturation) * contrast + brightness

    blurred = some(0.2)
    x[blurred] = blur(x[blurred], 0.5 + float(torch.rand((), generator=generator)))
    coarse = some(0.2)
    size = int(torch.randint(x.shape[-1] // 3, x.shape[-1], (), generator=generator))
    small = F.interpolate(x[coarse], (size, size), mode="bilinear", antialias=True)
    x[coarse] = F.interpolate(small, x.shape[-2:], mode="bicubic")
    noisy = some(0.4)
    level = uniform(0.0, 0.2).view(n, 1, 1, 1)
    noise = torch.randn(images.shape, generator=generator).to(images)
    x[noisy] += (level * noise)[noisy]
    return x.clamp(-1, 1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images (N, C, H, W); ``sigma`` in pixels."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    x = F.pad(images, (radius, radius, radius, radius), mode="reflect")
    x = F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
