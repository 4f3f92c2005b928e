"""The directional loss on patches, with a text direction for each part of the animal.

It is in the code of StyleGAN-NADA (Gal et al. 2022), switched off, and DiFa's (Zhang et al. 2022) has it from
there. DiFa's attentive style loss, its local loss in the paper, compares patches with those of an image of
the target; this is what is left of it where a text is all that is known of the target.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.precision import at_least_float32


def patches(images: Tensor, side: float, generator: torch.Generator) -> Tensor:
    """One patch of each image, in its full resolution.

    Args:
        images: (N, C, H, H).
        side: side of a patch in sides of the image, in (0, 1].
        generator: the source of randomness, on the CPU; the patches' places depend only on its state.

    Returns:
        (N, C, h, h), differentiable.
    """
    n, size = len(images), images.shape[-1]
    h = max(1, round(side * size))
    corners = torch.randint(size - h + 1, (n, 2), generator=generator).tolist()
    return torch.stack([
        image[:, y : y + h, x : x + h] for image, (y, x) in zip(images, corners, strict=True)
    ])  # fmt: skip


def local_directional_loss(delta_image: Tensor, delta_parts: Tensor, floor: float = 1e-8) -> Tensor:
    """Directional loss of patches, each of which follows most the part whose direction it has already.

    Mean over patches n and parts p of (1 - cos(dI_n, dT_p)) s_np, where s_n is the softmax of the cosines of
    patch n.

    Args:
        delta_image: (N, D) directions of the patches' features, target minus source.
        delta_parts: (P, D) directions of the parts' texts.
        floor: lower bound of the norms in the cosines, see :func:`zsgan.method.losses.directional_loss`.

    Returns:
        a scalar, in [0, 2 / P].

    Raises:
        ValueError: the shapes do not fit.
    """
    if delta_image.ndim != 2 or delta_parts.ndim != 2 or delta_image.shape[1] != delta_parts.shape[1]:
        raise ValueError(
            "delta_image must be (N, D) and delta_parts (P, D), got "
            f"{tuple(delta_image.shape)} and {tuple(delta_parts.shape)}"
        )
    units = [F.normalize(at_least_float32(each), dim=1, eps=floor) for each in (delta_image, delta_parts)]
    cosines = units[0] @ units[1].mT
    return ((1 - cosines) * cosines.softmax(1)).mean()
