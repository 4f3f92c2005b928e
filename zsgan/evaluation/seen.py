"""What judges see in images: features and distances, from which every measure is computed."""

from typing import TypedDict

from torch import Tensor


class Seen(TypedDict, total=False):
    """What the judges see in N images; a measure needs some of it only.

    Attributes:
        eyes: (N, D) features of the eyes.
        near: (N, D) those for precision, recall, density and coverage, if the eyes have others for them.
        clip: (N, D) unit-norm features of the judging CLIP.
        guide: (N, D) unit-norm features of a guiding CLIP.
        dinov2: (N, D) features of DINOv2.
        distances: (N, N) LPIPS of all pairs, or of those of a subset.
        to_given: LPIPS (N, k) of the same images to given centres of clusters.
    """

    eyes: Tensor
    near: Tensor
    clip: Tensor
    guide: Tensor
    dinov2: Tensor
    distances: Tensor
    to_given: Tensor
