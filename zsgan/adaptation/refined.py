"""AIR (Liu et al. 2025): from the middle of a run on, images also follow the direction from an anchor."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from zsgan.adaptation.batches import Batch, Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import device_of, encode
from zsgan.adaptation.rival_settings import Air
from zsgan.base.streams import stream
from zsgan.method.losses import directional_loss, image_directions
from zsgan.networks.prompts import encode_vectors, word_vectors
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.refinement import anchor_prompt, between


class RefinedAdaptation(Adaptation):
    """An adaptation whose loss gets another directional loss, from a generator and a prompt on the way.

    In the paper the other term is the directional loss alone, and a moving average of the weights is kept
    (``optimiser.ema``).

    Args:
        config: configuration of the run, with ``air``.
        g_src: see :class:`zsgan.adaptation.by_text.Adaptation`, as for the others.
        guides: at least one guide, of models of open_clip.
        fisher: Fisher information, if a term needs it.
        f_src: features of the source images.

    Attributes:
        anchor: the generator at the last anchor; the source at first.
        t_anchor: (D,) feature of the anchor's prompt, for each guide.
        f_anchor: (D,) mean feature of the anchor's images, for each guide.
    """

    def __init__(
        self,
        config: AdaptConfig,
        g_src: Generator,
        guides: Sequence[Guide],
        fisher: Mapping[str, Tensor] | None = None,
        f_src: Sequence[Tensor] | None = None,
    ) -> None:
        super().__init__(config, g_src, guides, fisher, f_src)
        assert config.air is not None
        self.settings: Air = config.air
        self.anchor = deepcopy(self.g_src)
        self.t_anchor = [guide.t_src.clone() for guide in self.guides]
        self.f_anchor = self._means(self.anchor)

    @property
    def state(self) -> Mapping[str, Any]:
        """As of every adaptation, and the anchor."""
        tensors = {f"t_anchor {i}": tensor for i, tensor in enumerate(self.t_anchor)}
        tensors |= {f"f_anchor {i}": tensor for i, tensor in enumerate(self.f_anchor)}
        return {**super().state, "anchor": self.anchor, **tensors}

    def step(self, i: int) -> dict[str, float]:
        """One step; a new anchor comes first where it is due.

        Args:
            i: number of the step, from 0.

        Returns:
            the values to log, with "anchored", the loss of the direction from the anchor, once there is one.
        """
        if i in self.settings.anchors(self.config.optimiser.iterations):
            self._set_anchor(i)
        return super().step(i)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. (6) with the direction from the anchor.

        Args:
            batch: batch of a step.

        Returns:
            see :meth:`Adaptation.loss`.
        """
        loss, values = super().loss(batch)
        step = batch.seen[0].step
        assert step is not None
        if step.i < min(self.settings.anchors(self.config.optimiser.iterations)):
            return loss, values
        with torch.no_grad():
            images = self.anchor.synthesis(step.ws, noise="random", generator=step.noise())
        found = []
        for seen, t_anchor in zip(batch.seen, self.t_anchor, strict=True):
            f_anchor = encode(seen.guide.encoder, images, self.config, step.i)
            directions = image_directions(seen.f_trg, f_anchor)
            to_target, floor = seen.guide.t_trg - t_anchor, self.config.features.direction_floor
            found.append(directional_loss(directions, to_target, floor))
        anchored = torch.stack(found).mean()
        return loss + self.settings.weight * anchored, {**values, "anchored": anchored.detach()}

    def _set_anchor(self, i: int) -> None:
        """The generator as it is becomes the anchor, and prompts for it are learnt."""
        config, settings = self.config, self.settings
        means, share = self._means(self.g_trg), i / config.optimiser.iterations
        for k, (guide, mean) in enumerate(zip(self.guides, means, strict=True)):
            context, _, after = config.prompts[0].partition("{}")
            source, target = (
                word_vectors(guide.encoder, context + text + after)
                for text in (config.source_text, config.target_text)
            )
            fixed = 0
            if settings.learned == "context":
                fixed = max(len(source), len(target)) - len(word_vectors(guide.encoder, context))
            prompt = anchor_prompt(
                partial(encode_vectors, guide.encoder), between(source, target, share),
                self.t_anchor[k], mean - self.f_anchor[k], settings.prompt_steps, settings.prompt_lr, fixed,
            )  # fmt: skip
            self.t_anchor[k].copy_(prompt)
            self.f_anchor[k].copy_(mean)
        self.anchor.load_state_dict(self.g_trg.state_dict())

    def _means(self, generator: Generator) -> list[Tensor]:
        """Mean feature of a generator's images, the same latents for every anchor, for each guide."""
        n, size = self.settings.samples, self.config.optimiser.batch_size
        z = torch.randn(n, generator.mapping.z_dim, generator=stream(self.config.seed, "anchor latents"))
        totals = [torch.zeros_like(guide.t_src) for guide in self.guides]
        with torch.no_grad():
            ws = generator.mapping(z.to(device_of(generator)), truncation_psi=self.settings.psi)
            for part in ws.split(size):
                images = generator.synthesis(part, noise="const")
                for guide, total in zip(self.guides, totals, strict=True):
                    total += encode(guide.encoder, images, self.config).sum(0) / n
        return totals
