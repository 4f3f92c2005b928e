"""Preparation of what several runs share, so that none of them waits while another one computes it."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.speed import check_device
from zsgan.adaptation.terms import needs
from zsgan.base import device as devices
from zsgan.base.device import threads
from zsgan.base.precision import tf32
from zsgan.networks.load import load_generator
from zsgan.runs.identity import check
from zsgan.runs.make import fisher_of, guides_of, source_features_of, threads_for

Part = Literal["features", "fisher"]
PARTS: tuple[Part, ...] = ("features", "fisher")
"""Features of every step's source images, which a seed has, and Fisher information, which a source has."""


def prepare(
    part: Part, config: AdaptConfig, *, folder: Path, device: torch.device | str, progress: bool = False
) -> None:
    """Compute a part of a run that others share, or find it; an interrupted call resumes.

    Args:
        part: one of :data:`PARTS`.
        config: configuration of the run.
        folder: folder of runs; its ``cache`` keeps the result.
        device: torch device.
        progress: show a progress bar.

    Raises:
        ValueError: the run has no such part, or a name in its configuration is unknown.
        FileNotFoundError: the file of a name is missing.
    """
    if config.few_shot is not None or (part == "fisher" and not needs(config, "ewc")):
        which = "only a term such as ewc needs it" if part == "fisher" else "images guide it"
        raise ValueError(f"{part}: the run has none, since {which}; name another row, or leave this out")
    (job,) = check([config])
    device = devices.set_up(device)
    check_device(config.speed, device)
    g_src = load_generator(job.generator, device)
    with threads(threads_for(g_src)), tf32(config.speed.tf32):
        # One direction needs no variations, on which neither part depends but by a guide of one's own.
        less = replace(job, config=replace(job.config, terms={"directional": 1.0}))
        guides = guides_of(less if config.guide is None else job, device)
        compute = fisher_of if part == "fisher" else source_features_of
        compute(job, g_src, guides, folder, progress)
