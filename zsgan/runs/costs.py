"""Cost of an adaptation: seconds of a step by part, and memory, measured on the code that adapts."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import encode, source_features, source_fisher, trained_parameters
from zsgan.adaptation.limits import check_size
from zsgan.adaptation.speed import check_device
from zsgan.adaptation.terms import needs
from zsgan.base import device as devices
from zsgan.base.precision import tf32
from zsgan.networks.load import load_clip, load_generator
from zsgan.rivals.layer_selection import layer_parameters, layers
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
        ValueError: ``steps`` is below 1, the row adapts to images or is compiled, a name or the device is
            unknown, or a setting is too large for the device's memory.
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
        if (held := _most_memory(device)) is not None:
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
        repeated = [feature.expand(steps, -1, -1) for feature in f_src]
        with stage("step"):
            zeros = {
                name: torch.zeros_like(p) for name, p in trained_parameters(g_src, config.trainable).items()
            }
            clock = _Clock(device)
            adaptation = _Clocked(clock, config, g_src, guides, zeros, repeated)
            started = time.process_time()
            parts = _parts(adaptation, steps, clock)
            processor = (time.process_time() - started) / steps
        del once["step"], adaptation, zeros  # free the memory for the next stage
        if needs(config, "ewc"):
            batch = replace(config.ewc, samples=config.optimiser.batch_size)
            with stage("Fisher information"):
                source_fisher(g_src, guides, replace(config, ewc=batch), progress)
        return Costs(parts, once, memory, processor, devices.numerics(device))


def check_measurable(config: AdaptConfig, steps: int) -> None:
    """Refuse a number of steps below 1, and rows that adapt to images."""
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if config.few_shot is not None:
        raise ValueError("the row adapts to images, but costs are those of rows with terms; name one")


def least_memory(config: AdaptConfig) -> dict[str, int]:
    """Lower bound of the bytes that a step holds, from shapes alone: works on smaller machines, too.

    Workspaces of convolutions, gradients of activations and the allocator's slack are not counted.

    Args:
        config: the adaptation.

    Returns:
        "networks": source, target and CLIPs; "adaptation": for the trained parameters, the source's values,
        gradients, Adam's two averages and Fisher information (if a term needs it); "activations": what the
        forward pass keeps for the backward pass, of the step or of layer selection, whichever is larger.

    Raises:
        ValueError: a name is unknown.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)  # tensors with shapes but no values
    generator = load_generator(config.generator).requires_grad_(False)
    encoders = [load_clip(name) for name in config.clips]
    size = generator.config["resolution"]
    for encoder in encoders:  # fill caches, such as matrices of the resize, with real values first
        encode(encoder, torch.zeros(1, 3, size, size), config)
    networks = _bytes(generator, generator, *encoders)
    for network in (generator, *encoders):
        network._apply(mode.from_tensor)

    def activations(
        batch: int, chosen: Iterable[nn.Parameter], latents: bool = False, step: int | None = 0
    ) -> int:
        """Bytes that a forward pass keeps for gradients of some parameters, or of the latents too."""
        kept: dict[int, torch.UntypedStorage] = {}  # by address, unique while they live

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage
            return tensor

        generator.requires_grad_(False)
        for parameter in chosen:
            parameter.requires_grad_(True)
        with mode, saved_tensors_hooks(keep, lambda tensor: tensor):
            ws = torch.zeros(
                batch, generator.synthesis.n_ws, generator.synthesis.w_dim, requires_grad=latents
            )
            images = generator.synthesis(ws, noise="random")
            for encoder in encoders:
                encode(encoder, images, config, step)
        for tensor in _tensors(generator, *encoders):
            kept.pop(tensor.untyped_storage()._cdata, None)
        return sum(storage.nbytes() for storage in kept.values())

    trained = list(trained_parameters(generator, config.trainable).values())
    if (selection := config.selection) is None:
        passes = [activations(config.optimiser.batch_size, trained)]
    else:  # layers are ranked on their own batch; training the last k needs the least memory
        last = layers(generator.synthesis.n_ws, selection.layer_map)[-selection.k :]
        names = frozenset().union(*layer_parameters(generator, last).values())
        few = [parameter for name, parameter in generator.named_parameters() if name in names]
        passes = [
            activations(selection.batch_size, trained, latents=True, step=None),
            activations(config.optimiser.batch_size, few),
        ]
    copies = 5 if needs(config, "ewc") else 4
    return {
        "networks": networks,
        "adaptation": copies * sum(parameter.nbytes for parameter in trained),
        "activations": max(passes),
    }


def _tensors(*networks: nn.Module) -> list[Tensor]:
    return [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]


def _bytes(*networks: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(*networks))


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


def _parts(adaptation: Adaptation, steps: int, clock: _Clock) -> dict[str, float]:
    """Take the steps; returns part -> median seconds, with "all" for their sum."""
    taken = []
    with ExitStack() as hooks:
        for handle in _hooks(adaptation, clock):
            hooks.callback(handle.remove)
        for i in range(steps):
            clock.begin()
            adaptation.step(i)
            clock("optimiser")
            taken.append({**clock.parts, "all": sum(clock.parts.values())})
    return {part: median(each[part] for each in taken) for part in taken[0]}


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


def _most_memory(device: torch.device) -> int | None:
    """Peak bytes, see :class:`Costs`."""
    if device.type != "cpu":
        return devices.peak_memory(device)
    try:
        import resource  # Windows has none
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
