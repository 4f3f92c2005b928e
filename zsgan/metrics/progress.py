"""One progress bar over several computations."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.base.images import Images

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
        shape = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
        self._bar = tqdm(total=sum(costs.values()), bar_format=shape, disable=not shown, leave=None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def of(self, name: str) -> Advance:
        """What the computation of that name calls; the bar then has its name."""
        start, cost = self._starts[name], self._costs[name]

        def advance(share: float) -> None:
            self._bar.set_description(name, refresh=False)
            self._bar.update(max(0.0, start + share * cost - self._bar.n))

        return advance


@contextmanager
def told(progress: bool | Advance, name: str) -> Iterator[Advance]:
    """What a computation calls: a given function, or that of a bar of its own.

    Args:
        progress: whether there is a bar, or the function.
        name: of the bar.

    Yields:
        the function.
    """
    if callable(progress):
        yield progress
        return
    with Progress({name: 1.0}, progress) as bar:
        yield bar.of(name)


class Watched:
    """Images that say how far they have been taken.

    Args:
        images: N images.
        advance: called with the share of them that precedes the end of what was taken.
    """

    _PART = 64  # images taken at a time

    def __init__(self, images: Images, advance: Advance) -> None:
        self.images, self.advance = images, advance

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, part: slice) -> Tensor:
        """Images (b - a, 3, H, W) in [-1, 1], as the others give them."""
        start, stop, _ = part.indices(len(self))
        taken = []
        for first in range(start, stop, self._PART):
            last = min(first + self._PART, stop)
            taken.append(self.images[first:last])
            self.advance(last / len(self))
        return torch.cat(taken)


class Picked:
    """Some of the images, in the order of their places.

    Args:
        images: N images.
        places: n of their indices.
    """

    def __init__(self, images: Images, places: Tensor) -> None:
        self.images, self.places = images, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, part: slice) -> Tensor:
        """Images (b - a, 3, H, W) in [-1, 1], as the others give them."""
        return torch.cat([self.images[i : i + 1] for i in self.places[part].tolist()])
