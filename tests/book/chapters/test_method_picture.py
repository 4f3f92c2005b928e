"""Figure 2: coordinates are inner products, a collapse shows as one, and the drawing has the closed form."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zsgan.book.chapters import method_drawing
from zsgan.book.chapters.method_picture import figure_2, main_axis, variation_axis
from zsgan.method.losses import text_set
from zsgan.method.variations import closed_form_variations

D, N, K = 24, 10, 6


@pytest.fixture
def texts():
    """dT and the directions of variations in closed form; the source text lies across all of them."""
    random = torch.Generator().manual_seed(0)
    t_trg = F.normalize(torch.randn(D, generator=random), dim=0)
    found = closed_form_variations(t_trg, K, 0.3, generator=random)
    span = torch.linalg.qr(found.z.T).Q
    t_src = torch.randn(D, generator=random)
    return text_set(F.normalize(t_src - span @ (span.T @ t_src), dim=0), t_trg, found.v)


@pytest.fixture
def images():
    random = torch.Generator().manual_seed(1)
    sets = F.normalize(torch.randn(3, N, D, generator=random), dim=2)
    sets[1] = sets[1, :1]  # a generator that has collapsed
    return sets


def test_the_main_axis_is_the_widest_of_those_across():
    x = torch.zeros(4, 3)
    x[:, 0] = torch.tensor([9.0, -9, 9, -9])
    x[:, 1] = torch.tensor([1.0, 1, -1, -1])
    x[:, 2] = torch.tensor([3.0, -3, -3, 3]) + 100  # its mean is no spread
    axis = main_axis(x, across=torch.tensor([5.0, 0, 0]))
    assert torch.allclose(axis, torch.tensor([0.0, 0, 1]), atol=1e-6)
    assert torch.allclose(main_axis(-x, torch.tensor([-1.0, 0, 0])), axis, atol=1e-6)  # the sign is fixed
    assert torch.allclose(main_axis(x, torch.tensor([0.0, 0, 2])), torch.tensor([1.0, 0, 0]), atol=1e-6)


def test_variations_in_closed_form_are_evenly_spaced_along_their_axis(texts):
    axis = variation_axis(texts)
    assert axis.norm() == pytest.approx(1) and abs(axis @ texts[0]) < 1e-6
    places = texts[1:] @ axis
    steps = places.diff()
    assert torch.allclose(steps, steps[0].expand(K - 1), atol=1e-6) and steps[0] > 0
    spread = places - places.mean()
    # as wide as the simplex is in every direction: epsilon^2 / K
    assert spread.square().mean() == pytest.approx(0.3**2 / K, rel=1e-4)


def test_every_mark_stands_at_its_inner_products(texts, images):
    source, *others = images
    figure = figure_2(texts, source, dict(zip(("alone", "full"), others, strict=True)))
    panels = [axis for axis in figure.axes if axis.get_legend_handles_labels()[1]]
    assert len(panels) == 4
    axes = [main_axis(torch.cat([x - x.mean(0) for x in images]), texts[0]), variation_axis(texts)]
    for panel, (side, x, label) in zip(
        panels, [(s, x, n) for s in axes for x, n in zip(others, ("alone", "full"), strict=True)], strict=True
    ):
        lines = {line.get_label(): np.stack(line.get_data(), 1) for line in panel.lines}
        plane = torch.stack([F.normalize(texts[0], dim=0), side], 1)
        for shown, expected in (
            ("source images", source - source.mean(0)), (label, x - source.mean(0)), ("variations", texts[1:])
        ):  # fmt: skip
            assert np.allclose(lines[shown], expected @ plane, atol=1e-6)
        assert np.allclose(lines[r"$\Delta T$"], [(0, 0), (texts[0].norm(), 0)])
        assert len({line.get_marker() for line in panel.lines if line.get_linestyle() == "None"}) == 3
    assert [panel.get_title() for panel in panels[:2]] == [
        "alone: 0% of\nthe source's variance",
        f"full: {(others[1].var(0).sum() / source.var(0).sum()).item():.0%} of\nthe source's variance",
    ]
    plt.close(figure)


def test_the_drawings_simplex_lies_beyond_the_target_text_as_in_the_closed_form():
    corners, t_src, t_trg = method_drawing.drawn_variations(), method_drawing._T_SRC, method_drawing._T_TRG
    along = (t_trg - t_src) / np.linalg.norm(t_trg - t_src)
    beyond = corners.mean(0) - t_trg
    assert np.allclose(beyond, method_drawing._EPSILON / 6**0.5 * along)
    assert (np.linalg.norm(corners - t_trg, axis=1) <= method_drawing._EPSILON + 1e-9).all()
    assert len(set(method_drawing.MARKS.values())) == len(method_drawing.MARKS) == 4
