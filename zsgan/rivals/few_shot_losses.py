"""Cross-domain distance consistency (Ojha et al. 2021), which keeps the similarities among images.

Eq. (5) of the paper is the same idea with CLIP's features in place of the generator's.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.base.precision import at_least_float32


def similarities(maps: Sequence[Tensor], layers: Sequence[int]) -> Tensor:
    """Similarity of each image to every other: cosines of the generator's activations.

    Args:
        maps: activations (N, C_l, r_l, r_l) of every convolution; see ``return_maps`` of the synthesis
            network.
        layers: for each of the N images, the index in ``maps`` of the layer that compares it.

    Returns:
        (N, N - 1), row n without the similarity of n with itself, in [-1, 1].
    """
    rows = []
    for n, layer in enumerate(layers):
        flat = at_least_float32(maps[layer]).flatten(1)
        others = torch.cat([flat[:n], flat[n + 1 :]])
        rows.append(F.cosine_similarity(flat[n : n + 1], others, dim=1))
    return torch.stack(rows)


def distance_consistency_loss(
    maps_trg: Sequence[Tensor], maps_src: Sequence[Tensor], layers: Sequence[int]
) -> Tensor:
    """Distance consistency loss, KL(softmax(source similarities) || softmax(target similarities)).

    As in the published code, it is a mean over all N (N - 1) entries, not a sum over a row, so that the
    published weight of 1000 applies.

    Args:
        maps_trg: activations of the target generator, see :func:`similarities`.
        maps_src: activations of the source generator, for the same latents.
        layers: one for each image, see :func:`similarities`.

    Returns:
        the loss, (), >= 0.

    Raises:
        ValueError: fewer than 3 images: a distribution over one other image is constant.
    """
    if len(layers) < 3:
        raise ValueError(f"distance consistency needs at least 3 images, got {len(layers)}")
    log_p, log_q = (similarities(maps, layers).log_softmax(1) for maps in (maps_src, maps_trg))
    return (log_p.exp() * (log_p - log_q)).mean()
