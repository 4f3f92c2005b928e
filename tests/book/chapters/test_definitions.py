"""The paper's deviations against what each reading of intra-cluster LPIPS allows."""

import math

import pandas as pd
import pytest
import torch

from zsgan.book.chapters.definitions import agreement, deviations, floor, without_zeros
from zsgan.metrics import PAPER, intra_cluster_lpips
from zsgan.report.published import PAPER_TABLE_1


def run(row, avg, literal, n=500):
    parts = zip(("avg", "avg_std", "all", "all_std"), avg, strict=True)
    pairs = zip(("avg", "avg_std", "all", "all_std"), literal, strict=True)
    return {"row": row, "n": n} | {f"lpips_{k}": v for k, v in parts} | {
        f"lpips_literal_{k}": v for k, v in pairs
    }  # fmt: skip


@pytest.fixture
def results():
    return pd.DataFrame(
        [
            run("one", (0.30, 0.03, 0.30, 0.06), (0.40, 0.02, 0.40, 0.10)),
            run("one", (0.32, 0.03, 0.30, 0.09), (0.42, 0.02, 0.40, 0.10)),
            run("two", (0.40, 0.02, 0.40, 0.08), (0.39, 0.03, 0.40, 0.12)),
        ]
    )


@pytest.mark.parametrize(("n", "k"), [(1000, 10), (500, 10), (7, 3)])
def test_the_floor_is_reached_where_all_others_are_equally_far(n, k):
    values = torch.ones(n, dtype=torch.float64)
    values[:k] = 0
    assert floor(n, k) == pytest.approx(values.std(correction=0).item() / values.mean().item(), rel=1e-12)


def test_the_zeros_can_be_taken_out_again():
    others = torch.rand(37, generator=torch.Generator().manual_seed(1)).double() + 1
    values = torch.cat([others, torch.zeros(3, dtype=torch.float64)])
    before, after = (x.std(correction=0).item() / x.mean().item() for x in (values, others))
    assert without_zeros(before, 40, 3) == pytest.approx(after, rel=1e-6)


def test_no_set_of_images_gets_below_the_floor():
    random = torch.Generator().manual_seed(0)
    for _ in range(5):
        x = torch.randn(40, 3, generator=random)
        distances = (x[:, None] - x).norm(dim=2)
        found = intra_cluster_lpips(distances, PAPER, 4)
        assert found.all_std / found.all >= floor(40, 4)


def test_the_papers_zero_shot_rows_respect_the_floor_and_the_10_shot_row_does_not(results):
    least = floor(1000, 10)
    below = [row for row, (_, _, all_, std) in PAPER_TABLE_1.items() if std / all_ < least]
    assert below == ["Ojha et al., 10-shot"]
    table = deviations(results, 10)
    assert table.loc["paper, zero-shot rows", "± of All / All"] == "0.133 to 0.141"
    assert table.loc["paper, zero-shot rows", "without zeros"] == "0.087 to 0.098"
    assert table.loc["paper, 10-shot row", "± of All / All"] == "0.080"


def test_each_reading_has_its_own_deviations(results):
    table = deviations(results, 10)
    medoid, pairs = table.loc["here, to the medoid"], table.loc["here, over pairs"]
    assert medoid["± of All / All"] == "0.200 to 0.300" and pairs["± of All / All"] == "0.250 to 0.300"
    assert medoid["± of Avg. / Avg."] == "0.050 to 0.100"
    assert medoid["floor"] == floor(500, 10) and math.isnan(pairs["floor"])


def test_each_reading_is_held_against_the_papers_order():
    """By pairs the order is the paper's, by medoids the opposite one; the 10-shot row takes no part."""
    known = {"Ojha et al., 10-shot": 0.1, "L_dir": 0.4, "L_dm": 0.5, "L_dm + L_EWC": 0.6, "another": 0.2}
    runs = [run(row, [1 - x + seed] * 4, [x + seed] * 4) for row, x in known.items() for seed in (0, 0.01)]
    found = agreement(pd.DataFrame(runs))
    assert found.to_dict() == pytest.approx({"to the medoid": -1, "over pairs": 1})
