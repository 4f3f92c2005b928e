"""Finish a matched generator adversarially: ``python -m zsgan.menagerie.training.discriminator dog``.

Matching (:mod:`zsgan.menagerie.training.generator`) draws every latent's portrait, slightly blurred. Here a
discriminator learns to tell drawn photos of the species from the generator's, and the generator learns from
it. Matching continues at a small weight, so that every latent keeps its portrait. Both networks ship: the
generator as the running average of its weights, the discriminator as the start of few-shot adaptation. With
``--alone`` the generator stays as it is, and the discriminator ships alone.

The losses are StyleGAN2's: logistic, non-saturating, with R1 every few steps.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor

from zsgan.base.descent import descend, follow
from zsgan.base.files import sha256
from zsgan.base.images import from_bytes
from zsgan.base.loop import loop
from zsgan.base.precision import autocast
from zsgan.base.streams import seeded
from zsgan.menagerie import generators
from zsgan.menagerie.generators import finish
from zsgan.menagerie.species import SPECIES
from zsgan.menagerie.training import shared
from zsgan.menagerie.training.generator import bank, matching_loss, measure
from zsgan.networks.stylegan2 import Discriminator, Generator
from zsgan.networks.stylegan2.adversarial import discriminator_loss, generator_loss, r1_penalty
from zsgan.networks.stylegan2.checkpoints import load_generator_file

LEARNING_RATE, DISCRIMINATOR_RATE = 1e-3, 4e-3
BETAS = (0.0, 0.99)
WARM_UP = 0.5
"""Share of the training in which only the discriminator learns: a new one gives no useful gradient."""
R1_WEIGHT, R1_EVERY = 0.02, 8
MATCHING_WEIGHT = 1.0
AVERAGE_HALF_LIFE = 2_000
"""Half-life of the running average, in images."""
GROUP = 4
"""Images that share a minibatch standard deviation."""
UNSEEN_SEED, TESTED = 9_000_017, 20
"""Seed and batch size of the images on which the finished networks are measured."""


class Finish:
    """Adversarial training of a matched generator.

    Args:
        generator: the matched generator; its running average starts as a copy.
        discriminator: a new discriminator.
        data: latents (n, z_dim) and the portraits that they stand for, uint8 (n, 3, R, R).
        batch: images per step.
        steps: steps of the whole training.
        seed: seed of noise and order.
        precision: precision of the networks, "float32" or "bfloat16"; R1 is always computed in float32.
        alone: the discriminator alone learns.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        data: tuple[Tensor, Tensor],
        batch: int,
        steps: int,
        seed: int,
        precision: str = "float32",
        alone: bool = False,
    ):
        self.data, self.batch, self.precision = data, batch, precision
        self.alone = steps if alone else round(WARM_UP * steps)
        self.device = generator.synthesis.const.device
        self.generator = generator.to(memory_format=torch.channels_last).requires_grad_()
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        for layer in generator.synthesis.convolutions:
            layer.noise_strength.requires_grad_(False)
        self.average = deepcopy(self.generator).requires_grad_(False)
        self.optimisers = [
            torch.optim.Adam([p for p in network.parameters() if p.requires_grad], rate, BETAS, fused=True)
            for network, rate in ((generator, LEARNING_RATE), (discriminator, DISCRIMINATOR_RATE))
        ]
        self.random = torch.Generator().manual_seed(seed)
        self.state = {
            "generator": self.generator, "average": self.average, "discriminator": self.discriminator,
            "generator's optimiser": self.optimisers[0], "discriminator's optimiser": self.optimisers[1],
            "random": self.random,
        }  # fmt: skip

    def step(self, i: int) -> dict[str, float]:
        """One step of the discriminator and, after its warm-up, one of the generator."""
        row = self._teach_discriminator(i)
        return row | self._teach_generator() if i >= self.alone else row

    def _teach_discriminator(self, i: int) -> dict[str, float]:
        # Images of the same latents, so that differences between portraits cancel in the gradient.
        z, real = self._pairs()
        with torch.no_grad():
            fake = self._made(z)
        with autocast(self.precision, self.device):
            loss = discriminator_loss(self.discriminator(real).float(), self.discriminator(fake).float())
        row = {"discriminator": loss.item()}
        if i % R1_EVERY == 0:
            real.requires_grad_()
            penalty = r1_penalty(self.discriminator(real), real)
            loss = loss + R1_WEIGHT * R1_EVERY * penalty
        descend(self.optimisers[1], loss)
        return row

    def _teach_generator(self) -> dict[str, float]:
        z, drawn = self._pairs()
        made = self._made(z)
        self.discriminator.requires_grad_(False)
        with autocast(self.precision, self.device):
            adversarial = generator_loss(self.discriminator(made).float())
        matching = matching_loss(made, drawn, None)
        descend(self.optimisers[0], adversarial + MATCHING_WEIGHT * matching)
        self.discriminator.requires_grad_(True)
        weight = 1 - 0.5 ** (self.batch / AVERAGE_HALF_LIFE)
        follow(self.average.parameters(), self.generator.parameters(), weight)
        return {"generator": adversarial.item(), "matching": matching.item()}

    def _pairs(self) -> tuple[Tensor, Tensor]:
        """A batch of latents and their portraits in [-1, 1]."""
        z, images = self.data
        index = torch.randint(len(z), (self.batch,), generator=self.random)
        drawn = from_bytes(images[index].to(self.device))
        return z[index], drawn.contiguous(memory_format=torch.channels_last)

    def _made(self, z: Tensor) -> Tensor:
        with autocast(self.precision, self.device):
            ws = self.generator.mapping(z.to(self.device))
            made: Tensor = self.generator.synthesis(ws, noise="random", generator=self.random)
        return made


