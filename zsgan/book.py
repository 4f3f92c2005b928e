"""What a notebook of the book needs beside the method itself."""

import sys
from typing import Any

from IPython.display import display

_MIME = "application/papermill.record/text/plain"  # recorded in the notebook without being shown in the cell


def glue(name: str, value: Any, text: str | None = None) -> None:
    """Record a number or a word of this notebook so that the book's prose can print it.

    The role ``{glue:text}`` prints it, on the same page as ``name`` or ``name:.2f``, on another one as
    ``01_chapter.ipynb::name:.2f``, where the format must be given (``:s`` for words).

    Args:
        name: unique in the notebook.
        value: a number, string, or scalar array or tensor.
        text: what the prose prints; ``None`` for the value itself.
    """
    shown = text if text is not None else value.item() if hasattr(value, "item") else value
    record = {"name": name, "mime_prefix": _MIME.removesuffix("text/plain")}
    display({_MIME: repr(shown)}, raw=True, metadata={"scrapbook": record})


def in_colab() -> bool:
    """Whether this notebook runs on Google Colab, where the package has to be installed first."""
    return "google.colab" in sys.modules
