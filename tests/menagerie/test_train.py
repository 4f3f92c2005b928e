import importlib
import shlex
import sys

import pytest
import torch

from zsgan.assets import manifest
from zsgan.menagerie.training import __main__ as module
from zsgan.menagerie.training import clip as train_clip
from zsgan.menagerie.training import shared
from zsgan.menagerie.training.__main__ import COMMANDS, command, main, train_all


@pytest.fixture
def scripts(monkeypatch):
    """Replace the trainings by one-line scripts; returns the table to fill: name -> (code, needs)."""
    table = {}
    monkeypatch.setattr(module, "COMMANDS", table)
    monkeypatch.setattr(module, "command", lambda name, state: ["-c", table[name][0].format(state=state)])
    return table


def leave(name):
    return f"open(r'{{state}}/{name}', 'x')"


def need(name):
    return f"open(r'{{state}}/{name}')"


def test_every_shipped_network_has_its_command(tmp_path):
    """What the manifest says made a file is what `train all` runs."""
    made = {" ".join(["python", *command(name, "training")]) for name in COMMANDS}
    shipped = {
        asset.command for asset in manifest.assets().values() if asset.path.startswith("zsgan/weights/")
    }
    assert shipped and shipped <= made


def test_the_commands_are_understood_by_their_scripts(capsys):
    for name in COMMANDS:
        _, script, *words = command(name, "training")
        with pytest.raises(SystemExit) as stop:  # --help comes after everything else has been read
            importlib.import_module(script).main([*words, "--help"])
        assert stop.value.code == 0, name


def test_the_list_is_what_would_be_run(capsys, tmp_path):
    assert main(["list", "--state", str(tmp_path)]) == 0
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [["python", *command(name, tmp_path)] for name in COMMANDS]


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_needed_comes_first(scripts, tmp_path, workers, capsys):
    scripts["c"] = f"{need('a')}; {need('b')}", ("a", "b")
    scripts["a"] = f"import time; time.sleep(0.2); {leave('a')}", ()
    scripts["b"] = f"{need('a')}; {leave('b')}", ("a",)
    train_all(tmp_path, workers)
    said = capsys.readouterr().err.splitlines()
    assert [line.split("min")[1].split(":")[0].strip() for line in said] == ["a", "b", "c"]
    assert "(3 of 3)" in said[-1]


def test_a_failure_stops_only_what_needs_it(scripts, tmp_path, monkeypatch, capsys):
    scripts["bad"] = "raise SystemExit('no luck')", ()
    scripts["after"] = leave("after"), ("bad",)
    scripts["good"] = leave("good"), ()
    with pytest.raises(RuntimeError, match="bad failed; not started: after. Run the same command again"):
        train_all(tmp_path, 1)
    assert (tmp_path / "good").exists() and not (tmp_path / "after").exists()
    assert "no luck" in (tmp_path / "logs" / "bad.log").read_text()
    assert main(["all", "--state", str(tmp_path)]) == 1
    assert "bad" in capsys.readouterr().err


def test_no_workers_are_refused():
    with pytest.raises(SystemExit):
        main(["all", "--workers", "0"])


def test_trainings_run_in_this_python(scripts, tmp_path):
    scripts["which"] = "import sys; open(r'{state}/which', 'w').write(sys.executable)", ()
    train_all(tmp_path, 1)
    assert (tmp_path / "which").read_text() == sys.executable


@pytest.mark.parametrize(("saved", "chosen"), [(0.3, "bfloat16"), (0.1, "float32"), (-1.0, "float32")])
def test_trainings_take_the_precision_that_is_faster_here(monkeypatch, saved, chosen):
    seconds = {"float32": 1.0, "bfloat16": 1.0 - saved}
    monkeypatch.setattr(shared, "_seconds", lambda layer, images, name: seconds[name])
    assert shared.precision("auto", "cpu") == chosen
    assert shared.precision("float32", "cpu") == "float32"
    assert shared.precision("bfloat16", "cpu") == "bfloat16"


def test_the_time_of_a_convolution_is_taken_in_the_precision_of_that_name():
    seen = []
    layer = torch.nn.Conv2d(3, 3, 1)
    layer.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    for name in ("float32", "bfloat16"):
        assert shared._seconds(layer, torch.zeros(1, 3, 2, 2), name) > 0
    assert seen == [torch.float32, torch.bfloat16]


def test_a_training_is_not_resumed_in_another_precision(tmp_path, monkeypatch):
    monkeypatch.setattr(
        train_clip, "loop", lambda *args, arguments, **rest: pytest.fail(arguments["precision"])
    )
    words = ["a", "--images", "20", "--steps", "1", "--batch", "4", "--quiet", "--state", str(tmp_path)]
    with pytest.raises(pytest.fail.Exception, match="bfloat16"):
        train_clip.main([*words, "--precision", "bfloat16"])
