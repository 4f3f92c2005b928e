"""Adapted generators as small files: differences from a source generator, whose weights are elsewhere.

A file of differences is a safetensors file of :mod:`zsgan.base.tensors`. Its ``config`` names the source, and
its tensors, float16, are differences of the source's parameters: whole ones under the name of the parameter,
or products of two factors ``<parameter>.left`` (m, r) and ``<parameter>.right`` (r, n), the parameter seen as
a matrix of its first dimension against all others.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.networks.stylegan2.generator import Generator

LEFT, RIGHT = ".left", ".right"


@dataclass(frozen=True, eq=False)
class Differences:
    """What changed from a source generator to an adapted one.

    Attributes:
        source: name of the source generator.
        identity: SHA-256 of the source's weights.
        tensors: whole differences and factors by name, see the module.
        provenance: where they come from, and how far they are from the whole adaptation.
    """

    source: str
    identity: str
    tensors: Mapping[str, Tensor]
    provenance: Mapping[str, Any]

    @torch.no_grad()
    def add_to(self, generator: Generator, strength: float = 1.0) -> None:
        """Add the differences to a generator's parameters, in place.

        Args:
            generator: the source, or another one of the same architecture.
            strength: factor on the differences.

        Raises:
            ValueError: the generator has no such parameters, or others of these names.
        """
        params = dict(generator.named_parameters())
        for name, shape in _shapes(self.tensors).items():
            param = params.get(name)
            matrix = (len(param), param[0].numel()) if param is not None and param.ndim > 1 else None
            if param is None or shape not in (param.shape, matrix):
                raise ValueError(
                    f"the differences from {self.source} do not fit this generator, which has no {name} of "
                    f"shape {tuple(shape)}: take one of the same architecture"
                )
        for name, change in whole(self.tensors).items():
            params[name].add_(change.reshape(params[name].shape).to(params[name]), alpha=strength)

    def save(self, path: Path) -> None:
        """Write a file of differences, as float16; a ValueError if that holds not all of its numbers."""
        if beyond := [name for name, one in self.tensors.items() if not one.half().isfinite().all()]:
            raise ValueError(f"{beyond[0]} has numbers that float16 does not hold: the run has diverged")
        config = {"kind": "differences", "source": {"name": self.source, "sha256": self.identity}}
        save_tensors(self.tensors, path, config=config, provenance=self.provenance, dtype=torch.float16)


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each parameter's difference.

    Args:
        tensors: whole differences and factors by name, see the module.

    Returns:
        parameter -> its difference; factors are multiplied to matrices (m, n).
    """
    factors = {name for name in tensors if name.endswith((LEFT, RIGHT))}
    found = {name: tensor for name, tensor in tensors.items() if name not in factors}
    for left in sorted(name for name in factors if name.endswith(LEFT)):
        name = left.removesuffix(LEFT)
        found[name] = tensors[left] @ tensors[f"{name}{RIGHT}"]
    return found


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of each parameter's difference, without multiplying factors."""
    found: dict[str, tuple[int, ...]] = {}
    for name, tensor in tensors.items():
        if name.endswith(LEFT):
            other = tensors[f"{name.removesuffix(LEFT)}{RIGHT}"]
            found[name.removesuffix(LEFT)] = (tensor.shape[0], other.shape[1])
        elif not name.endswith(RIGHT):
            found[name] = tuple(tensor.shape)
    return found


def load_differences(path: Path) -> Differences | None:
    """The differences in a file.

    Args:
        path: the file.

    Returns:
        the differences; ``None`` if it is another file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file says that it holds differences, and is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {}).get("config", "null"))
    except (SafetensorError, json.JSONDecodeError):  # another format, or damaged: the other readers say which
        return None
    match config:
        case {"kind": "differences", "source": {"name": str(name), "sha256": str(identity)}}:
            tensors, _, provenance = load_tensors(path)
        case {"kind": "differences"}:
            raise ValueError(f"{path} does not say what its differences are from: get it again")
        case _:
            return None
    lefts, rights = (
        {stored.removesuffix(end): tensor for stored, tensor in tensors.items() if stored.endswith(end)}
        for end in (LEFT, RIGHT)
    )
    if lefts.keys() != rights.keys() or any(
        (lefts[one].ndim, rights[one].ndim) != (2, 2) or lefts[one].shape[1] != rights[one].shape[0]
        for one in lefts
    ):
        raise ValueError(f"{path} has factors that are no pairs of matrices: get it again")
    if lefts.keys() & tensors.keys() or not all(one.isfinite().all() for one in tensors.values()):
        raise ValueError(f"{path} has differences twice, or numbers that are not finite: get it again")
    return Differences(name, identity, tensors, provenance)
