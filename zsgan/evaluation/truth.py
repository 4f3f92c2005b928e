"""The true target domain: drawings of the demo world, a folder of images, or none."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch import Tensor

from zsgan.base.images import Folder, Images
from zsgan.base.resize import resize
from zsgan.menagerie.portraits import FRESH_SEED, TRUTH_SEED, Drawing


class Truth(Protocol):
    """A target domain with its images and labels."""

    @property
    def seen(self) -> bool:
        """Whether there are true images of it."""
        ...

    @property
    def labels(self) -> Mapping[str, str] | None:
        """Categorical factor -> the value that all its images share; ``None`` without labels."""
        ...

    @property
    def key(self) -> dict[str, Any]:
        """Cache key of its images, as JSON."""
        ...

    def images(self, n: int, resolution: int, fresh: bool = False) -> Images:
        """True images.

        Args:
            n: number of images; a folder may hold fewer.
            resolution: R, pixels a side.
            fresh: whether to return other images of the domain than by default.

        Returns:
            the images, in [-1, 1].

        Raises:
            ValueError: there are no images of the domain.
        """
        ...


@dataclass(frozen=True)
class Drawn:
    """A part of the demo world, with an unlimited number of images.

    Attributes:
        labels: factors that its images share.
    """

    labels: Mapping[str, str]
    seen = True

    @property
    def key(self) -> dict[str, Any]:
        """The labels."""
        return dict(self.labels)

    def images(self, n: int, resolution: int, fresh: bool = False) -> Drawing:
        """See :class:`Truth`."""
        return Drawing(self.labels, n, resolution, FRESH_SEED if fresh else TRUTH_SEED)


@dataclass(frozen=True)
class Found:
    """A folder of square images without labels; every second one is for comparison, the others are fresh.

    Attributes:
        path: the folder.
    """

    path: Path
    labels = None
    seen = True

    @cached_property
    def folder(self) -> Folder:
        """Its images, at their own size."""
        folder = Folder(self.path)
        height, width = folder[:1].shape[2:]
        if height != width or len(folder) < 2:
            raise ValueError(
                f"{self.path} must hold 2 or more square images, got {len(folder)} of {width} x {height}"
            )
        return folder

    @cached_property
    def key(self) -> dict[str, Any]:
        """The hash of the files."""
        return {"folder": self.folder.content()}

    def images(self, n: int, resolution: int, fresh: bool = False) -> "_Half":
        """See :class:`Truth`; at most half of the folder's, resized (bicubic, antialiased)."""
        return _Half(self.folder, n, resolution, int(fresh))


class _Half:
    """At most n images of a folder with even (first=0) or odd (first=1) indices, resized."""

    def __init__(self, folder: Folder, n: int, resolution: int, first: int) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        self.folder, self.resolution, self.first = folder, resolution, first
        self.n = min(n, len(range(first, len(folder), 2)))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, part: slice) -> Tensor:
        start, stop, _ = part.indices(self.n)
        images = self.folder[self.first + 2 * start : self.first + 2 * stop : 2]
        return resize(images, self.resolution, "bicubic").clamp(-1, 1)


class Unseen:
    """A target domain without images; measures that need none are still available."""

    labels = None
    seen = False

    @property
    def key(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def images(self, n: int, resolution: int, fresh: bool = False) -> NoReturn:
        """Raise an error, see :class:`Truth`.

        Args:
            n: ignored.
            resolution: ignored.
            fresh: ignored.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "truth={}: there are no images of the target domain; name some in the scenario, "
            "truth: {folder: ...}, or in the demo world truth: {species: ..., style: ...}"
        )


def truth_of(truth: Mapping[str, str]) -> Truth:
    """The truth that a scenario names: {"folder": path}, factors of the demo world, or nothing.

    Args:
        truth: the "truth" of a scenario in a profile.

    Returns:
        :class:`Found` for a folder, :class:`Drawn` for factors, or :class:`Unseen` for {}.

    Raises:
        ValueError: it has other keys, or a factor beside a folder.
    """
    if not truth:
        return Unseen()
    if set(truth) == {"folder"}:
        return Found(Path(truth["folder"]))
    if not set(truth) <= {"species", "style"}:
        raise ValueError(
            f"truth={dict(truth)} must be {{species: ..., style: ...}} or one of them, {{folder: ...}}, or "
            f"{{}} where there are no images"
        )
    return Drawn(truth)
