"""Prompts of AIR (Liu et al. 2025, "AIR: Zero-shot Generative Model Adaptation with Iterative Refinement").

Directions of images and texts agree the better, the closer their concepts. AIR therefore follows, beside the
direction from the source, that from an anchor: the generator as adapted so far. An anchor has no name, so a
prompt is learnt for it, whose direction from the previous anchor's prompt is that of their images.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.method.losses import directional_loss


def between(source: Tensor, target: Tensor, share: float) -> Tensor:
    """Vectors of words between two texts; the last word of the shorter text is repeated.

    Args:
        source: (n, width) vectors of the source text.
        target: (m, width) vectors of the target text.
        share: 0 for the source, 1 for the target.

    Returns:
        (max(n, m), width).
    """
    n = max(len(source), len(target))
    ends = [torch.cat([each, each[-1:].expand(n - len(each), -1)]) for each in (source, target)]
    return torch.lerp(ends[0], ends[1], share)


def anchor_prompt(
    encode: Callable[[Tensor], Tensor],
    start: Tensor,
    before: Tensor,
    direction: Tensor,
    steps: int,
    lr: float,
    fixed: int = 0,
) -> Tensor:
    """Feature of a prompt for an anchor: cos(E_T(prompt) - E_T(previous prompt), image direction) is raised.

    In AIR's code the name of the domain is ``fixed``, and the image direction is the mean of each image's,
    scaled to unit length.

    Args:
        encode: E_T of vectors of words, (1, n, width) to (1, D).
        start: (n, width) vectors to begin with, see :func:`between`.
        before: (D,) feature of the previous anchor's prompt; of the source text for the first anchor.
        direction: (D,) mean feature of the anchor's images minus that of the previous anchor's.
        steps: steps of Adam on the vectors.
        lr: its learning rate.
        fixed: number of the last vectors that stay as they begin.

    Returns:
        (D,) of unit norm, without gradients.
    """
    vectors = start.detach().clone().requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=lr)
    for _ in range(steps):
        loss = directional_loss(encode(vectors[None]) - before, direction)
        (vectors.grad,) = torch.autograd.grad(loss, vectors)
        vectors.grad[len(start) - fixed :] = 0  # with which Adam does not move them
        optimiser.step()
    with torch.no_grad():
        return F.normalize(encode(vectors[None])[0], dim=0)
