import os
import signal

import pytest
import torch
from torch import nn

from zsgan.base.loop import loop


class Stopped(Exception):
    """What kills a run in these tests."""


class Training:
    """A regression on noise: a module, an optimiser with moments, and a source of randomness."""

    def __init__(self, stop_at=None):
        self.model = nn.Linear(3, 2)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.fill_(0.5)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.random = torch.Generator().manual_seed(3)
        self.stop_at = stop_at
        self.steps = []

    @property
    def state(self):
        return {"model": self.model, "optimiser": self.optimiser, "random": self.random}

    def step(self, i):
        if i == self.stop_at:
            raise Stopped
        self.steps.append(i)
        loss = self.model(torch.randn(4, 3, generator=self.random)).square().mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        return {"loss": loss.item(), "twice": 2 * loss.item()}

    def bits(self):
        moments = [v for s in self.optimiser.state_dict()["state"].values() for v in s.values()]
        return [*self.model.state_dict().values(), *moments, self.random.get_state()]


def run(folder, total=23, stop_at=None, **options):
    training = Training(stop_at)
    options = {"save_every": 4, "progress": False} | options
    return training, loop(training.state, training.step, total, folder, **options)


def test_it_ends_when_no_step_is_needed(tmp_path):
    training, history = run(tmp_path, log_every=1, finished=lambda history: len(history) == 6)
    assert training.steps == list(range(6)) and [row["step"] for row in history] == [1, 2, 3, 4, 5, 6]
    again, same = run(tmp_path, log_every=1, finished=lambda history: len(history) == 6)
    assert again.steps == [4, 5] and same == history
    assert all(torch.equal(a, b) for a, b in zip(training.bits(), again.bits(), strict=True))


@pytest.mark.parametrize("stop_at", [0, 3, 4, 5, 11, 22])
@pytest.mark.parametrize("log_every", [1, 2, None])
def test_resumed_is_uninterrupted_to_the_bit(tmp_path, stop_at, log_every):
    whole, history = run(tmp_path / "whole", log_every=log_every)
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop_at=stop_at, log_every=log_every)
    resumed, resumed_history = run(tmp_path / "parts", log_every=log_every)
    assert resumed.steps == list(range(stop_at // 4 * 4, 23))
    assert all(torch.equal(a, b) for a, b in zip(whole.bits(), resumed.bits(), strict=True))
    assert resumed_history == history
    every = log_every or 4
    assert [row["step"] for row in history] == [i for i in range(1, 24) if i % every == 0 or i == 23]


def test_several_stops_and_a_call_that_finds_everything_done(tmp_path):
    whole, history = run(tmp_path / "whole", log_every=1)
    for stop_at in (6, 6, 9, 21):
        with pytest.raises(Stopped):
            run(tmp_path / "parts", stop_at=stop_at, log_every=1)
    run(tmp_path / "parts", log_every=1)
    again, again_history = run(tmp_path / "parts", stop_at=0, log_every=1)  # no step is taken any more
    assert again.steps == [] and again_history == history
    assert all(torch.equal(a, b) for a, b in zip(whole.bits(), again.bits(), strict=True))


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    "other",
    [
        {"total": 24},
        {"total": 22},
        {"arguments": {"seed": 2, "batch": [4, 8]}},
        {"arguments": {"seed": 1, "batch": [4]}},
        {"arguments": {"seed": 1}},
        {"arguments": {"seed": 1, "batch": [4, 8], "more": None}},
        {"arguments": {}},
        {"arguments": None},
    ],
)
def test_a_state_of_other_arguments_is_refused(tmp_path, other, done):
    asked = {"total": 23, "arguments": {"seed": 1, "batch": [4, 8]}}
    if done:
        run(tmp_path, **asked)
    else:
        with pytest.raises(Stopped):
            run(tmp_path, stop_at=9, **asked)
    kept = (tmp_path / "state.pt").read_bytes()
    refused = Training()
    untouched = [part.clone() for part in refused.bits()]
    with pytest.raises(ValueError, match=r'belongs to a training with other arguments: .*"seed": 1.*, now '):
        loop(refused.state, refused.step, folder=tmp_path, save_every=4, progress=False, **asked | other)
    assert refused.steps == [] and (tmp_path / "state.pt").read_bytes() == kept
    assert all(torch.equal(a, b) for a, b in zip(untouched, refused.bits(), strict=True))


def test_the_same_arguments_go_on_in_whatever_order(tmp_path):
    whole, history = run(tmp_path / "whole")
    with pytest.raises(Stopped):
        run(tmp_path / "parts", stop_at=9, arguments={"seed": 1, "batch": (4, 8)})
    resumed, resumed_history = run(tmp_path / "parts", arguments={"batch": [4, 8], "seed": 1})
    assert resumed.steps == list(range(8, 23)) and resumed_history == history
    assert all(torch.equal(a, b) for a, b in zip(whole.bits(), resumed.bits(), strict=True))


def test_how_often_it_is_saved_is_no_other_training(tmp_path):
    with pytest.raises(Stopped):
        run(tmp_path, stop_at=9)
    assert run(tmp_path, save_every=3)[0].steps == list(range(8, 23))


def test_the_history_holds_what_the_steps_return(tmp_path):
    training = Training()
    returned = {}

    def step(i):
        returned[i + 1] = training.step(i)
        return returned[i + 1]

    history = loop(training.state, step, 5, tmp_path, save_every=2, progress=False)
    assert history == [{"step": i, **returned[i]} for i in (2, 4, 5)]


@pytest.mark.parametrize("stop", [Stopped, KeyboardInterrupt])
def test_a_stop_while_saving_leaves_the_last_state(tmp_path, monkeypatch, stop):
    def torn(descriptor):
        raise stop

    with pytest.raises(Stopped):
        run(tmp_path, stop_at=5)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", torn)
        with pytest.raises(stop):
            run(tmp_path)
    resumed, _ = run(tmp_path)
    assert resumed.steps == list(range(4, 23))
    assert {file.name for file in tmp_path.iterdir()} == {"state.pt"}


def test_a_termination_waits_for_the_step_and_a_save(tmp_path):
    """As when the time of a job is over: the step is finished and kept, and the caller's handler decides."""
    training = Training()

    def step(i):
        if i == 5:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)  # Slurm sends several
        return training.step(i)

    def ended(*_):
        raise Stopped

    before = signal.signal(signal.SIGTERM, ended)
    try:
        with pytest.raises(Stopped):
            loop(training.state, step, 23, tmp_path, save_every=4, progress=False)
        assert training.steps == list(range(6)) and signal.getsignal(signal.SIGTERM) is ended
        resumed, history = run(tmp_path)
        assert resumed.steps == list(range(6, 23))
        whole, same = run(None)
        assert history == same
        assert all(torch.equal(a, b) for a, b in zip(resumed.bits(), whole.bits(), strict=True))
        signal.signal(signal.SIGTERM, lambda *_: None)  # a process that does not end
        assert len(loop({}, step, 8, None, save_every=1, progress=False)) == 8
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_full_disk_is_named_and_leaves_the_last_state(tmp_path, full_disk):
    with pytest.raises(Stopped):
        run(tmp_path, stop_at=5)
    with full_disk(), pytest.raises(OSError, match=r"writing failed .*disk full.* intact.*state\.pt"):
        run(tmp_path)
    resumed, _ = run(tmp_path)
    assert resumed.steps == list(range(4, 23))
    assert {file.name for file in tmp_path.iterdir()} == {"state.pt"}


