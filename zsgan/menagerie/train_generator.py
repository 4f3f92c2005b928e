"""Train a StyleGAN2 of the demo world: low resolution first, adversarially, on renders of one species in one style.

``python -m zsgan.menagerie.train_generator photos`` trains on photos of every species; ``dog`` and ``cat`` start from
its finished weights (``--init``), so that features which other domains need exist in the source generator, as they
do in generators trained on large photo collections.
"""

import argparse
import logging
import sys
from copy import deepcopy
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


def r1_gamma(resolution: int) -> float:
    """Weight of the R1 penalty, growing with the number of pixels (Karras et al. 2020, heuristic)."""
    return 0.1 * (resolution / 32) ** 2


def networks(resolution: int) -> tuple[Generator, Discriminator]:
    """A new generator and discriminator of one stage."""
    channels = {r: width for r, width in CHANNELS.items() if r <= resolution}
    generator = Generator(
        resolution, z_dim=W_DIM, w_dim=W_DIM, mapping_layers=MAPPING_LAYERS, channels=channels
    )
    return generator, Discriminator(resolution, channels)


def grow(small: torch.nn.Module, large: torch.nn.Module) -> None:
    """Copy what two resolutions of a network share; a generator's new ToRGBs start at zero, so its image stays."""
    shared = small.state_dict()
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
        previous: the stage to grow from.
    """

    def __init__(
        self,
        resolution: int,
        batch: int,
        bank: Tensor,
        seed: int,
        device: str,
        previous: "Stage | None" = None,
    ):
        torch.manual_seed(seed)  # initial weights; everything else draws from self.random
        self.resolution, self.batch, self.device = resolution, batch, device
        self.bank, self.factor = bank, bank.shape[-1] // resolution
        self.generator, self.discriminator = networks(resolution)
        self.average = deepcopy(self.generator)
        if previous is not None:
            grow(previous.generator, self.generator)
            grow(previous.average, self.average)
            grow(previous.discriminator, self.discriminator)
        for module in (self.generator, self.discriminator, self.average):
            module.to(device, memory_format=torch.channels_last)
        self.average.requires_grad_(False)
        options = {"lr": LEARNING_RATE, "betas": (0.0, 0.99), "fused": True}
        self.optimiser_g = torch.optim.Adam(self.generator.parameters(), **options)
        self.optimiser_d = torch.optim.Adam(self.discriminator.parameters(), **options)
        self.random = torch.Generator().manual_seed(seed + resolution)
        self.mixed = device != "cpu"  # most CPUs compute bfloat16 more slowly than float32
        self.decay = 0.5 ** (batch / EMA_HALF_LIFE)

    @property
    def state(self) -> dict[str, object]:
        """Everything that a step changes."""
        return {
            "generator": self.generator, "average": self.average, "discriminator": self.discriminator,
            "optimiser_g": self.optimiser_g, "optimiser_d": self.optimiser_d, "random": self.random,
        }  # fmt: skip

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
        """One step of the discriminator (with lazy R1) and one of the generator; non-saturating logistic loss."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
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
        with torch.autocast(self.device, torch.bfloat16, enabled=self.mixed):
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
    parser.add_argument(
        "--init", type=Path, help="folder of a finished training to start from (the last stage only)"
    )
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
    """Run the stages that ``options.kimg`` asks for, and ship the averaged generator and the discriminator."""
    resolutions = [r for r in CHANNELS if r >= 16]
    species = DOMAINS[options.domain]
    bank, _ = training.bank(
        options.bank, resolutions[-1], torch.Generator().manual_seed(options.seed),
        species=species, style="photo", progress=not options.quiet,
    )  # fmt: skip
    folder, stage = options.state / f"generator_{options.domain}", None
    for resolution, kimg, batch in zip(resolutions, options.kimg, options.batch, strict=True):
        if kimg == 0:
            continue
        stage = Stage(resolution, batch, bank, options.seed, options.device, stage)
        if options.init is not None and resolution == resolutions[-1]:
            for name in ("generator", "average", "discriminator"):
                tensors, _, _ = load_tensors(options.init / f"{name}.safetensors")
                getattr(stage, name).load_state_dict(tensors)
        steps = round(kimg * 1000 / batch)
        training.loop(
            stage.state,
            stage.step,
            steps,
            folder / str(resolution),
            save_every=250,
            progress=not options.quiet,
        )
    if stage is None or stage.resolution != resolutions[-1]:
        sys.exit("--kimg must give the last stage some images: nothing to ship otherwise")
    provenance = {"command": training.command(), "seed": options.seed}
    for name in ("generator", "average", "discriminator"):
        module = getattr(stage, name)
        save_tensors(
            module.state_dict(), folder / f"{name}.safetensors", config=module.config, provenance=provenance
        )
    if species is None:
        return  # only a start for the others
    for kind, module in (("generator", stage.average), ("discriminator", stage.discriminator)):
        training.ship(
            module.state_dict(), options.out / f"{kind}_{options.domain}.safetensors", name=f"{kind}-{options.domain}",
            description=f"StyleGAN2 {kind}, 64 px, photos of {options.domain}s of the menagerie",
            config=module.config, seed=options.seed, measured=measure(stage) if kind == "generator" else {},
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
