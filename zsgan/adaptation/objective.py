"""The loss of stage 2, eq. (6)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from zsgan.adaptation.config import AdaptConfig, is_plugged
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.terms import KINDS, Batch, Loss


class Objective:
    """Eq. (6), the loss of stage 2: the weighted sum of the terms that a configuration names.

    Args:
        config: ``config.terms`` names the terms, their weights, and the settings of plugged-in ones.

    Raises:
        ValueError: a plugged-in term does not exist, or does not take the given settings.
    """

    def __init__(self, config: AdaptConfig) -> None:
        # A fixed order, so that the sum has the same bits for any order in a row.
        known = [
            (config.weights[name], kind.bind(config))
            for name, kind in KINDS.items()
            if name in config.weights
        ]
        own = [
            (weight, plugged(name).bind(config))
            for name, weight in config.weights.items()
            if is_plugged(name)
        ]
        self.terms: Sequence[tuple[float, Loss]] = [*known, *own]

    def parts(self, batch: Batch) -> Iterator[tuple[str, float, Tensor]]:
        """Name, weight in the whole loss, and value (a scalar with gradients) of each part.

        Args:
            batch: batch of a step.

        Yields:
            the parts in a fixed order.
        """
        for weight, loss in self.terms:
            for name, (factor, value) in loss(batch).items():
                yield name, weight * factor, value

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a scalar with gradients, and the unweighted values of its parts, detached."""
        loss: Tensor | None = None
        values: dict[str, Tensor] = {}
        for name, weight, value in self.parts(batch):
            loss = weight * value if loss is None else loss + weight * value
            values[name] = value.detach()
        assert loss is not None  # a configuration has a term
        return loss, values
