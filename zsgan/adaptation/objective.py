"""The loss of stage 2, eq. (6)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from zsgan.adaptation.batches import Batch
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.terms import KINDS, Loss, kind_of
from zsgan.rivals.consistency import balance


class Objective:
    """Eq. (6), the loss of stage 2: the weighted sum of the terms that a configuration names.

    Args:
        config: ``config.terms`` names the terms, their weights, and the settings of plugged-in ones.

    Raises:
        ValueError: a plugged-in term does not exist, or does not take the given settings.
    """

    def __init__(self, config: AdaptConfig) -> None:
        # A fixed order, so that the sum has the same bits for any order in a row; plugged-in terms come last.
        names = sorted(config.weights, key=lambda name: [*KINDS, name].index(name))
        self.terms: Sequence[tuple[str, float, Loss]] = [
            (name, config.weights[name], kind_of(name).bind(config)) for name in names
        ]
        self.balanced = {"spectral"} if config.spectral.balanced else set()

    def parts(self, batch: Batch) -> Iterator[tuple[str, float | Tensor, Tensor]]:
        """Name, weight in the whole loss, and value (a scalar with gradients) of each part.

        Args:
            batch: batch of a step.

        Yields:
            the parts in a fixed order.
        """
        text: Tensor | float = 0.0
        for term, weight, loss in self.terms:
            for name, (factor, value) in loss(batch).items():
                scale: float | Tensor = weight * factor
                if term in ("directional", "moment"):
                    text = text + scale * value
                elif term in self.balanced:
                    assert isinstance(text, Tensor) and batch.lever is not None
                    scale = scale * balance(text, value, batch.lever)
                yield name, scale, value

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar with gradients, and the unweighted values of its parts, detached."""
        loss: Tensor | None = None
        values: dict[str, Tensor] = {}
        for name, weight, value in self.parts(batch):
            loss = weight * value if loss is None else loss + weight * value
            values[name] = value.detach()
        assert loss is not None  # a configuration has a term
        return loss, values
