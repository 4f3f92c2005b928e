"""Eq. (6) as data: a table row names its terms and their weights, and this registry says what each term is.

A rival of the paper's losses takes a function here and an entry in each of these:

* :data:`zsgan.adaptation.config.Term`, the names that a configuration accepts;
* :data:`TERMS`, name -> function;
* :data:`PARTS`, the parts of its value as histories call them -> name;
* :data:`NEEDS_VARIATIONS`, :data:`NEEDS_FISHER`, :data:`NEEDS_PROBES`, if it looks at what these stand for.

The source of its module becomes part of the id of its runs, see :func:`foreign_sources`.
"""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps

import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig, Term
from zsgan.method.ewc import ewc_penalty
from zsgan.method.losses import (
    directional_loss,
    image_directions,
    in_domain_angle_loss,
    moment_terms,
    relation_loss,
)
from zsgan.method.variations import Variations
from zsgan.networks.clip import ClipEncoder
from zsgan.rivals.consistency import spectral_loss


@dataclass(frozen=True, eq=False)
class Guide:
    """One CLIP and what it makes of the two texts.

    Attributes:
        encoder: E_I and E_T.
        t_src: (D,) E_T(t_src).
        t_trg: (D,) E_T(t_trg).
        variations: stage 1; ``None`` where no term needs it.
        text_set: (K + 1, D) T of eq. (3), or (1, D) dT alone.
    """

    encoder: ClipEncoder
    t_src: Tensor
    t_trg: Tensor
    variations: Variations | None
    text_set: Tensor


@dataclass(frozen=True, eq=False)
class Seen:
    """What one guide sees of a batch.

    Attributes:
        guide: whose features these are.
        f_src: (N, D) features of the source generator's images.
        f_trg: (N, D) features of the target generator's images of the same latents; these have gradients.
        stretch_src: (N,) how much ``f_src`` moves with the latent, see :mod:`zsgan.rivals.consistency`;
            ``None`` where no term needs it.
        stretch_trg: (N,) the same of ``f_trg``, with gradients.
    """

    guide: Guide
    f_src: Tensor
    f_trg: Tensor
    stretch_src: Tensor | None = None
    stretch_trg: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """All that a term may look at in one step.

    Attributes:
        seen: what each guide sees.
        params: trained parameters of the target generator by name.
        source_params: the same of the source generator.
        fisher: their Fisher information; empty where no term needs it.
    """

    seen: Sequence[Seen]
    params: Mapping[str, Tensor]
    source_params: Mapping[str, Tensor]
    fisher: Mapping[str, Tensor]


Parts = dict[str, tuple[float, Tensor]]
"""Name of a part of a term -> its weight inside the term, and its value, a scalar."""
Terms = Mapping[Term, Callable[[Batch, AdaptConfig], Parts]]


