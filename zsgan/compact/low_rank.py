"""The most of an adaptation that fits into a file: low-rank differences of the weights."""

from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.inversion.strength import check_alike
from zsgan.networks.differences import LEFT, RIGHT
from zsgan.networks.stylegan2.generator import Generator


@dataclass(frozen=True)
class _Piece:
    """A part that is stored or not: a whole difference, or one more rank of it (counted from 1)."""

    name: str
    rank: int
    energy: float
    size: int


class LowRank:
    """Low-rank differences that keep the most energy (squared Frobenius norm) for a number of numbers.

    A matrix (m, n) of rank r takes r (m + n) numbers, or m n if that is less; the truncated singular value
    decomposition is its best approximation (Eckart and Young, 1936). Vectors are stored whole or not at all.
    Parts are taken by energy a number, over all parameters.

    Args:
        source: the source generator.
        adapted: the generator adapted from it.

    Raises:
        ValueError: the architectures differ.
    """

    def __init__(self, source: Generator, adapted: Generator) -> None:
        self._changes = {name: one for name, one in differences(source, adapted).items() if one.any()}
        self._factors: dict[str, tuple[Tensor, Tensor]] = {}
        self._pieces: list[_Piece] = []
        for name, change in self._changes.items():
            matrix = change.flatten(1) if change.ndim > 1 else change.reshape(1, -1)
            if min(matrix.shape) == 1:
                self._pieces.append(_Piece(name, 0, float(change.square().sum()), change.numel()))
                continue
            left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
            self._factors[name] = (left * values.sqrt()).float(), (right * values.sqrt()[:, None]).float()
            self._pieces += [
                _Piece(name, rank, float(value**2), sum(matrix.shape)) for rank, value in enumerate(values, 1)
            ]

    def within(self, max_numbers: int) -> dict[str, Tensor]:
        """The parts that fit.

        Args:
            max_numbers: the most numbers to store.

        Returns:
            tensors of :class:`zsgan.networks.differences.Differences`; none if not even the first part fits.
        """
        stored = {}
        for name, rank in _chosen(self._pieces, max_numbers).items():
            left, right = self._factors.get(name, (None, None))
            if (
                left is None
                or right is None
                or rank * (len(left) + right.shape[1]) >= left.shape[0] * right.shape[1]
            ):
                stored[name] = self._changes[name]
            else:
                stored |= {f"{name}{LEFT}": left[:, :rank], f"{name}{RIGHT}": right[:rank]}
        return stored


def differences(source: Generator, adapted: Generator) -> dict[str, Tensor]:
    """What adapting changed.

    Args:
        source: the source generator.
        adapted: the generator adapted from it.

    Returns:
        each parameter of the adapted generator less the source's, by name, on the CPU.

    Raises:
        ValueError: the architectures differ.
    """
    before, after = (dict(one.named_parameters()) for one in (source, adapted))
    check_alike(before, after)
    return {name: (after[name] - before[name]).detach().cpu() for name in before}


def _chosen(pieces: list[_Piece], max_numbers: int) -> dict[str, int]:
    """Parameter -> rank, by energy a number, as long as the next piece fits."""
    found: dict[str, int] = {}
    left = max_numbers
    for piece in sorted(pieces, key=lambda piece: -piece.energy / piece.size):
        if piece.size > left:
            continue
        if piece.rank > 1 and found.get(piece.name, 0) != piece.rank - 1:
            continue  # a smaller one of this parameter did not fit
        found[piece.name] = piece.rank
        left -= piece.size
    return found
