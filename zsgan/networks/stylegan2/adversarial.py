"""Adversarial losses of StyleGAN2 (Karras et al. 2020) and its two regularisers.

Losses are pure functions of a discriminator's logits (N, 1), large for real images, and have shape ().
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.base.precision import at_least_float32


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of the discriminator: mean softplus(-real) + mean softplus(fake).

    Args:
        real: (N, 1) logits of real images.
        fake: (M, 1) logits of generated images.

    Returns:
        the loss, >= 0; log 4 for a discriminator that outputs 0.
    """
    return F.softplus(-at_least_float32(real)).mean() + F.softplus(at_least_float32(fake)).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: mean softplus(-fake), >= 0, of logits (N, 1)."""
    return F.softplus(-at_least_float32(fake)).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Half the squared norm of the discriminator's gradient at real images (R1 of Mescheder et al. 2018).

    Args:
        logits: (N, 1), or any scores, which are summed.
        images: (N, 3, R, R), from which the logits were computed, with gradients.

    Returns:
        the mean over the images, >= 0; differentiable.
    """
    (gradient,) = torch.autograd.grad(at_least_float32(logits).sum(), images, create_graph=True)
    return at_least_float32(gradient).square().sum((1, 2, 3)).mean() / 2


class PathLength(nn.Module):
    """Path length regularisation, which makes the Jacobian J from W to the image stretch equally everywhere.

    It pulls the lengths |J^T y| of random images y towards their running mean.

    Args:
        decay: share by which the running mean moves towards the mean of a batch.
    """

    mean: Tensor

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
        """Penalty of a batch, >= 0; updates the running mean, which also passes gradients.

        Args:
            images: (N, 3, R, R), synthesised from ``ws``.
            ws: (N, L, D_w), with gradients.
            noise: (N, 3, R, R), samples of N(0, 1); y is noise / R.

        Returns:
            mean_n (length_n - mean)^2; length_n^2 is the mean over the L styles of |d(y_n images_n) / dw|^2.
        """
        product = (at_least_float32(images) * noise).sum() / images.shape[-1]
        (gradient,) = torch.autograd.grad(product, ws, create_graph=True)
        lengths = at_least_float32(gradient).square().sum(2).mean(1).sqrt()
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return (lengths - mean).square().mean()
