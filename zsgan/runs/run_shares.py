"""Gradient shares of the terms of a finished run, at its start and at its end."""

from pathlib import Path

import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.terms import needs
from zsgan.networks.load import load_generator
from zsgan.runs.gradient_shares import gradient_shares
from zsgan.runs.make import fisher_of, guides_of, source_features_of
from zsgan.runs.run import RUNS, Run


def run_shares(
    found: Run, *, folder: Path = RUNS, device: torch.device | str = "cpu"
) -> dict[str, dict[str, float]]:
    """Gradient share of each part of the loss, see :func:`zsgan.runs.gradient_shares.gradient_shares`.

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
    g_src, guides = load_generator(config.generator, device), guides_of(config, device)
    fisher = fisher_of(config, g_src, guides, folder) if needs(config, "ewc") else None
    adaptation = Adaptation(config, g_src, guides, fisher, source_features_of(config, g_src, guides, folder))
    start = gradient_shares(adaptation, 0)
    adaptation.g_trg.load_state_dict(found.generator(device=device).state_dict())
    return {"start": start, "end": gradient_shares(adaptation, found.iterations - 1)}
