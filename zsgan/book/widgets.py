"""Interactive parts of pages: HTML that stands alone, and a script that makes more of it."""

import json
from pathlib import Path
from typing import Any

from IPython.display import HTML

_HERE = Path(__file__).parent / "scripts"


def widget(name: str, data: Any, still: str) -> HTML:
    """A part of a page that carries its data, style and script, so that it also works offline and on Colab.

    Args:
        name: the script in ``zsgan/book/scripts``, without suffix. It finds its part of the page as the
            parent of its own element.
        data: what the script reads, as JSON.
        still: HTML that is shown without JavaScript and on paper.

    Returns:
        HTML, which a notebook displays if it is the last value of a cell.
    """
    script, style = ((_HERE / file).read_text(encoding="utf-8") for file in (f"{name}.js", "widgets.css"))
    text = json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")  # no tag ends the script early
    return HTML(
        f'<div class="widget {name}">\n<style>\n{style}</style>\n<div class="still">\n{still}\n</div>\n'
        f'<script type="application/json">{text}</script>\n<script>\n{script}</script>\n</div>'
    )
