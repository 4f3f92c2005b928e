"""Losses of stage 2 as pure functions of features: eqs. (1), (3) and (5), and an alternative to (5).

delta_text (dT) and delta_image (dI) are differences of features, target minus source; N images, D feature
dimensions, K variations. Features are unit norm unless the caller ablates that. Losses have shape () and are
computed in float32 at least.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.precision import at_least_float32

EPS = 1e-8  # floor of the norms in a cosine: a zero direction has cosine 0 and a finite gradient

Scale = Literal["sum", "n"]
Distance = Literal["frobenius", "squared_frobenius", "row"]
Reduction = Literal["batchmean", "mean"]


@dataclass(frozen=True)
class CovarianceReading:
    """One reading of || Sigma_I - Sigma_T || in eq. (3); the defaults are as printed.

    Attributes:
        centre: subtract the mean of the set first. Printed: Sigma_X = X^T X, not centred.
        scale: divide X^T X by nothing ("sum", printed) or by the number of rows ("n").
        distance: distance between two D x D matrices.
            "frobenius": root of the summed squares.
            "squared_frobenius": the summed squares.
            "row": Euclidean distance of corresponding rows, averaged over the D rows. Unlike the others it
            depends on the basis of the feature space.
    """

    centre: bool = False
    scale: Scale = "sum"
    distance: Distance = "frobenius"

    def __post_init__(self) -> None:
        """Reject unknown options."""
        for name, accepted in (("scale", get_args(Scale)), ("distance", get_args(Distance))):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} must be one of {accepted}, got {getattr(self, name)!r}")


def image_directions(f_trg: Tensor, f_src: Tensor) -> Tensor:
    """Image directions dI_n = E_I(G_trg(w_n)) - E_I(G_src(w_n)) of features f_trg and f_src; all (N, D)."""
    _check_same_images(f_trg, f_src)
    return at_least_float32(f_trg) - at_least_float32(f_src)


def text_set(t_src: Tensor, t_trg: Tensor, variations: Tensor, renormalise: bool = False) -> Tensor:
    """Text set T of eq. (3), (K + 1, D): dT, then dT_i = v_i - t_src for every variation.

    Args:
        t_src: (D,) source text feature.
        t_trg: (D,) target text feature.
        variations: (K, D) variations v_i of t_trg.
        renormalise: rescale every v_i to the length of t_trg first (not printed; v_i = t_trg + epsilon z_i is
            longer than t_trg at the optimum of stage 1).

    Returns:
        the directions, dT in the first row.
    """
    t_src, t_trg, variations = map(at_least_float32, (t_src, t_trg, variations))
    if renormalise:
        variations = F.normalize(variations, dim=1, eps=EPS) * t_trg.norm()
    return torch.cat([t_trg[None], variations]) - t_src


def directional_loss(
    delta_image: Tensor,
    delta_text: Tensor,
    floor: float = EPS,
) -> Tensor:
    """Directional loss of StyleGAN-NADA, eq. (1): mean_n [1 - cos(dI_n, dT)], in [0, 2].

    Args:
        delta_image: (N, D) image directions. An exactly zero one contributes 1, with a gradient of order
            1 / floor.
        delta_text: (D,) text direction, or (N, D) one for each image.
        floor: lower bound of the norms in the cosine, of delta_text too. At the first steps the two
            generators hardly differ, so a plain cosine's gradient is of order ``1 / |dI|``, and Adam's second
            moment keeps it for thousands of steps, during which training stalls. Not in the paper.

    Returns:
        a scalar.

    Raises:
        ValueError: ``delta_text`` is neither one direction nor one for each image.
    """
    if delta_text.shape not in (delta_image.shape[1:], delta_image.shape):
        raise ValueError(
            "delta_text must be one direction of shape (D,), or one for each image, got "
            f"{tuple(delta_text.shape)} for images of shape {tuple(delta_image.shape)}"
        )
    return (1 - _cosine(delta_image, delta_text, floor)).mean()


def directional_moment_loss(
    delta_image: Tensor,
    text_set: Tensor,
    covariance: CovarianceReading,
    normalise_directions: bool = False,
    floor: float = EPS,
) -> tuple[Tensor, Tensor]:
    """The two terms of the directional moment loss, eq. (3), which is first + lambda_cov * second.

    Args:
        delta_image: (N, D) image directions.
        text_set: (K + 1, D) text directions, see ``text_set``.
        covariance: the reading of the second term; the effect of lambda_cov, printed as 1e3, depends on it.
        normalise_directions: scale every direction of both sets to unit length first (not printed); ``floor``
            then no longer bounds the gradient of a short direction.
        floor: lower bound of the norms in the cosine, see ``directional_loss``.

    Returns:
        ``first_moment_loss`` and ``covariance_distance``, two scalars >= 0.
    """
    delta_image, text_set = at_least_float32(delta_image), at_least_float32(text_set)
    if normalise_directions:
        delta_image = F.normalize(delta_image, dim=1, eps=EPS)
        text_set = F.normalize(text_set, dim=1, eps=EPS)
    first = first_moment_loss(delta_image, text_set, floor)
    return first, covariance_distance(delta_image, text_set, covariance)


def first_moment_loss(
    delta_image: Tensor,
    text_set: Tensor,
    floor: float = EPS,
) -> Tensor:
    """First term of eq. (3): 1 - cos(mean of delta_image (N, D), mean of text_set (K + 1, D)), in [0, 2].

    ``floor`` bounds the norms of the two means, as in ``directional_loss``.
    """
    mean_image = at_least_float32(delta_image).mean(0)
    mean_text = at_least_float32(text_set).mean(0)
    return 1 - _cosine(mean_image, mean_text, floor)


def covariance_distance(
    delta_image: Tensor,
    text_set: Tensor,
    covariance: CovarianceReading,
) -> Tensor:
    """Second term of eq. (3), || Sigma_I - Sigma_T || >= 0, without its weight; arguments as there.

    Where the matrices (or two rows, for "row") are equal, a norm has no gradient; zero is used there.
    """
    of_images = covariance_matrix(delta_image, covariance)
    of_texts = covariance_matrix(text_set, covariance)
    difference = of_images - of_texts
    match covariance.distance:
        case "frobenius":
            return torch.linalg.vector_norm(difference)
        case "squared_frobenius":
            return difference.square().sum()
        case "row":
            return torch.linalg.vector_norm(difference, dim=1).mean()


def covariance_matrix(
    directions: Tensor,
    covariance: CovarianceReading,
) -> Tensor:
    """Sigma_X = X^T X of eq. (3), (D, D), of directions (n, D), centred and scaled as ``covariance`` says."""
    directions = at_least_float32(directions)
    if covariance.centre:
        directions = directions - directions.mean(0)
    divisor = {"sum": 1, "n": len(directions)}[covariance.scale]
    return directions.T @ directions / divisor


def moment_gradient_ratio(
    delta_image: Tensor, text_set: Tensor, lambda_cov: float, covariance: CovarianceReading
) -> Tensor:
    """Gradient ratio of the two terms of eq. (3), ``|lambda_cov * d second / d dI| / |d first / d dI|``.

    Far above 1 the first moment has no influence, far below 1 the second has none. Arguments as in
    ``directional_moment_loss``.
    """
    with torch.enable_grad():
        delta_image = delta_image.detach().requires_grad_()
        terms = directional_moment_loss(delta_image, text_set.detach(), covariance)
        first, second = (torch.autograd.grad(term, delta_image, retain_graph=True)[0] for term in terms)
    return lambda_cov * second.norm() / first.norm()


def relation_loss(
    f_trg: Tensor,
    f_src: Tensor,
    temperature: float = 1.0,
    diagonal: bool = True,
    reduction: Reduction = "batchmean",
) -> Tensor:
    """Relation consistency, eq. (5): KL(softmax(M_src) || softmax(M_trg)) row by row, M = x x^T, >= 0.

    Args:
        f_trg: (N, D) features of the target images, N >= 2.
        f_src: (N, D) features of the source images from the same latents.
        temperature: divides M; > 0.
        diagonal: keep every image's similarity with itself, as printed; otherwise N >= 3 is needed.
        reduction: "batchmean" averages the divergences of the rows; "mean" also divides by a row's length.

    Returns:
        a scalar.

    Raises:
        ValueError: shapes differ, N is too small, temperature is not positive or reduction is unknown.
    """
    _check_relations(f_trg, f_src, temperature, diagonal, reduction)
    n = len(f_trg)

    def log_relations(features: Tensor) -> Tensor:
        features = at_least_float32(features)
        relations = features @ features.T / temperature
        if not diagonal:
            others = ~torch.eye(n, dtype=torch.bool, device=features.device)
            relations = relations[others].view(n, n - 1)
        return relations.log_softmax(dim=1)

    log_p, log_q = log_relations(f_src), log_relations(f_trg)
    divergences = log_p.exp() * (log_p - log_q)
    if reduction == "mean":
        return divergences.mean()
    return divergences.sum(dim=1).mean()


def in_domain_angle_loss(f_trg: Tensor, f_src: Tensor) -> Tensor:
    """In-domain angle loss of HyperDomainNet (Alanov et al. 2022), an alternative to eq. (5).

    mean_{i<j} (cos(f_src_i, f_src_j) - cos(f_trg_i, f_trg_j))^2, in [0, 4].

    Args:
        f_trg: (N, D) features of the target images, N >= 2.
        f_src: (N, D) features of the source images from the same latents.

    Returns:
        a scalar.

    Raises:
        ValueError: shapes differ, or N is below 2.
    """
    _check_same_images(f_trg, f_src)
    n = len(f_trg)
    if n < 2:
        raise ValueError(f"in_domain_angle_loss needs at least 2 images to define pairs, got {n}")
    i, j = torch.triu_indices(n, n, offset=1, device=f_trg.device)
    features = map(at_least_float32, (f_trg, f_src))
    cos_trg, cos_src = (F.cosine_similarity(f[i], f[j], dim=1, eps=EPS) for f in features)
    return (cos_src - cos_trg).square().mean()


def _cosine(a: Tensor, b: Tensor, floor: float) -> Tensor:
    """Cosine of vectors (..., D) with norms of at least ``floor``; linear in a vector below it.

    ``F.cosine_similarity`` is not used, since its gradient below ``eps`` is not that of its value.
    """
    a, b = at_least_float32(a), at_least_float32(b)
    norm_a, norm_b = (torch.linalg.vector_norm(x, dim=-1).clamp_min(floor) for x in (a, b))
    return (a * b).sum(-1) / (norm_a * norm_b)


def _check_same_images(f_trg: Tensor, f_src: Tensor) -> None:
    if f_trg.ndim != 2 or f_trg.shape != f_src.shape:
        raise ValueError(
            "f_trg and f_src must both be (N, D), features of the same latents, "
            f"got {tuple(f_trg.shape)} and {tuple(f_src.shape)}"
        )


def _check_relations(
    f_trg: Tensor, f_src: Tensor, temperature: float, diagonal: bool, reduction: str
) -> None:
    _check_same_images(f_trg, f_src)
    n, smallest = len(f_trg), 2 if diagonal else 3
    if n < smallest:
        raise ValueError(f"relation_loss needs at least {smallest} images (diagonal={diagonal}), got {n}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be one of {get_args(Reduction)}, got {reduction!r}")
