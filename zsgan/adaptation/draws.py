"""What a step draws at random: latents, probes and noise, each from a stream of its own."""

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.streams import stream
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.consistency import probe_directions


def step_latents(g_src: Generator, config: AdaptConfig, step: int) -> Tensor:
    """Latents of a step in W, (N, L, D_w), on the generator's device."""
    with torch.no_grad():
        ws: Tensor = g_src.mapping(_step_z(g_src, config, step))
    return ws


def step_probes(g_src: Generator, config: AdaptConfig, step: int) -> Tensor:
    """Random directions at a step's latents in W+, (P, N, L, D_w), for :mod:`zsgan.rivals.consistency`."""
    z = _step_z(g_src, config, step)
    size, random = (config.spectral.probes, *z.shape), stream(config.seed, "probes", step)
    signs = 2 * torch.randint(2, size, generator=random) - 1
    return probe_directions(g_src.mapping, z, signs.to(z))


def _step_z(g_src: Generator, config: AdaptConfig, step: int) -> Tensor:
    """(N, D_z) latents of a step, on the generator's device."""
    random = stream(config.seed, "latents", step)
    z = torch.randn(config.optimiser.batch_size, g_src.mapping.z_dim, generator=random)
    return z.to(g_src.synthesis.const)


def source_noise(config: AdaptConfig, step: int, device: torch.device) -> torch.Generator:
    """Random stream of the noise maps of a step's source images."""
    return stream(config.seed, "source noise", step, device)
