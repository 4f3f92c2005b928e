"""Checks of a method from a plug-in, before hours are spent on it: a few steps say what is wrong with it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from zsgan.adaptation.batches import Batch
from zsgan.adaptation.by_text import Adaptation, Trainer
from zsgan.adaptation.config import AdaptConfig, is_plugged
from zsgan.adaptation.guide import make_guide, source_features, trained_parameters
from zsgan.adaptation.plugged import held
from zsgan.adaptation.terms import Loss, kind_of
from zsgan.adaptation.trainers import trainer_of
from zsgan.base import device as devices
from zsgan.base.loop import loop
from zsgan.networks.clip import ClipEncoder
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.costs import now
from zsgan.runs.grid import is_made
from zsgan.runs.identity import Job, resolve
from zsgan.runs.make import threads_for
from zsgan.runs.profiles import Profile

log = logging.getLogger(__name__)

STEPS = 3
"""Steps that are timed of each method."""


@dataclass(frozen=True)
class Checked:
    """A method that passed.

    Attributes:
        reached: plugged-in term -> number of trained tensors that its gradient reaches.
        trained: number of trained tensors.
        seconds: of a step, the median.
        plain: seconds of a step of L_dir on the same networks.
    """

    reached: dict[str, int]
    trained: int
    seconds: float
    plain: float

    def __str__(self) -> str:
        """One line, for a terminal."""
        reached = [f"gradients of {name} reach {n} of {self.trained}" for name, n in self.reached.items()]
        cost = f"a step takes {self.seconds:.3g} s, {self.seconds / self.plain:.2f} times L_dir's"
        return "; ".join([*reached, "the same with the same seed", "resumes to the same bits", cost])


def check_method(config: AdaptConfig | Job, device: torch.device | str = "cpu") -> Checked:
    """Take a few steps of a configuration with plug-ins; nothing is kept.

    Args:
        config: the configuration, or its job.
        device: torch device.

    Returns:
        what was found.

    Raises:
        ValueError: a term returns no finite scalar, or its gradient does not reach the trained parameters; or
            the trainer changes nothing or more than it names, draws other numbers each time, or does not
            resume. The message says which.
    """
    device = devices.set_up(device)
    job = resolve(config)
    g_src = load_generator(job.generator, device)
    with held(job.sources), devices.threads(threads_for(g_src)):
        return check_on(job.config, g_src, [load_clip(clip, device) for clip in job.clips])


def check_methods(profile: Profile, folder: Path, device: torch.device | str = "cpu") -> None:
    """Check every row with plug-ins that has a run to make, once; the log says what was found.

    Args:
        profile: the profile.
        folder: folder of runs.
        device: torch device.

    Raises:
        ValueError: a row does not pass, see :func:`check_method`.
    """
    checked: set[str] = set()
    for scenario, row, seed in profile.grid:
        config = profile.config(scenario, row, seed)
        if config.plugs and row not in checked and not is_made(job := resolve(config), folder):
            log.info("%s is checked: %s", row, check_method(job, device))
            checked.add(row)


def check_on(config: AdaptConfig, g_src: Generator, encoders: Sequence[ClipEncoder]) -> Checked:
    """:func:`check_method` on given networks; see there for errors.

    Args:
        config: the configuration.
        g_src: source generator.
        encoders: its CLIPs.

    Returns:
        what was found.
    """
    config = replace(config, optimiser=replace(config.optimiser, iterations=STEPS + 2))
    # zeros cost as much as the true Fisher information
    fisher = {name: torch.zeros_like(p) for name, p in trained_parameters(g_src, config.trainable).items()}

    def inputs(config: AdaptConfig) -> tuple[Any, ...]:
        guides = [make_guide(encoder, config, g_src=g_src) for encoder in encoders]
        f_src = source_features(g_src, [guide.encoder for guide in guides], config)
        return config, g_src, guides, fisher, f_src

    def begin() -> Trainer:
        return trainer_of(config)(*given)

    given = inputs(config)
    plain = Adaptation(*given)
    own = {name: kind_of(name).bind(config) for name in filter(is_plugged, config.weights)}
    for name, loss in own.items():
        _gradients(name, loss, plain.batch(0), plain.params)
    if own:
        plain.step(0)  # at the source's weights some gradients are zero
    reached = {name: _reached(name, loss, plain) for name, loss in own.items()}
    _check_trainer(begin, g_src, config.trainer or ", ".join(config.plugs))
    alone = replace(config, trainer=None, guide=None, selection=None, air=None, difa=None, ipl=None)
    directional = Adaptation(*inputs(replace(alone, terms={"directional": 1.0})))
    seconds, of_plain = _seconds(begin(), directional, device=g_src.synthesis.const.device)
    return Checked(reached, len(plain.params), seconds, of_plain)


def _gradients(name: str, loss: Loss, batch: Batch, params: Mapping[str, Tensor]) -> list[Tensor | None]:
    """The gradients of a plugged-in term, after checks of its value and of themselves."""
    ((_, value),) = loss(batch).values()
    if not value.isfinite():
        raise ValueError(f"{name} is {value.item()} on the first images; guard its divisions and logarithms")
    if not value.requires_grad:
        raise ValueError(
            f"{name} has no gradient: it must depend on seen.f_trg, seen.step.images or seen.step.g_trg, "
            "without detach(), item() or torch.no_grad()"
        )
    found = torch.autograd.grad(value, list(params.values()), allow_unused=True)
    for parameter, gradient in zip(params, found, strict=True):
        if gradient is not None and not gradient.isfinite().all():
            raise ValueError(
                f"{name}: its gradient is not finite in {parameter}; norms and square roots of 0 have none, "
                "add a small number under them"
            )
    return list(found)


def _reached(name: str, loss: Loss, adaptation: Adaptation) -> int:
    """Number of trained tensors with a gradient; the same when it is computed again."""
    first, again = (_gradients(name, loss, adaptation.batch(1), adaptation.params) for _ in range(2))
    reached = sum(gradient is not None and bool(gradient.any()) for gradient in first)
    if not reached:
        raise ValueError(
            f"{name}: its gradient is zero in all trained parameters; it must depend on the target's images"
        )
    for one, other in zip(first, again, strict=True):
        if one is not None and other is not None and not torch.equal(one, other):
            raise ValueError(
                f"{name} gives other values for the same step and seed; draw random numbers with "
                'generator=seen.step.random("a name")'
            )
    return reached


class _Stop(Exception):
    """Raised in the place of a step, as if a run were stopped."""


def _check_trainer(begin: Callable[[], Trainer], g_src: Generator, name: str) -> None:
    """Two steps of a trainer are the same again, also when they are interrupted, and change what it names."""
    trainer, again = begin(), begin()
    logs = [[one.step(i) for i in range(2)] for one in (trainer, again)]
    after, source = trainer.result.state_dict(), g_src.state_dict()
    changed = {key for key, value in after.items() if not torch.equal(value, source[key])}
    if not changed:
        raise ValueError(f"{name} changes no parameter in its first steps")
    if others := sorted(changed - set(trainer.trained)):
        raise ValueError(f"{name} changes {others[0]}, which its property trained does not name; add it")
    if logs[0] != logs[1] or not _same(trainer, again):
        raise ValueError(
            f"{name} is not the same twice with the same seed; draw random numbers from "
            "zsgan.base.streams.stream(config.seed, ..., i)"
        )
    stopped, resumed = begin(), begin()

    def one_step(i: int) -> dict[str, float]:
        if i == 1:
            raise _Stop
        return stopped.step(i)

    with TemporaryDirectory() as folder:
        with suppress(_Stop):
            loop(stopped.state, one_step, 2, Path(folder), save_every=1, progress=False)
        loop(resumed.state, resumed.step, 2, Path(folder), save_every=1, progress=False)
    if not _same(trainer, resumed):
        raise ValueError(
            f"{name} gives another result when it is resumed; its property state must have all that a step "
            "changes"
        )


def _same(one: Trainer, other: Trainer) -> bool:
    theirs = other.result.state_dict()
    return all(torch.equal(value, theirs[key]) for key, value in one.result.state_dict().items())


def _seconds(own: Trainer, plain: Trainer, device: torch.device) -> tuple[float, float]:
    """Median seconds of a step of each, taken in turn; the first of each does not count."""
    found: list[list[float]] = [[], []]
    for i in range(STEPS + 1):
        for trainer, seconds in zip((own, plain), found, strict=True):
            started = now(device)
            trainer.step(i)
            seconds.append(now(device) - started)
    return median(found[0][1:]), median(found[1][1:])
