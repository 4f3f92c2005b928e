"""Stage 2: one training loop for every row of Table 1, with the losses given by the configuration."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from zsgan.adaptation.batches import Batch, Guide, Seen, Step
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.draws import source_noise, step_latents, step_probes
from zsgan.adaptation.guide import (
    device_of,
    encode,
    source_features,
    trained_parameters,
)
from zsgan.adaptation.objective import Objective
from zsgan.adaptation.speed import compiled
from zsgan.adaptation.terms import needs
from zsgan.base.descent import descend, follow
from zsgan.base.precision import autocast
from zsgan.base.streams import stream
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.consistency import squared_stretch
from zsgan.rivals.layer_selection import choose

NUMERICS = 3
"""Version of the numerics; increased whenever the same configuration gives other numbers, beyond rounding."""


class Trainer(Protocol):
    """Interface of a training method, for any losses, as :mod:`zsgan.runs.make` uses it."""

    @property
    def state(self) -> Mapping[str, Any]:
        """All state that a step changes, for :func:`zsgan.base.loop.loop`."""

    @property
    def result(self) -> Generator:
        """The current generator."""

    @property
    def trained(self) -> Sequence[str]:
        """Names of the tensors of ``result`` that may differ from the source's."""

    def step(self, i: int) -> dict[str, float]:
        """Take step ``i``; returns the values to log."""


