"""Checked configurations from plain values of Python, YAML or a command line, and types of their fields."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from difflib import SequenceMatcher
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from zsgan.base.places import local_path
from zsgan.base.yaml_values import value_of

Config = TypeVar("Config")

CHECKED = ConfigDict(extra="forbid", validate_default=True)


MOST = 10_000_000
"""Upper limit of every count: images, steps, layers, crops."""
_FLOAT32 = (1.17549435e-38, 3.4028235e38)  # smallest and largest normal number


def number(value: Any) -> Any:
    """Convert digits to a number. Unlike pydantic, refuse True (as 1) and digits of other scripts."""
    if isinstance(value, bool) or value is None:
        raise ValueError("a number expected")
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        with suppress(ValueError):
            if value.isascii():
                return kind(value)
    raise ValueError("a number expected, in the digits 0 to 9")


def _in_range(value: float) -> float:
    """Check that a number is in the range of float32, in which all is computed."""
    if value and not _FLOAT32[0] <= abs(value) <= _FLOAT32[1]:
        raise ValueError(
            f"a number of size {_FLOAT32[0]:.2g} to {_FLOAT32[1]:.2g} expected, the range of float32"
        )
    return value


def _switch(value: Any) -> Any:
    """Accept yes, no, on and off, as YAML 1.1 does."""
    known = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    return known.get(value.lower(), value) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """Convert a single text to a tuple of one."""
    return (value,) if isinstance(value, str) else value


def _at_home(value: Mapping[str, str]) -> Mapping[str, str]:
    """Expand a tilde in {"folder": path}."""
    return {k: str(local_path(v)) if k == "folder" and v.startswith("~") else v for k, v in value.items()}


Finite = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(number), AfterValidator(_in_range)]
Positive = Annotated[Finite, Field(gt=0)]
NonNegative = Annotated[Finite, Field(ge=0)]
Psi = Annotated[Finite, Field(ge=0, le=10)]
AtLeast0 = Annotated[int, Field(ge=0, le=MOST), BeforeValidator(number)]
AtLeast1 = Annotated[int, Field(ge=1, le=MOST), BeforeValidator(number)]
AtLeast2 = Annotated[int, Field(ge=2, le=MOST), BeforeValidator(number)]
AtLeast3 = Annotated[int, Field(ge=3, le=MOST), BeforeValidator(number)]
BatchSize = Annotated[int, Field(ge=1, le=65_536), BeforeValidator(number)]
Seed = Annotated[int, Field(ge=0, lt=2**63), BeforeValidator(number)]
Decay = Annotated[Finite, Field(ge=0, lt=1)]
Probability = Annotated[Finite, Field(ge=0, le=1)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_several)]
Domain = Annotated[Mapping[str, Text], AfterValidator(_at_home)]
Switch = Annotated[bool, Field(strict=True), BeforeValidator(_switch)]

_Kind = TypeVar("_Kind")


def checked(name: str, value: Any, kind: type[_Kind]) -> _Kind:
    """A value, checked against one of the types above.

    Args:
        name: name of the argument, for the message.
        value: the given value, perhaps as text.
        kind: such as ``AtLeast1`` or ``Seed``.

    Returns:
        the value, converted to a number if ``kind`` is numeric.

    Raises:
        ValueError: the value is not of that type.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{name}={value!r}: {_said(error.errors()[0])}") from None


