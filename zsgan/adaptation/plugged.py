"""Plugged-in terms: losses given as a function in a file or in an installed module.

A row names one as ``terms: {mine.py:hinge: {weight: 2, margin: 0.1}}``; every setting but the weight is a
keyword-only argument of the function.
"""

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.terms import Loss, averaged
from zsgan.base.files import sha256
from zsgan.base.places import local_path


@dataclass(frozen=True)
class Plugged:
    """A term that is not part of the package.

    Attributes:
        function: features of one guide's target images (N, D), with gradients, of its source images (N, D),
            the guide, and settings by keyword -> a scalar.
        name: name of the term in a row.
        source: SHA-256 of the file of the function.
    """

    function: Callable[..., Tensor]
    name: str
    source: str

    def bind(self, config: AdaptConfig) -> Loss:
        """The term with the settings that a configuration gives it.

        Args:
            config: a configuration with this term.

        Returns:
            the term, averaged over the guides.

        Raises:
            ValueError: the function does not take a setting.
        """
        given = config.settings_of(self.name)
        taken = [
            parameter.name for parameter in inspect.signature(self.function).parameters.values()
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY
        ]  # fmt: skip
        if unknown := sorted(set(given) - set(taken)):
            raise ValueError(
                f"terms: {self.name} has no setting {unknown[0]!r}; its keyword-only arguments are "
                f"{', '.join(taken) or 'none'}"
            )
        loss, part = partial(self.function, **given), self.function.__name__
        return averaged(lambda seen: {part: (1.0, loss(seen.f_trg, seen.f_src, seen.guide))})


def plugged(name: str) -> Plugged:
    """The term that a row names as FILE.py:FUNCTION or MODULE:FUNCTION.

    Args:
        name: name of the term.

    Returns:
        the term.

    Raises:
        ValueError: there is no such file, module or function.
    """
    place, _, function = name.rpartition(":")
    module = _of_file(name, place) if place.endswith(".py") else _installed(name, place)
    found = module.names.get(function)
    if not callable(found):
        raise ValueError(f"terms: {name!r}: there is no function {function!r} in {place}")
    return Plugged(found, name, module.source)


@dataclass(frozen=True)
class _Module:
    """What a file defines, and the SHA-256 of the text that was executed."""

    names: Mapping[str, Any]
    source: str


def _of_file(name: str, place: str) -> _Module:
    file = local_path(place)
    if not file.is_file():
        raise ValueError(f"terms: {name!r}: there is no file {file}; give the path of the term's file")
    return _executed(file, file.read_bytes())


@cache
def _executed(file: Path, text: bytes) -> _Module:
    """The text of a file, executed once: the code that runs is the code that is hashed."""
    source = hashlib.sha256(text).hexdigest()
    module = ModuleType(f"zsgan_term_{source[:16]}")
    module.__file__ = str(file)
    exec(compile(text, file, "exec"), module.__dict__)
    return _Module(module.__dict__, source)


@cache
def _installed(name: str, place: str) -> _Module:
    """A module as this process knows it, which reads it once."""
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"terms: {name!r}: there is no module {place!r} ({error})") from error
    if module.__file__ is None or not module.__file__.endswith(".py"):
        raise ValueError(f"terms: {name!r}: the source of {place} cannot be read; give a module in Python")
    return _Module(vars(module), sha256(Path(module.__file__)))