def objective(batch: Batch, config: AdaptConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """Eq. (6): the weighted sum of the terms that the configuration names.

    Args:
        batch: of this step.
        config: ``config.terms`` names the terms and their weights.

    Returns:
        the loss, a scalar with gradients, and the unweighted parts of its terms, without.
    """
    loss: Tensor | None = None
    values: dict[str, Tensor] = {}
    for term in TERMS:  # always in this order, so that a sum has the same bits however a row is written
        if weight := config.weights.get(term):
            for name, (factor, value) in TERMS[term](batch, config).items():
                part = weight * factor * value
                loss = part if loss is None else loss + part
                values[name] = value.detach()
    assert loss is not None  # a configuration has a term
    return loss, values


def _directional(seen: Seen, config: AdaptConfig) -> Parts:
    guide, directions = seen.guide, image_directions(seen.f_trg, seen.f_src)
    loss = directional_loss(directions, guide.t_trg - guide.t_src, config.features.direction_floor)
    return {"directional": (1.0, loss)}


def _moment(seen: Seen, config: AdaptConfig) -> Parts:
    first, second = moment_terms(
        image_directions(seen.f_trg, seen.f_src), seen.guide.text_set, config.moment.covariance,
        config.moment.normalise_directions, config.features.direction_floor,
    )  # fmt: skip
    return {"first_moment": (1.0, first), "covariance": (config.moment.lambda_cov, second)}


def _relation(seen: Seen, config: AdaptConfig) -> Parts:
    settings = config.relation
    loss = relation_loss(
        seen.f_trg, seen.f_src, settings.temperature, settings.diagonal, settings.reduction
    )  # fmt: skip
    return {"relation": (1.0, loss)}


def _in_domain_angle(seen: Seen, config: AdaptConfig) -> Parts:
    return {"in_domain_angle": (1.0, in_domain_angle_loss(seen.f_trg, seen.f_src))}


def _spectral(seen: Seen, config: AdaptConfig) -> Parts:
    assert seen.stretch_src is not None and seen.stretch_trg is not None  # see NEEDS_PROBES
    return {"spectral": (1.0, spectral_loss(seen.stretch_trg, seen.stretch_src, config.spectral.delta))}


def _ewc(batch: Batch, config: AdaptConfig) -> Parts:
    return {"ewc": (1.0, ewc_penalty(batch.params, batch.source_params, batch.fisher))}


def _mean(values: Sequence[Tensor], config: AdaptConfig) -> Tensor:
    """Mean over the guides, with the weights of the configuration."""
    shares = zip(values, config.shares, strict=True)
    return torch.stack([value * share for value, share in shares]).sum(0)


def _averaged(term: Callable[[Seen, AdaptConfig], Parts]) -> Callable[[Batch, AdaptConfig], Parts]:
    """A term of one guide's features -> its weighted mean over the guides."""

    @wraps(term)
    def averaged(batch: Batch, config: AdaptConfig) -> Parts:
        parts = [term(seen, config) for seen in batch.seen]
        return {
            name: (factor, _mean([p[name][1] for p in parts], config))
            for name, (factor, _) in parts[0].items()
        }

    return averaged


TERMS: Terms = {
    "directional": _averaged(_directional),  # eq. (1)
    "moment": _averaged(_moment),  # eq. (3)
    "relation": _averaged(_relation),  # eq. (5)
    "in_domain_angle": _averaged(_in_domain_angle),  # HyperDomainNet (Alanov et al. 2022)
    "ewc": _ewc,  # eq. (4)
    "spectral": _averaged(_spectral),  # SCR (Liu et al. 2023)
}

PARTS: Mapping[str, Term] = {
    "directional": "directional",
    "first_moment": "moment",
    "covariance": "moment",
    "relation": "relation",
    "in_domain_angle": "in_domain_angle",
    "ewc": "ewc",
    "spectral": "spectral",
}
"""Part of a loss, as histories call it -> the term that it belongs to."""

NEEDS_VARIATIONS: frozenset[Term] = frozenset({"moment"})
NEEDS_FISHER: frozenset[Term] = frozenset({"ewc"})
NEEDS_PROBES: frozenset[Term] = frozenset({"spectral"})


def needs(config: AdaptConfig, terms: frozenset[Term]) -> bool:
    """Whether the configuration has one of these terms."""
    return not terms.isdisjoint(config.weights)


OWN = frozenset({"directional", "moment", "relation", "in_domain_angle", "ewc", "spectral"})
"""Terms of this project, whose code has a version: :data:`zsgan.adaptation.by_text.NUMERICS`."""


def foreign_sources(config: AdaptConfig) -> dict[str, str]:
    """The code of terms that are not this project's, so that a change of it is another run.

    Args:
        config: whose terms.

    Returns:
        term -> SHA-256 of the source of its function's module, for every term of the configuration that is
        not in :data:`OWN` or whose function was replaced by one of another module.

    Raises:
        ValueError: the source of such a term cannot be read.
    """
    functions = {term: inspect.unwrap(TERMS[term]) for term in TERMS if term in config.weights}
    return {
        term: _source(term, function)
        for term, function in functions.items()
        if term not in OWN or getattr(function, "__module__", None) != __name__
    }


def _source(term: str, function: Callable[..., object]) -> str:
    try:
        if isinstance(function, partial):  # it would pass for a function of functools
            raise TypeError("it is a partial")
        module, code = inspect.getmodule(function), getattr(function, "__code__", None)
        file = getattr(module, "__file__", None)  # a notebook has none: there the function alone counts
        whole = file is not None and (code is None or code.co_filename == file)
        text = inspect.getsource(module if module and whole else function)
    except (OSError, TypeError) as error:
        raise ValueError(
            f"terms: the source of {term!r} cannot be read ({error}), so its runs cannot be told apart when "
            "it changes; define it by def or class in a .py file or a notebook"
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()
