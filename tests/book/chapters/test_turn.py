"""The turn of the first moment is that of the variations themselves."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsgan.book.chapters.turn import LENGTHS, NUMBERS, first_moment_turn, turn_explorer
from zsgan.method.losses import text_set
from zsgan.method.variations import closed_form_values, closed_form_variations


@pytest.mark.parametrize("n_variations", NUMBERS)
@pytest.mark.parametrize("epsilon", [0.05, *LENGTHS])
def test_it_is_the_angle_between_text_direction_and_mean_of_the_text_set(n_variations, epsilon):
    random = torch.Generator().manual_seed(n_variations)
    t_src, t_trg = F.normalize(torch.randn(2, 32, generator=random, dtype=torch.float64), dim=1)
    found = closed_form_variations(t_trg, n_variations, epsilon, generator=random)
    mean = text_set(t_src, t_trg, found.v).mean(0)
    angle = math.degrees(math.acos(F.cosine_similarity(mean, t_trg - t_src, dim=0)))
    turn = first_moment_turn(float(t_src @ t_trg), n_variations, epsilon)
    assert turn == pytest.approx(angle, abs=1e-5)
    closed_form_values(n_variations, epsilon)  # no error: the closed form is the optimum of eq. (2)


def test_the_table_of_a_page_without_javascript_has_the_turns():
    page = turn_explorer(0.6, "dog", "<cat>").data
    assert f"<td>{first_moment_turn(0.6, 6, 1.0):.1f}°</td>" in page
    assert page.count("<td>") == len(NUMBERS) * len(LENGTHS)
    assert "dog → &lt;cat&gt;" in page and "<cat>" not in page
