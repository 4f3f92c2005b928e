"""Processes of a pool end with their parent, whatever ends it, and leave no lock."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock

from zsgan.adaptation.config import override
from zsgan.assets.manifest import ROOT
from zsgan.base import workers
from zsgan.base.tensors import load_tensors
from zsgan.runs import grid
from zsgan.runs.grid import run_all
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import run

psutil = pytest.importorskip("psutil")

# A command whose two workers hold locks for ten minutes.
WAITING = """
import sys
import time
from pathlib import Path
from filelock import FileLock
from zsgan import cli
from zsgan.base.workers import for_workers, worker_pool

def work(i):
    FileLock(f"{i}.lock").acquire()
    Path(f"{i}.begun").touch()
    time.sleep(600)

def command(options):
    with worker_pool(for_workers("cpu", 2)) as pool:
        for task in [pool.submit(work, i) for i in range(4)]:
            task.result()

if __name__ == "__main__":
    cli._reproduce = command
    sys.exit(cli.main(["reproduce"]))
"""

ADAPTING = """
from test_workers import configs
from zsgan.runs.grid import run_all

if __name__ == "__main__":
    run_all(configs(), folder="runs", workers=2)
"""


def configs():
    changes = {"optimiser.iterations": 30, "optimiser.batch_size": 1, "clips": ("clip-a",)}
    profile = load_profile("smoke")
    return [override(profile.config("dog-to-cat", "L_dir", seed), changes) for seed in range(2)]


def alive(group):
    """Processes of a group that run; a container's first process may leave dead ones unburied."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait(what, seconds):
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "in vain"
        time.sleep(0.05)


@contextlib.contextmanager
def begun(place, script, pattern):
    """The process of a script, once two files of that pattern are there."""
    # Whatever runs the tests may ignore Ctrl-C, and would hand that on.
    handled = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    (place / "script.py").write_text(handled + script)
    paths = [str(ROOT), str(ROOT / "tests" / "runs")]
    with (place / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "script.py"], cwd=place, start_new_session=True, stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        wait(lambda: len(list(place.glob(pattern))) == 2 or process.poll() is not None, 240)
        assert process.poll() is None, (place / "stderr").read_text()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("sent", "code"), [("SIGTERM", 143), ("SIGINT", 130), ("SIGKILL", -9)])
def test_workers_end_with_their_parent(tmp_path, sent, code):
    """The signal is sent to the parent alone, as Slurm, docker and timeout do."""
    with begun(tmp_path, WAITING, "*.begun") as process:
        assert len(alive(process.pid)) >= 3
        process.send_signal(getattr(signal, sent))
        assert process.wait(timeout=60) == code
        wait(lambda: not alive(process.pid), 30)
    for file in tmp_path.glob("*.begun"):
        FileLock(file.with_suffix(".lock")).acquire(timeout=0)
    assert len(list(tmp_path.glob("*.begun"))) == 2  # no other task has begun
    if code > 0:
        assert (tmp_path / "stderr").read_text() == "zsgan reproduce: stopped; the same command resumes\n"


def test_runs_of_a_killed_process_resume_to_the_same_bits(tmp_path):
    with begun(tmp_path, ADAPTING, "runs/*/state.pt") as process:
        process.kill()
        process.wait()
        wait(lambda: not alive(process.pid), 30)
    resumed = run_all(configs(), folder=tmp_path / "runs")  # no lock is held
    whole = run(configs()[1], folder=tmp_path / "whole")
    one, two = (load_tensors(x.folder / "generator.safetensors")[0] for x in (whole, resumed[1]))
    assert whole.history == resumed[1].history and all(torch.equal(one[name], two[name]) for name in one)


def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_kills_is_said_to_be_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(grid, "_attempt", killed)
    with pytest.raises(
        RuntimeError, match="2 of 2 .*failed(?s:.*)killed, perhaps for want of memory; take fewer"
    ):
        run_all(configs(), folder=tmp_path, workers=2)


def test_a_worker_watches_its_parent(monkeypatch):
    """Whatever the system tells of parents: it waits for the pipe that closes with the parent."""
    ended, begin = [], SimpleNamespace(join=lambda: ended.append("parent"))
    monkeypatch.setattr(workers.multiprocessing, "parent_process", lambda: begin)
    monkeypatch.setattr(workers.os, "_exit", ended.append)
    monkeypatch.setattr(workers.signal, "signal", lambda *_: None)
    monkeypatch.setattr(workers, "tune_cpu", lambda threads: None)
    monkeypatch.setattr(workers, "_own", [])
    workers.begin_worker(SimpleNamespace(get=lambda: "cpu"))
    wait(lambda: len(ended) == 2, 30)
    assert ended == ["parent", 1]
