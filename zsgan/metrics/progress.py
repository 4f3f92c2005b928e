"""One progress bar over several computations."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.base.images import Images, InBytes
from zsgan.networks.sampling import Samples

Advance = Callable[[float], object]
"""A function that a computation calls with its finished share, ascending from 0 to 1."""


def silent(share: float) -> None:
    """An :data:`Advance` that shows nothing."""


class Progress:
    """One bar with the remaining time, over consecutive computations.

    Args:
        costs: computation -> its relative cost, in any unit.
        shown: whether to show the bar.
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
        """The :data:`Advance` of a computation; its calls also set the label of the bar."""
        start, cost = self._starts[name], self._costs[name]

        def advance(share: float) -> None:
            self._bar.set_description(name, refresh=False)
            self._bar.update(max(0.0, start + share * cost - self._bar.n))

        return advance


@contextmanager
def told(progress: bool | Advance, name: str) -> Iterator[Advance]:
    """The :data:`Advance` of a computation: a given function, or that of a new bar.

    Args:
        progress: whether to show a bar, or the function.
        name: label of the bar.

    Yields:
        the function.
    """
    if callable(progress):
        yield progress
        return
    with Progress({name: 1.0}, progress) as bar:
        yield bar.of(name)


class Watched:
    """Images that report the progress of reading them.

    Args:
        images: N images.
        advance: called with the share of images up to the last one read.
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
    """Some of the images, in a given order.

    Args:
        images: N images.
        places: n indices.
    """

    def __init__(self, images: Images, places: Tensor) -> None:
        self.images, self.places = images, places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, part: slice) -> Tensor:
        """Images (b - a, 3, H, W) in [-1, 1]; those of a generator are made in one batch."""
        places = self.places[part]
        if isinstance(self.images, Tensor | Samples | InBytes):
            return self.images[places]
        return torch.cat([self.images[i : i + 1] for i in places.tolist()])
