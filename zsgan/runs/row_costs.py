"""Costs of the rows of a profile: rows whose steps cost the same share one measurement.

A step is an image part (generator and CLIP, forward and backward, layer selection, Adam) and the losses of
its features and parameters. The image part is timed once for each size of the networks; the losses, which
need no image, once for each set of terms.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.adaptation.batches import Batch, Guide, Seen
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.few_shot import FewShotAdaptation, does
from zsgan.adaptation.guide import guide_from, source_features, source_fisher, trained_parameters
from zsgan.adaptation.objective import Objective
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.rival_settings import FewShot
from zsgan.adaptation.speed import check_device
from zsgan.adaptation.targets import targets
from zsgan.adaptation.terms import needs
from zsgan.base import device as devices
from zsgan.base.precision import tf32
from zsgan.networks.clip import ClipEncoder, encode_pair
from zsgan.networks.load import load_clip, load_discriminator, load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.costs import PARTS, medians, now, timed_steps, whole_steps
from zsgan.runs.identity import relevant
from zsgan.runs.make import SMALL, threads_for

log = logging.getLogger(__name__)

STEPS = 4
"""Steps that are taken of each kind; the first one also allocates, and the median of the others counts."""
STEPS_LARGE_CPU = 2
"""As :data:`STEPS`, above 128 px on a CPU, and each with a single image, whose time grows with the batch."""
OF_IMAGES = (
    "latents", "generator, forward", "CLIP, forward", "CLIP, backward", "generator, backward",
)  # fmt: skip
"""Parts of a step whose time grows with the number of images."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class RowCosts:
    """Measured costs of a row, in seconds.

    Attributes:
        step: one step, without torch.compile.
        texts: texts and stage 1, once in each run.
        source: source images of one step, once for the rows of a seed.
        fisher: Fisher information of the whole sample, once for a source; 0 if no term needs it.
        memory: peak bytes of tensors on a GPU in the measured steps; ``None`` on a CPU.
    """

    step: float
    texts: float = 0.0
    source: float = 0.0
    fisher: float = 0.0
    memory: int | None = None


