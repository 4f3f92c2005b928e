"""Stage 1, eq. (2): semantic variations of the target text, learned or in closed form.

Stage 1 uses only the target text feature t, no image. With r = ``epsilon / |t|`` and unit directions z_i::

    v_i = t + epsilon z_i,    cos(t, v_i) = g(cos(z_i, t)),    g(c) = (1 + r c) / sqrt(1 + 2 r c + r^2),

so L_S1 depends on t and z only through cosines. For every epsilon > 0, and unless lambda_div is tiny, its
optimum is a set of *orthonormal* z_i with cos(z_i, t) = 1 / sqrt(K), hence ``t / |t| = sum_i z_i / sqrt(K)``.
All components orthogonal to t depend on the random start, which makes the seed a hyper-parameter of the
method.

Proof. Let G be the Gram matrix of the z_i, m the mean of ``|G_ij|`` over pairs, and c_i = cos(z_i, t).
Flipping a z_i leaves every ``|G_ij|`` alone and g(c) >= g(-c) for c >= 0, so take all c_i >= 0.

* As a function of c^2, g is increasing and concave; and sum_i c_i^2 is at most the largest eigenvalue of G,
  which is at most 1 + m K (K - 1) / 2. With the tangent of g at c^2 = 1 / K::

      L_S1 >= 1 - g(1 / sqrt K) + m [lambda_div - g'(1 / sqrt K) sqrt(K) (K - 1) / 4],

  so orthonormal directions are optimal if the bracket is not negative.
* For r >= 1 / sqrt 2, g is concave in c itself where c >= 0. The problem is then convex in the Gram matrix of
  z_1, ..., z_K, t and symmetric under permutations, so some optimum has all G_ij = rho and, with t along the
  mean of the z_i, all c_i^2 = (1 + (K - 1) rho) / K. The rest of the loss falls with c for rho < 0 and is
  convex in c for rho >= 0, with its minimum at rho = 0 if and only if::

      lambda_div >= g'(1 / sqrt K) (K - 1) / (2 sqrt K).

At the paper's K = 6 and lambda_div = 1 this covers every epsilon up to ``40 |t|``.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from zsgan.base.precision import at_least_float32

EPS = 1e-8  # floor of the norms in a cosine: a zero vector has cosine 0 and a finite gradient


@dataclass(frozen=True, eq=False)
class Variations:
    """Semantic variations of one target text, with the losses of stage 1.

    Attributes:
        z: (K, D) directions, unit norm.
        v: (K, D) variations v_i = t_trg + epsilon * z_i; not unit norm.
        epsilon: length of the perturbation, in the units of t_trg.
        l_cons: (iterations + 1,) L_cons at the start and after every step; the last entry belongs to ``z``.
        l_div: (iterations + 1,) L_div, likewise.
    """

    z: Tensor
    v: Tensor
    epsilon: float
    l_cons: Tensor
    l_div: Tensor


class ClosedFormValues(NamedTuple):
    """Values at the optimum of stage 1: cos(z_i, t), cos(v_i, t) and L_S1."""

    cos_z: float
    cos_v: float
    loss: float


def semantic_variations(
    t_trg: Tensor,
    n_variations: int = 6,
    epsilon: float | None = None,
    lambda_div: float = 1.0,
    iterations: int = 2000,
    lr: float = 0.002,
    betas: tuple[float, float] = (0.0, 0.99),
    *,
    generator: torch.Generator,
    progress: bool = False,
) -> Variations:
    """Stage 1, eq. (2): learn K diverse directions around the target text (paper, sec. 3.2 and 4.1).

    The z_i start from N(0, I), which the paper leaves open, and are optimised by Adam.

    Args:
        t_trg: (D,) target text feature E_T(t_trg), not zero.
        n_variations: K, from 2 to D.
        epsilon: length of the perturbation; None takes the paper's ``|t_trg|``.
        lambda_div: weight of L_div, >= 0.
        iterations: Adam steps.
        lr: Adam's step size.
        betas: Adam's decay rates.
        generator: source of the random start; the same seed gives the same bits.
        progress: show a progress bar.

    Returns:
        the variations after the last step, with the history of both losses.

    Raises:
        ValueError: t_trg is not a non-zero vector, or n_variations or epsilon is out of range.
    """
    t_trg = at_least_float32(t_trg.detach())
    epsilon = _checked_epsilon(t_trg, n_variations, epsilon)
    history = []
    with torch.enable_grad():
        z = _random_start(t_trg, n_variations, generator).requires_grad_()
        optimiser = torch.optim.Adam([z], lr=lr, betas=betas)
        for _ in tqdm(range(iterations), desc="semantic variations", disable=not progress, leave=None):
            l_cons, l_div = variation_losses(t_trg, z, epsilon)
            history.append((l_cons.detach(), l_div.detach()))
            optimiser.zero_grad()
            (l_cons + lambda_div * l_div).backward()
            optimiser.step()
    return _finished(t_trg, z.detach(), epsilon, history)


def closed_form_variations(
    t_trg: Tensor,
    n_variations: int = 6,
    epsilon: float | None = None,
    *,
    generator: torch.Generator,
) -> Variations:
    """Optimum of stage 1, eq. (2), without optimisation; see the module's docstring for the proof.

    Of all optima, this is the one nearest to the random start that ``semantic_variations`` draws from the
    same generator: z is orthonormal, and ``sum_i z_i / sqrt(K) = t / |t|``.

    Args:
        t_trg: (D,) target text feature, not zero.
        n_variations: K, from 2 to D.
        epsilon: length of the perturbation; None takes the paper's ``|t_trg|``.
        generator: source of the random start.

    Returns:
        the variations; their loss histories have one entry each, for the optimum.

    Raises:
        ValueError: t_trg is not a non-zero vector, or n_variations or epsilon is out of range.
    """
    t_trg = at_least_float32(t_trg.detach())
    epsilon = _checked_epsilon(t_trg, n_variations, epsilon)
    t = F.normalize(t_trg, dim=0)
    start = _random_start(t_trg, n_variations, generator)
    rest = start - torch.outer(start @ t, t)
    # Centred rows plus t: (1, ..., 1) / sqrt(K) and t are a pair of singular vectors. The polar factor keeps
    # this pair and makes the rows orthonormal, so that cos(z_i, t) = 1 / sqrt(K).
    left, _, right = torch.linalg.svd(rest - rest.mean(0) + t, full_matrices=False)
    return _finished(t_trg, left @ right, epsilon, [])


def caption_variations(
    t_trg: Tensor, captions: Tensor, epsilon: float | None = None, *, without: Tensor | None = None
) -> Variations:
    """Variations with a meaning: z_i points from the target text to a caption of it. Not in the paper.

    Stage 1 as printed uses no data, and its directions have no meaning beyond t. Here the directions are
    those of attributes in words ("white cat" - "cat"), without their components along t and along
    ``without``. The rest turns the first moment neither towards the text itself nor, if ``without`` has the
    modality gap, from texts to images.

    Args:
        t_trg: (D,) target text feature, not zero.
        captions: (K, D) features of captions of the target, from 2 to D.
        epsilon: length of the perturbation; None takes ``|t_trg|``.
        without: (M, D) further directions to which every z_i is made orthogonal.

    Returns:
        the variations; their loss histories have one entry each.

    Raises:
        ValueError: an argument is out of range, or a caption adds nothing to the text and ``without``.
    """
    t_trg = at_least_float32(t_trg.detach())
    epsilon = _checked_epsilon(t_trg, len(captions), epsilon)
    left_out = t_trg[None] if without is None else torch.cat([t_trg[None], without.to(t_trg)])
    basis, _ = torch.linalg.qr(left_out.T)  # (D, 1 + M), orthonormal
    z = at_least_float32(captions) - t_trg
    z = z - z @ basis @ basis.T
    if (silent := z.norm(dim=1) < 1e-5 * t_trg.norm()).any():
        raise ValueError(
            f"captions {silent.nonzero().flatten().tolist()} add nothing to the target text; choose others"
        )
    return _finished(t_trg, z, epsilon, [])


def closed_form_values(
    n_variations: int, epsilon_ratio: float = 1.0, lambda_div: float = 1.0
) -> ClosedFormValues:
    """Values at the optimum of stage 1, eq. (2): 0.408, 0.839, 0.161 for the paper's K = 6 and r = 1.

    Args:
        n_variations: K >= 2.
        epsilon_ratio: r = ``epsilon / |t_trg|`` > 0.
        lambda_div: weight of L_div. Below a bound it pays to align the z_i, and the values do not hold. The
            bound is exact for r >= 1 / sqrt(2) and sufficient for smaller r.

    Returns:
        cosines and loss, the same for every target text.

    Raises:
        ValueError: an argument is out of range, or lambda_div is below the bound.
    """
    if n_variations < 2:
        raise ValueError(f"n_variations must be >= 2 to define pairs, got {n_variations}")
    if not epsilon_ratio > 0:
        raise ValueError(f"epsilon_ratio must be > 0, got {epsilon_ratio}")
    r, cos_z = epsilon_ratio, n_variations**-0.5
    length = math.sqrt(1 + 2 * r * cos_z + r**2)  # |v_i| / |t|
    slope = r**2 * (r + cos_z) / length**3  # g'(cos_z)
    bound = slope * (n_variations - 1) * (cos_z / 2 if 2 * r**2 >= 1 else 1 / (4 * cos_z))
    if lambda_div < bound:
        raise ValueError(
            f"lambda_div must be >= {bound:.4g} for n_variations={n_variations} and "
            f"epsilon_ratio={epsilon_ratio}, got {lambda_div}: orthogonal variations need not be optimal, "
            "run semantic_variations instead"
        )
    cos_v = (1 + r * cos_z) / length
    return ClosedFormValues(cos_z, cos_v, 1 - cos_v)


def variation_losses(
    t_trg: Tensor,
    z: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor]:
    """L_cons and L_div of eq. (2), two scalars.

    L_cons = mean_i [1 - cos(t_trg, v_i)] in [0, 2] and L_div = ``mean_{i<j} |cos(z_i, z_j)|`` in [0, 1].

    Args:
        t_trg: (D,) target text feature.
        z: (K, D) directions of any length, K >= 2.
        epsilon: length of the perturbation, in the units of t_trg.

    Returns:
        L_cons and L_div, differentiable in ``z``.
    """
    t_trg = at_least_float32(t_trg)
    z = F.normalize(at_least_float32(z), dim=1, eps=EPS)
    v = t_trg + epsilon * z
    cosines = F.cosine_similarity(v, t_trg[None], dim=1, eps=EPS)
    l_cons = (1 - cosines).mean()
    i, j = torch.triu_indices(len(z), len(z), offset=1, device=z.device)
    l_div = (z @ z.T)[i, j].abs().mean()
    return l_cons, l_div


def _finished(t_trg: Tensor, z: Tensor, epsilon: float, history: list[tuple[Tensor, Tensor]]) -> Variations:
    """Variations from directions of any length, whose losses complete the history."""
    z = F.normalize(z, dim=1, eps=EPS)
    l_cons, l_div = zip(*history, variation_losses(t_trg, z, epsilon), strict=True)
    return Variations(z, t_trg + epsilon * z, epsilon, torch.stack(l_cons), torch.stack(l_div))


def _random_start(t_trg: Tensor, n_variations: int, generator: torch.Generator) -> Tensor:
    """Draw z (K, D) from N(0, I), on the generator's device, so that the numbers do not depend on t_trg's."""
    start = torch.randn(
        n_variations, len(t_trg), generator=generator, device=generator.device, dtype=t_trg.dtype
    )
    return start.to(t_trg.device)


def _checked_epsilon(t_trg: Tensor, n_variations: int, epsilon: float | None) -> float:
    """Check the arguments of both routes, and return epsilon with its default filled in."""
    if t_trg.ndim != 1 or not t_trg.norm() > 0:
        raise ValueError(
            f"t_trg must be one non-zero text feature of shape (D,), got shape {tuple(t_trg.shape)} "
            f"and norm {t_trg.norm().item():.3g}"
        )
    if not 2 <= n_variations <= len(t_trg):
        raise ValueError(
            f"n_variations must be at least 2 (L_div is a mean over pairs) and at most D = {len(t_trg)} "
            f"(the optimum is orthogonal), got {n_variations}"
        )
    epsilon = t_trg.norm().item() if epsilon is None else float(epsilon)
    if not epsilon > 0:
        raise ValueError(f"epsilon must be > 0 (None takes |t_trg|), got {epsilon}")
    return epsilon
