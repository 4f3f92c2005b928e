"""Adversarial images for CLIP, to train its robustness and to measure it."""

from collections.abc import Callable

import torch
from torch import Tensor


def attack(
    encode: Callable[[Tensor], Tensor],
    images: Tensor,
    texts: Tensor,
    same: Tensor,
    *,
    scale: float,
    epsilon: float,
    generator: torch.Generator,
    steps: int = 1,
) -> Tensor:
    """Adversarial images in an L2 ball: gradient ascent on the contrastive loss from a random start.

    Args:
        encode: maps images to unit-norm features (N, D), each image independently.
        images: (N, 3, H, W) in [-1, 1].
        texts: (M, D) unit-norm text features, held fixed.
        same: (N, M) in [0, 1], degree to which the text is true of the image; no row is zero.
        scale: factor of the cosines.
        epsilon: radius of the ball.
        generator: the source of randomness, on the CPU.
        steps: gradient steps.

    Returns:
        (N, 3, H, W) in [-1, 1], at most ``epsilon`` from ``images``.
    """
    target = same / same.sum(1, keepdim=True)
    noise = torch.randn(images.shape, generator=generator).to(images)
    delta = _with_norm(noise, epsilon * torch.rand(len(images), generator=generator).to(images))
    length = 1.25 * epsilon if steps == 1 else 2.5 * epsilon / steps
    for _ in range(steps):
        x = (images + delta).detach().requires_grad_()
        loss = -((scale * encode(x) @ texts.T).log_softmax(1) * target).sum()
        (gradient,) = torch.autograd.grad(loss, x)
        delta = delta + _with_norm(gradient, torch.full_like(target[:, 0], length))
        delta = _with_norm(delta, delta.flatten(1).norm(dim=1).clamp_max(epsilon))
    return (images + delta).clamp(-1, 1).detach()


def _with_norm(x: Tensor, norms: Tensor) -> Tensor:
    return x * (norms / x.flatten(1).norm(dim=1).clamp_min(1e-12)).view(-1, 1, 1, 1)
