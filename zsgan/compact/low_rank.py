"""The most of an adaptation that fits into a file: low-rank differences of the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from zsgan.networks.differences import LEFT, RIGHT
from zsgan.networks.stylegan2.generator import Generator

_BYTES = 2  # of a number in float16


@dataclass(frozen=True)
class _Piece:
    """A part that is stored or not: a whole difference, or one more rank of it (counted from 1)."""

    name: str
    rank: int
    energy: float
    size: int


@torch.no_grad()
def low_rank(source: Generator, adapted: Generator, max_numbers: int) -> dict[str, Tensor]:
    """Low-rank differences that keep the most energy (squared Frobenius norm) for a number of numbers.

    A matrix (m, n) of rank r takes r (m + n) numbers, or m n if that is less; the truncated singular value
    decomposition is its best approximation (Eckart and Young, 1936). Vectors are stored whole or not at all.
    Parts are taken by energy a number, over all parameters.

    Args:
        source: the source generator.
        adapted: the generator adapted from it.
        max_numbers: the most numbers to store.

    Returns:
        tensors of :class:`zsgan.networks.differences.Differences`.

    Raises:
        ValueError: the architectures differ, or not even the first part fits.
    """
    changes = {name: change for name, change in differences(source, adapted).items() if change.any()}
    vectors, factors, pieces = {}, {}, list[_Piece]()
    for name, change in changes.items():
        matrix = change.flatten(1) if change.ndim > 1 else change.reshape(1, -1)
        if min(matrix.shape) == 1:
            vectors[name] = change
            pieces.append(_Piece(name, 0, float(change.square().sum()), change.numel()))
            continue
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        factors[name] = (left * values.sqrt(), right * values.sqrt()[:, None])
        pieces += [
            _Piece(name, rank, float(value**2), sum(matrix.shape)) for rank, value in enumerate(values, 1)
        ]
    chosen = _chosen(pieces, max_numbers)
    if changes and not chosen:
        raise ValueError(f"{max_numbers} numbers hold no part of this adaptation; allow more")
    stored = {name: vectors[name] for name in chosen if name in vectors}
    for name, rank in chosen.items():
        if name not in factors:
            continue
        left, right = (factor.float() for factor in factors[name])
        if rank * (left.shape[0] + right.shape[1]) >= changes[name].numel():
            stored[name] = changes[name]
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
    shapes = [{name: value.shape for name, value in params.items()} for params in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError("source and adapted must have the same architecture: weights of one shape and name")
    return {name: (after[name] - before[name]).detach().cpu() for name in before}


def numbers_of(tensors: Mapping[str, Tensor]) -> int:
    """How many numbers the tensors hold."""
    return sum(tensor.numel() for tensor in tensors.values())


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
