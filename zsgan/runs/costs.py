"""Cost of an adaptation: seconds of a step by part, and memory, measured on the code that adapts."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import LOOPS, AdaptConfig
from zsgan.adaptation.guide import source_features, source_fisher, trained_parameters
from zsgan.adaptation.limits import check_size
from zsgan.adaptation.speed import check_device
from zsgan.adaptation.terms import needs
from zsgan.adaptation.trainers import trainer_of
from zsgan.base import device as devices
from zsgan.base.precision import tf32
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.identity import resolve
from zsgan.runs.make import guides_of, threads_for

PARTS = (
    "latents", "generator, forward", "CLIP, forward", "losses", "CLIP, backward", "generator, backward",
    "optimiser",
)  # fmt: skip
"""The parts of a step, in order."""


@dataclass(frozen=True)
class Costs:
    """Measured costs of an adaptation.

    Attributes:
        step: part of a step -> seconds, the median over the steps. "losses" are computed and differentiated;
            "latents" covers the mapping network, and layer selection if there is one.
        once: part of the preparation -> seconds. Source images are those of one step, Fisher information is
            that of one batch.
        memory: stage -> peak bytes. On a GPU, those of the tensors in this stage; elsewhere, those of the
            process since its start, Python and libraries included; empty where the system does not tell.
        processor: processor seconds of a step, summed over threads; on a busy CPU, a better measure of the
            cost than wall-clock time.
        machine: see :func:`zsgan.base.device.numerics`.
    """

    step: Mapping[str, float]
    once: Mapping[str, float]
    memory: Mapping[str, int]
    processor: float
    machine: Mapping[str, Any]


def measure_costs(
    config: AdaptConfig, steps: int = 3, device: torch.device | str = "cpu", progress: bool = False
) -> Costs:
    """Take a few steps of an adaptation and time their parts.

    Nothing is kept. The steps use a Fisher information of zeros, since its values do not change the cost; its
    estimation is timed separately, on one batch.

    Args:
        config: the adaptation; ``generator="random-512"`` and ``clips=("ViT-B-32/random",)`` need no files.
        steps: number of steps for the median; the first one also allocates the optimiser's state.
        device: torch device.
        progress: show a progress bar for the stages, and one for each stage below it.

    Returns:
        the costs.

    Raises:
        ValueError: ``steps`` is below 1, the row adapts to images, is compiled or has a training loop of its
            own, a name or the device is unknown, or a setting is too large for the device's memory.
    """
    check_measurable(config, steps)
    if config.speed.compile:
        raise ValueError(
            f"speed.compile={config.speed.compile!r} makes one of the parts of a step, which cannot be timed "
            "then; compare_switches, or zsgan cost --compare, times whole steps"
        )
    device = devices.set_up(device)
    check_device(config.speed, device)
    once: dict[str, float] = {}
    memory: dict[str, int] = {}

    bar = tqdm(total=4 if needs(config, "ewc") else 3, disable=not progress)

    @contextmanager
    def stage(name: str) -> Iterator[None]:
        bar.set_description(name)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        started = now(device)
        yield
        once[name] = now(device) - started
        if (held := most_memory(device)) is not None:
            memory[name] = held
        bar.update()

    job = resolve(config)
    g_src = load_generator(job.generator, device)
    check_size(config, g_src)
    with bar, devices.threads(threads_for(g_src)), tf32(config.speed.tf32):
        with stage("texts and stage 1"):
            guides = guides_of(job, device, progress)
        shorter = replace(config, optimiser=replace(config.optimiser, iterations=1))
        with stage("source images"):
            f_src = source_features(g_src, [guide.encoder for guide in guides], shorter)
        with stage("step"):
            taken, processor = timed_steps(config, g_src, guides, f_src, steps)
        del once["step"]
        if needs(config, "ewc"):
            batch = replace(config.ewc, samples=config.optimiser.batch_size)
            with stage("Fisher information"):
                source_fisher(g_src, guides, replace(config, ewc=batch), progress)
        return Costs(medians(taken), once, memory, processor, devices.numerics(device))


def check_measurable(config: AdaptConfig, steps: int) -> None:
    """Refuse a number of steps below 1, rows that adapt to images, and training loops of one's own."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if config.few_shot is not None:
        raise ValueError("the row adapts to images, but costs are those of rows with terms; name one")
    own = config.trainer or next((name for name in LOOPS if getattr(config, name) is not None), None)
    if own is not None:
        raise ValueError(
            f"the row has a training loop of its own, {own}, whose parts are not known; "
            "zsgan plan times its steps"
        )


