"""The terms that a row can name, and the batches that they see.

A term is a :class:`Kind`. One of the package is a function, an entry in ``KINDS`` and, if it has settings, a
group of the configuration; one of a file is a function alone (:mod:`zsgan.adaptation.plugged`).
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from zsgan.adaptation.batches import Batch, Seen
from zsgan.adaptation.config import AdaptConfig, Features, Moment, Relation, Term, is_plugged
from zsgan.adaptation.plugged import Plugged, plugged
from zsgan.adaptation.rival_settings import Local, Spectral
from zsgan.method.ewc import ewc_penalty
from zsgan.method.losses import (
    directional_loss,
    directional_moment_loss,
    image_directions,
    in_domain_angle_loss,
    relation_loss,
)
from zsgan.rivals.consistency import spectral_loss
from zsgan.rivals.local_directions import local_directional_loss, patches

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
        guide, text = seen.guide, seen.guide.t_trg - seen.guide.t_src
        if guide.directions is not None:
            assert seen.step is not None
            text = guide.directions(seen.step.ws)
        found = directional_loss(image_directions(seen.f_trg, seen.f_src), text, floor)
        return {"directional": (1.0, found)}

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


def _local(settings: Local, features: Features) -> OfGuide:
    def loss(seen: Seen) -> Parts:
        guide, step = seen.guide, seen.step
        assert step is not None
        if guide.parts is None:
            raise ValueError(
                "the guide has no directions of parts for the term 'local'; a plugged-in guide keeps them if "
                "it returns dataclasses.replace(guide, ...)"
            )
        f_trg, f_src = (
            guide.encoder.encode_images(
                patches(images, settings.side, step.random("patches")), features.normalise, features.antialias
            )
            for images in (step.images, step.source_images)
        )
        directions = image_directions(f_trg, f_src)
        return {"local": (1.0, local_directional_loss(directions, guide.parts, features.direction_floor))}

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
    "local": Kind(  # StyleGAN-NADA's code, and DiFa's (Zhang et al. 2022)
        lambda config: averaged(_local(config.local, config.features)), ["local"], frozenset({"local"})
    ),
}

PARTS: Mapping[str, Term] = {part: term for term, kind in KINDS.items() for part in kind.parts}
"""Name of a part in histories -> the term that it belongs to."""


def kind_of(term: str) -> Kind:
    """The term of a name: one of the package, or one that is plugged in.

    Args:
        term: a name in ``config.terms``.

    Returns:
        the term.

    Raises:
        ValueError: a plugged-in term does not exist.
    """
    if not is_plugged(term):
        return {str(name): kind for name, kind in KINDS.items()}[term]
    found = plugged(term)
    return Kind(partial(_bound, found), [found.thing.__name__], found.needs)


def _bound(found: Plugged, config: AdaptConfig) -> Loss:
    """A plugged-in term with the settings that a configuration gives it."""
    given = config.settings_of(found.name)
    taken = [
        parameter.name for parameter in inspect.signature(found.thing).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]  # fmt: skip
    if unknown := sorted(set(given) - set(taken)):
        raise ValueError(
            f"terms: {found.name} has no setting {unknown[0]!r}; its keyword-only arguments are "
            f"{', '.join(taken) or 'none'}"
        )

    def loss(seen: Seen) -> Parts:
        value = found.thing(seen, **given)
        if not isinstance(value, Tensor) or value.shape != ():
            got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise ValueError(f"terms: {found.name} must return a scalar tensor, of shape (), got {got}")
        return {found.thing.__name__: (1.0, value)}

    return averaged(loss)


def needs(config: AdaptConfig, settings: str) -> bool:
    """Whether a term of the configuration reads a group of settings, and so needs its quantities.

    Args:
        config: a configuration.
        settings: "stage1" (semantic variations), "ewc" (Fisher information), "spectral" (probes), "moment"...

    Returns:
        whether it does.
    """
    return any(settings in kind_of(term).settings for term in config.weights)
