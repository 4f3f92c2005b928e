"""Plugged-in terms: losses given as a function in a file or in an installed module.

A row names one as ``terms: {mine.py:hinge: {weight: 2, margin: 0.1}}``; every setting but the weight is a
keyword-only argument of the function.
"""

import hashlib
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.terms import Loss, averaged
from zsgan.base.files import sha256


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
        return averaged(
            lambda seen: {part: (1.0, loss(seen.f_trg, seen.f_src, seen.guide))}, config.shares
        )  # fmt: skip


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
    module = _module(name, place)
    found = getattr(module, function, None)
    if not callable(found) or module.__file__ is None:
        raise ValueError(f"terms: {name!r}: there is no function {function!r} in {place}")
    return Plugged(found, name, sha256(Path(module.__file__)))


def _module(name: str, place: str) -> ModuleType:
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except ImportError as error:
            raise ValueError(f"terms: {name!r}: there is no module {place!r} ({error})") from error
    file = Path(place).expanduser()
    if not file.is_file():
        raise ValueError(f"terms: {name!r}: there is no file {file}; give the path of the term's file")
    # A unique name: two files of one name are two modules.
    unique = f"zsgan_term_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(unique, file)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
