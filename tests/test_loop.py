import pytest
import torch
from torch import nn

from zsgan import loop as loop_module
from zsgan.cpu import threads
from zsgan.loop import loop


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


def test_a_longer_total_goes_on(tmp_path):
    whole, _ = run(tmp_path / "whole", total=20)
    run(tmp_path / "parts", total=12)
    longer, history = run(tmp_path / "parts", total=20)
    assert longer.steps == list(range(12, 20))
    assert all(torch.equal(a, b) for a, b in zip(whole.bits(), longer.bits(), strict=True))
    assert [row["step"] for row in history] == [4, 8, 12, 16, 20]


def test_the_history_holds_what_the_steps_return(tmp_path):
    training = Training()
    returned = {}

    def step(i):
        returned[i + 1] = training.step(i)
        return returned[i + 1]

    history = loop(training.state, step, 5, tmp_path, save_every=2, progress=False)
    assert history == [{"step": i, **returned[i]} for i in (2, 4, 5)]


def test_a_stop_while_saving_leaves_the_last_state(tmp_path, monkeypatch):
    def torn(value, path):
        path.write_bytes(b"half a file")
        raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path, stop_at=5)
    with monkeypatch.context() as patch:
        patch.setattr(loop_module.torch, "save", torn)
        with pytest.raises(Stopped):
            run(tmp_path)
    resumed, _ = run(tmp_path)
    assert resumed.steps == list(range(4, 23))
    assert {file.name for file in tmp_path.iterdir()} == {"state.pt"}


def test_log_every_must_divide_save_every(tmp_path):
    with pytest.raises(ValueError, match="log_every must divide save_every=4, got 3"):
        run(tmp_path, log_every=3)


@pytest.mark.parametrize("progress", [True, False])
def test_progress_is_shown_on_demand(tmp_path, capsys, progress):
    run(tmp_path, progress=progress, description="the name of it")
    assert ("the name of it" in capsys.readouterr().err) == progress


def test_threads_are_set_inside_a_block_only():
    before = torch.get_num_threads()
    with pytest.raises(Stopped), threads(3):
        assert torch.get_num_threads() == 3
        raise Stopped
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before
