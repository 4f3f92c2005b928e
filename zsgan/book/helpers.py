"""Helper functions for the notebooks of the book."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from IPython.display import Markdown, display

from zsgan.runs.profiles import Profile

_MIME = "application/papermill.record/text/plain"  # recorded in the notebook but not displayed


def glue(name: str, value: Any, text: str | None = None) -> None:
    """Record a number or a word of this notebook for the book's prose.

    The role ``{glue:text}`` prints it: on the same page as ``name`` or ``name:.2f``, on another page as
    ``01_chapter.ipynb::name:.2f``, where the format is required (``:s`` for words).

    Args:
        name: a name that is unique in the notebook.
        value: a number, string, or scalar array or tensor.
        text: the printed text; by default the value itself.
    """
    shown = text if text is not None else value.item() if hasattr(value, "item") else value
    record = {"name": name, "mime_prefix": _MIME.removesuffix("text/plain")}
    display({_MIME: repr(shown)}, raw=True, metadata={"scrapbook": record})


def row_with(profile: Profile, *terms: str) -> str:
    """The row of a profile whose loss has exactly these terms; of several, the one with the fewest settings.

    Args:
        profile: the profile.
        *terms: names such as "moment" and "ewc".

    Returns:
        The label of the row.

    Raises:
        ValueError: no row has exactly these terms.
    """
    scenario = next(iter(profile.scenarios))
    found = [row for row in profile.rows if set(profile.config(scenario, row).weights) == set(terms)]
    if not found:
        raise ValueError(
            f"profile {profile.name!r} has no row with just the terms {', '.join(terms)}; add one"
        )
    return min(found, key=lambda row: len(profile.rows[row]))


def ladder_of(profile: Profile) -> list[str]:
    """The rows of the paper's ablation: L_dir, L_dm, L_dm with EWC, and all terms; see :func:`row_with`."""
    terms = ("moment", "ewc", "relation")
    return [row_with(profile, "directional"), *(row_with(profile, *terms[:k]) for k in (1, 2, 3))]


def show_source(*functions: Callable[..., Any]) -> Markdown:
    """The source code of library functions, without docstrings and checks of the arguments.

    The docstrings are in the API reference. A check is an ``if`` that only raises, or a call of a function
    whose name begins with ``_check``.

    Args:
        *functions: functions of the library.

    Returns:
        Markdown, which a notebook displays if it is the last value of a cell.
    """
    return Markdown("\n\n".join(f"```python\n{_code(function)}\n```" for function in functions))


def _code(function: Callable[..., Any]) -> str:
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    body = ast.parse("\n".join(lines)).body[0]
    assert isinstance(body, ast.FunctionDef)
    docstring = body.body[:1] if ast.get_docstring(body) is not None else []
    for statement in reversed([*docstring, *filter(_checks, body.body)]):
        del lines[statement.lineno - 1 : statement.end_lineno]
        if not lines[statement.lineno - 1]:  # the empty line after the statement
            del lines[statement.lineno - 1]
    return "\n".join(lines)


def _checks(statement: ast.stmt) -> bool:
    """Whether a statement only checks arguments."""
    match statement:
        case ast.If(body=[ast.Raise()], orelse=[]):
            return True
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name.startswith("_check")
    return False
