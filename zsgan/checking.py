"""Plain values, from Python, YAML or a command line, become a checked configuration; the kinds of fields."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

Config = TypeVar("Config")

CHECKED = ConfigDict(extra="forbid", validate_default=True)


def _number(value: Any) -> Any:
    """YAML reads 1e4 as text, and pydantic takes True for 1."""
    if isinstance(value, bool):
        raise ValueError("a number expected")
    return float(value) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """One text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Finite = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Positive = Annotated[Finite, Field(gt=0)]
NonNegative = Annotated[Finite, Field(ge=0)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_number)]
Pair = Annotated[int, Field(ge=2), BeforeValidator(_number)]
Decay = Annotated[Finite, Field(ge=0, lt=1)]
Few = Annotated[int, Field(ge=3), BeforeValidator(_number)]
Probability = Annotated[Finite, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=0), BeforeValidator(_number)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_several)]
Switch = Annotated[bool, Field(strict=True)]


def build(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """Make a configuration from plain values, as YAML or a command line gives them.

    Args:
        cls: a configuration class.
        values: name -> value; a group is a mapping of its own.

    Returns:
        the configuration.

    Raises:
        ValueError: a setting is unknown, missing, or its value cannot be read or cannot work.
    """
    try:
        return cls(**{str(name): value for name, value in values.items()})
    except ValidationError as error:
        raise ValueError("; ".join(_explained(cls, details) for details in error.errors())) from None


def _explained(cls: type, details: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in details["loc"] if part != "[key]")
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "unexpected_keyword_argument":
        known = names_of(cls)
        close = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
        close = close or get_close_matches(name, known, cutoff=0.5) or known
        return f"setting {name!r} is unknown; {cls.__name__} has {', '.join(close)}"
    if "[key]" in details["loc"]:
        return f"{name} is no such name: {message}"
    if details["type"] == "missing":
        return f"{cls.__name__} needs {name}; add it"
    return f"{name}={details['input']!r}: {message}" if name else message


def names_of(cls: type) -> list[str]:
    """The dotted name of every setting of a configuration class."""
    return list(_names(cls))


def _names(cls: type) -> Iterator[str]:
    hints = get_type_hints(cls)
    for item in fields(cls):
        kind = hints[item.name]
        inner = next((k for k in (kind, *get_args(kind)) if isinstance(k, type) and is_dataclass(k)), None)
        if inner is None:
            yield item.name
        else:
            yield from (f"{item.name}.{name}" for name in _names(inner))


def given(items: Iterable[str]) -> dict[str, Any]:
    """Settings as a command line has them.

    Args:
        items: NAME=VALUE each, the value in YAML.

    Returns:
        dotted name -> value.

    Raises:
        ValueError: an item has no name, or its value cannot be read.
    """
    settings: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"--set takes NAME=VALUE, such as moment.lambda_cov=1; got {item!r}")
        try:
            settings[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ValueError(f"--set {item!r}: {value!r} is no value of YAML; quote it") from None
    return settings


REPLACED = ("terms", "target")
"""Settings that are mappings but no groups: a new value takes the place of the old one."""


def merge(
    base: Mapping[str, Any], new: Mapping[str, Any], replace: tuple[str, ...] = REPLACED
) -> dict[str, Any]:
    """Settings of ``base`` with those of ``new`` over them, group by group.

    Args:
        base: settings, groups being mappings.
        new: others; a group need not be complete.
        replace: names that are no groups.

    Returns:
        a new mapping.
    """
    merged = dict(base)
    for name, value in new.items():
        old = merged.get(name)
        groups = isinstance(value, Mapping) and isinstance(old, Mapping) and name not in replace
        merged[name] = merge(old, value) if groups else value  # type: ignore[arg-type]
    return merged


def check_texts(source_text: str, target_text: str) -> None:
    """Refuse two texts between which there is no direction.

    Case, white space, invisible characters and Unicode normalisation make no difference.

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
