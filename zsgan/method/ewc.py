"""Elastic weight consolidation, eq. (4): the Fisher information of the source generator and the penalty."""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from zsgan.base.precision import at_least_float32

Estimator = Literal["empirical", "batch", "hutchinson", "gauss_newton"]
Granularity = Literal["element", "layer"]
Params = Mapping[str, Tensor]
Features = Callable[[Params, Tensor], Tensor]
Add = Callable[[int], dict[str, float]]


def in_order(total: list[Tensor], add: Add, n: int) -> None:
    """Add the contributions 0 to n - 1 to ``total``; what they return is not used."""
    for i in range(n):
        add(i)


def fisher_information(
    features: Features,
    params: Params,
    ws: Tensor,
    t_src: Tensor,
    *,
    estimator: Estimator = "empirical",
    granularity: Granularity = "element",
    batch_size: int = 4,
    n_probes: int = 1,
    generator: torch.Generator | None = None,
    batches: Callable[[list[Tensor], Add, int], object] = in_order,
) -> dict[str, Tensor]:
    """Fisher information of the source generator, eq. (4): the diagonal of F = E_w[-d^2 s(w) / d theta^2].

    s(w) = <E_I(G_src(w)), E_T(t_src)> is the cosine of unit-norm features, without CLIP's logit scale of 100,
    which would multiply F by 10^4 and a Hessian by 100. The paper does not say how F is estimated:

    * "empirical": mean over samples of (d s / d theta)^2, with one gradient per sample. This is the field's
      practice; it equals E[-H] only if s is a log-likelihood and the samples are the model's own.
    * "batch": mean over batches of (d mean(s) / d theta)^2. A common mistake: uncorrelated gradients cancel,
      and F is up to batch_size times too small.
    * "hutchinson": as printed, E[-u * (H u)] with random signs u. The cosine is not concave, so elements can
      be negative; they are clamped at 0. Needs double backward and many probes.
    * "gauss_newton": E[(J^T u)^2] with u ~ N(0, I), the diagonal of J^T J with J the Jacobian of the
      features. Measures what the image's content depends on; does not use t_src.

    Args:
        features: maps parameters and latents (n, ...) to E_I(G_src(w)), (n, D), unit norm; a pure function of
            the parameters, see ``torch.func.functional_call``, with independent samples. It also sets
            the generator's noise; noise that it draws is new for every sample.
        params: parameters of G_src by name, at which F is evaluated. F = 0 for unused ones.
        ws: (M, ...) latents over which the expectation is taken.
        t_src: (D,) source text feature E_T(t_src), unit norm.
        estimator: see above.
        granularity: "element" keeps F per element; "layer" replaces it by its mean over each tensor.
        batch_size: latents per forward pass. For "empirical" it changes only speed, memory (one gradient
            per latent) and the order in which noise is drawn.
        n_probes: random probes per batch, for "hutchinson" and "gauss_newton".
        generator: source of these probes, required for the same two.
        batches: goes through the batches like :func:`in_order`, for example with a progress bar.

    Returns:
        F by name, float32, >= 0, each shaped like its parameter.

    Raises:
        ValueError: an option is unknown or out of range, ws or params is empty, generator is missing,
            or the features depend on none of the parameters.
    """
    _check_options(params, ws, estimator, granularity, batch_size, n_probes, generator)
    params = {k: p.detach().requires_grad_() for k, p in params.items()}
    total = [torch.zeros_like(p).float() for p in params.values()]
    parts = ws.split(batch_size)

    def add(i: int) -> dict[str, float]:
        given = features, params, parts[i], t_src, n_probes, generator
        more = _estimate(estimator, *given)
        for running, value in zip(total, more, strict=True):
            running += value
        return {}

    batches(total, add, len(parts))
    fisher = [value / len(ws) for value in total]
    if granularity == "layer":
        fisher = [x.mean().expand_as(x).clone() for x in fisher]
    # Only a Hessian's diagonal can be negative; clamped after averaging.
    clamped = [x.clamp(min=0) for x in fisher]
    return dict(zip(params, clamped, strict=True))


def ewc_penalty(
    params: Params,
    source_params: Params,
    fisher: Params,
) -> Tensor:
    """Elastic weight consolidation, eq. (4): sum of F (theta - theta_src)^2 over layers and elements, ().

    Args:
        params: trained parameters theta of G_trg by name.
        source_params: the same parameters of G_src.
        fisher: their Fisher information, see ``fisher_information``.

    Returns:
        a scalar >= 0, differentiable in ``params``.

    Raises:
        ValueError: there are no parameters, or the names or shapes differ.
    """
    _check_same_parameters(params, source_params, fisher)
    terms = []
    for name, theta in params.items():
        drift = at_least_float32(theta) - source_params[name]
        terms.append((fisher[name] * drift * drift).sum())
    return torch.stack(terms).sum()


# Contribution of one batch to M times F, one tensor per parameter.


def _estimate(
    estimator: Estimator,
    features: Features,
    params: Params,
    ws: Tensor,
    t_src: Tensor,
    n_probes: int,
    generator: torch.Generator | None,
) -> list[Tensor]:
    # Fused attention has no double backward, and none for a batch of gradients.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        match estimator:
            case "empirical":
                return squared_gradients(features, params, ws, t_src)
            case "batch":
                return _squared_mean_gradient(features, params, ws, t_src)
            case "hutchinson":
                return _negative_hessian(features, params, ws, t_src, n_probes, generator)
            case "gauss_newton":
                return _squared_jacobian(features, params, ws, n_probes, generator)


