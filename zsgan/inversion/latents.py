"""Latents of inverted pictures, with their quality; on disk one safetensors file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from zsgan.base.images import batch_size
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.networks.stylegan2 import Generator


@dataclass(frozen=True, eq=False)
class Latents:
    """N inverted pictures.

    Attributes:
        ws: (N, L, D_w), in W or W+.
        noise: L - 1 noise maps (N, 1, r, r); ``None`` for the generator's own.
        lpips: (N,) LPIPS between the picture and its inversion; lower is better.
        psnr: (N,) peak signal-to-noise ratio in dB, of values in [-1, 1]; higher is better.
    """

    ws: Tensor
    noise: Sequence[Tensor] | None
    lpips: Tensor
    psnr: Tensor

    def __len__(self) -> int:
        return len(self.ws)

    @torch.no_grad()
    def through(self, generator: Generator, truncation_psi: float = 1.0) -> Tensor:
        """The images of these latents: by the source the inversions, by an adapted generator the edits.

        Args:
            generator: the source, or a generator adapted from it, on any device.
            truncation_psi: 1 for the latents as they are; smaller values move them to the mean w.

        Returns:
            (N, 3, R, R), clamped to [-1, 1], on the CPU.
        """
        mean = generator.mapping.w_avg
        size = batch_size(generator.config["resolution"] ** 2, mean.device)
        images = []
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            ws = torch.lerp(mean, self.ws[part].to(mean), truncation_psi)
            maps = "const" if self.noise is None else [noise[part].to(mean) for noise in self.noise]
            images.append(generator.synthesis(ws, noise=maps).clamp(-1, 1).cpu())
        return torch.cat(images)

    def save(self, file: Path) -> None:
        """Write all tensors to a safetensors file, which :func:`load_latents` reads."""
        noise = {f"noise.{i:02d}": part for i, part in enumerate(self.noise or ())}
        tensors = {"ws": self.ws, "lpips": self.lpips, "psnr": self.psnr, **noise}
        save_tensors(tensors, file, config={"kind": "latents"}, provenance={})


def load_latents(file: Path) -> Latents:
    """Latents from a file of :meth:`Latents.save`.

    Args:
        file: the file.

    Returns:
        the latents.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or holds something else.
    """
    tensors, config, _ = load_tensors(file)
    if config != {"kind": "latents"}:
        raise ValueError(f"{file} holds no latents of zsgan; zsgan edit writes them as latents.safetensors")
    noise = [tensors[name] for name in sorted(tensors) if name.startswith("noise.")]
    return Latents(tensors["ws"], noise or None, tensors["lpips"], tensors["psnr"])


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio (N,) in dB between images (N, 3, H, W) in [-1, 1]; inf for equal ones."""
    return 10 * torch.log10(4 / (images - others).square().mean((1, 2, 3)))
