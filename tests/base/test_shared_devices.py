"""Several processes on one device, or spread over several: each has its own, and results are the same."""

import os
import time
from dataclasses import replace

import pytest
import torch
from pandas.testing import assert_frame_equal

from zsgan.base import workers
from zsgan.base.tensors import load_tensors
from zsgan.base.workers import for_workers, on_own_device, worker_pool
from zsgan.evaluation.measurements import Measurements
from zsgan.evaluation.measuring import measure_all
from zsgan.networks.sampling import Samples
from zsgan.runs.grid import run_all


def place(device):
    """Process and device of a task that takes a while, so that no process makes two of them."""
    time.sleep(0.5)
    return os.getpid(), str(device)


def test_devices_are_given_to_workers_in_turn():
    assert [str(device) for device in for_workers("cpu, cpu:0", 3)] == ["cpu", "cpu:0", "cpu"]
    assert for_workers(torch.device("cpu"), 2) == [torch.device("cpu")] * 2


@pytest.mark.parametrize(
    ("device", "number", "message"),
    [
        ("cpu", 0, "workers must be at least 1, got 0"),
        ("cpu,cpu:0", 1, "workers=1 would leave cpu:0 without work; take at least 2 workers, or name fewer"),
        ("cpu,cuda:9", 2, "device='cuda:9' is not on this machine, which has cpu"),
        ("cpu,", 2, "device='' is not on this machine"),
    ],
)
def test_devices_that_cannot_share_the_work_are_refused(device, number, message):
    with pytest.raises(ValueError, match=message):
        for_workers(device, number)


def test_devices_of_two_kinds_are_refused(monkeypatch):
    """Their noise differs, so that a run would depend on which process took it."""
    monkeypatch.setattr(workers, "set_up", torch.device)
    kinds = {"cuda:0": "A100", "cuda:1": "A100", "cuda:2": "T4"}
    monkeypatch.setattr(workers, "numerics", lambda device: {"device": kinds[str(device)]})
    assert [device.index for device in for_workers("cuda:0,cuda:1", 4)] == [0, 1, 0, 1]
    with pytest.raises(ValueError, match=r"mixes kinds \(cuda:0 is A100, cuda:2 is T4\), .* of one kind"):
        for_workers("cuda:0,cuda:2", 2)


def test_every_process_of_a_pool_keeps_a_device_of_its_own():
    with worker_pool(for_workers("cpu,cpu:0", 2)) as pool:
        found = [task.result() for task in [pool.submit(on_own_device, place) for _ in range(4)]]
    assert {device for _, device in found} == {"cpu", "cpu:0"}
    assert len(set(found)) == 2 == len({process for process, _ in found})


def test_runs_and_measurements_do_not_depend_on_the_device_that_made_them(smoke, tmp_path, monkeypatch):
    quick = {"optimiser": {"iterations": 1, "batch_size": 1}, "clips": ("clip-a",)}
    profile = replace(smoke, rows={"L_dir": smoke.rows["L_dir"]}, seeds=(0, 1), overrides=quick, samples=6)
    configs = [profile.config(*which) for which in profile.grid]
    alone = run_all(configs, folder=tmp_path / "one")
    spread = run_all(configs, folder=tmp_path / "two", device="cpu,cpu:0", workers=2)
    for one, two in zip(alone, spread, strict=True):
        expected, found = (load_tensors(x.folder / "generator.safetensors")[0] for x in (one, two))
        assert one.history == two.history and all(torch.equal(expected[k], found[k]) for k in expected)
    measure_all(profile, tmp_path / "two", "cpu,cpu:0", 2, snapshots=False)
    expected = Measurements(profile, tmp_path / "one").table()
    monkeypatch.setattr(Samples, "__getitem__", None)  # images are not made a second time
    found = Measurements(profile, tmp_path / "two").table()
    costs = ["step_seconds", "peak_memory"]
    assert_frame_equal(found.drop(columns=costs), expected.drop(columns=costs))
