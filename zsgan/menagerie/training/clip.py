"""Train a CLIP of the demo adversarially: ``python -m zsgan.menagerie.training.clip a --seed 0``.

A small CLIP trained without attacks is easily fooled: a generator that it guides drifts into textures that
only CLIP sees. Training on perturbed images aligns the gradients with respect to the image with human
perception (Santurkar et al. 2019, "Image Synthesis with a Single (Robust) Classifier"; Engstrom et al. 2019,
"Adversarial Robustness as a Prior for Learned Representations"). As in these papers, the perturbations lie in
an L2 ball: an attack can change a small part of the image strongly, as a generator can, whereas an L-infinity
ball allows only faint changes everywhere.
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import torch
from open_clip import CLIP
from torch import Tensor

from zsgan.base.descent import descend
from zsgan.base.loop import loop
from zsgan.base.precision import autocast
from zsgan.menagerie import clip_model
from zsgan.menagerie.captions import VOCABULARY
from zsgan.menagerie.clip_model import CompactTokenizer
from zsgan.menagerie.training import shared
from zsgan.menagerie.training.attack import attack
from zsgan.menagerie.training.augment import augment
from zsgan.menagerie.training.examples import Examples, draw_mixed
from zsgan.menagerie.training.measure_clip import measure
from zsgan.networks.clip import ClipEncoder

RESOLUTION = 64
LEARNING_RATE = 1.5e-3
LATE_RATE = 7e-4
"""Learning rate at which training restarts when the late batches begin."""
WEIGHT_DECAY = 0.05
WARM_UP = 60
"""Steps over which the learning rate rises."""
PEACE = 0.25
"""Share of the training before late batches in which no image is attacked."""
EPSILON = 3.0
"""Final radius of the L2 ball, for images in [-1, 1] (0.027 per value, root mean square)."""
RAMP = 0.6
"""Share of the training before late batches after which the ball has its final radius."""
CLEAN = 0.2
"""Share of every batch that is not attacked."""
MAX_SCALE = math.log(100.0)
SAVE_EVERY = 100


def token_ids() -> list[int]:
    """Tokens of the demo's CLIP: those of the captions, and the full stop."""
    return clip_model.used_token_ids([*VOCABULARY, "."])


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor, same: Tensor) -> Tensor:
    """Symmetric InfoNCE (Radford et al. 2021) with every true caption as a positive: no false negatives.

    Args:
        images: (N, D) unit-norm features.
        texts: (M, D) unit-norm features.
        scale: factor of the cosines, a scalar.
        same: (N, M) in [0, 1], degree to which the text is true of the image; no row or column is zero.

    Returns:
        a scalar >= 0.
    """
    logits = scale * images @ texts.T
    by_image = -(logits.log_softmax(1) * same / same.sum(1, keepdim=True)).sum(1)
    by_text = -(logits.log_softmax(0) * same / same.sum(0, keepdim=True)).sum(0)
    return (by_image.mean() + by_text.mean()) / 2


