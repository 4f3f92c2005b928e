"""Train the demo's evaluator on portraits of all kinds: ``python -m zsgan.menagerie.training.evaluator``."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.descent import descend
from zsgan.base.images import from_bytes
from zsgan.base.loop import loop
from zsgan.base.precision import autocast
from zsgan.base.streams import seeded
from zsgan.menagerie.evaluator import RESOLUTION, Evaluator
from zsgan.menagerie.factors import CATEGORIES, CONTINUOUS, STYLES, Factors
from zsgan.menagerie.training import shared
from zsgan.menagerie.training.augment import augment
from zsgan.menagerie.training.shared import bank

KINDS = {
    "evaluator": "Network that reads the factors of the demo's portraits; also its FID and LPIPS features",
    "perceptual": "Network whose features the training of generators compares: none is trained on its judge",
}
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.02
WARM_UP = 0.05
"""Share of the training over which the learning rate rises."""
CLEAN = 0.5
"""Share of every batch that is not augmented."""
LABEL_SMOOTHING = 0.05
UNSEEN = 2_000
"""Portraits on which the finished network is measured."""
SAVE_EVERY = 200
REGRESSION_WEIGHT = 10.0
"""Weight of the continuous factors' mean squared error; the categorical cross-entropies have weight 1."""

# Prefixes of the factors that augmentation changes by unknown amounts: place, size and tones.
_DISTURBING = ("shift_", "scale", "fur_", "light_strength", "background_")
_DISTURBED = torch.tensor([name.startswith(_DISTURBING) for name in CONTINUOUS])


def loss(
    evaluator: Evaluator,
    images: Tensor,
    factors: Factors,
    generator: torch.Generator,
    precision: str = "float32",
) -> Tensor:
    """Cross-entropy of every categorical factor plus squared error of the continuous ones, in float32.

    Some of the images (N, 3, 64, 64) in [-1, 1] are augmented first, so that the evaluator also reads a
    generator's imperfect images. For these, the factors that augmentation changes do not count.
    """
    clean = round(CLEAN * len(images))
    images = torch.cat([images[:clean], augment(images[clean:], generator)])
    with autocast(precision, images.device):
        prediction = evaluator(images)
    total = images.new_zeros(())
    for kind, logits in prediction.logits.items():
        total = total + F.cross_entropy(logits, getattr(factors, kind), label_smoothing=LABEL_SMOOTHING)
    counts = torch.ones_like(prediction.continuous, dtype=torch.bool)
    counts[clean:, _DISTURBED.to(images.device)] = False
    error = (prediction.continuous - evaluator.standardise(factors.continuous)).square()
    return total + REGRESSION_WEIGHT * error[counts].mean()


@torch.no_grad()
def measure(evaluator: Evaluator, images: Tensor, factors: Factors) -> dict[str, dict[str, float]]:
    """Accuracy of the evaluator on held-out portraits, uint8 (N, 3, 64, 64).

    It gives the "accuracy" of each categorical factor, "accuracy, photos" over the photos alone, and "R2" of
    each continuous factor.
    """
    prediction = evaluator.read(torch.cat([evaluator.embed(from_bytes(part)) for part in images.split(200)]))
    right = {kind: (prediction.label(kind) == getattr(factors, kind)).float() for kind in CATEGORIES}
    photos = factors.style == STYLES.index("photo")
    truth = evaluator.standardise(factors.continuous)
    r2 = 1 - (prediction.continuous - truth).square().mean(0) / truth.var(0, correction=0)
    return {
        "accuracy": {kind: round(float(hit.mean()), 4) for kind, hit in right.items()},
        "accuracy, photos": {kind: round(float(hit[photos].mean()), 4) for kind, hit in right.items()},
        "R2": {name: round(float(value), 3) for name, value in zip(CONTINUOUS, r2, strict=True)},
    }


def train(
    seed: int,
    folder: Path,
    *,
    portraits: int,
    steps: int,
    device: torch.device | str = "cpu",
    precision: str = "float32",
    progress: bool = True,
) -> tuple[Evaluator, dict[str, dict[str, float]]]:
    """Train an evaluator on ``portraits`` images; it is returned with :func:`measure` of unseen ones.

    An interrupted call resumes from ``folder``, with the same bits, when repeated with its arguments.
    """
    generator = torch.Generator().manual_seed(seed)
    images, factors = bank(portraits, RESOLUTION, generator, progress=progress)
    new_images, new_factors = bank(UNSEEN, RESOLUTION, generator, progress=progress)
    with seeded(seed):  # initial weights; everything else draws from the generator
        evaluator = Evaluator()
    evaluator.mean.copy_(factors.continuous.mean(0))
    evaluator.deviation.copy_(factors.continuous.std(0))
    evaluator.to(device).train()
    optimizer = torch.optim.AdamW(evaluator.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(i: int) -> dict[str, float]:
        rate = LEARNING_RATE * min((i + 1) / (WARM_UP * steps), (1 + math.cos(math.pi * i / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        index = torch.randint(portraits, (BATCH,), generator=generator)
        x, truth = from_bytes(images[index]).to(device), factors[index].to(device)
        value = loss(evaluator, x, truth, generator, precision)
        descend(optimizer, value)
        return {"loss": value.item()}

    state = {"evaluator": evaluator, "optimizer": optimizer, "generator": generator}
    identity = {"seed": seed, "portraits": portraits, "precision": precision}
    loop(state, step, steps, folder, save_every=SAVE_EVERY, progress=progress, arguments=identity)
    evaluator.eval()
    return evaluator, measure(evaluator, new_images.to(device), new_factors.to(device))


def main(words: Sequence[str] | None = None) -> None:
    """Train, measure and save the evaluator."""
    parser = shared.arguments("Train the evaluator, or the perceptual network for generators.", seed=0)
    parser.add_argument(
        "which", choices=KINDS, help="evaluator: for metrics; perceptual: to train generators"
    )
    parser.add_argument("--images", type=int, default=20_000, help="portraits to draw and train on")
    parser.add_argument("--steps", type=int, default=2_000, help=f"training steps, of {BATCH} images")
    options = shared.begin(parser, words)
    evaluator, measured = train(
        options.seed,
        options.state / options.which,
        portraits=options.images,
        steps=options.steps,
        device=options.device,
        precision=options.precision,
        progress=not options.quiet,
    )
    settings = {name: getattr(options, name) for name in ("steps", "images", "precision")} | {"batch": BATCH}
    shared.ship(
        evaluator, evaluator.config, options, name=options.which, description=KINDS[options.which],
        measured=measured | {"training": settings},
        folder=options.out if options.which == "evaluator" else options.state,
    )  # fmt: skip


if __name__ == "__main__":
    main()