def timed_steps(
    config: AdaptConfig, g_src: Generator, guides: Sequence[Guide], f_src: Sequence[Tensor], steps: int
) -> tuple[list[dict[str, float]], float]:
    """Take the first steps of an adaptation, with a Fisher information of zeros.

    Args:
        config: the adaptation.
        g_src: its source generator.
        guides: its guides.
        f_src: features (1, N, D) of source images for each guide, which all steps use.
        steps: number of steps; the first one also allocates the optimiser's state.

    Returns:
        for each step, part (:data:`PARTS`) -> seconds, with "all" for their sum; and the processor seconds of
        a step.
    """
    zeros = {name: torch.zeros_like(p) for name, p in trained_parameters(g_src, config.trainable).items()}
    repeated = [feature.expand(steps, -1, -1) for feature in f_src]
    clock = _Clock(g_src.synthesis.const.device)
    adaptation = _Clocked(clock, config, g_src, guides, zeros, repeated)
    started = time.process_time()
    taken = _parts(adaptation, steps, clock)
    return taken, (time.process_time() - started) / steps


def whole_steps(
    config: AdaptConfig, g_src: Generator, guides: Sequence[Guide], f_src: Sequence[Tensor], steps: int
) -> float:
    """Median seconds of the first steps of any training loop, without the very first.

    Args:
        config: the adaptation.
        g_src: its source generator.
        guides: its guides.
        f_src: features (1, N, D) of source images for each guide, which all steps use.
        steps: number of steps, at least 2.

    Returns:
        seconds.
    """
    zeros = {name: torch.zeros_like(p) for name, p in trained_parameters(g_src, config.trainable).items()}
    iterations = max(steps, config.optimiser.iterations)  # which a schedule is over
    config = replace(config, optimiser=replace(config.optimiser, iterations=iterations))
    trainer = trainer_of(config)(config, g_src, guides, zeros, [f.expand(steps, -1, -1) for f in f_src])
    seconds = []
    for i in range(steps):
        started = now(g_src.synthesis.const.device)
        trainer.step(i)
        seconds.append(now(g_src.synthesis.const.device) - started)
    return median(seconds[1:])


def medians(taken: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median seconds of each part over steps of :func:`timed_steps`."""
    return {part: median(each[part] for each in taken) for part in taken[0]}


class _Clock:
    """Timer: each call adds the seconds since the previous call to a part of the step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.last, self.held = device, 0.0, False
        self.parts: dict[str, float] = {}

    def begin(self) -> None:
        self.parts, self.last = {}, now(self.device)

    def __call__(self, part: str) -> None:
        if self.held:
            return
        moment = now(self.device)
        self.parts[part] = self.parts.get(part, 0.0) + moment - self.last
        self.last = moment


class _Clocked(Adaptation):
    """An adaptation whose clock pauses during layer selection, so that all of it counts as latents."""

    def __init__(self, clock: _Clock, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.clock = clock

    def _select_layers(self, i: int) -> None:
        self.clock.held = True
        super()._select_layers(i)
        self.clock.held = False


def _parts(adaptation: Adaptation, steps: int, clock: _Clock) -> list[dict[str, float]]:
    """Take the steps; for each, part -> seconds, with "all" for their sum."""
    taken = []
    with ExitStack() as hooks:
        for handle in _hooks(adaptation, clock):
            hooks.callback(handle.remove)
        for i in range(steps):
            clock.begin()
            adaptation.step(i)
            clock("optimiser")
            taken.append({**clock.parts, "all": sum(clock.parts.values())})
    return taken


def _hooks(adaptation: Adaptation, clock: _Clock) -> Iterator[RemovableHandle]:
    """Hooks that read the clock where one part of a step ends and the next begins."""
    synthesis = adaptation.g_trg.synthesis
    yield synthesis.register_forward_pre_hook(lambda *_: clock("latents"))
    yield synthesis.register_forward_hook(lambda *_: clock("generator, forward"))
    yield synthesis.register_full_backward_pre_hook(lambda *_: clock("CLIP, backward"))

    def arrived(*_: object) -> None:  # with several CLIPs, the first backward pass ends the losses
        clock("CLIP, backward" if "losses" in clock.parts else "losses")

    for guide in adaptation.guides:
        yield guide.encoder.model.visual.register_forward_hook(lambda *_: clock("CLIP, forward"))
        yield guide.encoder.model.visual.register_full_backward_pre_hook(arrived)
    yield adaptation.optimiser.register_step_pre_hook(lambda *_: clock("generator, backward"))


def now(device: torch.device) -> float:
    """Clock time in seconds, after the device has finished its queue."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def most_memory(device: torch.device) -> int | None:
    """Peak bytes, see :class:`Costs`."""
    if device.type != "cpu":
        return devices.peak_memory(device)
    try:
        import resource  # Windows has none
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
