"""Seeded samples of a generator: the same images for the same seed, in batches of any size."""

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.stylegan2 import Generator

BATCH = 50


def sample_latents(n: int, z_dim: int, seed: int) -> Tensor:
    """Latents z ~ N(0, I), (n, z_dim), on the CPU; the first rows are the same for every n."""
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def sample_images(
    generator: Generator,
    n: int,
    *,
    seed: int,
    truncation_psi: float = 0.7,
    progress: bool = False,
) -> Tensor:
    """Draw images with the fixed noise buffers, as for evaluation.

    Args:
        generator: on any device, in any mode.
        n: how many, >= 1.
        seed: of the latents. Generators adapted from one source give matching images for the same seed.
        truncation_psi: 1 for none; smaller is closer to the mean w.
        progress: show a progress bar.

    Returns:
        (n, 3, R, R) on the CPU, clamped to [-1, 1].
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    device = next(generator.parameters()).device
    z = sample_latents(n, generator.mapping.z_dim, seed)
    parts = []
    for batch in tqdm(z.split(BATCH), desc="samples", disable=not progress):
        ws = generator.mapping(batch.to(device), truncation_psi=truncation_psi)
        parts.append(generator.synthesis(ws, noise="const").clamp(-1, 1).cpu())
    return torch.cat(parts)
