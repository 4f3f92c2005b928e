"""YAML files with errors that name the line, and YAML values on a command line.

YAML 1.1 gives a meaning to many plain words. Here only ``null``, ``true`` and ``false`` and, in files, ``~``
and decimal numbers have one. ``no``, ``12:30``, ``010`` and ``2024-01-31`` are words.
"""

import codecs
import re
from pathlib import Path
from typing import Any

import yaml

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "UTF-8-SIG", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"
}  # fmt: skip
_CLOSING = {"[": "]", "{": "}", "'": "'", '"': '"'}
_HASH = "\ufdd0"  # replaces # while YAML reads a value; a Unicode noncharacter, which no text contains

_WORDS = {"bool": r"true|True|TRUE|false|False|FALSE", "null": r"null|Null|NULL"}
_PLAIN = _WORDS | {
    "null": r"null|Null|NULL|~|",
    "merge": r"<<",
    "int": r"[-+]?(0|[1-9][0-9_]*)",
    "float": r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?\.inf|\.nan",
}


def _resolvers(patterns: dict[str, str]) -> dict[str | None, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's patterns for plain scalars, for any first character."""
    return {None: [(f"tag:yaml.org,2002:{kind}", re.compile(f"({p})$")) for kind, p in patterns.items()]}


class _Values(yaml.SafeLoader):  # type: ignore[misc] # PyYAML has no types
    """Loader for command-line values, in which numbers stay words until a setting asks for a number."""

    yaml_implicit_resolvers = _resolvers(_WORDS)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} stands here a second time; keep one", problem_mark=key.start_mark
                )
            seen.add((key.tag, str(key.value)))
        return super().construct_mapping(node, deep)


class _Files(_Values):
    yaml_implicit_resolvers = _resolvers(_PLAIN)


def read_yaml(path: Path) -> Any:
    """Read a YAML file.

    Args:
        path: the file, in UTF-8, or in UTF-16 with a byte order mark.

    Returns:
        its content; ``None`` if it is empty.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it has another encoding, is not valid YAML, or has a key twice; the message has the line.
    """
    data = path.read_bytes()
    encoding = next((e for mark, e in _BYTE_ORDER_MARKS.items() if data.startswith(mark)), "UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte {data[error.start]:#04x} is not valid {encoding}; save the file as "
            "UTF-8"
        ) from None
    try:
        return yaml.load(text, _Files)  # a SafeLoader
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(
            f"{path}, line {line}: the character {text[error.position]!r} cannot be in YAML; save the file "
            "as UTF-8"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(f"{path}, line {mark.line + 1}: this is no valid YAML: {_problem(error)}") from None
    except RecursionError:
        raise ValueError(f"{path}: lists and mappings in it are nested too deeply") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    if "'\\t'" in said:
        return f"{said}; use spaces instead of tabs"
    if "mapping values are not allowed" in said:
        return f"{said}; put a text with ': ' in quotes"
    return said


def value_of(text: str) -> Any:
    """The value of ``text`` on a command line.

    Args:
        text: true, false or null; a list or mapping in YAML's brackets; a text in quotes; or a plain word, in
            which ``#``, a colon and the like have no special meaning.

    Returns:
        the value; a number is still a word, which is converted where a setting takes numbers.

    Raises:
        ValueError: the text is empty, or the list or mapping cannot be read.
    """
    text = text.strip()
    if not text:
        raise ValueError("the value is empty; give one, or null for none")
    closing = _CLOSING.get(text[0], "")
    if not closing:
        loader = _Values("")
        tag = loader.resolve(yaml.ScalarNode, text, (True, False))
        return loader.construct_object(yaml.ScalarNode(tag, text))
    if closing in text[1:] and not text.endswith(closing):
        return text
    try:
        return _restored(yaml.load(text.replace("#", _HASH), _Values))  # a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        if closing == text[0]:
            return text
        said = _problem(error) if isinstance(error, yaml.MarkedYAMLError) else str(error)
        raise ValueError(
            f"{text!r} is no list or mapping of YAML ({said.replace(_HASH, '#')}); put a word that begins "
            "with a bracket in quotes"
        ) from None


def _restored(value: Any) -> Any:
    match value:
        case str():
            return value.replace(_HASH, "#")
        case list():
            return [_restored(part) for part in value]
        case dict():
            return {_restored(name): _restored(part) for name, part in value.items()}
    return value
