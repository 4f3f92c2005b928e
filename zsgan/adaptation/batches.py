"""What the terms of a loss see in one step: guides, features, latents, images and parameters."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from zsgan.method.variations import Variations
from zsgan.networks.clip import ClipEncoder
from zsgan.networks.stylegan2 import Generator


@dataclass(frozen=True, eq=False)
class Guide:
    """One CLIP with the features of the two texts.

    Attributes:
        encoder: E_I and E_T.
        t_src: (D,) E_T(t_src).
        t_trg: (D,) E_T(t_trg).
        variations: result of stage 1; ``None`` if no term needs it.
        text_set: (K + 1, D) T of eq. (3), or (1, D) dT alone.
        directions: latents (N, L, D_w) -> (N, D) text directions of eq. (1), if each image has its own.
        parts: (P, D) text directions of parts; ``None`` if no term needs them.
    """

    encoder: ClipEncoder
    t_src: Tensor
    t_trg: Tensor
    variations: Variations | None
    text_set: Tensor
    directions: Callable[[Tensor], Tensor] | None = None
    parts: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """Features of a batch from one guide.

    Attributes:
        guide: the guide.
        f_src: (N, D) features of the source generator's images.
        f_trg: (N, D) features of the target generator's images of the same latents; these have gradients.
        stretch_src: (N,) how much ``f_src`` moves with the latent, see :mod:`zsgan.rivals.consistency`;
            ``None`` if no term needs it.
        stretch_trg: (N,) as ``stretch_src`` for ``f_trg``, with gradients.
        step: the step that it is a batch of.
    """

    guide: Guide
    f_src: Tensor
    f_trg: Tensor
    stretch_src: Tensor | None = None
    stretch_trg: Tensor | None = None
    step: "Step | None" = None


@dataclass(frozen=True, eq=False)
class Step:
    """What a step's features are made from.

    Attributes:
        i: number of the step, from 0.
        ws: (N, L, D_w) latents.
        images: (N, 3, R, R) the target generator's images, with gradients.
        g_src: the source generator.
        g_trg: the generator being adapted.
        random: name -> random stream of this step, on the CPU; the same name gives the same draws again.
        noise: -> random stream of the noise maps of the source's images.
    """

    i: int
    ws: Tensor
    images: Tensor
    g_src: Generator
    g_trg: Generator
    random: Callable[[str], torch.Generator]
    noise: Callable[[], torch.Generator]

    @cached_property
    def source_images(self) -> Tensor:
        """(N, 3, R, R) the source generator's images of the same latents, made when they are asked for."""
        with torch.no_grad():
            images: Tensor = self.g_src.synthesis(self.ws, noise="random", generator=self.noise())
        return images


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of the terms in one step.

    Attributes:
        seen: features from each guide.
        params: trained parameters of the target generator by name.
        source_params: the same parameters of the source generator.
        fisher: their Fisher information; empty if no term needs it.
        lever: weight of the target generator's last ToRGB, by whose gradients a balanced term is weighed;
            ``None`` if no term is.
    """

    seen: Sequence[Seen]
    params: Mapping[str, Tensor]
    source_params: Mapping[str, Tensor]
    fisher: Mapping[str, Tensor]
    lever: Tensor | None = None
