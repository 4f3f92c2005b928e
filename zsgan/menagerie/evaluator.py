"""The demo's evaluator: a small network that predicts a portrait's factors and yields features for metrics.

It takes the place of Inception (FID), of VGG (LPIPS, precision, recall) and of a human rater. Nothing is ever
optimised against it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.assets import manifest
from zsgan.base.resize import resize
from zsgan.base.tensors import load_tensors, read_header
from zsgan.menagerie.factors import CATEGORIES, CONTINUOUS
from zsgan.metrics.eyes import Prediction

RESOLUTION = 64
"""Side of the evaluator's input images, in pixels."""


class Evaluator(nn.Module):
    """Residual network over 64-px images with one linear head for each factor.

    It implements :class:`zsgan.metrics.eyes.Eyes`.

    Args:
        widths: channels at 64 px, then after each halving of the resolution; the last is the embedding's D.
        categories: categorical factor -> number of values.
        n_continuous: number of continuous factors.
    """

    name = "evaluator"
    networks = (name,)
    size = RESOLUTION
    weights = None
    labels = CATEGORIES
    near = None

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        widths: Sequence[int] = (16, 24, 48, 96, 160),
        categories: Mapping[str, int] | None = None,
        n_continuous: int = len(CONTINUOUS),
    ) -> None:
        super().__init__()
        if categories is None:
            categories = {kind: len(names) for kind, names in CATEGORIES.items()}
        self.config = {"widths": list(widths), "categories": dict(categories), "n_continuous": n_continuous}
        stem = nn.Sequential(_conv(3, widths[0]), nn.ReLU())
        blocks = [_Block(a, b) for a, b in pairwise(widths)]
        self.layers = nn.ModuleList([stem, *blocks])
        side = RESOLUTION >> len(blocks)
        # Pooling has learned spatial weights: a plain mean would lose the position of the animal.
        self.pool = nn.Conv2d(widths[-1], widths[-1], side, groups=widths[-1], bias=False)
        nn.init.constant_(self.pool.weight, 1 / side**2)
        self.pool_norm = nn.BatchNorm1d(widths[-1], affine=False)
        self.heads = nn.ModuleDict({kind: nn.Linear(widths[-1], n) for kind, n in categories.items()})
        self.regression = nn.Linear(widths[-1], n_continuous)
        self.register_buffer("mean", torch.zeros(n_continuous))
        self.register_buffer("deviation", torch.ones(n_continuous))
        self.to(memory_format=torch.channels_last)  # faster on CPUs

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps at every depth, from fine to coarse: the perceptual network of the demo's LPIPS.

        Args:
            images: (N, 3, H, W) in [-1, 1], of any size; resized to 64 px (bicubic, antialiased).

        Returns:
            non-negative maps (N, C_l, 64 / 2^l, 64 / 2^l), l = 0, 1, ...
        """
        x, maps = _resized(images), []
        for layer in self.layers:
            x = layer(x)
            maps.append(x)
        return maps

    def embed(self, images: Tensor) -> Tensor:
        """Pooled features (N, D) for FID, precision and recall; unit variance over the training world."""
        return self.pool_norm(self.pool(self.maps(images)[-1]).flatten(1))

    def read(self, embedding: Tensor) -> Prediction:
        """Predicted factors of an embedding (N, D)."""
        logits = {kind: head(embedding) for kind, head in self.heads.items()}
        return Prediction(logits, self.regression(embedding))

    def forward(self, images: Tensor) -> Prediction:
        """Predicted factors of images (N, 3, H, W) in [-1, 1]."""
        return self.read(self.embed(images))

    def standardise(self, continuous: Tensor) -> Tensor:
        """Continuous factors (N, n_continuous) from the units of the drawing to those of predictions."""
        return (continuous - self.mean) / self.deviation


def load_evaluator(device: torch.device | str = "cpu", file: Path | None = None) -> Evaluator:
    """An evaluator, frozen and in evaluation mode.

    Args:
        device: where to put it.
        file: its weights; by default those that ship with the package.

    Returns:
        the evaluator.

    Raises:
        FileNotFoundError: its weights are missing or altered.
    """
    tensors, config, _ = load_tensors(file or manifest.path("evaluator"))
    evaluator = Evaluator(**config)
    evaluator.load_state_dict(tensors)
    return evaluator.to(device).eval().requires_grad_(False)


def reliability() -> dict[str, float]:
    """Accuracy or R2 of the shipped evaluator on held-out portraits, for each factor.

    Returns:
        categorical factor -> accuracy, continuous factor -> R2.
    """
    measured = read_header(manifest.path("evaluator"))["measured"]
    return measured["accuracy"] | measured["R2"]


class _Block(nn.Module):
    """Halve the resolution, then refine: two 3 x 3 convolutions, the second residual."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.down = _conv(c_in, c_out, stride=2)
        self.refine = _conv(c_out, c_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down(x))
        return F.relu(x + self.refine(x))


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out))


def _resized(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (N, 3, H, W), got {tuple(images.shape)}")
    if images.shape[2:] == (RESOLUTION, RESOLUTION):
        return images
    return resize(images, RESOLUTION, "bicubic")