@pytest.mark.parametrize("damage", [b"", b"no state", None])
def test_a_damaged_state_is_refused(tmp_path, damage):
    with pytest.raises(Stopped):
        run(tmp_path, stop_at=5)
    path = tmp_path / "state.pt"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with pytest.raises(ValueError, match=r"state\.pt is damaged; delete it"):
        run(tmp_path)


def test_a_state_without_randomness(tmp_path):
    """Steps that draw from the step's number need no torch.Generator."""

    def walk(stop_at=None):
        training = Training(stop_at)

        def step(i):
            training.random.manual_seed(i)
            return training.step(i)

        state = {"model": training.model, "optimiser": training.optimiser}
        return training, lambda folder: loop(state, step, 9, folder, save_every=2, progress=False)

    whole, go = walk()
    history = go(tmp_path / "whole")
    with pytest.raises(Stopped):
        walk(stop_at=5)[1](tmp_path / "parts")
    resumed, go = walk()
    assert go(tmp_path / "parts") == history and resumed.steps == list(range(4, 9))
    assert all(torch.equal(a, b) for a, b in zip(whole.bits(), resumed.bits(), strict=True))


def test_log_every_must_divide_save_every(tmp_path):
    with pytest.raises(ValueError, match="log_every must divide save_every=4, got 3"):
        run(tmp_path, log_every=3)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_on_demand(tmp_path, capsys, progress):
    run(tmp_path, progress=progress, description="the name of it")
    assert ("the name of it" in capsys.readouterr().err) == progress


def test_the_time_of_all_calls_is_added_up(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("zsgan.base.loop.time.perf_counter", lambda: now[0])

    def taking(seconds, stop_at=None):
        training = Training(stop_at)

        def step(i):
            now[0] += seconds
            return training.step(i)

        loop(training.state, step, 12, tmp_path, save_every=4, progress=False)

    with pytest.raises(Stopped):
        taking(10.0, stop_at=9)  # saved after step 8: 80 s
    taking(1.0)  # four more
    assert torch.load(tmp_path / "state.pt", weights_only=True)["seconds"] == 84.0
