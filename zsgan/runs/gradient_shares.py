"""Relative gradient norms of the terms of a loss: which terms drive an adaptation."""

import torch

from zsgan.adaptation.by_text import Adaptation


def gradient_norms(adaptation: Adaptation, step: int) -> dict[str, float]:
    """Norm of each weighted part's gradient at the weights as they are now, on the batch of a step.

    Args:
        adaptation: in any state; it is not changed.
        step: step whose latents and noise to use.

    Returns:
        part of the loss, as in a run's history -> norm over all trained parameters.
    """
    params, norms = list(adaptation.params.values()), {}
    for name, weight, value in adaptation.objective.parts(adaptation.batch(step)):
        gradients = torch.autograd.grad(weight * value, params, retain_graph=True, allow_unused=True)
        known = [gradient.norm() for gradient in gradients if gradient is not None]
        norms[name] = torch.stack(known).norm().item()
    return norms


def gradient_shares(adaptation: Adaptation, step: int) -> dict[str, float]:
    """Gradient norm of each part relative to the largest one, whose share is 1.

    These are norms, not projections: parts may oppose each other, so a share says how strong a gradient is,
    not whether it prevails.

    Args:
        adaptation: in any state; it is not changed.
        step: step whose latents and noise to use.

    Returns:
        part of the loss -> share in [0, 1]; EWC's is 0 at the start, where the weights are the source's.
    """
    norms = gradient_norms(adaptation, step)
    leading = max(norms.values())
    return {name: norm / leading if leading else 0.0 for name, norm in norms.items()}