def squared_gradients(
    features: Features,
    params: Params,
    ws: Tensor,
    t_src: Tensor,
) -> list[Tensor]:
    """Squared gradients of the samples of one batch, summed over them: the default estimate.

    Args:
        features: maps parameters and latents to features, see :func:`fisher_information`.
        params: parameters of G_src by name.
        ws: (M, ...) latents of the batch.
        t_src: (D,) source text feature.

    Returns:
        a tensor for each parameter, of its shape.
    """

    def similarity(params: Params, w: Tensor) -> Tensor:
        feature = _dependent(features(params, w[None]))[0]
        return feature @ at_least_float32(t_src)

    one = grad(similarity)
    each = vmap(one, in_dims=(None, 0), randomness="different")
    with torch.no_grad():  # otherwise `grad` would be differentiable itself
        gradients = each(params, ws)
    wide = (at_least_float32(gradients[name]) for name in params)
    return [gradient.square().sum(0) for gradient in wide]


def _squared_mean_gradient(features: Features, params: Params, ws: Tensor, t_src: Tensor) -> list[Tensor]:
    gradients = _gradients((_dependent(features(params, ws)) @ at_least_float32(t_src)).mean(), params)
    # n times the square of the mean, so that a smaller last batch counts by its size.
    return [len(ws) * g.square() for g in gradients]


def _negative_hessian(
    features: Features,
    params: Params,
    ws: Tensor,
    t_src: Tensor,
    n_probes: int,
    generator: torch.Generator | None,
) -> list[Tensor]:
    similarity = (_dependent(features(params, ws)) @ at_least_float32(t_src)).sum()
    gradients = _gradients(similarity, params, create_graph=True)
    total = [torch.zeros_like(g) for g in gradients]
    for _ in range(n_probes):
        signs = [_randn(g, generator).sign() for g in gradients]
        product = torch.stack([(g * u).sum() for g, u in zip(gradients, signs, strict=True)]).sum()
        for running, u, hu in zip(total, signs, _gradients(product, params, retain_graph=True), strict=True):
            running -= u * hu / n_probes
    return total


def _squared_jacobian(
    features: Features, params: Params, ws: Tensor, n_probes: int, generator: torch.Generator | None
) -> list[Tensor]:
    f = _dependent(features(params, ws))
    # Every sample has its own u, so the cross terms of the squared sum vanish in expectation.
    total = [torch.zeros_like(at_least_float32(p)) for p in params.values()]
    for _ in range(n_probes):
        product = (f * _randn(f, generator)).sum()
        for running, g in zip(total, _gradients(product, params, retain_graph=True), strict=True):
            running += g.square() / n_probes
    return total


def _dependent(f: Tensor) -> Tensor:
    if not f.requires_grad:
        raise ValueError("features must depend on params, got features without gradients")
    return at_least_float32(f)


def _gradients(
    value: Tensor, params: Params, create_graph: bool = False, retain_graph: bool | None = None
) -> tuple[Tensor, ...]:
    gradients = torch.autograd.grad(
        value,
        list(params.values()),
        create_graph=create_graph,
        retain_graph=retain_graph,
        materialize_grads=True,
    )
    return tuple(map(at_least_float32, gradients))


def _randn(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw N(0, I) on the generator's device, so that the numbers do not depend on the device of ``like``."""
    device = generator.device if generator else like.device
    return torch.randn(like.shape, generator=generator, device=device, dtype=like.dtype).to(like.device)


def _check_options(
    params: Params,
    ws: Tensor,
    estimator: str,
    granularity: str,
    batch_size: int,
    n_probes: int,
    generator: torch.Generator | None,
) -> None:
    if estimator not in get_args(Estimator):
        raise ValueError(f"estimator must be one of {get_args(Estimator)}, got {estimator!r}")
    if granularity not in get_args(Granularity):
        raise ValueError(f"granularity must be one of {get_args(Granularity)}, got {granularity!r}")
    if estimator in ("hutchinson", "gauss_newton") and generator is None:
        raise ValueError(f"generator must be a torch.Generator for estimator {estimator!r}, got None")
    if len(ws) == 0 or batch_size < 1 or n_probes < 1:
        raise ValueError(
            "ws, batch_size and n_probes must be at least 1, "
            f"got {len(ws)} latents, batch_size={batch_size} and n_probes={n_probes}"
        )
    if not params:
        raise ValueError("params must name at least one parameter, got none")


def _check_same_parameters(params: Params, source_params: Params, fisher: Params) -> None:
    if not params:
        raise ValueError("params must name at least one parameter, got none")
    for argument, other in (("source_params", source_params), ("fisher", fisher)):
        if differing := params.keys() ^ other.keys():
            name = min(differing)
            where = "params" if name in params else argument
            raise ValueError(f"params and {argument} must have the same names; {name!r} is only in {where}")
        for name, theta in params.items():
            if other[name].shape != theta.shape:
                raise ValueError(
                    f"{argument}[{name!r}] must have the parameter's shape {tuple(theta.shape)}, "
                    f"got {tuple(other[name].shape)}; was it made for another generator?"
                )
