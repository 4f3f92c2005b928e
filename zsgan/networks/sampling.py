"""Seeded samples of a generator, independent of the batch size."""

import torch
from torch import Tensor

from zsgan.base.device import check_memory
from zsgan.base.images import batch_size, batches
from zsgan.base.settings import AtLeast1, Psi, Seed, checked
from zsgan.networks.stylegan2 import Generator


def sample_latents(n: int, z_dim: int, seed: int) -> Tensor:
    """Latents z ~ N(0, I), (n, z_dim), on the CPU; the first rows are the same for every n."""
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(seed))


class Samples:
    """Images of a generator with its fixed noise buffers, as for evaluation, computed on demand.

    Args:
        generator: on any device, in any mode.
        n: number of images, >= 1.
        seed: seed of the latents, >= 0. Generators adapted from one source give matching images for the same
            seed.
        truncation_psi: from 0 to 10; 1 for no truncation, smaller values are closer to the mean w.

    Raises:
        TypeError: ``generator`` is not a generator, but for instance its name.
        ValueError: a number is not one or out of its range, or the latents do not fit into memory.
    """

    def __init__(self, generator: Generator, n: int, seed: int, truncation_psi: float = 0.7) -> None:
        if not isinstance(generator, Generator):
            raise TypeError(f"generator must be a Generator, got {generator!r:.80}; load_generator gives one")
        n, seed = checked("n", n, AtLeast1), checked("seed", seed, Seed)
        check_memory({f"n={n}": 4 * n * generator.mapping.z_dim})
        self.generator, self.truncation_psi = generator, checked("truncation_psi", truncation_psi, Psi)
        self.latents = sample_latents(n, generator.mapping.z_dim, seed)

    def __len__(self) -> int:
        return len(self.latents)

    @torch.no_grad()
    def __getitem__(self, part: slice | Tensor) -> Tensor:
        """Images (n, 3, R, R) of a slice or of n indices, clamped to [-1, 1], on the generator's device."""
        z = self.latents[part].to(self.generator.mapping.w_avg.device)
        ws = self.generator.mapping(z, truncation_psi=self.truncation_psi)
        size = batch_size(self.generator.config["resolution"] ** 2, z.device)
        return torch.cat([self.generator.synthesis(w, noise="const").clamp(-1, 1) for w in ws.split(size)])


def sample_images(
    generator: Generator, n: int, *, seed: int, truncation_psi: float = 0.7, progress: bool = False
) -> Tensor:
    """All images of :class:`Samples`, (n, 3, R, R) on the CPU, clamped to [-1, 1].

    Args:
        generator: see :class:`Samples`, as for ``n``, ``seed`` and ``truncation_psi``.
        n: number of images.
        seed: seed of the latents.
        truncation_psi: truncation of the mapping network.
        progress: show a progress bar.

    Returns:
        the images, in the order of their latents.
    """
    samples = Samples(generator, n, seed, truncation_psi)
    parts = batches(samples, label="samples", progress=progress, device=generator.mapping.w_avg.device)
    return torch.cat([part.cpu() for part in parts])
