"""Train a StyleGAN2 of the demo world on renders: adversarially, low resolution first.

``python -m zsgan.menagerie.train_generator photos`` trains on photos of every species; ``dog`` and ``cat``
start from its finished weights (``--init``), so that features which other domains need exist in the source
generator, as they do in generators trained on large photo collections.
"""

import argparse
import logging
import sys
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.cpu import tune_cpu
from zsgan.files import load_tensors, save_tensors
from zsgan.menagerie import training
from zsgan.stylegan2 import Discriminator, Generator

CHANNELS = {4: 128, 8: 128, 16: 96, 32: 48, 64: 24}
W_DIM, MAPPING_LAYERS = 128, 4
DOMAINS = {"photos": None, "dog": "dog", "cat": "cat"}  # species of the photos
LEARNING_RATE = 0.002
EMA_HALF_LIFE = 5_000  # images
R1_EVERY = 16
NETWORKS = ("generator", "average", "discriminator")
Start = Mapping[str, Mapping[str, Tensor]]


def r1_gamma(resolution: int) -> float:
    """Weight of the R1 penalty, growing with the number of pixels up to 32 px (0.4 at 64 px was too much)."""
    return 0.1 * min(resolution / 32, 1) ** 2


def networks(resolution: int) -> tuple[Generator, Discriminator]:
    """A new generator and discriminator of one stage."""
    channels = {r: width for r, width in CHANNELS.items() if r <= resolution}
    generator = Generator(
        resolution, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=MAPPING_LAYERS, channels=channels
    )
    return generator, Discriminator(resolution, channels)


def grow(shared: Mapping[str, Tensor], large: torch.nn.Module) -> None:
    """Copy what a network shares with another resolution of it, given by its state dict.

    A generator's new ToRGBs start at zero, so that its image stays what it was.
    """
    for name, tensor in large.state_dict().items():
        if name in shared and shared[name].shape == tensor.shape:
            tensor.copy_(shared[name])
        elif ".torgb." in name and "affine" not in name:
            tensor.zero_()


class Stage:
    """Adversarial training at one resolution.

    Args:
        resolution: of this stage; the bank is reduced to it.
        batch: images a step.
        bank: uint8 renders (n, 3, R, R), R a multiple of ``resolution``.
        seed: of latents, noise and order.
        device: where to train.
        start: state dicts of "generator", "average" and "discriminator" to grow from.
    """

    def __init__(
        self,
        resolution: int,
        batch: int,
        bank: Tensor,
        seed: int,
        device: str,
        start: Start | None = None,
    ):
        self.resolution, self.batch, self.device = resolution, batch, device
        self.bank, self.factor = bank, bank.shape[-1] // resolution
        with torch.random.fork_rng():  # layers draw initial weights from the global generator
            torch.manual_seed(seed)
            self.generator, self.discriminator = networks(resolution)
        self.average = deepcopy(self.generator)
        for name, module in self.networks.items():
            if start is not None:
                grow(start[name], module)
            module.to(device).to(memory_format=torch.channels_last)
        self.average.requires_grad_(False)
        adam = partial(torch.optim.Adam, lr=LEARNING_RATE, betas=(0.0, 0.99), fused=True)
        self.optimiser_g = adam(self.generator.parameters())
        self.optimiser_d = adam(self.discriminator.parameters())
        self.random = torch.Generator().manual_seed(seed + resolution)
        # Most CPUs compute bfloat16 more slowly than float32.
        kind = torch.device(device).type
        self.autocast = partial(torch.autocast, kind, torch.bfloat16, enabled=kind != "cpu")
        self.decay = 0.5 ** (batch / EMA_HALF_LIFE)

    @property
    def networks(self) -> dict[str, Generator | Discriminator]:
        """Generator, its running average, and discriminator."""
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    @property
    def state(self) -> dict[str, object]:
        """Everything that a step changes."""
        optimisers = {"optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d}
        return {**self.networks, **optimisers, "random": self.random}

    def reals(self) -> Tensor:
        """A batch of renders, half of them mirrored, at this stage's resolution, in [-1, 1]."""
        index = torch.randint(len(self.bank), (self.batch,), generator=self.random)
        mirrored = torch.rand(self.batch, 1, 1, 1, generator=self.random) < 0.5
        images = training.from_bytes(self.bank[index].to(self.device))
        images = torch.where(mirrored.to(self.device), images.flip(3), images)
        return F.avg_pool2d(images, self.factor) if self.factor > 1 else images

    def fakes(self) -> tuple[Tensor, Tensor]:
        """Images of the generator, and the ws that made them."""
        z = torch.randn(self.batch, W_DIM, generator=self.random).to(self.device)
        ws = self.generator.mapping(z)
        return self.generator.synthesis(ws, noise="random", generator=self.random), ws

    def step(self, i: int) -> dict[str, float]:
        """One step of the discriminator (lazy R1) and one of the generator; non-saturating logistic loss."""
        with self.autocast():
            with torch.no_grad():
                fakes, _ = self.fakes()
            fake_logits = self.discriminator(fakes).float()
            real_logits = self.discriminator(self.reals()).float()
        loss_d = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        if i % R1_EVERY == 0:
            reals = self.reals().requires_grad_()
            (gradient,) = torch.autograd.grad(self.discriminator(reals).sum(), reals, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3)).mean()
            loss_d = loss_d + 0.5 * r1_gamma(self.resolution) * R1_EVERY * penalty
        self.optimiser_d.zero_grad()
        loss_d.backward()
        self.optimiser_d.step()

        self.discriminator.requires_grad_(False)
        with self.autocast():
            fakes, ws = self.fakes()
            logits = self.discriminator(fakes).float()
        loss_g = F.softplus(-logits).mean()
        self.optimiser_g.zero_grad()
        loss_g.backward()
        self.optimiser_g.step()
        self.discriminator.requires_grad_(True)

        self.generator.mapping.update_w_avg(ws)
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.generator.parameters()), 1 - self.decay
        )
        for mine, theirs in zip(self.average.buffers(), self.generator.buffers(), strict=True):
            mine.copy_(theirs)
        return {"loss_d": loss_d.item(), "loss_g": loss_g.item(), "real": real_logits.mean().item()}


