"""Relative gradient norms of the terms of a loss: which terms drive an adaptation."""

from pathlib import Path

import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.terms import needs
from zsgan.base.precision import at_least_float32
from zsgan.networks.load import load_generator
from zsgan.runs.identity import resolve
from zsgan.runs.make import fisher_of, guides_of, source_features_of
from zsgan.runs.run import RUNS, Run


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
        known = [at_least_float32(gradient).norm() for gradient in gradients if gradient is not None]
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


def shares_of(
    found: Run, *, folder: Path = RUNS, device: torch.device | str = "cpu"
) -> dict[str, dict[str, float]]:
    """Gradient shares of a finished run at its start and at its end, see :func:`gradient_shares`.

    Args:
        found: a run guided by texts.
        folder: folder of runs; its cache has what the run computed before its first step.
        device: torch device.

    Returns:
        "start" (the source's weights and the first batch) and "end" (the adapted weights and the last
        batch) -> part of the loss -> share of the leading part, in [0, 1].

    Raises:
        ValueError: images guided the run: its loss has no terms.
    """
    config = found.config
    if config.few_shot is not None:
        raise ValueError(
            f"{found.folder} was guided by images, not by a text: its loss has no terms to share"
        )
    job = resolve(config)
    g_src, guides = load_generator(job.generator, device), guides_of(job, device)
    fisher = fisher_of(job, g_src, guides, folder) if needs(config, "ewc") else None
    adaptation = Adaptation(config, g_src, guides, fisher, source_features_of(job, g_src, guides, folder))
    start = gradient_shares(adaptation, 0)
    adaptation.g_trg.load_state_dict(found.generator(device=device).state_dict())
    return {"start": start, "end": gradient_shares(adaptation, found.iterations - 1)}
