"""What a user reads of an error, and what is left of it."""

import gc
import weakref

import pytest
import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.base import failures
from zsgan.cli import main
from zsgan.runs import make as making
from zsgan.runs.grid import run_all
from zsgan.runs.run import run


@pytest.fixture
def config(smoke):
    return override(
        smoke.config("dog-to-cat", "L_dir"), {"optimiser.iterations": 1, "optimiser.batch_size": 1}
    )


def fail_once(monkeypatch, error, held=lambda tensor: None):
    """The first step of all adaptations raises, with a tensor in its frame."""
    step, errors = Adaptation.step, [error]

    def failing(self, i):
        large = torch.zeros(3)
        held(large)
        if errors:
            raise errors.pop()
        return step(self, i)

    monkeypatch.setattr(Adaptation, "step", failing)


def test_a_failed_run_keeps_its_traceback_in_a_file_and_no_tensor(config, tmp_path, monkeypatch, caplog):
    held = []

    def hold(tensor):
        gc.collect()
        assert all(reference() is None for reference in held), "the failed run's tensor is still there"
        held.append(weakref.ref(tensor))

    fail_once(monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), hold)
    with pytest.raises(RuntimeError, match=r"1 of 2 .*failed(?s:.*)not enough memory \(CUDA out") as raised:
        run_all([config, override(config, {"seed": 1})], folder=tmp_path)
    assert len(held) == 2
    (file,) = tmp_path.glob("*/error.txt")
    assert f"its traceback is in {file}" in str(raised.value) and f"{file}" in caplog.text
    text = file.read_text()
    assert text.startswith("Traceback (most recent call last)") and "in failing" in text
    run(config, folder=tmp_path)
    assert not file.exists() and (file.parent / "provenance.json").exists()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("n=3 is wrong"), "n=3 is wrong"),
        (KeyError("clip"), "KeyError: 'clip' (a fault of zsgan; --debug shows where)"),
        (TypeError("no"), "TypeError: no (a fault of zsgan; --debug shows where)"),
        (AssertionError(), "AssertionError:  (a fault of zsgan; --debug shows where)"),
        (
            MemoryError(),
            "not enough memory (MemoryError); ask for fewer images, lower optimiser.batch_size",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't\nframe"),
            "not enough memory ([enforce fail] ",
        ),
    ],
)
def test_every_error_has_a_message_and_a_traceback_on_request(monkeypatch, capsys, tmp_path, error, said):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("zsgan.api.adapt", fail)
    command = ["adapt", "--text", "cat", "--runs", str(tmp_path), "--quiet"]
    assert main(command) == 1
    plain = capsys.readouterr().err
    assert plain.startswith(f"zsgan adapt: {said}") and "Traceback" not in plain
    assert main([*command, "--debug"]) == 1
    whole = capsys.readouterr().err
    assert whole.startswith("Traceback") and "in fail" in whole and whole.endswith(plain)


def test_a_traceback_that_cannot_be_written_hides_no_error(tmp_path, full_disk):
    error = ValueError("the first")
    try:
        raise error
    except ValueError:
        with full_disk():
            failures.keep(error, tmp_path / ("x" * 300))
    assert failures.message(error) == "the first"


def test_what_is_refused_leaves_no_file(config, tmp_path):
    with pytest.raises(RuntimeError, match="never trained on: xylophone"):
        run_all([override(config, {"target_text": "xylophone"})], folder=tmp_path)
    assert not list(tmp_path.glob(f"*/{making.ERROR}"))
