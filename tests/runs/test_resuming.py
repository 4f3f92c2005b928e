"""Source features and Fisher information: a stop loses a minute, and no bit."""

import pytest
import torch

from zsgan.adaptation import guide as guides
from zsgan.adaptation.config import override
from zsgan.base.loop import loop
from zsgan.method import ewc
from zsgan.networks.load import load_generator
from zsgan.runs import make as making
from zsgan.runs import prepare
from zsgan.runs.identity import resolve
from zsgan.runs.make import fisher_of, guides_of, source_features_of
from zsgan.runs.profiles import load_profile


class Stopped(Exception):
    """What kills a run in these tests."""


@pytest.fixture
def config():
    changes = {"optimiser": {"iterations": 5, "batch_size": 2}, "ewc.samples": 7, "stage1.iterations": 2}
    return override(load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel"), changes)


def features(config, folder):
    job = resolve(config)
    g_src = load_generator(job.generator)
    return dict(enumerate(source_features_of(job, g_src, guides_of(job), folder)))


def fisher(config, folder):
    job = resolve(config)
    return fisher_of(job, load_generator(job.generator), guides_of(job), folder)


def counted(monkeypatch, module, name, calls, stop_at=None):
    """Count the calls of a function; one of them raises."""
    function = getattr(module, name)

    def count(*arguments, **options):
        if len(calls) == stop_at:
            raise Stopped
        calls.append(1)
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, count)


@pytest.mark.parametrize(
    ("compute", "module", "name", "changes", "total", "stop_at"),
    [
        # Four batches for each of two guides.
        (fisher, ewc, "_estimate", {}, 8, 0),
        (fisher, ewc, "_estimate", {}, 8, 6),
        (fisher, ewc, "_estimate", {"ewc.estimator": "gauss_newton"}, 8, 3),  # which draws probes, too
        # Each step is seen by two encoders.
        (features, guides, "encode", {}, 10, 6),
    ],
)
def test_it_resumes_to_the_same_bits(
    config, tmp_path, monkeypatch, compute, module, name, changes, total, stop_at
):
    config = override(config, changes)
    whole = compute(config, tmp_path / "whole")
    monkeypatch.setattr(guides, "MINUTE", 0.0)
    with monkeypatch.context() as patch:
        counted(patch, module, name, [], stop_at)
        with pytest.raises(Stopped):
            compute(config, tmp_path / "parts")
    assert bool(list(tmp_path.glob("parts/cache/*.unfinished/**/state.pt"))) == (stop_at > 0)
    calls = []
    counted(monkeypatch, module, name, calls)
    resumed = compute(config, tmp_path / "parts")
    assert len(calls) == total - stop_at
    assert resumed.keys() == whole.keys() and all(torch.equal(resumed[key], whole[key]) for key in whole)
    assert not list(tmp_path.glob("*/cache/*.unfinished"))
    (one,), (two,) = (list(tmp_path.glob(f"{part}/cache/*.safetensors")) for part in ("whole", "parts"))
    assert one.name == two.name and one.read_bytes() == two.read_bytes()


def test_what_is_kept_is_kept_by_the_clock(tmp_path, monkeypatch):
    """Not after every step: half a gigabyte would be written each time."""
    seconds, saved = iter(range(0, 10_000, 25)), []
    monkeypatch.setattr("zsgan.base.loop.time.perf_counter", lambda: float(next(seconds)))
    monkeypatch.setattr("zsgan.base.loop.write_atomically", lambda path, data: saved.append(len(taken)))
    taken = []
    loop({}, lambda i: taken.append(i) or {}, 10, tmp_path, save_seconds=60, progress=False)
    assert saved == [3, 6, 9, 10]


def test_without_a_folder_nothing_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    total = torch.zeros(1)
    loop({"total": total}, lambda i: total.add_(1) and {}, 3, None, progress=False)
    assert total.item() == 3 and not list(tmp_path.iterdir())


def test_what_runs_share_can_be_computed_before_them(config, tmp_path, monkeypatch):
    """The run finds both parts; a run without them says which it lacks."""
    for part in prepare.PARTS:
        prepare.prepare(part, config, folder=tmp_path, device="cpu")
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2
    for name in ("source_fisher", "source_features"):
        monkeypatch.setattr(making, name, None)
    assert set(features(config, tmp_path)) == {0, 1} and fisher(config, tmp_path)
    other = override(config, {"seed": 1})
    with pytest.raises(TypeError):
        features(other, tmp_path)
    assert fisher(other, tmp_path)
    alone = load_profile("smoke").config("dog-to-cat", "L_dir")
    with pytest.raises(ValueError, match="fisher: the run has none, since only a term such as ewc needs it"):
        prepare.prepare("fisher", alone, folder=tmp_path, device="cpu")
