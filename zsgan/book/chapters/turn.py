"""How far the variations of stage 1 turn the first moment of the text set, in closed form."""

import html
import math

from IPython.display import HTML

from zsgan.book.widgets import widget

NUMBERS = (2, 3, 4, 5, 6, 7, 8)
"""K for which the closed form is proved at every epsilon, with lambda_div = 1."""
LENGTHS = (0.1, 0.3, 0.5, 1.0, 1.5)
"""epsilon / ``|t|`` in the table."""


def first_moment_turn(cosine: float, n_variations: int = 6, epsilon_ratio: float = 1.0) -> float:
    """Angle between the text direction and the mean of the text set, at the optimum of stage 1.

    The unit directions z_i add up to sqrt(K) t, so the mean is Delta T + epsilon sqrt(K) / (K + 1) t for unit
    features: see :mod:`zsgan.method.variations` and chapter 2 of the book.

    Args:
        cosine: cosine of the source and the target text, below 1.
        n_variations: K.
        epsilon_ratio: epsilon / ``|t|``.

    Returns:
        the angle in degrees.
    """
    pull = epsilon_ratio * math.sqrt(n_variations) / (n_variations + 1)
    # in the plane of the texts: along t, and across it to the source text
    along, across = 1 - cosine, math.sqrt(1 - cosine**2)
    return math.degrees(math.atan2(across, along) - math.atan2(across, along + pull))


def turn_explorer(cosine: float, source: str, target: str) -> HTML:
    """A part of a page with K and epsilon as sliders: the simplex of variations, and the turn.

    Without JavaScript, it is a table of turns.

    Args:
        cosine: cosine of the source and the target text.
        source: the source text.
        target: the target text.

    Returns:
        HTML for a notebook.
    """
    head = "".join(f'<th scope="col">{ratio:g}</th>' for ratio in LENGTHS)
    lines = "\n".join(
        f'<tr><th scope="row">{k}</th>'
        + "".join(f"<td>{first_moment_turn(cosine, k, ratio):.1f}°</td>" for ratio in LENGTHS)
        + "</tr>"
        for k in NUMBERS
    )
    texts = html.escape(f"{source} → {target}")
    still = (
        f"<table>\n<caption>Turn of the first moment, {texts} (cosine of the texts: {cosine:.2f})</caption>\n"
        f'<tr><th scope="col">K \\ ε / |t|</th>{head}</tr>\n{lines}\n</table>'
    )
    data = {
        "cosine": cosine, "source": source, "target": target,
        "least": NUMBERS[0], "most": NUMBERS[-1], "longest": LENGTHS[-1],
    }  # fmt: skip
    return widget("turn", data, still)
