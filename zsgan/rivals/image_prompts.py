"""Prompts for each image, of IPL (Guo et al., CVPR 2023), in place of one direction for all images.

A small network turns a latent into the first words of a prompt, as vectors. With the name of the source after
them they describe the source generator's image of that latent; with the name of the target, what it becomes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.base.precision import at_least_float32
from zsgan.networks.stylegan2.layers import EqualizedLinear
from zsgan.networks.stylegan2.mapping import normalize_second_moment

LR_MULTIPLIER = 0.01
"""Of the network's layers, as in IPL's code."""


class PromptMapper(nn.Module):
    """Latents to words: w is normalised, and passes three layers of its width and one to the words.

    Args:
        w_dim: D_w.
        words: C, the number of words before the name of a domain.
        width: width of a word's vector.
        activated: whether the last layer is activated as the others are, as in IPL's code; else it is linear.
    """

    def __init__(self, w_dim: int, words: int, width: int, activated: bool = False) -> None:
        super().__init__()
        self.words, self.width = words, width
        hidden = [EqualizedLinear(w_dim, w_dim, activate=True, lr_multiplier=LR_MULTIPLIER) for _ in range(3)]
        last = EqualizedLinear(w_dim, words * width, activate=activated, lr_multiplier=LR_MULTIPLIER)
        self.layers = nn.Sequential(*hidden, last)

    def forward(self, w: Tensor) -> Tensor:
        """Map (N, D_w) to (N, C, width)."""
        found: Tensor = self.layers(normalize_second_moment(w))
        return found.unflatten(1, (self.words, self.width))


def contrastive_loss(images: Tensor, texts: Tensor, scale: float) -> Tensor:
    """CLIP's loss: each image shall find its text among all, and each text its image.

    Args:
        images: (N, D) of unit norm.
        texts: (N, D) of unit norm; row n belongs to image n.
        scale: factor of the cosines, the inverse of a temperature.

    Returns:
        mean of both cross-entropies, ().

    Raises:
        ValueError: the shapes differ.
    """
    if images.ndim != 2 or images.shape != texts.shape:
        raise ValueError(
            f"images and texts must both be (N, D), got {tuple(images.shape)} and {tuple(texts.shape)}"
        )
    logits = scale * at_least_float32(images) @ at_least_float32(texts).mT
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.mT, own)) / 2


def domain_loss(texts: Tensor, target: Tensor) -> Tensor:
    """Mean of 1 - cos of the target's prompts (N, D) and the feature of the target text (D,), in [0, 2]."""
    return (1 - F.cosine_similarity(texts, target[None], dim=1)).mean()
