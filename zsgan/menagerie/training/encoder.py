"""Train the encoder of a demo generator: ``python -m zsgan.menagerie.training.encoder dog``."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zsgan.base.descent import descend
from zsgan.base.images import from_bytes, to_bytes
from zsgan.base.loop import loop
from zsgan.base.precision import autocast
from zsgan.base.streams import seeded
from zsgan.menagerie.encoder import PREFIX, Encoder
from zsgan.menagerie.factors import from_latent
from zsgan.menagerie.training import shared
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator

BATCH = 32
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
WARM_UP = 0.05
"""Share of the training over which the learning rate rises."""
STATISTICS = 10_000
"""Latents from which the mean and the deviation of w are computed."""
UNSEEN = 500
"""Portraits on which the finished network is measured."""
SAVE_EVERY = 200


@torch.no_grad()
def pairs(generator: Generator, n: int, species: str, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images uint8 (n, 3, R, R) and the w (n, D_w) of their latents: a third drawn, the others generated.

    The noise of the generated images is random, so that the encoder does not depend on it.
    """
    z = torch.randn(n, generator.mapping.z_dim, generator=random)
    ws, resolution = generator.mapping(z), generator.config["resolution"]
    drawn = shared.render(from_latent(z[: n // 3], species), resolution)
    made = (generator.synthesis(part, "random", random) for part in ws[n // 3 :].split(50))
    return torch.cat([drawn, *map(to_bytes, made)]), ws[:, 0].clone()


@torch.no_grad()
def measure(encoder: Encoder, generator: Generator, images: Tensor, w: Tensor) -> dict[str, float]:
    """Quality on held-out portraits, uint8 (N, 3, R, R), whose latents have these w (N, D_w).

    It gives the "R2" of w over all of its coordinates, and the mean "PSNR" in dB of the generator's images of
    the encoded w, of values in [-1, 1].
    """
    seen = from_bytes(images)
    found = torch.cat([encoder(part) for part in seen.split(100)])
    r2 = 1 - (found - w).square().sum() / (w - w.mean(0)).square().sum()
    ws = found[:, None].expand(-1, generator.mapping.n_ws, -1)
    made = torch.cat([generator.synthesis(part).clamp(-1, 1) for part in ws.split(100)])
    psnr = 10 * torch.log10(4 / (made - seen).square().mean((1, 2, 3)))
    return {"R2": round(float(r2), 3), "PSNR": round(float(psnr.mean()), 2)}


def train(
    generator: Generator,
    species: str,
    seed: int,
    folder: Path,
    *,
    images: int,
    steps: int,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: bool = True,
) -> tuple[Encoder, dict[str, float]]:
    """Train an encoder on a generator's images and on portraits drawn for its latents.

    An interrupted call resumes from ``folder``, with the same bits, when repeated with its arguments.

    Args:
        generator: a generator matched to its latents, whose w the encoder reads.
        species: what it draws.
        seed: seed of initial weights, latents and order.
        folder: folder of the resumable state.
        images: number of images to train on.
        steps: training steps, of 32 images.
        device: device of the training.
        precision: "float32" or "bfloat16".
        progress: show progress bars.

    Returns:
        the encoder, in evaluation mode, and :func:`measure` of unseen portraits.
    """
    random = torch.Generator().manual_seed(seed)
    bank, bank_w = pairs(generator, images, species, random)
    z = torch.randn(STATISTICS, generator.mapping.z_dim, generator=random)
    with torch.no_grad():
        w = generator.mapping(z)[:, 0]
        unseen = shared.render(from_latent(z[:UNSEEN], species), generator.config["resolution"])
    with seeded(seed):  # initial weights; everything else draws from the generator
        encoder = Encoder(w_dim=generator.config["w_dim"])
    encoder.trunk.mean.copy_(w.mean(0))
    encoder.trunk.deviation.copy_(w.std(0))
    encoder.to(device).train()
    generator.to(device)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(i: int) -> dict[str, float]:
        rate = LEARNING_RATE * min((i + 1) / (WARM_UP * steps), (1 + math.cos(math.pi * i / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        index = torch.randint(images, (BATCH,), generator=random)
        truth = encoder.trunk.standardise(bank_w[index].to(device))
        with autocast(precision, device):
            found = encoder.trunk(from_bytes(bank[index].to(device))).continuous
        value = (found - truth).square().mean()
        descend(optimizer, value)
        return {"loss": value.item()}

    state = {"encoder": encoder, "optimizer": optimizer, "random": random}
    identity = {"species": species, "seed": seed, "images": images, "precision": precision}
    loop(state, step, steps, folder, save_every=SAVE_EVERY, progress=progress, arguments=identity)
    encoder.eval()
    return encoder, measure(encoder, generator, unseen.to(device), w[:UNSEEN].to(device))


def main(words: Sequence[str] | None = None) -> None:
    """Train, measure and save an encoder."""
    parser = shared.arguments("Train the encoder of a demo generator.", seed=0)
    parser.add_argument("species", choices=("dog", "cat"), help="which generator's w the encoder reads")
    parser.add_argument("--images", type=int, default=6_000, help="images to make and train on")
    parser.add_argument("--steps", type=int, default=1_000, help=f"training steps, of {BATCH} images")
    options = shared.begin(parser, words)
    encoder, measured = train(
        load_generator(options.species).requires_grad_(False),
        options.species,
        options.seed,
        options.state / f"encoder_{options.species}",
        images=options.images,
        steps=options.steps,
        device=options.device,
        precision=options.precision,
        progress=not options.quiet,
    )
    settings = {name: getattr(options, name) for name in ("steps", "images", "precision")} | {"batch": BATCH}
    shared.ship(
        encoder, encoder.config, options,
        name=f"{PREFIX}{options.species}",
        description=f"Network that reads the w of generator-{options.species}: start and loss of inversions",
        measured=measured | {"training": settings},
    )  # fmt: skip


if __name__ == "__main__":
    main()
