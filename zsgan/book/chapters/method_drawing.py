"""A drawing of the method in CLIP space: variations of the target text, and what two losses make of them.

Nothing in it is measured. Texts and images have panels of their own, as they occupy different regions of CLIP
space.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import NDArray

from zsgan.report.figures import PALETTE

Points = NDArray[np.float64]
TEXT, SOURCE, ALONE, FULL = PALETTE[2], "0.45", PALETTE[1], PALETTE[0]
"""Colours of the text set, the source's images, and those adapted by L_dir and by the full method."""
MARKS = {TEXT: "X", SOURCE: "o", ALONE: "s", FULL: "^"}
"""Colour -> marker, which tells the sets apart without colour."""

_T_SRC, _T_TRG = np.array([0.5, 1.6]), np.array([5.3, 3.5])
_DELTA = _T_TRG - _T_SRC
_ALONG = _DELTA / np.linalg.norm(_DELTA)
_ACROSS = np.array([-_ALONG[1], _ALONG[0]])
_EPSILON = 2.9  # length of the perturbations
_SOURCES = np.array([[0.2, 1.8], [0.6, 4.2], [1.3, 2.9], [2.1, 4.8], [2.4, 1.6], [3.0, 3.4]])
_NEIGHBOURS = ((0, 2), (1, 2), (1, 3), (2, 4), (3, 5), (4, 5), (2, 5))
_MIDDLE = _SOURCES.mean(0)
_ON_A_LINE = {"ha": "center", "va": "center", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.6}}


def draw_method(axes: Sequence[Axes]) -> None:
    """Draw stage 1, the directional loss and the full method on three axes."""
    for axis, draw in zip(axes, (_stage_1, _directional, _full), strict=True):
        axis.set(xlim=(-0.2, 9.8), ylim=(0, 9), xticks=[], yticks=[], aspect="equal")
        axis.grid(False)
        axis.spines[:].set_visible(False)
        draw(axis)


def drawn_variations() -> Points:
    """(6, 2) the variations of the drawing: a hexagon beyond the target text, seen from the side."""
    angles = np.arange(6) * np.pi / 3
    # As in the closed form: cos(z_i, t) = 1 / sqrt(6) moves the centre, the rest of the length is the radius.
    centre, radius = _T_TRG + _EPSILON / 6**0.5 * _ALONG, _EPSILON * (5 / 6) ** 0.5
    sides = np.outer(np.cos(angles), _ACROSS) + 0.4 * np.outer(np.sin(angles), _ALONG)
    return centre + radius * sides


def _stage_1(axis: Axes) -> None:
    corners = drawn_variations()
    axis.set_title("texts, stage 1", fontsize="medium")
    _note(axis, (0, 8.8), "variations $v_i$ as far apart\nas they can be")
    axis.add_patch(Ellipse(_xy(_T_TRG), 2 * _EPSILON, 2 * _EPSILON, fill=False, linestyle=":", color="0.5"))
    _line(axis, _T_TRG, _T_TRG + _EPSILON * np.array([-0.8, 0.6]), color="0.5", linestyle=":")
    for i, corner in enumerate(corners):
        _arrow(axis, _T_SRC, corner, color=TEXT, linewidth=0.8, alpha=0.8)
        for other in corners[:i]:
            _line(axis, corner, other, color=TEXT, linewidth=0.5, alpha=0.5)
    axis.plot(*corners.T, MARKS[TEXT], color=TEXT, markersize=7)
    _arrow(axis, _T_SRC, _T_TRG, color="black", linewidth=2)
    axis.plot(*np.stack([_T_SRC, _T_TRG]).T, "k.", markersize=8, linestyle="")
    _note(axis, (0.2, 1.2), r"$t_\mathrm{src}$")
    _note(axis, (5.55, 3.25), r"$t_\mathrm{trg}$")
    _note(axis, _T_SRC + 0.45 * _DELTA, r"$\Delta T$", **_ON_A_LINE)
    _note(axis, (4.1, 4.4), r"$\epsilon$", **_ON_A_LINE)


def _directional(axis: Axes) -> None:
    axis.set_title(r"images, $\mathcal{L}_\mathrm{dir}$ alone", fontsize="medium")
    _note(axis, (0, 8.8), "every $\\Delta I_n$ along $\\Delta T$:\nimages crowd")
    _images(axis, _MIDDLE + 1.15 * _DELTA + 0.18 * (_SOURCES - _MIDDLE), ALONE)
    start = np.array([3.6, 0.4])
    _arrow(axis, start, start + _DELTA, color="black", linewidth=2)
    _note(axis, start + 0.5 * _DELTA, r"$\Delta T$", **_ON_A_LINE)


def _full(axis: Axes) -> None:
    ends = _MIDDLE + 1.1 * _DELTA + 0.9 * (_SOURCES - _MIDDLE)
    axis.set_title("images, full method", fontsize="medium")
    _note(axis, (0, 8.8), r"$\mathcal{L}_\mathrm{dm}$: mean and spread of texts")
    _note(axis, (0, 7.8), r"$\mathcal{L}_\mathrm{rel}$: relations stay")
    _note(axis, (3.2, 0.9), r"$\mathcal{L}_\mathrm{EWC}$: near the source")
    tilt = np.degrees(np.arctan2(_ACROSS[1], _ACROSS[0]))
    spread = Ellipse(_xy(ends.mean(0)), 4.7, 3.6, angle=tilt, fill=False, linestyle="--", color=TEXT)
    axis.add_patch(spread)
    for points, colour in ((_SOURCES, SOURCE), (ends, FULL)):
        for i, j in _NEIGHBOURS:
            _line(axis, points[i], points[j], color=colour, linewidth=0.8, alpha=0.7)
    _images(axis, ends, FULL)
    below = np.array([0.2, -0.5])
    _spring(axis, _SOURCES[4] + below, ends[4] + below)


def _images(axis: Axes, ends: Points, colour: str) -> None:
    """Images of the source, arrows from them, and the adapted images at their ends."""
    for start, end in zip(_SOURCES, ends, strict=True):
        _arrow(axis, start, end, color=colour, linewidth=0.8, alpha=0.8)
    axis.plot(*_SOURCES.T, MARKS[SOURCE], color=SOURCE, markersize=6)
    axis.plot(*ends.T, MARKS[colour], color=colour, markersize=6)


def _spring(axis: Axes, start: Points, end: Points) -> None:
    """A coil between two points."""
    way = np.linspace(0, 1, 29)
    side = 0.14 * np.where(np.arange(29) % 2, 1, -1) * ((way > 0.12) & (way < 0.88))
    along = end - start
    across = np.array([-along[1], along[0]]) / np.linalg.norm(along)
    axis.plot(*(start + np.outer(way, along) + np.outer(side, across)).T, color="black", linewidth=1)


def _xy(point: Points) -> tuple[float, float]:
    return float(point[0]), float(point[1])


def _arrow(axis: Axes, start: Points, end: Points, **look: Any) -> None:
    axis.annotate(
        "", _xy(end), _xy(start), arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 3, **look}
    )


def _line(axis: Axes, start: Points, end: Points, **look: Any) -> None:
    axis.plot(*np.stack([start, end]).T, **look)


def _note(axis: Axes, place: Points | tuple[float, float], text: str, **look: Any) -> None:
    x, y = place
    axis.text(x, y, text, **{"fontsize": "small", "va": "top", **look})
