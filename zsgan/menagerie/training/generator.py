"""Train a StyleGAN2 of the demo world by matching: the generator draws the portrait that a latent defines.

``python -m zsgan.menagerie.training.generator world`` learns photos of every species, with the species as a
label, at 16, 32 and 64 px. ``dog`` and ``cat`` start from it (``--init``): the label's embedding is folded
exactly into the bias of the first mapping layer, and training continues with one species. The source
generator thus has the features that other species need, as do generators trained on large photo sets.

The loss compares images with the drawn portraits (:func:`zsgan.menagerie.factors.from_latent`): absolute
differences of pixels, of their gradients, of means over 4 x 4 pixels, and at 64 px of the features of a
network that is trained like the evaluator. It is another network, because nothing is ever optimised against
the evaluator.
"""

import argparse
import sys
from copy import deepcopy
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.descent import descend, follow
from zsgan.base.images import from_bytes
from zsgan.base.loop import loop
from zsgan.base.precision import autocast
from zsgan.base.streams import seeded
from zsgan.menagerie.draw import draw
from zsgan.menagerie.evaluator import Evaluator, load_evaluator
from zsgan.menagerie.factors import from_latent, index_of
from zsgan.menagerie.generators import Z_DIM, finish, grow, network, specialise
from zsgan.menagerie.species import SPECIES
from zsgan.menagerie.training import shared
from zsgan.networks.stylegan2 import Generator
from zsgan.networks.stylegan2.checkpoints import load_generator_file, save

RESOLUTIONS = (16, 32, 64)
DOMAINS = ("world", "dog", "cat")

LEARNING_RATE = 0.03
AFFINE_RATE, MAPPING_RATE = 3, 20
"""Learning-rate factors of affine layers and of the mapping network (which itself scales by 0.01)."""
BETAS = (0.9, 0.99)
WARM_UP, FLAT, FINAL_RATE = 100, 0.4, 0.03
"""Steps over which the learning rate rises; share of the training after which it falls; its final factor."""
NOISE_STRENGTH = 0.03
"""Noise strength of every layer while matching. Without noise an adapted copy would equal its source exactly
at the first step, where the directional loss has no gradient to follow."""
PERCEPTUAL_WEIGHT = 2.0
AVERAGE_HALF_LIFE = 3_000
"""Half-life of the running average, in images."""