def measure(stage: Stage) -> dict[str, float]:
    """Latents and images of the averaged generator have finite values; quality is measured by the metrics."""
    with torch.no_grad():
        z = torch.randn(64, W_DIM, generator=torch.Generator().manual_seed(0)).to(stage.device)
        images = stage.average.synthesis(stage.average.mapping(z))
    if not images.isfinite().all():
        raise FloatingPointError(
            "the trained generator makes images that are not finite; lower the learning rate"
        )
    return {"image_mean": images.mean().item(), "image_std": images.std().item()}


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = training.arguments(__doc__.splitlines()[0], seed=0)
    parser.add_argument("domain", choices=DOMAINS, help="what to learn: photos of every species, or of one")
    parser.add_argument("--init", type=Path, help="folder of a finished training to start from")
    parser.add_argument("--bank", type=int, default=20_000, help="renders to train on")
    parser.add_argument(
        "--kimg", type=float, nargs="+", default=[40, 60, 100], metavar="K",
        help="thousands of images for each stage: 16, 32 and 64 px",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[32, 32, 16], help="images a step of each stage"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tune_cpu(options.threads)
    train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """Run the stages that ``options.kimg`` asks for; ship the averaged generator and the discriminator."""
    resolutions = [r for r in CHANNELS if r >= 16]
    species = DOMAINS[options.domain]
    bank, _ = training.bank(
        options.bank, resolutions[-1], torch.Generator().manual_seed(options.seed),
        species=species, style="photo", progress=not options.quiet,
    )  # fmt: skip
    folder = options.state / f"generator_{options.domain}"
    start: Start | None = None
    if options.init is not None:
        start = {name: load_tensors(options.init / f"{name}.safetensors")[0] for name in NETWORKS}
    stage = None
    for resolution, kimg, batch in zip(resolutions, options.kimg, options.batch, strict=True):
        if kimg == 0:
            continue
        stage = Stage(resolution, batch, bank, options.seed, options.device, start)
        training.loop(
            stage.state,
            stage.step,
            round(kimg * 1000 / batch),
            folder / str(resolution),
            save_every=250,
            progress=not options.quiet,
        )
        start = {name: module.state_dict() for name, module in stage.networks.items()}
    if stage is None:
        sys.exit("--kimg must give at least one stage some images")
    provenance = {"command": training.command(), "seed": options.seed}
    for name, module in stage.networks.items():
        path = folder / f"{name}.safetensors"
        save_tensors(module.state_dict(), path, config=module.config, provenance=provenance)
    if species is None or stage.resolution != resolutions[-1]:
        return  # only a start for others
    for kind, module in (("generator", stage.average), ("discriminator", stage.discriminator)):
        training.ship(
            module.state_dict(), options.out / f"{kind}_{options.domain}.safetensors",
            name=f"{kind}-{options.domain}",
            description=f"StyleGAN2 {kind}, 64 px, photos of {options.domain}s of the menagerie",
            config=module.config, seed=options.seed, measured=measure(stage) if kind == "generator" else {},
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
