"""LPIPS (Zhang et al. 2018) between all pairs of many images.

LPIPS is a squared Euclidean distance: unit-normalise each layer's features over the channels, scale them by
sqrt(weight / (H W)), concatenate the layers, and ``LPIPS(a, b) = |f_a - f_b|^2``. So every image passes
through the network once, and all N (N - 1) / 2 pairs are one matrix product.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.base.device import free_memory
from zsgan.base.images import Images, checked
from zsgan.base.images import batch_size as default_batch_size
from zsgan.base.precision import at_least_float32
from zsgan.metrics.eyes import Eyes
from zsgan.metrics.progress import Advance, silent, told
from zsgan.metrics.rounding import rounding

_EPSILON = 1e-10  # added to the norm over the channels, as the lpips package does
# float64 values copied at a time in lpips_matrix; on a CPU they fit into its cache
_CHUNK_CPU, _CHUNK = 2**20, 2**26
_ROWS = 128  # rows of a symmetric product computed at a time
_SUMS = 1e-14  # relative error of the sums over F in float64
_PAIR = 1 / 250  # cost of a distance relative to an image's forward pass, on a CPU


@dataclass(frozen=True)
class Lpips:
    """LPIPS with any network.

    Attributes:
        network: images (N, 3, H, W) in [-1, 1] -> feature maps (N, C_l, H_l, W_l), one for each layer.
        weights: (C_l,) >= 0 for each layer; ``None`` weighs all channels alike, so that the distance is the
            mean over the layers of the squared distance of unit vectors.
    """

    network: Callable[[Tensor], Sequence[Tensor]]
    weights: Sequence[Tensor] | None = None

    def __post_init__(self) -> None:
        if self.weights is not None and any(bool((w < 0).any()) for w in self.weights):
            raise ValueError("weights must be >= 0 to make LPIPS a squared distance; got negative ones")

    @classmethod
    def through(cls, eyes: Eyes) -> "Lpips":
        """LPIPS with the maps and weights of these eyes, at their input size."""
        return cls(eyes.maps, eyes.weights)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """The result of :meth:`vectors`, without gradients."""
        return self.vectors(images)

    def vectors(self, images: Tensor) -> Tensor:
        """Vectors (N, F) whose squared Euclidean distances are LPIPS.

        Args:
            images: (N, 3, H, W) in [-1, 1], on the device of the network.

        Returns:
            the vectors, through which gradients flow to the images.

        Raises:
            ValueError: weights and layers differ in number.
        """
        maps = self.network(images)
        if self.weights is not None and len(self.weights) != len(maps):
            raise ValueError(
                f"weights must be one tensor for each of the {len(maps)} layers, got {len(self.weights)}"
            )
        vectors = []
        for i, x in enumerate(maps):
            x = at_least_float32(x)
            weight = x.new_tensor(1 / len(maps)) if self.weights is None else self.weights[i].to(x)
            unit = x / (x.norm(dim=1, keepdim=True) + _EPSILON)
            vectors.append((unit * (weight / x[0, 0].numel()).sqrt().view(1, -1, 1, 1)).flatten(1))
        return torch.cat(vectors, 1)

    def distances(
        self,
        images: Images,
        others: Images | None = None,
        *,
        batch_size: int | None = None,
        memory: float | None = None,
        device: torch.device | str = "cpu",
        progress: bool | Advance = False,
    ) -> Tensor:
        """LPIPS between all images, or from each image to each of ``others``.

        Args:
            images: N images on any device.
            others: M images, for instance given centres of clusters.
            batch_size: images in a forward pass; ``None`` for :func:`zsgan.base.images.batch_size`.
            memory: bytes that features may take; by default 4 GB, or half of a GPU's free memory. If those of
                all images need more (VGG at 256 px: 32 MB an image), a block of B of them is kept and the
                later images pass through the network once for every block: about N + N (N - B) / 2B passes.
            device: device of the network and of the computation.
            progress: show a progress bar, or a function to call with the finished share.

        Returns:
            float64 (N, N), symmetric with a zero diagonal, or (N, M); on the CPU.

        Raises:
            TypeError: the images are not a tensor, or are integers; see :func:`zsgan.base.images.checked`.
            ValueError: they are not (N, 3, H, W), there are none, or weights and layers differ in number.
        """
        with told(progress, "LPIPS") as advance:
            return self._distances(images, others, batch_size, memory, device, advance)

    def _distances(
        self, images: Images, others: Images | None, batch_size: int | None, memory: float | None,
        device: torch.device | str, advance: Advance,
    ) -> Tensor:  # fmt: skip
        first = checked(images[:1])
        size = batch_size or default_batch_size(first[0, 0].numel(), device)
        one = self.features(first.to(device))
        result = torch.zeros(len(images), len(images if others is None else others), dtype=torch.float64)
        n, m = result.shape
        tops = blocks(n, one, size, memory)
        first_left = {top: bottom if others is None else 0 for top, bottom in tops.items()}
        passes = n + sum(m - left for left in first_left.values())
        pairs = n * m if others is not None else sum((b - t) * (n - t) for t, b in tops.items())
        done, work = 0.0, passes + _PAIR * pairs

        def part(amount: float) -> Advance:
            nonlocal done
            start, done = done, done + amount
            return lambda share: advance((start + share * amount) / work)

        def vectors(source: Images, start: int, stop: int) -> Tensor:
            tell = part(stop - start)
            found = self.features(checked(source[start:stop]).to(device))
            tell(1)
            return found

        def matrix(mine: Tensor, theirs: Tensor | None = None) -> Tensor:
            count = len(mine) * len(mine if theirs is None else theirs)
            return lpips_matrix(mine, theirs, part(_PAIR * count)).cpu()

        for top, bottom in tops.items():
            mine = one.new_empty(bottom - top, one.shape[1])
            for start in range(top, bottom, size):
                stop = min(start + size, bottom)
                mine[start - top : stop - top] = vectors(images, start, stop)
            if others is None:
                result[top:bottom, top:bottom] = matrix(mine)
            for left in range(first_left[top], m, size):
                right = min(left + size, m)
                distances = matrix(mine, vectors(images if others is None else others, left, right))
                result[top:bottom, left:right] = distances
                if others is None:
                    result[left:right, top:bottom] = distances.T
        return result


def blocks(n: int, one: Tensor, size: int, memory: float | None = None) -> dict[int, int]:
    """The images whose features are kept at a time.

    Args:
        n: number of images.
        one: (1, F) features of an image, on the device of the computation.
        size: images in a forward pass.
        memory: see :meth:`Lpips.distances`.

    Returns:
        first image of a block -> the one after its last.
    """
    if memory is None:
        memory = free_memory(one.device) / 2 if one.device.type == "cuda" else 4e9
    block = max(1, int(memory / (one.numel() * one.element_size())) - size)
    return {top: min(top + block, n) for top in range(0, n, block)}


def lpips_matrix(features: Tensor, others: Tensor | None = None, advance: Advance = silent) -> Tensor:
    """All squared distances ``|a|^2 + |b|^2 - 2 a.b`` of the vectors of :meth:`Lpips.features`.

    Products are accumulated in float64, since float32 would lose the distances of near-duplicates. Distances
    that are rounding alone, as between copies of an image, are set to 0.

    Args:
        features: (N, F).
        others: (M, F); ``None`` compares ``features`` with themselves.
        advance: called with the finished share.

    Returns:
        float64 (N, N), symmetric with a zero diagonal, or (N, M).
    """
    second = features if others is None else others
    product = features.new_zeros(len(features), len(second), dtype=torch.float64)
    squares_a = product.new_zeros(len(features), 1)
    squares_b = product.new_zeros(1, len(second))
    chunk = _CHUNK_CPU if features.device.type == "cpu" else _CHUNK
    step = max(1, chunk // (len(features) + len(second)))
    for start in range(0, features.shape[1], step):
        a = features[:, start : start + step].double()
        squares_a += a.square().sum(1)[:, None]
        if others is None:  # what is below the diagonal is not read
            for top in range(0, len(a), _ROWS):
                product[top : top + _ROWS, top:] += a[top : top + _ROWS] @ a[top:].T
        else:
            b = second[:, start : start + step].double()
            product += a @ b.T
            squares_b += b.square().sum(1)
        advance(min(1.0, (start + step) / features.shape[1]))
    squares = squares_a + (squares_a.T if others is None else squares_b)
    distances = squares - 2 * product
    smallest = max(rounding(features.dtype) ** 2, _SUMS) / 2  # share of |a|^2 + |b|^2, twice the squared norm
    distances = distances.masked_fill(distances <= smallest * squares, 0)
    if others is None:
        distances = distances.triu(1)
        distances = distances + distances.T
    return distances
