"""What bars and a run say of themselves: row and seed, not an id; and how far they are."""

import io
from dataclasses import replace

import pytest
from tqdm import tqdm

from zsgan.adaptation.config import override
from zsgan.base import images, loop
from zsgan.evaluation import bench, measurements
from zsgan.metrics import progress as shares
from zsgan.runs import grid
from zsgan.runs import make as making
from zsgan.runs.grid import run_all
from zsgan.runs.identity import resolve


def test_a_run_says_what_it_is_in_one_line(full_run):
    assert repr(full_run) == f"<Run {full_run.folder}: dog to cat, L_dm + L_EWC + L_rel, seed 0, 4 steps>"


class Bars(list):
    """Stands in for tqdm in a module, and keeps every bar that is shown."""

    def __call__(self, *arguments, **options):
        bar = tqdm(*arguments, **{**options, "file": io.StringIO(), "mininterval": 0})
        if not bar.disable:  # which a bar that was closed is, too
            self.append(bar)
        return bar


@pytest.mark.parametrize("workers", [1, 2])
def test_bars_are_named_by_row_and_seed_and_count_steps(tmp_path, smoke, monkeypatch, workers):
    small = {"optimiser.iterations": 10, "optimiser.batch_size": 1, "clips": ("clip-a",)}
    configs = [override(smoke.config("dog-to-cat", "L_dir", seed), small) for seed in (0, 1)]
    whole, inner = Bars(), Bars()
    monkeypatch.setattr(grid, "tqdm", whole)
    monkeypatch.setattr(loop, "tqdm", inner)
    labels = [f"L_dir, seed {seed}" for seed in (0, 1)]
    run_all(configs, folder=tmp_path, workers=workers, progress=True, labels=labels)
    assert [(bar.n, bar.total, bar.unit) for bar in whole] == [(20, 20, " steps")]
    if workers == 1:  # a worker's bar would be drawn over the others
        names = [bar.desc.removesuffix(": ") for bar in inner]
        assert [name for name in names if name != "source images"] == labels
    place = tmp_path / resolve(configs[0]).id
    assert making.steps_kept(place) == 9 and making.steps_kept(tmp_path) == 0


def test_bars_advance_while_a_run_is_measured(smoke, runs_folder, full_run, monkeypatch, tmp_path):
    outer, drawn, compared = Bars(), Bars(), Bars()
    for module, bars in ((measurements, outer), (images, drawn), (shares, compared)):
        monkeypatch.setattr(module, "tqdm", bars)
    monkeypatch.setattr(bench.Bench, "kept", lambda self, found, what, measure: measure())
    profile = replace(smoke, rows={"all": smoke.rows["L_dm + L_EWC + L_rel"]}, seeds=(0,))
    measurements.Measurements(profile, runs_folder, progress=True).table("dog-to-cat")
    assert [bar.desc for bar in outer] == ["measuring dog-to-cat, all, seed 0: "]
    assert (12, "features") in [(bar.n, bar.desc.removesuffix(": ")) for bar in drawn]
    finished = {bar.desc.removesuffix(": "): bar.n for bar in compared}
    assert finished == {"LPIPS": 1}
    assert all(bar.leave is None for bar in [*drawn, *compared])
