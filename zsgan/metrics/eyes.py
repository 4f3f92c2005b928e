"""What the metrics look through: one interface for the evaluator, VGG, Inception and their like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """What the evaluator reads in N images.

    Attributes:
        logits: categorical factor -> (N, number of values), values in the order of ``CATEGORIES``.
        continuous: (N, len(CONTINUOUS)), standardised over the training world (mean 0, deviation 1).
    """

    logits: Mapping[str, Tensor]
    continuous: Tensor

    def __len__(self) -> int:
        return len(self.continuous)

    def label(self, kind: str) -> Tensor:
        """The likeliest value of a categorical factor as an index, (N,)."""
        return self.logits[kind].argmax(1)


class Eyes(Protocol):
    """A frozen network that sees likeness, and may be able to say what it sees.

    Attributes:
        name: what a profile and the command line call it.
        networks: what its weights are called in the manifest.
        size: pixels a side that it looks at; images of any size are resized to it.
        weights: (C_l,) >= 0 for each of its maps, as trained for LPIPS; ``None`` weighs all channels alike.
        labels: categorical factor -> the values that it tells apart; ``None`` when it reads nothing.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 (see Attributes, as for the next four)

    @property
    def networks(self) -> Sequence[str]: ...  # noqa: D102

    @property
    def size(self) -> int: ...  # noqa: D102

    @property
    def weights(self) -> Sequence[Tensor] | None: ...  # noqa: D102

    @property
    def labels(self) -> Mapping[str, Sequence[str]] | None: ...  # noqa: D102

    def maps(self, images: Tensor) -> Sequence[Tensor]:
        """Images (N, 3, H, W) in [-1, 1] -> maps (N, C_l, H_l, W_l), from fine to coarse, for LPIPS."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [-1, 1] -> (N, D) for FID, precision and recall."""
        ...

    def read(self, embedding: Tensor) -> Prediction:
        """What an embedding (N, D) tells; only with ``labels``."""
        ...
