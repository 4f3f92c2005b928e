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
            ValueError: the generator has no such parameters.
        """
        params = dict(generator.named_parameters())
        for name, change in whole(self.tensors).items():
            if name not in params or params[name].numel() != change.numel():
                raise ValueError(
                    f"the differences from {self.source} do not fit this generator, which has no {name} of "
                    f"{change.numel()} numbers: take one of the same architecture"
                )
            param = params[name]
            param.add_(change.reshape(param.shape).to(param), alpha=strength)

    def save(self, path: Path) -> None:
        """Write a file of differences, as float16."""
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
    return Differences(name, identity, tensors, provenance)
