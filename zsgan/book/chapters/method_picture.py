"""Figure 2, the method in CLIP space: a drawing of it above the real features of a run."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from zsgan.book.chapters.method_drawing import ALONE, FULL, MARKS, SOURCE, TEXT, draw_method
from zsgan.metrics.clip_space import variance


def main_axis(x: Tensor, across: Tensor) -> Tensor:
    """The direction in which a set differs most, among those at a right angle to another direction.

    Args:
        x: (n, D) the set.
        across: (D,) the other direction, of any length.

    Returns:
        (D,) of unit norm, with the sign that makes its largest entry positive.
    """
    centred, along = x - x.mean(0), F.normalize(across, dim=0)
    axis = torch.linalg.svd(centred - torch.outer(centred @ along, along), full_matrices=False).Vh[0]
    return axis * axis[axis.abs().argmax()].sign()


def variation_axis(text_set: Tensor) -> Tensor:
    """The direction across dT from the first variation to the last, past the others in order.

    At the optimum of stage 1 the variations differ equally in K - 1 directions, so no axis of theirs is the
    main one. Along this one, a sum of the variations with weights from -1 to 1, they are evenly spaced.

    Args:
        text_set: (K + 1, D) dT, then the dT_i, see :func:`zsgan.method.losses.text_set`.

    Returns:
        (D,) of unit norm.
    """
    along, directions = F.normalize(text_set[0], dim=0), text_set[1:]
    axis = torch.linspace(-1, 1, len(directions)).to(directions) @ directions
    return F.normalize(axis - (axis @ along) * along, dim=0)


def figure_2(text_set: Tensor, source: Tensor, adapted: Mapping[str, Tensor]) -> Figure:
    """The drawing, and real features by their inner products with dT and two directions across it.

    Upwards is the main axis of the images, then that of the variations. Texts are relative to the source
    text, images to the mean image of the source.

    Args:
        text_set: (K + 1, D) dT, then the dT_i.
        source: (n, D) features of the source's images.
        adapted: two labels -> (n, D) features of adapted images of the same latents: by L_dir, and by the
            full method.

    Returns:
        the figure.
    """
    figure = plt.figure(figsize=(7.2, 8.2), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(1, 2.4))
    above, below = parts
    draw_method(above.subplots(1, 3))
    axes = below.subplots(2, 2, sharex=True, sharey="row")
    # Every set counts by the distances to its own mean: what moves all of its images alike is no difference.
    within = torch.cat([x - x.mean(0) for x in (source, *adapted.values())])
    sides = {
        "where images differ most": main_axis(within, text_set[0]),
        "from $v_1$ to $v_K$": variation_axis(text_set),
    }
    for line, (what, side) in zip(axes, sides.items(), strict=True):
        plane = torch.stack([F.normalize(text_set[0], dim=0), side]).T
        for axis, (label, x), colour in zip(line, adapted.items(), (ALONE, FULL), strict=True):
            _texts(axis, text_set @ plane)
            _images(axis, (source - source.mean(0)) @ plane, (x - source.mean(0)) @ plane, colour, label)
        line[0].set_ylabel(what)
    for axis, (label, x) in zip(axes[0], adapted.items(), strict=True):
        share = variance(x) / variance(source)
        axis.set_title(f"{label}: {share:.0%} of\nthe source's variance", fontsize="medium")
    for axis in axes[1]:
        axis.set_xlabel(r"along $\Delta T$ (features of length 1)")
    known = {
        label: handle for axis in axes[0]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }  # fmt: skip
    below.legend(known.values(), known, loc="outside lower center", ncols=len(known), fontsize="small")
    return figure


def _images(axis: Axes, before: Tensor, after: Tensor, colour: str, label: str) -> None:
    """(n, 2) images before and after an adaptation, and lines between those of one latent."""
    axis.plot(*torch.stack([before, after]).permute(2, 0, 1), color=colour, linewidth=0.5, alpha=0.25)
    look: dict[str, Any] = {"linestyle": "", "markersize": 4, "markeredgewidth": 0}
    axis.plot(*before.T, MARKS[SOURCE], color=SOURCE, label="source images", **look)
    axis.plot(*after.T, MARKS[colour], color=colour, label=label, **look)


def _texts(axis: Axes, texts: Tensor) -> None:
    """dT, which points to the right, and the ends of the dT_i, (K + 1, 2)."""
    length = float(texts[0, 0])
    axis.plot((0, length), (0, 0), "k->", markevery=[1], linewidth=1.8, label=r"$\Delta T$", zorder=4)
    axis.plot(*texts[1:].T, MARKS[TEXT], color=TEXT, markersize=7, label="variations", zorder=5)