def image_features(model: CLIP, images: Tensor) -> Tensor:
    """Unit-norm features (N, D) of images (N, 3, 64, 64) in [-1, 1], by a model in training."""
    mean, std = (images.new_tensor(model.visual.preprocess_cfg[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return model.encode_image(((images + 1) / 2 - mean) / std, normalize=True)


def train(
    model: CLIP,
    tokenizer: CompactTokenizer,
    examples: Examples,
    generator: torch.Generator,
    *,
    steps: int,
    batch: int,
    folder: Path,
    progress: bool = True,
    seed: int = 0,
    precision: str = "float32",
) -> list[dict[str, float]]:
    """Train a model, on its device, on portraits of 64 px with new captions in every batch.

    An interrupted call resumes from ``folder``, see :func:`zsgan.base.loop.loop`, which also describes the
    log that is returned; a state with other arguments is refused. ``precision`` is that of the two encoders,
    "float32" or "bfloat16"; the loss is always float32.
    """
    device = model.logit_scale.device

    def encode(images: Tensor) -> Tensor:
        with autocast(precision, device):
            return image_features(model, images).float()

    model.train().to(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.98),
    )

    def step(i: int) -> dict[str, float]:
        done, late = i / steps, examples.late
        if is_late := done >= late:
            part, peak, step_of_part = (done - late) / (1 - late), LATE_RATE, i - math.ceil(late * steps)
        else:
            part, peak, step_of_part = done / late, LEARNING_RATE, i
        if step_of_part == 0:
            optimizer.state.clear()  # Adam's gradient statistics belong to other batches
        rate = peak * min(1.0, (step_of_part + 1) / WARM_UP) * (1 + math.cos(math.pi * part)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        epsilon = EPSILON * min(1.0, max(0.0, (done / late - PEACE) / (RAMP - PEACE)))

        drawn = examples.batch(batch, generator, is_late)
        stops = (torch.rand(batch, generator=generator) < 0.2).tolist()
        words = [text + "." * stop for text, stop in zip(drawn.texts, stops, strict=True)]
        same = drawn.true.to(device)
        x = augment(drawn.images.to(device), generator)
        x = x.contiguous(memory_format=torch.channels_last)
        with autocast(precision, device):
            texts = model.encode_text(tokenizer(words).to(device), normalize=True).float()
        attacked = 0 if epsilon == 0 else round((1 - CLEAN) * batch)
        if attacked:
            model.eval()  # images stay independent, and attacks leave no trace in the batch statistics
            fooled = attack(
                encode, x[:attacked], texts.detach(), same[:attacked],
                scale=model.logit_scale.exp().item(), epsilon=epsilon, generator=generator,
            )  # fmt: skip
            model.train()
            x = torch.cat([fooled, x[attacked:]])
        features = encode(x)
        loss = contrastive_loss(features, texts, model.logit_scale.exp(), same)
        descend(optimizer, loss)
        with torch.no_grad():
            model.logit_scale.clamp_(max=MAX_SCALE)
        right = same.gather(1, (features @ texts.T).argmax(1, keepdim=True))[:, 0]
        return {
            "loss": loss.item(),
            "scale": model.logit_scale.exp().item(),
            "epsilon": epsilon,
            "right, attacked": right[:attacked].mean().item() if attacked else 0.0,
            "right, clean": right[attacked:].mean().item(),
        }

    state = {"model": model, "optimizer": optimizer, "generator": generator}
    identity = {
        "seed": seed, "batch": batch, "images": len(examples.images), "examples": type(examples).__name__,
        "epsilon": EPSILON, "precision": precision,
    }  # fmt: skip
    return loop(state, step, steps, folder, save_every=SAVE_EVERY, progress=progress, arguments=identity)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure and save one CLIP."""
    parser = shared.arguments(__doc__.split("\n")[0].split(":")[0], seed=0)
    parser.add_argument(
        "which", choices=("a", "b", "c"), help="a and c guide adaptations, b only evaluates them"
    )
    parser.add_argument("--images", type=int, default=24_000, help="portraits to draw")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--batch", type=int, default=96, help="images per step")
    parser.add_argument("--mixed", action="store_true", help="also train on portraits of two animals at once")
    options = shared.begin(parser, arguments)

    generator = torch.Generator().manual_seed(options.seed)
    ids = token_ids()
    model, tokenizer = clip_model.build(ids, generator)
    images, factors = shared.bank(options.images, RESOLUTION, generator, progress=not options.quiet)
    examples, of = Examples(images, factors), ""
    if options.mixed:
        of = ", also on portraits of two animals"
        examples = draw_mixed(images, factors, generator, progress=not options.quiet)
    name = f"clip-{options.which}"
    train(
        model.to(options.device), tokenizer, examples, generator,
        steps=options.steps, batch=options.batch, folder=options.state / name, progress=not options.quiet,
        seed=options.seed, precision=options.precision,
    )  # fmt: skip
    encoder = ClipEncoder(deepcopy(model), tokenizer, name)  # it folds the normalisation of its model
    measured = measure(encoder, torch.Generator().manual_seed(options.seed + 1_000_003), epsilon=EPSILON)
    settings = {name: getattr(options, name) for name in ("steps", "batch", "images", "precision")}
    shared.ship(
        model, {"model": clip_model.NAME, "token_ids": ids}, options,
        name=name,
        description=f"The demo's CLIP {options.which.upper()}, adversarially trained on the demo world{of}",
        measured=measured | settings | {"epsilon": EPSILON},
        loader=f"{clip_model.__name__}:load",
    )  # fmt: skip


if __name__ == "__main__":
    main()