def build(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """A configuration from plain values, as YAML or a command line gives them.

    Args:
        cls: a configuration class.
        values: name -> value; a group is a mapping of its own.

    Returns:
        the configuration.

    Raises:
        ValueError: a setting is unknown or missing, or its value is invalid.
    """
    try:
        return cls(**{str(name): value for name, value in values.items()})
    except ValidationError as error:
        found = error.errors()
        inner = [one for one in found if not any(_within(other, one) for other in found)]
        raise ValueError("; ".join(_explained(cls, details) for details in inner)) from None


def _within(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the location of one error lies inside that of another."""
    n = len(other["loc"])
    return len(one["loc"]) > n and one["loc"][:n] == other["loc"]


def _explained(cls: type, details: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in details["loc"] if part != "[key]")
    if details["type"] == "unexpected_keyword_argument":
        return f"setting {name!r} is unknown; {closest(name, names_of(cls))}"
    if "[key]" in details["loc"]:
        return f"{name} is no such name: {_said(details)}"
    if details["type"] == "missing":
        return f"{cls.__name__} needs {name}; add it"
    return f"{name}={details['input']!r}: {_said(details)}" if name else _said(details)


def _said(details: Mapping[str, Any]) -> str:
    """Pydantic's message, with a remedy if YAML read a text as a number."""
    message = str(details["msg"]).removeprefix("Value error, ")
    number = details["type"] == "string_type" and isinstance(details["input"], int | float)
    return f"{message}; put a text of digits in quotes" if number else message


def closest(name: str, known: Sequence[str], most: int = 8) -> str:
    """The known names closest to an unknown one, for the end of an error message.

    Args:
        name: the unknown name, perhaps dotted.
        known: the known names.
        most: maximum number of names to list.

    Returns:
        the end of a sentence.
    """
    last = name.rpartition(".")[2]
    same = [other for other in known if other.rpartition(".")[2] == last]
    if same:
        return f"the closest: {', '.join(same)}"
    near = sorted(known, key=lambda o: -max(_likeness(name, o), _likeness(last, o.rpartition(".")[2])))
    more = (
        f" and {len(known) - most} others, which zsgan.adaptation.config explains"
        if len(known) > most
        else ""
    )
    return f"the closest: {', '.join(near[:most])}{more}"


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def names_of(cls: type) -> list[str]:
    """The dotted name of every setting of a configuration class."""
    found, hints = list[str](), get_type_hints(cls)
    for item in fields(cls):
        kind = hints[item.name]
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        groups = [k for k in kinds if isinstance(k, type) and is_dataclass(k)]
        found += [f"{item.name}.{name}" for group in groups for name in names_of(group)] or [item.name]
    return found


def given(items: Iterable[str]) -> dict[str, Any]:
    """Settings from the items of a command line.

    Args:
        items: texts NAME=VALUE; see :func:`zsgan.base.yaml_values.value_of` for the values.

    Returns:
        dotted name -> value.

    Raises:
        ValueError: an item has no name or no value or its name is given twice, or a list or mapping cannot
            be read.
    """
    settings: dict[str, Any] = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals or not name:
            raise ValueError(f"--set takes NAME=VALUE, such as moment.lambda_cov=1; got {item!r}")
        if name in settings:
            raise ValueError(f"--set gives {name} twice; keep one of {name}={settings[name]} and {item}")
        try:
            settings[name] = value_of(value)
        except ValueError as error:
            raise ValueError(f"--set {item!r}: {error}") from None
    return settings


REPLACED = ("terms", "target", "truth")
"""Settings whose mappings are replaced as a whole, not merged like groups."""


def merge(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with others over them, group by group.

    Args:
        base: settings, in which groups are mappings; it is not changed.
        *changes: settings that take precedence, the later over the earlier. A name is that of a setting or of
            a group, which need not be complete, or dotted, such as ``moment.lambda_cov`` or ``terms.ewc``;
            dotted names go over groups. Mappings of :data:`REPLACED` replace the previous ones, while
            ``terms.ewc`` changes one of the terms alone.

    Returns:
        a new mapping, without dotted names.
    """
    merged = dict(base)
    for new in changes:
        groups: dict[str, dict[str, Any]] = {}
        for name, value in new.items():
            group, dot, rest = str(name).partition(".")
            if dot:
                groups.setdefault(group, {})[rest] = value
            elif isinstance(value, Mapping) and group not in REPLACED:
                merged[group] = merge(_group(merged, group), value)
            else:
                merged[group] = value
        for group, values in groups.items():
            if group == "terms":  # whose names may have dots
                merged[group] = {**_group(merged, group), **values}
            else:
                merged[group] = values if group in REPLACED else merge(_group(merged, group), values)
    return merged


def _group(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    group = values.get(name)
    return group if isinstance(group, Mapping) else {}


def check_texts(source_text: str, target_text: str) -> None:
    """Check that two texts differ, so that they define a direction.

    Case, white space, invisible characters and Unicode normalisation are ignored.

    Args:
        source_text: t_src.
        target_text: t_trg.

    Raises:
        ValueError: the texts are the same.
    """
    if _plain(source_text) == _plain(target_text):
        raise ValueError(
            f"source_text={source_text!r} and target_text={target_text!r} are the same: there is no "
            "direction to follow; name another target"
        )


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(c for c in folded if unicodedata.category(c) != "Cf").split())
