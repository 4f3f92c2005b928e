"""Spectral consistency loss of SCR (Liu et al., ICCV 2023), an alternative to eqs. (4) and (5).

It keeps how far a small step in the latent moves CLIP's feature of the image. When an adaptation collapses,
latents lose their influence, and these lengths shrink.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

from zsgan.base.precision import at_least_float32


def probe_directions(mapping: Callable[[Tensor], Tensor], z: Tensor, signs: Tensor) -> Tensor:
    """Directions in W+ of random directions u in Z: J u, with J the Jacobian of the mapping network.

    SCR weights the directions over the layers, with learnt weights that start equal; here they stay equal.

    Args:
        mapping: (N, D_z) to (N, L, D_w), each sample independently.
        z: (N, D_z) latents.
        signs: (P, N, D_z) probes u.

    Returns:
        (P, N, L, D_w), without gradients.
    """
    with torch.no_grad():
        directions = torch.stack([jvp(mapping, (z,), (u,))[1] for u in signs])
    return directions / directions.shape[2]


def squared_stretch(features: Callable[[Tensor], Tensor], ws: Tensor, directions: Tensor) -> Tensor:
    """Sensitivity of features to latents: mean over the probes of |J_n u|^2, J_n = d feature_n / d w_n.

    For random signs u its expectation is the trace of J_n^T J_n (Hutchinson), the sum of the squared singular
    values of J_n.

    Args:
        features: (N, L, D_w) to (N, D), each sample independently; called once per probe, so its noise must
            be the same in every call.
        ws: (N, L, D_w) latents.
        directions: (P, N, L, D_w) probes.

    Returns:
        (N,), >= 0, differentiable in the parameters of ``features``.
    """
    ws = ws.contiguous()  # a dual number must not share memory over the layers
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward derivative
        moved = [at_least_float32(jvp(features, (ws,), (u,))[1]) for u in directions]
        return torch.stack([derivative.square().sum(1) for derivative in moved]).mean(0)


def balance(text: Tensor, term: Tensor, lever: Tensor, floor: float = 1e-4, most: float = 1e4) -> Tensor:
    """SCR's weight of its term in a step: |d text / d lever| / (|d term / d lever| + floor), bounded.

    With it, the term's gradient in the lever is never longer than the text's.

    Args:
        text: the loss that follows the text, a scalar.
        term: the term to weigh, a scalar.
        lever: weights that both depend on. SCR's code takes those of every ToRGB but the first together, and
            weighs the term of each CLIP alone; here it is one ToRGB, and the mean over the guides.
        floor: added to the norm of the term's gradient; value of SCR's code, as the next.
        most: largest weight.

    Returns:
        the weight, (), without gradients.
    """
    norms = [
        at_least_float32(gradient).norm()
        for loss in (text, term)
        for gradient in torch.autograd.grad(loss, lever, retain_graph=True)
    ]
    return (norms[0] / (norms[1] + floor)).clamp(0, most)


def spectral_loss(stretch_trg: Tensor, stretch_src: Tensor, delta: float = 1.0) -> Tensor:
    """Huber loss between the stretches of both generators, averaged over the samples.

    Args:
        stretch_trg: (N,) stretches of the target generator, see :func:`squared_stretch`.
        stretch_src: (N,) stretches of the source generator, for the same latents and probes.
        delta: difference above which the loss is linear; > 0.

    Returns:
        a scalar >= 0: d^2 / 2 of a difference |d| <= delta, else delta (|d| - delta / 2).

    Raises:
        ValueError: shapes differ, or delta is not positive.
    """
    if stretch_trg.ndim != 1 or stretch_trg.shape != stretch_src.shape:
        raise ValueError(
            "stretch_trg and stretch_src must both be (N,), of the same latents, "
            f"got {tuple(stretch_trg.shape)} and {tuple(stretch_src.shape)}"
        )
    if not delta > 0:
        raise ValueError(f"delta must be > 0, got {delta}")
    return F.huber_loss(at_least_float32(stretch_trg), at_least_float32(stretch_src), delta=delta)
