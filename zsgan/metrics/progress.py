"""One progress bar over several computations."""

from collections.abc import Callable, Mapping
from types import TracebackType

from tqdm import tqdm

Advance = Callable[[float], object]
"""What a computation calls with the share of it that is done, from 0 to 1, ascending."""


def silent(share: float) -> None:
    """An :data:`Advance` that shows nothing."""


class Progress:
    """A bar with the time that is left, over computations that follow one another.

    Args:
        costs: computation -> what it takes beside the others, in any unit.
        shown: whether there is a bar at all.
    """

    def __init__(self, costs: Mapping[str, float], shown: bool = True) -> None:
        self._costs = costs
        self._starts = {name: sum(list(costs.values())[:i]) for i, name in enumerate(costs)}
        shape = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
        self._bar = tqdm(total=sum(costs.values()), bar_format=shape, disable=not shown)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def of(self, name: str) -> Advance:
        """What the computation of that name calls; the bar is named like it from now on."""
        self._bar.set_description(name)
        start, cost = self._starts[name], self._costs[name]
        return lambda share: self._bar.update(max(0.0, start + share * cost - self._bar.n))
