"""Figures of results as deterministic PNG and SVG files, with a JSON sidecar for provenance."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from torch import Tensor

from zsgan.base.files import libraries, write_atomically, write_json
from zsgan.base.images import checked, to_array
from zsgan.base.resize import resize

STYLE: dict[str, Any] = {
    "figure.dpi": 160,  # for notebooks, whose pages scale figures down
    "savefig.dpi": 160,
    "font.size": 12,  # legible on a phone, which scales seven inches down to its width
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "svg.fonttype": "path",
}
# seaborn's "colorblind" palette with Paul Tol's indigo, in an order of which the first six stay apart on a
# dark page, too, where charts are inverted (book/_static/book.css). Orange would become vermillion's twin.
PALETTE = (
    "#0173b2", "#d55e00", "#029e73", "#cc78bc", "#ca9161", "#332288",
    "#56b4e9", "#949494", "#de8f05", "#fbafe4", "#ece133",
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


LOOK = ("default", STYLE)
"""Matplotlib's defaults, then ``STYLE``, so that the user's settings of matplotlib have no effect."""


def use_style() -> None:
    """Set the common style of all figures."""
    plt.style.use(LOOK)


class _Figure(Figure):
    """A figure whose ``savefig`` uses the common style of all figures."""

    def savefig(self, *arguments: Any, **options: Any) -> None:
        with plt.style.context(LOOK):
            super().savefig(*arguments, **options)


def save_figure(figure: Figure, stem: str, folder: Path, *, alt: str, provenance: Mapping[str, Any]) -> None:
    """Write ``<stem>.png``, ``<stem>.svg`` and the sidecar ``<stem>.json``.

    Args:
        figure: the figure; it stays open, so that a notebook still shows it.
        stem: file name without ending.
        folder: where to write.
        alt: alternative text for readers who cannot see the picture.
        provenance: profile, seeds, run ids...
    """
    # A fixed salt and no date make the bytes depend on the picture alone; a grid's own savefig has no salt.
    with plt.style.context([*LOOK, {"svg.hashsalt": stem}]):
        for ending, metadata in (("png", {"Software": "zsgan"}), ("svg", {"Date": None, "Creator": "zsgan"})):
            buffer = io.BytesIO()
            with _own_pixels(figure) if ending == "svg" else nullcontext():
                Figure.savefig(figure, buffer, format=ending, metadata=metadata, bbox_inches="tight")
            write_atomically(folder / f"{stem}.{ending}", buffer.getvalue())
    write_json(folder / f"{stem}.json", {"alt": alt, "versions": libraries(), **provenance})


@contextmanager
def _own_pixels(figure: Figure) -> Iterator[None]:
    """Embed images at their own resolution inside the block, not at that of the page."""
    before = [(image, image.get_interpolation()) for image in figure.findobj(AxesImage)]
    for image, _ in before:
        image.set_interpolation("none")
    try:
        yield
    finally:
        for image, interpolation in before:
            image.set_interpolation(interpolation)


@contextmanager
def _styled() -> Iterator[None]:
    """The common style inside the block.

    The backend is loaded before it: that of a notebook turns on matplotlib's interactive mode, without which
    no figure is shown, and the end of the block would turn it off again.
    """
    try:
        plt.draw_if_interactive()  # type: ignore[no-untyped-call]
    except ImportError:  # the user's settings name a missing window system, which files do not need
        plt.switch_backend("agg")
    with plt.style.context(LOOK):
        yield


@_styled()
def image_grid(
    rows: Mapping[str, Tensor | Mapping[str, Tensor]],
    *,
    columns: Sequence[str] | None = None,
    size: float = 0.9,
) -> Figure:
    """A grid of images with a label above each row; a column is one latent, or one animal.

    Images of several sizes, as of several generators, are drawn at one size. Rows of one kind, such as those
    of one scenario, can stand under a heading.

    The user's settings of matplotlib affect neither the figure nor the files of its ``savefig``.

    Args:
        rows: label -> images (n, 3, H, W) in [-1, 1], the same n for all; or heading -> such rows.
        columns: n labels above the columns.
        size: width of an image in inches.

    Returns:
        the figure.

    Raises:
        TypeError: ``rows`` is not a mapping, or its images are not tensors in [-1, 1].
        ValueError: the rows differ in length, there are none, or ``columns`` has another length.
    """
    if not isinstance(rows, Mapping):
        raise TypeError(
            f"rows must map labels to images, got {type(rows).__name__}; write {{'a label': images}}"
        )
    lines = _lines(rows)
    pictures = [checked(images) for _, images in lines if images is not None]
    counts = {len(images) for images in pictures}
    if len(counts) != 1:
        raise ValueError(f"rows must hold the same number of images each, got {sorted(counts)}")
    n = counts.pop()
    if columns is not None and len(columns) != n:
        raise ValueError(f"columns must be one label for each of the {n} images of a row, got {len(columns)}")
    # Each row is drawn as one picture, since an axis for each image would take seconds.
    heights = [_HEADING / size if images is None else 1 for _, images in lines]  # 1: as high as wide
    figure, axes = plt.subplots(
        len(lines), 1, squeeze=False, layout="constrained", FigureClass=_Figure, height_ratios=heights,
        figsize=(n * size, sum(heights) * size + 0.35 * len(pictures)),
    )  # fmt: skip
    for axis, (label, images) in zip(axes[:, 0], lines, strict=True):
        # Large and above the row, to be legible on a phone.
        if images is None:
            axis.axis("off")
            axis.text(0, 0, label, fontsize=15, fontweight="bold", va="bottom", transform=axis.transAxes)
        else:
            _show_sheet(axis, images[None])
            axis.set_title(label, loc="left", fontsize=14, pad=3)
    if columns:
        first = next(axis for axis, (_, images) in zip(axes[:, 0], lines, strict=True) if images is not None)
        first.set_xticks(_centres(n, pictures[0].shape[-1]), columns, fontsize=14)
        first.tick_params(length=0, labeltop=True, labelbottom=False)
    return figure


_HEADING = 0.3
"""Height of a heading of :func:`image_grid` in inches."""


def _lines(rows: Mapping[str, Tensor | Mapping[str, Tensor]]) -> list[tuple[str, Tensor | None]]:
    """The lines of a grid from the top: a heading without images, or a label with those of its row."""
    lines: list[tuple[str, Tensor | None]] = []
    for label, found in rows.items():
        lines += [(label, None), *found.items()] if isinstance(found, Mapping) else [(label, found)]
    return lines


@_styled()
def film_strips(strips: Mapping[str, Tensor], captions: Mapping[str, Sequence[str]]) -> Figure:
    """Film strips side by side: a column is a step, a row one latent.

    Args:
        strips: title -> images (S, n, 3, H, W) in [-1, 1] of n latents after each of S steps.
        captions: title -> S texts to print under the columns; a text may have several lines.

    Returns:
        the figure.

    Raises:
        ValueError: the strips differ in size, or a strip has another number of texts than of steps.
    """
    shapes = {images.shape for images in strips.values()}
    if len(shapes) != 1 or any(len(captions[title]) != len(images) for title, images in strips.items()):
        raise ValueError(
            f"strips must have one size and a text for each step, got {[tuple(s) for s in shapes]} and "
            f"{[len(texts) for texts in captions.values()]} texts"
        )
    steps, n, _, side, _ = shapes.pop()
    cell = 0.72
    figure, axes = plt.subplots(
        1, len(strips), squeeze=False, layout="constrained", FigureClass=_Figure,
        figsize=(len(strips) * (steps * cell + 0.2), n * cell + 1.3),
    )  # fmt: skip
    for axis, (title, images) in zip(axes[0], strips.items(), strict=True):
        _show_sheet(axis, images.transpose(0, 1))
        axis.set_title(title, loc="left", fontsize=14, pad=4)
        axis.set_xticks(_centres(steps, side), captions[title], fontsize=10)
        axis.tick_params(length=0)
    return figure


_GAP = 2
"""White pixels between the images of a sheet."""
_LARGEST = 256
"""Pixels a side of an image of a sheet at most, more than a page shows; SVG files embed the sheets."""


def _show_sheet(axis: Axes, images: Tensor) -> None:
    """Show images (rows, columns, 3, H, H) as one picture, without ticks and frame."""
    (rows, columns), side = images.shape[:2], min(images.shape[-1], _LARGEST)
    if side < images.shape[-1]:
        images = resize(images.flatten(0, 1), side, "bicubic").clamp(-1, 1).unflatten(0, (rows, columns))
    step = side + _GAP
    sheet = np.full((rows * step - _GAP, columns * step - _GAP, 3), 255, np.uint8)
    for top, line in enumerate(images):
        for left, image in enumerate(line):
            sheet[top * step : top * step + side, left * step : left * step + side] = to_array(image)
    axis.imshow(sheet, interpolation="antialiased")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)


def _centres(n: int, side: int) -> list[float]:
    """Places of the n columns of a sheet."""
    return [(i + 0.5) * (min(side, _LARGEST) + _GAP) - _GAP / 2 for i in range(n)]


def curves(data: pd.DataFrame, x: str, y: str, rows: list[str], *, xlabel: str, ylabel: str) -> Figure:
    """A figure of :func:`draw_curves`, without a legend."""
    figure, axis = plt.subplots(figsize=(6, 4.2), layout="constrained")
    draw_curves(axis, data, x, y, rows)
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return figure


def draw_curves(
    axis: Axes, data: pd.DataFrame, x: str, y: str, rows: Sequence[str], *, first: int = 0
) -> None:
    """Draw the mean over the seeds for each row of a table, with a band from the lowest to the highest seed.

    ``data`` has the columns ``row``, ``seed``, ``x`` and ``y``; ``rows`` is in the order of the legend, and
    ``first`` the number of the first row's colour and marker.
    """
    looks = islice(zip(cycle(PALETTE), cycle(MARKERS), strict=False), first, None)
    for row, (colour, marker) in zip(rows, looks, strict=False):
        values = data[data["row"] == row].groupby(x)[y]
        mean = values.mean()
        axis.plot(mean.index, mean, color=colour, marker=marker, markersize=4, label=row)
        axis.fill_between(mean.index, values.min(), values.max(), color=colour, alpha=0.15, linewidth=0)


def stretch_rates(axis: Axes, side: Literal["x", "y"] = "x") -> None:
    """Scale one axis for target rates in [0, 1], stretched near 1, where most points of a run are."""
    # An odd function, so that the axis can begin below 0.
    cubes = (lambda x: np.sign(x) * np.abs(x) ** 3, lambda x: np.sign(x) * np.abs(x) ** (1 / 3))
    (axis.set_xscale if side == "x" else axis.set_yscale)("function", functions=cubes)
    axis.set(**{f"{side}lim": (-0.3, 1.01), f"{side}ticks": (0, 0.5, 0.7, 0.8, 0.9, 1)})


def dots(data: pd.DataFrame, *, xlabel: str, axis: Axes) -> None:
    """Draw numbers as marks: a line for each row, the first on top, and a mark per column; none for a nan."""
    places = range(len(data))
    for column, colour, marker in zip(data, cycle(PALETTE), cycle(MARKERS), strict=False):
        axis.plot(
            data[column], places, color=colour, marker=marker, markersize=5, linestyle="", label=str(column)
        )
    axis.set_yticks(places, [str(label) for label in data.index])
    axis.set_ylim(len(data) - 0.5, -0.5)
    axis.set_xlabel(xlabel)


def heat_maps(panels: Mapping[str, Tensor], *, label: str, low: float, high: float) -> Figure:
    """Heat maps of square matrices by title, side by side; rows and columns count from 1.

    ``label`` is that of the common colour bar, whose darkest and brightest colours are ``low`` and ``high``.
    """
    size = (2.3 * len(panels) + 0.8, 2.7)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for axis, (title, matrix) in zip(axes[0], panels.items(), strict=True):
        picture = axis.imshow(matrix.detach().cpu().numpy(), vmin=low, vmax=high, cmap="cividis")
        numbers = range(len(matrix))
        axis.set_xticks(numbers, [i + 1 for i in numbers], fontsize="small")
        axis.set_yticks(numbers, [i + 1 for i in numbers], fontsize="small")
        axis.set_title(title)
        axis.tick_params(length=0)
        axis.grid(False)
        axis.spines[:].set_visible(False)
    figure.colorbar(picture, ax=axes, label=label, shrink=0.8)
    return figure
