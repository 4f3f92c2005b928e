"""Interface of the metrics' feature networks: the evaluator, VGG, Inception and the like."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """Factors of N images, as predicted by the evaluator.

    Attributes:
        logits: categorical factor -> (N, number of values), values in the order of ``CATEGORIES``.
        continuous: (N, len(CONTINUOUS)), standardised over the training world (mean 0, deviation 1).
    """

    logits: Mapping[str, Tensor]
    continuous: Tensor

    def __len__(self) -> int:
        return len(self.continuous)

    def label(self, kind: str) -> Tensor:
        """Index (N,) of the most likely value of a categorical factor."""
        return self.logits[kind].argmax(1)


class Eyes(Protocol):
    """Frozen feature network for similarity, which may also predict factors.

    Attributes:
        name: its name in profiles and on the command line.
        networks: names of its weights in the manifest.
        size: pixels per side of its input; images of any size are resized to it.
        weights: (C_l,) >= 0 for each of its maps, as trained for LPIPS; ``None`` weights all channels
            equally.
        labels: categorical factor -> the values that it predicts; ``None`` if it predicts no factors.
        near: images (N, 3, H, W) in [-1, 1] -> features (N, D) for precision, recall, density and coverage;
            ``None`` if ``embed`` gives these too.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (see Attributes, as for the next five)

    @property
    def networks(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def weights(self) -> Sequence[Tensor] | None: ...  # noqa: D102

    @property
    def labels(self) -> Mapping[str, Sequence[str]] | None: ...  # noqa: D102

    @property
    def near(self) -> Callable[[Tensor], Tensor] | None: ...  # noqa: D102

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """Images (N, 3, H, W) in [-1, 1] -> maps (N, C_l, H_l, W_l), from fine to coarse, for LPIPS."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> (N, D) for FID, and for all else that ``near`` is not for."""
        ...

    def read(self, embedding: Tensor) -> Prediction:
        """Predicted factors of an embedding (N, D); only with ``labels``."""
        ...