def network(resolution: int, seed: int) -> Discriminator:
    """A new discriminator, as wide as the demo's generators."""
    channels = {r: width for r, width in generators.CHANNELS.items() if r <= resolution}
    with seeded(seed):
        return Discriminator(resolution, channels, mbstd_group=GROUP)


@torch.no_grad()
def told_apart(
    discriminator: Discriminator, generator: Generator, species: str, n: int = 500
) -> dict[str, float]:
    """Accuracy of the discriminator on ``n`` drawn and ``n`` generated images that are unseen."""
    z, _, drawn = bank(n, species, torch.Generator().manual_seed(UNSEEN_SEED), progress=False)
    right, device = [], generator.synthesis.const.device
    # Generated images come from the other end of the bank, so that no two images of a batch share a latent.
    pairs = zip(z.flip(0).split(TESTED), drawn.split(TESTED), strict=True)
    for latents, images in pairs:
        real = discriminator(from_bytes(images.to(device)))
        fake = discriminator(generator(latents.to(device)))
        right += [real > 0, fake < 0]
    return {"told apart": round(float(torch.cat(right).float().mean()), 3)}


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = shared.arguments("Finish a matched generator, with a discriminator.", seed=0)
    parser.add_argument("species", choices=SPECIES, help="species of the generator's photos")
    parser.add_argument("--init", type=Path, required=True, help="file of the matched generator")
    parser.add_argument("--bank", type=int, default=10_000, help="portraits to draw and train on")
    parser.add_argument("--kimg", type=float, default=12, metavar="K", help="thousands of images")
    parser.add_argument("--batch", type=int, default=16, help="images per step")
    parser.add_argument("--alone", action="store_true", help="leave the generator as it is")
    options = shared.begin(parser, argv)
    if options.batch < 1 or (options.batch > GROUP and options.batch % GROUP):
        parser.error(f"--batch must be a multiple of {GROUP}, or less, got {options.batch}")
    train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """Train, then ship the averaged generator, unless it was left as it was, and the discriminator."""
    generator = load_generator_file(options.init)
    if generator.mapping.embed is not None:
        raise ValueError(f"--init={options.init} takes labels; give a generator of one species")
    resolution = generator.config["resolution"]
    random = torch.Generator().manual_seed(options.seed)
    z, _, images = bank(options.bank, options.species, random, progress=not options.quiet)
    discriminator = network(resolution, options.seed)
    steps = max(1, round(options.kimg * 1000 / options.batch))
    finishing = Finish(
        generator.to(options.device), discriminator.to(options.device), (z, images), options.batch, steps,
        options.seed, options.precision, options.alone,
    )  # fmt: skip
    settings = ("species", "seed", "bank", "kimg", "batch", "precision", "alone")
    identity = {name: getattr(options, name) for name in settings} | {"init": sha256(options.init)}
    loop(
        finishing.state, finishing.step, steps, options.state / f"discriminator_{options.species}",
        save_every=100, progress=not options.quiet, arguments=identity,
    )  # fmt: skip
    finished = finishing.average
    if not options.alone:
        finish(finished)
    measured = measure(finished, options.species) | told_apart(discriminator, finished, options.species)
    if not options.alone:
        shared.ship_gan(finished, options.species, options, measured)
    shared.ship_gan(discriminator, options.species, options, measured)


if __name__ == "__main__":
    sys.exit(main())
