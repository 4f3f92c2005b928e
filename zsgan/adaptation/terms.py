"""The terms that a row can name, and the batches that they see.

A loss of the package is a function, an entry in ``KINDS`` and, if it has settings, a group of the
configuration.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig, Moment, Relation, Spectral, Term
from zsgan.method.ewc import ewc_penalty
from zsgan.method.losses import (
    directional_loss,
    directional_moment_loss,
    image_directions,
    in_domain_angle_loss,
    relation_loss,
)
from zsgan.method.variations import Variations
from zsgan.networks.clip import ClipEncoder
from zsgan.rivals.consistency import spectral_loss


@dataclass(frozen=True, eq=False)
class Guide:
    """One CLIP with the features of the two texts.

    Attributes:
        encoder: E_I and E_T.
        t_src: (D,) E_T(t_src).
        t_trg: (D,) E_T(t_trg).
        variations: result of stage 1; ``None`` if no term needs it.
        text_set: (K + 1, D) T of eq. (3), or (1, D) dT alone.
    """

    encoder: ClipEncoder
    t_src: Tensor
    t_trg: Tensor
    variations: Variations | None
    text_set: Tensor


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
    """

    guide: Guide
    f_src: Tensor
    f_trg: Tensor
    stretch_src: Tensor | None = None
    stretch_trg: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs of the terms in one step.

    Attributes:
        seen: features from each guide.
        params: trained parameters of the target generator by name.
        source_params: the same parameters of the source generator.
        fisher: their Fisher information; empty if no term needs it.
    """

    seen: Sequence[Seen]
    params: Mapping[str, Tensor]
    source_params: Mapping[str, Tensor]
    fisher: Mapping[str, Tensor]


Parts = Mapping[str, tuple[float, Tensor]]
"""Name of a part of a term -> its weight inside the term, and its value, a scalar."""
Loss = Callable[[Batch], Parts]
"""A term bound to its settings."""
OfGuide = Callable[[Seen], Parts]
"""A term of one guide's features, bound to its settings."""


@dataclass(frozen=True)
class Kind:
    """A term that a row can name.

    Attributes:
        bind: a configuration -> the term with its settings.
        parts: names of its parts in histories.
        settings: groups of the configuration that only this term reads: "moment", "ewc"...
    """

    bind: Callable[[AdaptConfig], Loss]
    parts: Sequence[str]
    settings: frozenset[str] = frozenset()


def _directional(floor: float) -> OfGuide:
    def loss(seen: Seen) -> Parts:
        directions = image_directions(seen.f_trg, seen.f_src)
        return {
            "directional": (1.0, directional_loss(directions, seen.guide.t_trg - seen.guide.t_src, floor))
        }

    return loss


def _moment(settings: Moment, floor: float) -> OfGuide:
    def loss(seen: Seen) -> Parts:
        first, second = directional_moment_loss(
            image_directions(seen.f_trg, seen.f_src), seen.guide.text_set, settings.covariance,
            settings.normalise_directions, floor,
        )  # fmt: skip
        return {"first_moment": (1.0, first), "covariance": (settings.lambda_cov, second)}

    return loss


def _relation(settings: Relation) -> OfGuide:
    divergence = partial(
        relation_loss,
        temperature=settings.temperature,
        diagonal=settings.diagonal,
        reduction=settings.reduction,
    )
    return lambda seen: {"relation": (1.0, divergence(seen.f_trg, seen.f_src))}


def _in_domain_angle(seen: Seen) -> Parts:
    return {"in_domain_angle": (1.0, in_domain_angle_loss(seen.f_trg, seen.f_src))}


def _spectral(settings: Spectral) -> OfGuide:
    def loss(seen: Seen) -> Parts:
        assert seen.stretch_src is not None and seen.stretch_trg is not None  # see needs
        return {"spectral": (1.0, spectral_loss(seen.stretch_trg, seen.stretch_src, settings.delta))}

    return loss


def _ewc(batch: Batch) -> Parts:
    return {"ewc": (1.0, ewc_penalty(batch.params, batch.source_params, batch.fisher))}


def averaged(loss: OfGuide) -> Loss:
    """The mean of a term over the guides."""

    def averaged(batch: Batch) -> Parts:
        found, share = [loss(seen) for seen in batch.seen], 1 / len(batch.seen)
        return {
            name: (factor, torch.stack([parts[name][1] * share for parts in found]).sum(0))
            for name, (factor, _) in found[0].items()
        }

    return averaged


KINDS: Mapping[Term, Kind] = {
    "directional": Kind(  # eq. (1)
        lambda config: averaged(_directional(config.features.direction_floor)), ["directional"]
    ),
    "moment": Kind(  # eq. (3)
        lambda config: averaged(_moment(config.moment, config.features.direction_floor)),
        ["first_moment", "covariance"],
        frozenset({"moment", "stage1"}),
    ),
    "relation": Kind(  # eq. (5)
        lambda config: averaged(_relation(config.relation)), ["relation"], frozenset({"relation"})
    ),
    "in_domain_angle": Kind(  # HyperDomainNet (Alanov et al. 2022)
        lambda config: averaged(_in_domain_angle), ["in_domain_angle"]
    ),
    "ewc": Kind(lambda config: _ewc, ["ewc"], frozenset({"ewc"})),  # eq. (4)
    "spectral": Kind(  # SCR (Liu et al. 2023)
        lambda config: averaged(_spectral(config.spectral)), ["spectral"], frozenset({"spectral"})
    ),
}

PARTS: Mapping[str, Term] = {part: term for term, kind in KINDS.items() for part in kind.parts}
"""Name of a part in histories -> the term that it belongs to."""


def needs(config: AdaptConfig, settings: str) -> bool:
    """Whether a term of the configuration reads a group of settings, and so needs its quantities.

    Args:
        config: a configuration.
        settings: "stage1" (semantic variations), "ewc" (Fisher information), "spectral" (probes), "moment"...

    Returns:
        whether it does.
    """
    return any(settings in KINDS[term].settings for term in KINDS if term in config.weights)
