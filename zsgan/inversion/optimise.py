"""Inversion by optimisation: the latent whose image is closest to a picture.

The schedule is that of StyleGAN2's projector (Karras et al. 2020, appendix D): Adam, a learning rate that
rises and falls, noise on w that fades out, and noise maps kept free of structure by a penalty. The pixel loss
and the space W+ are those of Image2StyleGAN (Abdal et al. 2019).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import Tensor

from zsgan.base.descent import descend
from zsgan.base.images import Images, batch_size
from zsgan.base.loop import loop
from zsgan.base.settings import (
    CHECKED,
    AtLeast1,
    NonNegative,
    Positive,
    Probability,
    Seed,
    Switch,
    build,
    checked,
)
from zsgan.base.streams import stream
from zsgan.base.tensors import content_hash
from zsgan.inversion.latents import Latents, psnr
from zsgan.inversion.networks import Networks, networks_for
from zsgan.inversion.starts import start_of
from zsgan.metrics.lpips import Lpips
from zsgan.networks.sampling import sample_latents
from zsgan.networks.stylegan2 import Generator

STATISTICS = 10_000
"""Number of latents behind the deviation of w, as in the projector of StyleGAN2."""

SAVE_SECONDS = 60.0
"""Seconds between two saves of a resumable inversion."""


@dataclass(frozen=True, config=CHECKED)
class InversionSettings:
    """Settings of :func:`invert`; the schedule is that of StyleGAN2's projector.

    Attributes:
        space: "w" (one w for all layers, which edits better) or "w+" (one for each layer, which is closer).
        steps: steps of Adam.
        lr: peak learning rate.
        ramp_up: share of the steps over which the learning rate rises.
        ramp_down: share of the steps over which it falls, along a cosine.
        jitter: noise on w at the start, relative to the deviation of w.
        jitter_end: share of the steps after which that noise is zero.
        perceptual: weight of LPIPS.
        pixel: weight of the mean squared error of the pixels.
        pull: weight of the squared distance to the mean w, in units of the deviation of w.
        noise_maps: whether noise maps are found too; otherwise the generator's own are used.
        noise_penalty: weight of the squared autocorrelation of the noise maps.
    """

    space: Literal["w", "w+"] = "w+"
    steps: AtLeast1 = 1000
    lr: Positive = 0.1
    ramp_up: Probability = 0.05
    ramp_down: Probability = 0.25
    jitter: NonNegative = 0.05
    jitter_end: Probability = 0.75
    perceptual: NonNegative = 1.0
    pixel: NonNegative = 1.0
    pull: NonNegative = 0.01
    noise_maps: Switch = False
    noise_penalty: NonNegative = 1e5


def invert(
    generator: Generator,
    images: Images,
    *,
    start: str | Path | Tensor | None = None,
    settings: InversionSettings | Mapping[str, Any] | None = None,
    seed: int = 0,
    networks: Networks | None = None,
    folder: Path | None = None,
    progress: bool = True,
) -> Latents:
    """Latents whose images by a generator are closest to the given pictures.

    Every picture is inverted by itself: its course depends on its place and the seed, not on the batch size.

    Args:
        generator: the source generator, on the device of the computation.
        images: N pictures of the generator's size in [-1, 1], see :func:`zsgan.inversion.pictures.read`.
        start: "mean" (the mean w), "encoder" (the demo's), the file of a published encoder (pSp or e4e), or
            latents (N, L, D_w). By default the encoder for a demo generator and the mean w for others.
        settings: settings, or some of them by name.
        seed: seed of the noise on w.
        networks: networks of the perceptual loss and of the LPIPS that is reported; by default
            :func:`zsgan.inversion.networks.networks_for` the generator.
        folder: folder of resumable states, which stay until it is deleted; ``None`` keeps none.
        progress: show a progress bar.

    Returns:
        the latents on the CPU, with LPIPS and PSNR of each.

    Raises:
        ValueError: the pictures have another size, a setting or the start does not fit, or the folder holds
            another inversion.
        FileNotFoundError: a network's file is missing.
        FloatingPointError: the loss is not finite.
    """
    if not isinstance(settings, InversionSettings):
        settings = build(InversionSettings, settings or {})
    seed, resolution = checked("seed", seed, Seed), generator.config["resolution"]
    if tuple(images[:1].shape[1:]) != (3, resolution, resolution):
        raise ValueError(
            f"images must be (N, 3, {resolution}, {resolution}), the generator's size, got N of "
            f"{tuple(images[:1].shape[1:])}; zsgan.inversion.pictures.read brings files there"
        )
    networks = networks or networks_for(generator)
    begin = start_of(start, generator, networks)
    device = generator.mapping.w_avg.device
    size = batch_size(4 * resolution**2, device)  # activations are kept for the gradient
    identity = {"generator": content_hash(generator.state_dict()), "seed": seed, "settings": vars(settings)}
    found = []
    with _frozen(generator):
        for first in range(0, len(images), size):
            target = images[first : first + size].to(device)
            place = None if folder is None else folder / f"{first:05d}"
            ws = begin(slice(first, first + size), target)
            course = _Course(generator, target, ws, settings, networks, seed, first)
            known = {"images": content_hash({"images": target}), "start": content_hash({"ws": course.ws})}
            loop(
                course.state(), course.step, settings.steps, place,
                save_seconds=SAVE_SECONDS, log_every=1, progress=progress,
                save_every=settings.steps, description=f"inverting {first + len(target)} of {len(images)}",
                arguments=identity | known,
            )  # fmt: skip
            found.append(course.result(networks.judge))
    noise = [torch.cat(maps) for maps in zip(*(part.noise or () for part in found), strict=True)]
    ws, lpips, ratio = (
        torch.cat([getattr(part, name) for part in found]) for name in ("ws", "lpips", "psnr")
    )
    return Latents(ws, noise or None, lpips, ratio)


@contextmanager
def _frozen(generator: Generator) -> Iterator[None]:
    """Without gradients for the weights inside the block."""
    before = [(parameter, parameter.requires_grad) for parameter in generator.parameters()]
    generator.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)


class _Course:
    """The optimisation of one batch of n pictures; ``first`` is the place of the first among all."""

    def __init__(
        self,
        generator: Generator,
        target: Tensor,
        ws: Tensor,
        settings: InversionSettings,
        networks: Networks,
        seed: int,
        first: int,
    ) -> None:
        self.generator, self.target, self.settings = generator, target, settings
        self.seed, self.first = seed, first
        self.loss = networks.loss
        self.seen = self.loss.vectors(target) if settings.perceptual else None
        if settings.space == "w":
            ws = ws.mean(1, keepdim=True)
        self.ws = ws.detach().clone().requires_grad_()
        mapping = generator.mapping
        with torch.no_grad():
            drawn = mapping(sample_latents(STATISTICS, mapping.z_dim, 0).to(target.device))[:, 0]
            self.deviation = (drawn - mapping.w_avg).square().sum(1).mean().sqrt()
        own = [layer.noise_const.expand(len(target), 1, -1, -1) for layer in generator.synthesis.convolutions]
        self.noise = [maps.clone().requires_grad_(settings.noise_maps) for maps in own]
        trained = [self.ws, *(self.noise if settings.noise_maps else ())]
        self.optimiser = torch.optim.Adam(trained, lr=settings.lr, betas=(0.9, 0.999))

    def state(self) -> dict[str, Any]:
        """All that a step changes."""
        noise = {f"noise {i}": maps.detach() for i, maps in enumerate(self.noise)}
        return {"ws": self.ws.detach(), "optimiser": self.optimiser, **noise}

    def step(self, i: int) -> dict[str, float]:
        """One step of Adam."""
        set_, share = self.settings, i / self.settings.steps
        for group in self.optimiser.param_groups:
            group["lr"] = set_.lr * ramp(share, set_.ramp_up, set_.ramp_down)
        fade = max(0.0, 1 - share / set_.jitter_end) if set_.jitter_end else 0.0
        ws = self.ws
        if scale := set_.jitter * fade**2:
            streams = [stream(self.seed, f"inversion {self.first + k}", i) for k in range(len(ws))]
            drawn = torch.stack([torch.randn(ws.shape[1:], generator=one) for one in streams])
            ws = ws + drawn.to(ws) * (scale * self.deviation)
        made = self._images(ws)
        loss = set_.pixel * (made - self.target).square().mean((1, 2, 3))
        if self.seen is not None:
            loss = loss + set_.perceptual * (self.loss.vectors(made) - self.seen).square().sum(1)
        away = (ws - self.generator.mapping.w_avg) / self.deviation
        loss = loss + set_.pull * away.square().sum(2).mean(1)
        if set_.noise_maps:
            loss = loss + set_.noise_penalty * sum(autocorrelation(maps) for maps in self.noise)
        # the sum, so that every picture has its own gradient whatever the batch size
        descend(self.optimiser, loss.sum(), "lower lr")
        if set_.noise_maps:
            with torch.no_grad():
                for maps in self.noise:
                    maps.sub_(maps.mean((1, 2, 3), keepdim=True))
                    maps.mul_(maps.square().mean((1, 2, 3), keepdim=True).rsqrt())
        return {"loss": float(loss.detach().mean())}

    def _images(self, ws: Tensor) -> Tensor:
        made: Tensor = self.generator.synthesis(
            ws.expand(-1, self.generator.mapping.n_ws, -1), noise=self.noise
        )
        return made

    @torch.no_grad()
    def result(self, judge: Lpips) -> Latents:
        """The latents found, judged."""
        made = self._images(self.ws).clamp(-1, 1)
        lpips = (judge.vectors(made) - judge.vectors(self.target)).square().sum(1)
        ws = self.ws.detach().expand(-1, self.generator.mapping.n_ws, -1)
        noise = [maps.detach().cpu() for maps in self.noise] if self.settings.noise_maps else None
        return Latents(ws.cpu().clone(), noise, lpips.cpu(), psnr(made, self.target).cpu())


def ramp(share: float, up: float, down: float) -> float:
    """The learning rate relative to its peak after a share of the steps: up linearly, down along a cosine."""
    end = min(1.0, (1 - share) / down) if down else 1.0
    return (0.5 - 0.5 * math.cos(end * math.pi)) * (min(1.0, share / up) if up else 1.0)


def autocorrelation(maps: Tensor) -> Tensor:
    """Squared autocorrelation of noise maps at every scale, (N,): 0 in expectation for white noise.

    Products with the neighbours to the right and below, averaged and squared; then the same of the map at
    half of the size, down to 8 px (Karras et al. 2020, appendix D).

    Args:
        maps: (N, 1, r, r).

    Returns:
        the sum over scales, per map.
    """
    total = maps.new_zeros(len(maps))
    while True:
        for axis in (2, 3):
            total = total + (maps * maps.roll(1, axis)).mean((1, 2, 3)).square()
        if maps.shape[-1] <= 8:
            return total
        maps = F.avg_pool2d(maps, 2)
