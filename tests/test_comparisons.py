"""Differences between rows: which numbers go in, and that rows, seeds and latents stay paired."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from zsgan.bench import Bench, Measured
from zsgan.comparisons import differences, matched_differences
from zsgan.metrics.statistics import paired_difference

SEEDS, N, STEPS = (0, 1, 2), 40, [2, 4, 6]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class ToyBench(Bench):
    """Diversity falls with the adaptation; in the second row by less, and at half the speed."""

    rates = {"L_dir": (1.0, 0.8), "L_dm": (0.5, 0.4)}

    @property
    def runs(self):
        found = [SimpleNamespace(row=row, seed=seed, snapshots=STEPS) for row in self.rates for seed in SEEDS]
        return [(run.row, run.seed, run) for run in found]

    def snapshot(self, found, step):
        speed, fall = self.rates[found.row]
        adaptation = speed * step / 6 + 0 * normal(N)
        diversity = 1 - fall * adaptation + 0.2 * normal(N, seed=1) + 0.1 * found.seed
        return Measured({}, {"evaluator_rate": adaptation.tolist(), "clip_variance": diversity.tolist()})

    def final(self, found):
        return self.snapshot(found, STEPS[-1])


@pytest.fixture
def bench(smoke):
    rows = {name: smoke.rows["L_dir"] for name in ToyBench.rates}
    return ToyBench(replace(smoke, rows=rows, seeds=SEEDS), "dog-to-cat", Path("nowhere"))


def test_differences_are_paired_by_seed_and_latent(bench):
    table = differences(bench, ["clip_variance", "evaluator_rate"])
    assert table["row"].tolist() == ["L_dm"] * 2 and (table["baseline"] == "L_dir").all()
    assert (table["seeds"] == 3).all() and (table["n"] == N).all()
    line = table.set_index("measure").loc["clip_variance"]
    # 1 - 0.4 x 0.5 against 1 - 0.8 x 1; what seeds and latents add is common to both
    assert line[["difference", "low", "high"]].tolist() == pytest.approx([0.6, 0.6, 0.6])
    other = differences(bench, ["clip_variance"], "L_dm")
    assert other["row"].tolist() == ["L_dir"] and other["difference"].item() == pytest.approx(-0.6)


def test_at_the_same_adaptation_less_is_left(bench):
    """The slow row reaches 0.5: there the rows have 1 - 0.4 x 0.45 and 1 - 0.8 x 0.45."""
    line = matched_differences(bench).iloc[0]
    assert line["target"] == pytest.approx(0.45) and line["measure"] == "clip_variance"
    assert line[["difference", "low", "high"]].tolist() == pytest.approx([0.18, 0.18, 0.18])
    with pytest.raises(ValueError, match="target=0.9 is reached by some runs only"):
        matched_differences(bench, target=0.9)


def test_unknown_names_are_refused(bench):
    with pytest.raises(ValueError, match="baseline='L_foo' is unknown; choose one of L_dir, L_dm"):
        differences(bench, baseline="L_foo")
    with pytest.raises(ValueError, match="measure='fid' is not known image by image; choose of clip_var"):
        differences(bench, ["fid"])


def test_the_demos_rows_are_compared(smoke, runs_folder, full_run):
    bench = Bench(smoke, "dog-to-cat", runs_folder)
    table = differences(bench).set_index("measure")
    assert (table["row"] == "L_dm + L_EWC + L_rel").all() and (table["seeds"] == 1).all()
    each = [
        torch.tensor([bench.final(run).each["lpips_all"]], dtype=torch.float64) for _, _, run in bench.runs
    ]
    expected = paired_difference(each[1], each[0])
    found = table.loc["lpips_all", ["difference", "low", "high"]].tolist()
    assert found == pytest.approx(list(expected), rel=1e-5)
    assert (table["low"] <= table["difference"]).all() and (table["difference"] <= table["high"]).all()