class Meter:
    """Measures rows; networks and measurements are kept for the rows that share them.

    Args:
        device: torch device, set up.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._known: dict[str, Any] = {}
        self.generator: Callable[[str], Generator] = lru_cache(1)(lambda name: load_generator(name, device))
        self.encoder: Callable[[str], ClipEncoder] = cache(lambda name: load_clip(name, device))

    def row(self, config: AdaptConfig) -> RowCosts:
        """The costs of a configuration; those of rows measured before are reused.

        Args:
            config: the configuration.

        Returns:
            its costs.

        Raises:
            ValueError: the device lacks what a switch of ``speed`` needs.
        """
        g_src = self.generator(config.generator)
        check_device(config.speed, self.device)
        with devices.threads(threads_for(g_src)), tf32(config.speed.tf32):
            return self._of_images(config, g_src) if config.few_shot else self._of_texts(config, g_src)

    def once(self, what: str, key: Any, measure: Callable[[], Found]) -> Found:
        """A measurement, made once for each key.

        Args:
            what: what is measured, in words.
            key: what the measurement depends on, as JSON.
            measure: makes it.

        Returns:
            its result.
        """
        name = json.dumps([what, key], default=str)
        if name not in self._known:
            log.info("measuring %s", what)
            self._known[name] = measure()
        found: Found = self._known[name]
        return found

    def seconds(self, work: Callable[[], Found], warm: bool = False) -> tuple[float, Found]:
        """Seconds of some work and its result; on a GPU, or with ``warm``, those of a second time."""
        if warm or self.device.type == "cuda":
            work()
        started = now(self.device)
        found = work()
        return now(self.device) - started, found

    def _of_texts(self, config: AdaptConfig, g_src: Generator) -> RowCosts:
        size, shape = f"{g_src.config['resolution']} px", _shape(g_src)
        batch = config.optimiser.batch_size
        alone = self._large(g_src)
        timed = _image_part(config, 1) if alone else _image_part(config)
        share = batch / timed.optimiser.batch_size
        texts, guides = self._guides(config, g_src)
        plain = [Guide(g.encoder, g.t_src, g.t_trg, None, g.text_set[:1], parts=g.parts) for g in guides]
        encoders = [self.encoder(name) for name in config.clips]
        images = [
            shape,
            config.clips,
            asdict(config.features),
            timed.optimiser.batch_size,
            asdict(timed.speed),
        ]
        source, f_src = self.once(
            f"{size}: source images", images,
            lambda: self.seconds(lambda: source_features(g_src, encoders, timed), warm=True),
        )  # fmt: skip
        kind = "a step with layer selection" if config.selection else "a step"
        key = [*images, config.trainable, timed.terms, config.optimiser.ema is None]
        key += [asdict(timed.selection) if timed.selection else None]
        key += [asdict(config.spectral), asdict(config.local)]
        step, memory = self.once(
            f"{size}: {kind}", key, lambda: self._steps(timed, g_src, plain, f_src, alone)
        )
        shares = dict.fromkeys(OF_IMAGES, share)
        if config.selection is not None and timed.selection is not None:
            shares["latents"] = config.selection.batch_size / timed.selection.batch_size
        parts = [step[part] * shares.get(part, 1) for part in PARTS if part != "losses"]
        if config.plugs or config.air or config.difa or config.ipl:  # whose steps may be of any kind
            optimiser = replace(config.optimiser, batch_size=timed.optimiser.batch_size)
            whole = replace(config, optimiser=optimiser, selection=timed.selection, speed=timed.speed)
            key += [relevant(config), {name: plugged(name).source for name in config.plugs}]
            steps = STEPS_LARGE_CPU if alone else STEPS
            of_all = self.once(
                f"{size}: whole steps", key, lambda: whole_steps(whole, g_src, guides, f_src, steps)
            )
            parts, losses = [share * of_all], 0.0
        else:
            losses = self._losses(config, g_src, guides, [size, shape, config.clips, batch])
        fisher = 0.0
        if needs(config, "ewc"):
            few = replace(timed, ewc=replace(config.ewc, samples=timed.optimiser.batch_size))
            one, _ = self.once(
                f"{size}: Fisher information of a batch", [*images, config.trainable, asdict(few.ewc)],
                lambda: self.seconds(lambda: source_fisher(g_src, plain, few)),
            )  # fmt: skip
            fisher = one * config.ewc.samples / few.ewc.samples
        return RowCosts(sum(parts) + losses, texts, share * source, fisher, memory)

    def _large(self, g_src: Generator) -> bool:
        return self.device.type == "cpu" and g_src.config["resolution"] > SMALL

    def _guides(self, config: AdaptConfig, g_src: Generator) -> tuple[float, list[Guide]]:
        """Seconds of texts and stage 1, and the guides; texts of other scenarios take as long."""
        found = [self._guide(name, config, g_src) for name in config.clips]
        return sum(seconds for seconds, _ in found), [guide for _, guide in found]

    def _guide(self, name: str, config: AdaptConfig, g_src: Generator) -> tuple[float, Guide]:
        encoder = self.encoder(name)
        texts = config.source_text, config.target_text, config.prompts, config.features.normalise
        key = [name, *texts[2:]]
        encoding, (t_src, t_trg) = self.once(
            f"texts of {name}", key, lambda: self.seconds(lambda: encode_pair(encoder, *texts))
        )

        def guide() -> Guide:
            return guide_from(encoder, t_src, t_trg, config, g_src=g_src)

        if not (needs(config, "stage1") or config.ipl):
            return encoding, guide()
        varying, found = self.once(
            f"stage 1 with {name}",
            [*key, asdict(config.stage1), config.ipl, config.guide, needs(config, "local") and config.local],
            lambda: self.seconds(guide),
        )
        return encoding + varying, found

    def _steps(
        self, config: AdaptConfig, g_src: Generator, guides: Sequence[Guide], f_src: Sequence[Tensor],
        alone: bool,
    ) -> tuple[dict[str, float], int | None]:  # fmt: skip
        """Seconds of each part of a step, and the peak memory on a GPU."""
        self._forget_peak()
        taken, _ = timed_steps(config, g_src, guides, f_src, STEPS_LARGE_CPU if alone else STEPS)
        return medians(taken[1:]), devices.peak_memory(self.device)

    def _losses(
        self, config: AdaptConfig, g_src: Generator, guides: Sequence[Guide], key: list[Any]
    ) -> float:
        """Seconds of the losses of a step and of their gradients, from random features."""
        terms = sorted(config.weights.keys() - {"local"})  # it needs images, and is timed with them
        if not terms:
            return 0.0
        config, n = (
            replace(config, terms={name: config.terms[name] for name in terms}),
            config.optimiser.batch_size,
        )
        trained = trained_parameters(g_src, config.trainable) if "ewc" in terms else {}
        source = {name: parameter.detach() for name, parameter in trained.items()}

        def seen(guide: Guide, random: torch.Generator) -> Seen:
            features = F.normalize(torch.randn(2, n, len(guide.t_src), generator=random), dim=2)
            stretch = torch.rand(2, n, generator=random).to(self.device)
            f_src, f_trg = features.to(self.device)
            return Seen(guide, f_src, f_trg.requires_grad_(), stretch[0], stretch[1].requires_grad_())

        def measure() -> float:
            random, objective = torch.Generator().manual_seed(0), Objective(config)
            views = [seen(guide, random) for guide in guides]
            params = {name: parameter.clone().requires_grad_() for name, parameter in source.items()}
            zeros = {name: torch.zeros_like(parameter) for name, parameter in source.items()}
            leaves = [*params.values(), *(view.f_trg for view in views)]
            leaves += [view.stretch_trg for view in views if view.stretch_trg is not None]

            def losses() -> None:
                loss, _ = objective(Batch(views, params, source, zeros))
                torch.autograd.grad(loss, leaves, allow_unused=True)

            return self.seconds(losses, warm=True)[0]

        key += [config.trainable if trained else None, asdict(config.moment)]
        return self.once(f"{key[0]}: losses {' + '.join(terms)}", key, measure)

    def _of_images(self, config: AdaptConfig, g_src: Generator) -> RowCosts:
        shots = config.few_shot
        assert shots is not None
        settings = {name: value for name, value in asdict(shots).items() if name != "target"}
        key = [_shape(g_src), settings, config.optimiser.batch_size, config.optimiser.ema is None]
        key.append(config.speed.tf32)
        return self.once(
            f"{g_src.config['resolution']} px: steps towards images", key,
            lambda: self._few_shot(config, shots, g_src),
        )  # fmt: skip

    def _few_shot(self, config: AdaptConfig, settings: FewShot, g_src: Generator) -> RowCosts:
        """Steps with and without the regularisers, each counted as often as a run takes it."""
        discriminator = load_discriminator(settings.discriminator, config.generator, self.device)
        images = targets(settings, g_src.config["resolution"])
        self._forget_peak()
        trainer = FewShotAdaptation(config, g_src, discriminator, images)
        steps = range(config.optimiser.iterations)
        counted = Counter(does(settings, i) for i in steps)
        first = {what: next(i for i in steps if does(settings, i) == what) for what in counted}
        trainer.step(0)
        total = 0.0
        for what, times in counted.items():
            started = now(self.device)
            trainer.step(first[what])
            total += times * (now(self.device) - started)
        return RowCosts(total / len(steps), memory=devices.peak_memory(self.device))

    def _forget_peak(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)


def _image_part(config: AdaptConfig, images: int | None = None) -> AdaptConfig:
    """The configuration with the cheapest losses of one step, at a batch of its own if it is given."""
    # The terms that need images beside those of every step.
    terms = {"directional": 1.0} | {name: 1.0 for name in ("spectral", "local") if needs(config, name)}
    selection = config.selection
    if selection is not None and images is not None:
        selection = replace(selection, batch_size=images)
    optimiser = replace(config.optimiser, iterations=1, batch_size=images or config.optimiser.batch_size)
    speed = replace(config.speed, compile=None)  # whose parts cannot be timed
    return replace(config, terms=terms, selection=selection, optimiser=optimiser, speed=speed)


def _shape(generator: Generator) -> str:
    return json.dumps(generator.config)