def bank(
    n: int, species: str | None, random: torch.Generator, progress: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Latents (n, Z_DIM), species (n,) and the portraits that they stand for, uint8 (n, 3, 64, 64)."""
    z = torch.randn(n, Z_DIM, generator=random)
    kind = torch.randint(len(SPECIES), (n,), generator=random)
    if species is not None:
        kind = torch.full_like(kind, index_of("species", species))
    return z, kind, shared.render(from_latent(z, kind), RESOLUTIONS[-1], progress)


def matching_loss(made: Tensor, drawn: Tensor, perceptual: Evaluator | None) -> Tensor:
    """Matching loss of images (N, 3, R, R) and drawn portraits; see the module's docstring."""
    loss = (made - drawn).abs().mean() + (F.avg_pool2d(made, 4) - F.avg_pool2d(drawn, 4)).abs().mean()
    for dim in (2, 3):
        loss = loss + (made.diff(dim=dim) - drawn.diff(dim=dim)).abs().mean()
    if perceptual is None:
        return loss
    with torch.no_grad():
        targets = _unit(perceptual.maps(drawn))
    features = _unit(perceptual.maps(made))
    # The finest maps are left out, since they repeat the pixels.
    pairs = list(zip(features, targets, strict=True))[1:]
    difference = torch.stack([(a - b).abs().mean() for a, b in pairs]).sum() / len(features)
    return loss + PERCEPTUAL_WEIGHT * difference


def _unit(maps: list[Tensor]) -> list[Tensor]:
    return [x * (x.square().mean(1, keepdim=True) + 1e-3).rsqrt() for x in (m.float() for m in maps)]


class Stage:
    """Matching at one resolution.

    Args:
        generator: the generator to train; its running average starts as a copy.
        data: data from :func:`bank`; images are downsampled to the generator's resolution.
        batch: images per step.
        steps: steps of the whole stage, over which the learning rate rises and falls.
        seed: seed of noise and order.
        perceptual: see :func:`matching_loss`.
        precision: precision of the networks, "float32" or "bfloat16".
    """

    def __init__(
        self,
        generator: Generator,
        data: tuple[Tensor, Tensor, Tensor],
        batch: int,
        steps: int,
        seed: int,
        perceptual: Evaluator | None = None,
        precision: str = "float32",
    ):
        self.resolution = generator.config["resolution"]
        self.data, self.batch, self.steps, self.perceptual = data, batch, steps, perceptual
        self.precision = precision
        self.device = generator.synthesis.const.device
        self.generator = generator.to(memory_format=torch.channels_last)
        with torch.no_grad():
            for layer in generator.synthesis.convolutions:
                layer.noise_strength.fill_(NOISE_STRENGTH)
        self.average = deepcopy(self.generator).requires_grad_(False)
        groups: dict[int, list[torch.nn.Parameter]] = {1: [], AFFINE_RATE: [], MAPPING_RATE: []}
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.requires_grad_(False)
                continue
            factor = MAPPING_RATE if name.startswith("mapping.") else AFFINE_RATE if ".affine." in name else 1
            groups[factor].append(parameter)
        self.factors = list(groups)
        self.optimiser = torch.optim.Adam(
            [{"params": parameters, "lr": 0.0} for parameters in groups.values()], betas=BETAS, fused=True
        )
        self.random = torch.Generator().manual_seed(seed + self.resolution)
        self.state = {
            "generator": self.generator, "average": self.average, "optimiser": self.optimiser,
            "random": self.random,
        }  # fmt: skip

    def learning_rate(self, i: int) -> float:
        """Learning rate of the convolutions at step i."""
        done = i / self.steps
        fall = 1.0 if done < FLAT else max(FINAL_RATE, (1 - done) / (1 - FLAT))
        return LEARNING_RATE * min(1.0, (i + 1) / WARM_UP) * fall

    def step(self, i: int) -> dict[str, float]:
        """One step on a batch of latents and the portraits that they stand for."""
        z, species, images = self.data
        index = torch.randint(len(z), (self.batch,), generator=self.random)
        drawn = from_bytes(images[index].to(self.device))
        if factor := images.shape[-1] // self.resolution - 1:
            drawn = F.avg_pool2d(drawn, factor + 1)
        drawn = drawn.contiguous(memory_format=torch.channels_last)
        label = None
        if self.generator.mapping.embed is not None:
            label = F.one_hot(species[index], len(SPECIES)).float().to(self.device)
        with autocast(self.precision, self.device):
            ws = self.generator.mapping(z[index].to(self.device), label)
            made = self.generator.synthesis(ws, noise="random", generator=self.random)
            loss = matching_loss(made, drawn, self.perceptual)
        for group, factor in zip(self.optimiser.param_groups, self.factors, strict=True):
            group["lr"] = self.learning_rate(i) * factor
        descend(self.optimiser, loss)
        weight = 1 - 0.5 ** (self.batch / AVERAGE_HALF_LIFE)
        follow(self.average.parameters(), self.generator.parameters(), weight)
        return {"loss": loss.item(), "L1": (made.detach() - drawn).abs().mean().item()}


@torch.no_grad()
def measure(generator: Generator, species: str, n: int = 500) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB, range 2, against the portraits of ``n`` unseen latents."""
    z = torch.randn(n, Z_DIM, generator=torch.Generator().manual_seed(9_000_011))
    errors = []
    for part in z.split(50):
        made = generator.synthesis(generator.mapping(part.to(generator.synthesis.const))).clamp(-1, 1).cpu()
        errors.append((made - draw(from_latent(part, species), made.shape[-1])).square().mean((1, 2, 3)))
    return {"PSNR": round(float((10 * torch.log10(4 / torch.cat(errors))).mean()), 2)}


def main(argv: list[str] | None = None) -> int:
    """Command line."""
    parser = shared.arguments("Train a StyleGAN2 of the demo world by matching.", seed=0)
    parser.add_argument("domain", choices=DOMAINS, help="what to learn: photos of every species, or of one")
    parser.add_argument("--init", type=Path, help="for a species: file of the finished world generator")
    parser.add_argument("--perceptual", type=Path, help="file of the perceptual network")
    parser.add_argument("--bank", type=int, default=20_000, help="portraits to draw and train on")
    parser.add_argument(
        "--kimg", type=float, nargs="+", default=[24, 32, 32], metavar="K",
        help="thousands of images for each stage: 16, 32 and 64 px",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[16, 8, 8], help="images per step of each stage"
    )
    options = shared.begin(parser, argv)
    for name, values in (("--kimg", options.kimg), ("--batch", options.batch)):
        if len(values) != len(RESOLUTIONS):
            parser.error(f"{name} needs a value for each of {RESOLUTIONS} px, got {values}")
    if (options.domain == "world") != (options.init is None):
        parser.error("--init must be given for a species, and only then: the finished world generator")
    if not any(options.kimg):
        parser.error(f"--kimg must be positive for at least one stage, got {options.kimg}")
    train(options)
    return 0


def train(options: argparse.Namespace) -> None:
    """Run the stages with positive ``options.kimg`` and save the averaged generator; ship it if a source."""
    species = None if options.domain == "world" else options.domain
    generator: Generator | None = None
    if options.init is not None:
        generator = load_generator_file(options.init)
        if generator.mapping.embed is not None:
            generator = specialise(generator, options.domain)
    perceptual = None
    if options.perceptual is not None:
        perceptual = load_evaluator(options.device, options.perceptual)
    random = torch.Generator().manual_seed(options.seed)
    data = bank(options.bank, species, random, progress=not options.quiet)
    folder = options.state / f"generator_{options.domain}"
    settings = ("seed", "bank", "kimg", "batch", "init", "perceptual", "precision")
    identity = {name: str(getattr(options, name)) for name in settings}
    for resolution, kimg, batch in zip(RESOLUTIONS, options.kimg, options.batch, strict=True):
        if kimg == 0:
            continue
        with seeded(options.seed):
            new = network(resolution, conditional=species is None)
        if generator is not None:
            grow(generator, new)
        steps = round(kimg * 1000 / batch)
        stage = Stage(
            new.to(options.device), data, batch, steps, options.seed,
            perceptual if resolution == RESOLUTIONS[-1] else None, options.precision,
        )  # fmt: skip
        loop(
            stage.state, stage.step, steps, folder / str(resolution),
            save_every=250, progress=not options.quiet, arguments=identity,
        )  # fmt: skip
        generator = stage.average
    assert generator is not None
    finish(generator)
    provenance = {"command": shared.command(), "seed": options.seed}
    save(generator, folder / "generator.safetensors", provenance)
    if species is not None and generator.config["resolution"] == RESOLUTIONS[-1]:
        shared.ship_gan(generator, species, options, measure(generator, species))


if __name__ == "__main__":
    sys.exit(main())
