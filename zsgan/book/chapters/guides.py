"""Limits of the guidance: the same training with losses that know more than a text."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy

import pandas as pd
import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import trained_parameters
from zsgan.base.descent import descend
from zsgan.base.device import threads
from zsgan.evaluation.loading import load_judges
from zsgan.networks.sampling import Samples
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.profiles import Profile

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Loss of latents (N, D_z), the source generator's images of them, and the trained generator's."""


def trained(g_src: Generator, loss: Loss, config: AdaptConfig, *, steps: int, seed: int) -> Generator:
    """Copy of the source generator after some steps of Adam on any loss.

    Training runs on one thread, which keeps the result reproducible; more do not speed up networks of the
    demo's size.

    Args:
        g_src: source generator; not changed.
        loss: loss of one batch.
        config: which parameters are trained, Adam's settings, and the size of a batch.
        steps: steps of Adam.
        seed: seed of the latents.

    Returns:
        the trained generator.
    """
    how, random = config.optimiser, torch.Generator().manual_seed(seed)
    g_trg = deepcopy(g_src)
    free = [p.requires_grad_() for p in trained_parameters(g_trg, config.trainable).values()]
    adam = torch.optim.Adam(free, how.lr, how.betas)
    with threads(1):
        for _ in range(steps):
            z = torch.randn(how.batch_size, g_src.mapping.z_dim, generator=random)
            with torch.no_grad():
                before = g_src(z)
            descend(adam, loss(z, before, g_trg(z)))
    return g_trg.requires_grad_(False)


def against_truth(
    generators: Mapping[str, Sequence[Generator]], profile: Profile, scenario: str
) -> pd.DataFrame:
    """Quality of generators against the true target, by the evaluator, without truncation.

    Args:
        generators: label -> generators, such as one for each seed.
        profile: sets the number of images.
        scenario: scenario of the true target.

    Returns:
        index label, a row for each generator: target rate, fid, precision and recall.
    """
    judges, lines = load_judges(profile, scenario), []
    wanted = ("evaluator_rate", "fid", "precision", "recall")
    with threads(1):
        for label, found in generators.items():
            for generator in found:
                images = Samples(generator, profile.samples, 1, 1.0)
                lines.append(pd.Series(judges.adaptation(judges.look(images, wanted), wanted), name=label))
    return pd.DataFrame(lines).rename(columns={"evaluator_rate": "target rate"})
