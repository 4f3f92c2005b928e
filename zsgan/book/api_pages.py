"""The API reference of the book, with a page for each module of the package.

The pages are written when the book is staged. Sphinx's autodoc, which this module extends, fills them with
the docstrings.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path
from typing import Any

from pydantic.dataclasses import is_pydantic_dataclass

from zsgan.book import architecture
from zsgan.book.architecture import PACKAGE, first_line

_INDEX = """\
# API reference

Five functions are enough for most uses:

{entries}
## All modules

The contents of every module, from its docstrings.

"""

_ENTRIES = {
    "zsgan.api.adapt": "adapts a generator to a text",
    "zsgan.networks.sampling.sample_images": "draws images from a generator",
    "zsgan.evaluation.evaluate.evaluate": "measures the diversity of images and their distance to a target",
    "zsgan.runs.profiles.load_profile": "reads a profile, which has the settings of a table's runs",
    "zsgan.runs.run.run": "makes the run of one configuration, or loads it if it is finished",
}

_PAGE = """\
# {module}

```{{eval-rst}}
.. automodule:: {module}
   :members:
   :ignore-module-all:
```
"""


def pages(package: Path = PACKAGE) -> dict[str, str]:
    """The pages of the reference.

    Args:
        package: folder of the package.

    Returns:
        file -> text in MyST Markdown: "architecture.md"; "api.md", which links to all modules; and
        "api/MODULE.md" for each (its name without the package).
    """
    first_lines = {_name(file, package): first_line(file) for file in sorted(package.rglob("*.py"))}
    index = "".join(
        f"- [`{name}`](api/{_file(name, package)}): {line}\n" for name, line in first_lines.items()
    )
    entries = "".join(
        f"- {{py:func}}`zsgan.{name.rpartition('.')[2]} <{name}>`: {line}\n"
        for name, line in _ENTRIES.items()
    )
    return {
        "architecture.md": architecture.page(package),
        "api.md": _INDEX.format(entries=entries) + index,
    } | {f"api/{_file(name, package)}": _PAGE.format(module=name) for name in first_lines}


def _name(file: Path, package: Path) -> str:
    return ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def _file(name: str, package: Path) -> str:
    return f"{name.removeprefix(f'{package.name}.')}.md"


def setup(app: Any) -> dict[str, bool]:
    """Register this Sphinx extension, which adjusts docstrings and the display of settings.

    Args:
        app: the Sphinx application.

    Returns:
        metadata: pages can be read in parallel.
    """
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-process-docstring", _add_settings)
    app.connect("autodoc-process-signature", _shorten)
    return {"parallel_read_safe": True}


def _escape(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Escape bars outside ``code``, since reStructuredText reads |t| as a substitution."""
    for i, line in enumerate(lines):
        parts = re.split(r"(``.*?``)", line)
        lines[i] = "".join(p if p.startswith("``") else p.replace("|", r"\|") for p in parts)


def _shorten(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returned: str | None
) -> tuple[str, None] | None:
    """Omit the signature of settings classes, which would be pages of pydantic's checks."""
    return ("", None) if what == "class" and is_pydantic_dataclass(thing) else None


def _add_settings(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Show the fields of settings classes as source code with comments."""
    if what == "class" and is_pydantic_dataclass(thing):
        source = textwrap.dedent(inspect.getsource(thing))
        (body,) = ast.parse(source).body
        assert isinstance(body, ast.ClassDef)
        found = [node for node in body.body if isinstance(node, ast.AnnAssign)]
        shown = source.splitlines()[found[0].lineno - 1 : found[-1].end_lineno]
        lines += ["", ".. code-block:: python", "", *(f"    {line.strip()}" for line in shown), ""]