class Adaptation:
    """Stage 2, eq. (6): a copy of the source generator follows the guides, one step at a time.

    Every step has its own random streams (:mod:`zsgan.base.streams`), so step i does not depend on earlier
    draws.

    Args:
        config: configuration of the run.
        g_src: source generator; neither it nor its ``requires_grad`` is changed.
        guides: at least one guide.
        fisher: Fisher information from :func:`zsgan.adaptation.guide.source_fisher`; needed by the term
            "ewc".
        f_src: features from :func:`zsgan.adaptation.guide.source_features`; computed if not given.

    Attributes:
        g_trg: the generator being adapted.
        params: its trained parameters by name.
        source_params: the same parameters of the source.
        objective: the loss, eq. (6).
        stretches: whether a term needs ``squared_stretch``.

    Raises:
        ValueError: the term "ewc" is used without Fisher information.
    """

    def __init__(
        self,
        config: AdaptConfig,
        g_src: Generator,
        guides: Sequence[Guide],
        fisher: Mapping[str, Tensor] | None = None,
        f_src: Sequence[Tensor] | None = None,
    ):
        if needs(config, "ewc") and fisher is None:
            raise ValueError(
                "fisher is needed for the term 'ewc'; compute it with zsgan.adaptation.guide.source_fisher()"
            )
        self.config, self.guides, self.fisher = config, guides, fisher or {}
        self.objective = Objective(config)
        self.g_src = deepcopy(g_src).eval().requires_grad_(False)
        if config.speed.channels_last:
            self.g_src.to(memory_format=torch.channels_last)
        self.g_trg = deepcopy(self.g_src)
        self.g_ema = None if config.optimiser.ema is None else deepcopy(self.g_src)
        self.params = trained_parameters(self.g_trg, config.trainable)
        for parameter in self.params.values():
            parameter.requires_grad_(True)
        self.lever: Tensor | None = None
        self.stretches = needs(config, "spectral")
        if self.stretches and config.spectral.balanced:
            self.lever = self.g_trg.synthesis.last_torgb.weight.requires_grad_(True)
        self.source_params = {name: p.detach().clone() for name, p in self.params.items()}
        settings = config.optimiser
        self.optimiser = torch.optim.Adam(
            self.params.values(), lr=settings.lr, betas=settings.betas, fused=True
        )
        # As published, layers are ranked by the target text without templates.
        self.t_raw = [guide.encoder.encode_texts([config.target_text])[0] for guide in guides]
        encoders = [guide.encoder for guide in guides]
        self.f_src = source_features(self.g_src, encoders, config) if f_src is None else f_src
        # What is compiled serves a step's images alone; all else differs in shape or needs other derivatives.
        self._synthesis: Callable[..., Any] = self.g_trg.synthesis
        self._encoders = encoders
        if (mode := config.speed.compile) is not None:
            self._synthesis = torch.compile(self._synthesis, mode=mode, dynamic=False)
            self._encoders = [compiled(encoder, mode) for encoder in encoders]

    @property
    def state(self) -> Mapping[str, Any]:
        """The generator, its optimiser, and the moving average if there is one."""
        state: dict[str, Any] = {"g_trg": self.g_trg, "optimiser": self.optimiser}
        return state if self.g_ema is None else state | {"g_ema": self.g_ema}

    @property
    def result(self) -> Generator:
        """The adapted generator: the moving average of its weights, if there is one."""
        return self.g_trg if self.g_ema is None else self.g_ema

    @property
    def trained(self) -> Sequence[str]:
        """Names of the trained parameters."""
        return list(self.params)

    def step(self, i: int) -> dict[str, float]:
        """One step of Adam on eq. (6).

        Args:
            i: number of the step, from 0.

        Returns:
            "loss" (eq. 6), "gradient_norm", and each part of the loss without its weight.

        Raises:
            FloatingPointError: the gradient is not finite; the generator is unchanged.
        """
        self._select_layers(i)
        loss, values = self.loss(self.batch(i))
        config, settings = self.config, self.config.optimiser
        remedy = (
            f"lower optimiser.lr={settings.lr} or the weights of the terms ({dict(config.weights)}, "
            f"moment.lambda_cov={config.moment.lambda_cov})"
        )
        logged = {"loss": loss.detach(), "gradient_norm": descend(self.optimiser, loss, remedy), **values}
        if self.lever is not None:
            self.lever.grad = None  # the optimiser need not know it
        if self.g_ema is not None and settings.ema is not None:
            averages = trained_parameters(self.g_ema, config.trainable)
            follow(averages.values(), self.params.values(), 1 - settings.ema)
        # One transfer from the device for all values.
        return dict(zip(logged, torch.stack(list(logged.values())).tolist(), strict=True))

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. (6) of a batch, with gradients, and the unweighted values of its parts."""
        return self.objective(batch)

    def batch(self, i: int) -> Batch:
        """Inputs of the loss terms in step ``i``, with the current weights."""
        config, device = self.config, device_of(self.g_trg)
        ws = step_latents(self.g_src, config, i)
        # Neither torch.compile nor a CUDA graph draws from a given generator.
        noise = self.g_trg.synthesis.random_noise(len(ws), self._target_noise(i))
        if config.speed.compile == "reduce-overhead":
            self.optimiser.zero_grad()  # a graph overwrites what it returned the last time
            torch.compiler.cudagraph_mark_step_begin()
        with autocast(config.speed.autocast, device):
            images = self._synthesis(ws, noise=noise)
            f_trg = [encode(encoder, images, config, i) for encoder in self._encoders]
        step = Step(
            i, ws, images, self.g_src, self.g_trg, lambda name: stream(config.seed, f"plugged {name}", i),
            partial(source_noise, config, i, device),
        )  # fmt: skip
        given = zip(self.guides, self.f_src, f_trg, self._stretches(i, ws), strict=True)
        seen = [
            Seen(guide, source[i].to(device), f, of_source, of_target, step)
            for guide, source, f, (of_source, of_target) in given
        ]
        return Batch(seen, self.params, self.source_params, self.fisher, self.lever)

    def _target_noise(self, i: int) -> torch.Generator:
        """Random stream of the noise maps of a step's target images."""
        device = device_of(self.g_trg)
        if self.config.shared_noise:
            return source_noise(self.config, i, device)
        return stream(self.config.seed, "target noise", i, device)

    def _stretches(self, i: int, ws: Tensor) -> Sequence[tuple[Tensor | None, Tensor | None]]:
        """``squared_stretch`` of both generators for each guide; ``None`` if no term needs it."""
        config = self.config
        if not self.stretches:
            return [(None, None)] * len(self.guides)
        probes, device = step_probes(self.g_src, config, i), device_of(self.g_src)

        def stretch(guide: Guide, generator: Generator, noise: Callable[[], torch.Generator]) -> Tensor:
            def features(ws: Tensor) -> Tensor:
                images = generator.synthesis(ws, noise="random", generator=noise())
                return encode(guide.encoder, images, config, i)

            return squared_stretch(features, ws, probes)

        stretches = []
        for guide in self.guides:
            with torch.no_grad():
                of_source = stretch(guide, self.g_src, lambda: source_noise(config, i, device))
            stretches.append((of_source, stretch(guide, self.g_trg, lambda: self._target_noise(i))))
        return stretches

    def _select_layers(self, i: int) -> None:
        """Restrict gradients to the layers of layer selection, if configured."""
        settings = self.config.selection
        if settings is None:
            return
        device = device_of(self.g_trg)
        random = stream(self.config.seed, "selection latents", i)
        z = torch.randn(settings.batch_size, self.g_src.mapping.z_dim, generator=random).to(device)
        with torch.no_grad():
            ws = self.g_src.mapping(z)
        chosen = choose(
            self.g_trg, ws, self._distance_to_text, settings.k, settings.iterations, settings.layer_map,
            generator=stream(self.config.seed, "selection noise", i, device),
        )  # fmt: skip
        for name, parameter in self.params.items():
            parameter.requires_grad_(name in chosen)

    def _distance_to_text(self, images: Tensor) -> Tensor:
        """1 - cos(E_I(image), E_T(target text)), averaged over images and guides."""
        guides, share = zip(self.guides, self.t_raw, strict=True), 1 / len(self.guides)
        cosines = [share * (g.encoder.encode_images(images) @ t_raw).mean() for g, t_raw in guides]
        return 1 - torch.stack(cosines).sum()
