"""Costs of the switches of :mod:`zsgan.adaptation.speed`: each alone and all together, against none."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, override
from zsgan.adaptation.guide import source_features, trained_parameters
from zsgan.adaptation.limits import check_size
from zsgan.adaptation.speed import Speed, check_device
from zsgan.base import device as devices
from zsgan.base.precision import tf32
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.costs import check_measurable, now
from zsgan.runs.identity import resolve
from zsgan.runs.make import guides_of, threads_for

log = logging.getLogger(__name__)

NONE, ALL = "none", "all"
SWITCHES: Mapping[str, Speed] = {
    NONE: Speed(),
    "tf32": Speed(tf32=True),
    "autocast": Speed(autocast="bfloat16"),
    "channels_last": Speed(channels_last=True),
    "compile": Speed(compile="default"),
    "CUDA graphs": Speed(compile="reduce-overhead"),
}
"""What is compared, besides all that the device and the row allow together."""
WARM_UP = 3
"""Steps before the timed ones: in the first the compiler works, in the next two CUDA graphs are recorded."""


@dataclass(frozen=True)
class Switched:
    """Costs of a step with some switches.

    Attributes:
        switches: those that are on, with their values.
        seconds: of a step, the median over the rounds.
        ratio: seconds relative to no switch in the same round, the median over the rounds; below 1 is faster.
        memory: peak bytes on a GPU of networks, preparation and steps, as if there were no other variant;
            ``None`` for other devices.
        difference: largest relative difference of the loss, eq. (6), from that of no switch at the same
            weights and latents.
    """

    switches: Mapping[str, Any]
    seconds: float
    ratio: float
    memory: int | None
    difference: float


@dataclass(frozen=True)
class Comparison:
    """Result of :func:`compare_switches`.

    Attributes:
        found: name of a variant -> its costs; "none" comes first, and "all" last if there are
            several switches.
        left_out: name of a variant that cannot be had here -> the reason.
        rounds: timed steps of each variant.
        machine: see :func:`zsgan.base.device.numerics`.
    """

    found: Mapping[str, Switched]
    left_out: Mapping[str, str]
    rounds: int
    machine: Mapping[str, Any]


def compare_switches(
    config: AdaptConfig, steps: int = 3, device: torch.device | str = "cpu", progress: bool = False
) -> Comparison:
    """Time whole steps of an adaptation with each switch, in one process and in turn.

    In every round each variant takes the same step, so that a change of the machine's load or clock concerns
    all of them. It starts from the weights of no switch: Adam's steps soon turn a difference of the last bits
    into one of any size. Nothing is kept. As in :func:`zsgan.runs.costs.measure_costs`, the Fisher
    information consists of zeros.

    Args:
        config: the adaptation; its own switches are not used. ``generator="random-512"`` and
            ``clips=("ViT-B-32/random",)`` need no files.
        steps: number of rounds, after :data:`WARM_UP` steps of each variant.
        device: torch device.
        progress: show a progress bar.

    Returns:
        the costs.

    Raises:
        ValueError: ``steps`` is below 1, the row adapts to images, a name or the device is unknown, or a
            setting is too large for the device's memory.
    """
    check_measurable(config, steps)
    device = devices.set_up(device)
    configs, left_out = _variants(config, device, WARM_UP + steps)
    job = resolve(configs[NONE])
    g_src = load_generator(job.generator, device)
    check_size(job.config, g_src)
    with devices.threads(threads_for(g_src)), tqdm(disable=not progress) as bar:
        bar.reset(len(configs) * (WARM_UP + steps))
        guides = guides_of(job, device, progress)
        fisher = {
            name: torch.zeros_like(p) for name, p in trained_parameters(g_src, config.trainable).items()
        }
        shared, variants = _held(device), dict[str, _Variant]()
        for name, each in configs.items():
            bar.set_description(name)
            with nullcontext() if name == NONE else _reported(name, left_out):
                variants[name] = _Variant(each, g_src, guides, fisher, shared)
            bar.update(WARM_UP)
        for i in range(WARM_UP, WARM_UP + steps):
            names = [name for name in variants if name not in left_out]
            first = i % len(names)  # so that each variant has every place
            weights = variants[NONE].weights()
            for name in names[first:] + names[:first]:
                bar.set_description(name)
                with nullcontext() if name == NONE else _reported(name, left_out):
                    variants[name].step(i, weights)
                bar.update()
    exact = variants[NONE]
    found = {name: one.against(exact) for name, one in variants.items() if name not in left_out}
    return Comparison(found, left_out, steps, devices.numerics(device))


@contextmanager
def _reported(name: str, left_out: dict[str, str]) -> Iterator[None]:
    """Note why a variant fails: no compiler, too little memory, a gradient that overflows..."""
    try:
        yield
    except (RuntimeError, FloatingPointError) as error:
        log.debug("%s", name, exc_info=True)
        left_out[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _variants(
    config: AdaptConfig, device: torch.device, steps: int
) -> tuple[dict[str, AdaptConfig], dict[str, str]]:
    """The configurations that this row and device allow, and the reasons why not the others."""
    configs: dict[str, AdaptConfig] = {}
    left_out: dict[str, str] = {}
    together: dict[str, Any] = {}
    for name, speed in SWITCHES.items():
        try:
            check_device(speed, device)
            configs[name] = override(config, {"speed": asdict(speed), "optimiser.iterations": steps})
        except ValueError as error:
            left_out[name] = str(error)
        else:
            together |= speed.chosen  # CUDA graphs come last and take the place of compiling alone
    if len(configs) > 2:
        configs[ALL] = override(configs[NONE], {"speed": together})
    return configs, left_out


class _Variant:
    """An adaptation with its switches, after :data:`WARM_UP` steps."""

    def __init__(
        self, config: AdaptConfig, g_src: Generator, guides: Sequence[Guide], fisher: Mapping[str, Tensor],
        shared: int,
    ) -> None:  # fmt: skip
        self.switches, self.device = config.speed, g_src.synthesis.const.device
        self.seconds: list[float] = []
        self.losses: list[float] = []
        before = _held(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        with tf32(self.switches.tf32):
            f_src = source_features(g_src, [guide.encoder for guide in guides], config)
            self.adaptation = Adaptation(config, g_src, guides, fisher, f_src)
        for i in range(WARM_UP):
            self.step(i)
        peak = devices.peak_memory(self.device)
        self.memory = None if peak is None else peak - before + shared

    def weights(self) -> list[Tensor]:
        """A copy of the trained parameters."""
        return [parameter.detach().clone() for parameter in self.adaptation.params.values()]

    def step(self, i: int, weights: Sequence[Tensor] = ()) -> None:
        """Take a step, from other weights if there are any, and note its seconds and its loss."""
        with torch.no_grad():
            for parameter, value in zip(self.adaptation.params.values(), weights, strict=bool(weights)):
                parameter.copy_(value)
        with tf32(self.switches.tf32):
            started = now(self.device)
            row = self.adaptation.step(i)
            self.seconds.append(now(self.device) - started)
        self.losses.append(row["loss"])

    def against(self, exact: "_Variant") -> Switched:
        """Its costs, compared with those of no switch."""
        seconds = self.seconds[WARM_UP:]
        ratios = [own / other for own, other in zip(seconds, exact.seconds[WARM_UP:], strict=True)]
        pairs = zip(self.losses[WARM_UP:], exact.losses[WARM_UP:], strict=True)
        difference = max(abs(own - other) / abs(other) for own, other in pairs)
        return Switched(self.switches.chosen, median(seconds), median(ratios), self.memory, difference)


def _held(device: torch.device) -> int:
    """Bytes of tensors on a GPU; 0 for other devices, whose memory is not measured here."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
