"""What StyleGAN2 is trained with (Karras et al. 2020): adversarial losses and their two regularisers.

Losses are pure functions of a discriminator's logits (N, 1), large for real images, and have shape ().
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Logistic loss of the discriminator: mean softplus(-real) + mean softplus(fake).

    Args:
        real: (N, 1) logits of real images.
        fake: (M, 1) logits of generated images.

    Returns:
        the loss, >= 0; log 4 of a discriminator that cannot decide.
    """
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator: mean softplus(-fake), >= 0, of logits (N, 1)."""
    return F.softplus(-fake).mean()


def r1_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Half the squared norm of the discriminator's gradient at real images (R1 of Mescheder et al. 2018).

    Args:
        logits: (N, 1), or any scores whose sum is asked.
        images: (N, 3, R, R) that the logits were computed of, with gradients.

    Returns:
        the mean over the images, >= 0; differentiable.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


class PathLength(nn.Module):
    """Path length regularisation: the Jacobian from W to the image shall stretch equally everywhere.

    The lengths |J^T y| of random images y are pulled towards a running mean of theirs.

    Args:
        decay: how far the running mean moves towards the mean of a batch.
    """

    mean: Tensor

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
        """The penalty of a batch, >= 0; it moves the running mean, through which gradients flow too.

        Args:
            images: (N, 3, R, R), synthesised from ``ws``.
            ws: (N, L, D_w), with gradients.
            noise: (N, 3, R, R), samples of N(0, 1); y is noise / R.

        Returns:
            mean_n (length_n - mean)^2; length_n^2 is the mean over the L styles of |d(y_n images_n) / dw|^2.
        """
        (gradient,) = torch.autograd.grad((images * noise).sum() / images.shape[-1], ws, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        mean = self.mean.lerp(lengths.mean(), self.decay)
        self.mean.copy_(mean.detach())
        return (lengths - mean).square().mean()
