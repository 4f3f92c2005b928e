"""Plug-ins: losses, guides and training loops in a file of one's own or in an installed module.

A configuration names one as FILE.py:NAME or MODULE:NAME. In the file, :func:`term`, :func:`guide` and
:func:`trainer` declare what becomes a row of a table, beside the rows of a profile::

    import zsgan

    @zsgan.term(row={"terms": {"directional": 1}}, weight=2)
    def hinge(seen, *, margin=0.5):
        return (margin - seen.f_trg @ seen.guide.t_trg).clamp_min(0).mean()
"""

import hashlib
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from zsgan.base.files import sha256
from zsgan.base.places import local_path

ENTRY_POINTS = "zsgan.methods"
"""Group of the entry points by which an installed package offers methods, as NAME = MODULE."""

Thing = TypeVar("Thing", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """What a decorator says of a plug-in.

    Attributes:
        kind: setting of the row that names the plug-in: "terms", "guide" or "trainer".
        row: the row's other settings, in the words of a profile.
        weight: of a term.
        needs: what a term needs: "stage1" (``guide.variations`` and ``guide.text_set``), or "spectral"
            (``stretch_src`` and ``stretch_trg``).
    """

    kind: str
    row: Mapping[str, Any]
    weight: float = 1.0
    needs: frozenset[str] = frozenset()

    def row_of(self, name: str) -> dict[str, Any]:
        """The row with the plug-in, whose name is ``name``."""
        if self.kind != "terms":
            return {**self.row, self.kind: name}
        return {**self.row, "terms": {**self.row.get("terms", {}), name: self.weight}}


def term(
    *, row: Mapping[str, Any] | None = None, weight: float = 1.0, needs: Sequence[str] = ()
) -> Callable[[Thing], Thing]:
    """Declare a loss: a function of :class:`zsgan.adaptation.batches.Seen` and settings -> a scalar.

    Args:
        row: settings of its row, such as other terms, ``{"terms": {"directional": 1}}``.
        weight: its weight in that row.
        needs: quantities to compute for it, see :class:`Declared`.

    Returns:
        a decorator, which returns the function itself.

    Raises:
        ValueError: there is no such quantity.
    """
    if unknown := sorted(set(needs) - {"stage1", "spectral"}):
        raise ValueError(f"needs={list(needs)}: choose from stage1 and spectral, not {unknown[0]!r}")
    return _declare(Declared("terms", row or {}, weight, frozenset(needs)))


def guide(*, row: Mapping[str, Any]) -> Callable[[Thing], Thing]:
    """Declare a guide: a function that turns what the texts give into what the losses follow.

    Args:
        row: settings of its row, among them the terms.

    Returns:
        a decorator for a function of :class:`zsgan.adaptation.batches.Guide` and the configuration, which
        returns another guide (by ``dataclasses.replace``).
    """
    return _declare(Declared("guide", row))


def trainer(*, row: Mapping[str, Any]) -> Callable[[Thing], Thing]:
    """Declare a training loop: a class like :class:`zsgan.adaptation.by_text.Adaptation`, or derived from it.

    Args:
        row: settings of its row, among them the terms.

    Returns:
        a decorator for the class.
    """
    return _declare(Declared("trainer", row))


def _declare(declared: Declared) -> Callable[[Thing], Thing]:
    def decorate(thing: Thing) -> Thing:
        thing.__zsgan__ = declared  # type: ignore[attr-defined]
        return thing

    return decorate


@dataclass(frozen=True)
class Plugged:
    """A plug-in that was found.

    Attributes:
        thing: the function or class.
        name: its name in a configuration.
        source: SHA-256 of its file.
    """

    thing: Callable[..., Any]
    name: str
    source: str

    @property
    def needs(self) -> frozenset[str]:
        """Quantities that it declares to need."""
        declared = getattr(self.thing, "__zsgan__", None)
        return declared.needs if isinstance(declared, Declared) else frozenset()


_held: ContextVar[Mapping[str, Plugged]] = ContextVar("held plug-ins", default=MappingProxyType({}))


@contextmanager
def held(sources: Mapping[str, str]) -> Iterator[None]:
    """Bind names to the code that they have now: until the block ends, no file is read for them again.

    Args:
        sources: names -> SHA-256 that their files must have.

    Yields:
        nothing.

    Raises:
        ValueError: a file is missing or has changed.
    """
    found = {name: plugged(name) for name in sources}
    for name, one in found.items():
        if one.source != sources[name]:
            raise ValueError(f"{name}: its file has changed since this command began; repeat the command")
    token = _held.set({**_held.get(), **found})
    try:
        yield
    finally:
        _held.reset(token)


def plugged(name: str) -> Plugged:
    """The plug-in that a configuration names, as its file is now or as :func:`held` found it.

    Args:
        name: FILE.py:NAME or MODULE:NAME.

    Returns:
        the plug-in.

    Raises:
        ValueError: there is no such file, module or function.
    """
    if (bound := _held.get().get(name)) is not None:
        return bound
    place, _, function = name.rpartition(":")
    module = _module(place, name)
    found = module.names.get(function)
    if not callable(found):
        raise ValueError(f"{name!r}: there is no function {function!r} in {place}")
    return Plugged(found, name, module.source)


def rows_of(method: str) -> dict[str, dict[str, Any]]:
    """The rows that a file declares.

    Args:
        method: path of a Python file, or the name of an entry point of the group :data:`ENTRY_POINTS`.

    Returns:
        name of each declared function or class -> settings of its row, in the file's order.

    Raises:
        ValueError: there is no such file or entry point, or it declares nothing.
    """
    place = method if method.endswith(".py") else _entry_point(method)
    rows = {}
    for name, thing in _module(place, method).names.items():
        declared = vars(thing).get("__zsgan__") if callable(thing) and hasattr(thing, "__dict__") else None
        if isinstance(declared, Declared):
            rows[name] = declared.row_of(f"{place}:{name}")
    if not rows:
        raise ValueError(
            f"{method} declares no method; put @zsgan.term(), @zsgan.guide() or @zsgan.trainer() above one"
        )
    return rows


def _entry_point(name: str) -> str:
    known = {entry.name: entry.value for entry in entry_points(group=ENTRY_POINTS)}
    if name not in known:
        installed = f" or one of the installed {', '.join(sorted(known))}" if known else ""
        raise ValueError(f"method={name!r} is unknown; give a Python file, such as mine.py{installed}")
    return known[name]


@dataclass(frozen=True)
class _Module:
    """What a file defines, and the SHA-256 of the text that was executed."""

    names: Mapping[str, Any]
    source: str


def _module(place: str, asked: str) -> _Module:
    if not place.endswith(".py"):
        return _installed(asked, place)
    file = local_path(place)
    if not file.is_file():
        raise ValueError(f"{asked!r}: there is no file {file}; give the path of a Python file")
    return _executed(file, file.read_bytes())


@cache
def _executed(file: Path, text: bytes) -> _Module:
    """The text of a file, executed once: the code that runs is the code that is hashed."""
    source = hashlib.sha256(text).hexdigest()
    module = ModuleType(f"zsgan_plugged_{source[:16]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # where dataclasses look
    exec(compile(text, file, "exec"), module.__dict__)
    return _Module(module.__dict__, source)


@cache
def _installed(asked: str, place: str) -> _Module:
    """A module as this process knows it, which reads it once."""
    try:
        module = importlib.import_module(place)
    except ImportError as error:
        raise ValueError(f"{asked!r}: there is no module {place!r} ({error})") from error
    if module.__file__ is None or not module.__file__.endswith(".py"):
        raise ValueError(f"{asked!r}: the source of {place} cannot be read; give a module in Python")
    return _Module(vars(module), sha256(Path(module.__file__)))
