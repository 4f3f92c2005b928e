"""Switches timed against none: each alone and all together, in turn, in one process."""

import json
from functools import partial

import pytest
import torch

from zsgan.adaptation.config import override
from zsgan.cli import main
from zsgan.runs import comparison
from zsgan.runs.comparison import Comparison, Switched, compare_switches
from zsgan.runs.cost_report import comparison_in_lines, comparison_in_units
from zsgan.runs.profiles import load_profile

SHORT = {"clips": "clip-a", "stage1.iterations": 5}
ON_CPU = ["none", "autocast", "channels_last", "compile", "all"]


@pytest.fixture(scope="module")
def config():
    return override(load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel"), SHORT)


@pytest.fixture(autouse=True)
def small(make_generator, monkeypatch):
    """A generator of 16 px, and one step to warm up."""
    monkeypatch.setattr(comparison, "load_generator", lambda *_: make_generator())
    monkeypatch.setattr(comparison, "WARM_UP", 1)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is one second later every time it is looked at."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(comparison, "now", lambda device: float(next(seconds)))


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: partial(function))


def test_every_switch_is_compared_with_none(config, uncompiled, clock, monkeypatch):
    order = []
    step = comparison.Adaptation.step
    monkeypatch.setattr(
        comparison.Adaptation, "step", lambda self, i: order.append((i, self.config.speed)) or step(self, i)
    )
    found = compare_switches(config, steps=2)
    assert list(found.found) == ON_CPU
    assert found.found["all"].switches == {
        "autocast": "bfloat16", "channels_last": True, "compile": "default"
    }  # fmt: skip
    assert "no effect on cpu" in found.left_out["tf32"] and "cpu has not" in found.left_out["CUDA graphs"]
    rounds = [tuple(speed for i, speed in order if i == round_) for round_ in (1, 2)]
    assert len(set(rounds)) == 2 and set(rounds[0]) == set(rounds[1])  # in another order
    for name, each in found.found.items():
        assert (each.seconds, each.ratio, each.memory) == (1, 1, None), name
    exact, half = found.found["none"], found.found["autocast"]
    assert exact.difference == 0 and exact.switches == {}
    assert 1e-6 < half.difference < 0.2
    assert 0 <= found.found["channels_last"].difference < 1e-3
    assert found.found["compile"].difference == 0  # nothing was compiled here
    assert found.machine["tf32"] is False and found.rounds == 2


def test_a_switch_that_fails_is_reported(config, monkeypatch):
    def broken(function, **_):
        raise RuntimeError("no compiler was found\nmore lines")

    monkeypatch.setattr(torch, "compile", broken)
    some = {name: comparison.SWITCHES[name] for name in ("none", "channels_last", "compile")}
    monkeypatch.setattr(comparison, "SWITCHES", some)
    found = compare_switches(config, steps=1)
    assert list(found.found) == ["none", "channels_last"]
    assert found.left_out["compile"] == found.left_out["all"] == "RuntimeError: no compiler was found"


def test_what_fails_without_a_switch_is_an_error(config, monkeypatch):
    def broken(self, i):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(comparison.Adaptation, "step", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        compare_switches(config, steps=1)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        compare_switches(config, steps=0)


def test_memory_is_that_of_a_variant_alone(config, monkeypatch):
    """100 bytes are shared; the second variant finds 40 more of the first."""
    held, peaks = iter([100, 100, 140]), iter([150, 210])
    monkeypatch.setattr(
        comparison, "SWITCHES", {k: comparison.SWITCHES[k] for k in ("none", "channels_last")}
    )
    monkeypatch.setattr(comparison, "_held", lambda device: next(held))
    monkeypatch.setattr(comparison.devices, "peak_memory", lambda device: next(peaks))
    found = compare_switches(config, steps=1)
    assert [each.memory for each in found.found.values()] == [150, 170]


def test_selecting_layers_leaves_out_the_compiler(config):
    selecting = override(config, {"terms": {"directional": 1.0}, "selection": {"k": 2}})
    configs, left_out = comparison._variants(selecting, torch.device("cpu"), 4)
    assert list(configs) == ["none", "autocast", "channels_last", "all"]
    assert configs["all"].speed.chosen == {"autocast": "bfloat16", "channels_last": True}
    assert "selection trains other layers" in left_out["compile"]


def test_units_and_lines():
    every = {
        "none": Switched({}, 0.5, 1.0, 2_500_000_000, 0.0),
        "autocast": Switched({"autocast": "bfloat16"}, 0.25, 0.5, None, 0.0123),
    }
    found = comparison_in_units(Comparison(every, {"tf32": "it is old"}, 20, {"device": "X", "threads": 4}))
    assert json.loads(json.dumps(found)) == found
    assert found["variants"]["none"]["peak_memory_MB"] == 2500
    assert found["variants"]["autocast"] == {
        "switches": {"autocast": "bfloat16"}, "step_seconds": 0.25, "ratio": 0.5, "peak_memory_MB": None,
        "largest_loss_difference": 0.0123,
    }  # fmt: skip
    assert [line.split() for line in comparison_in_lines(found).splitlines()[1:]] == [
        ["none", "0.5", "1.000", "2,500", "0"],
        ["autocast", "0.25", "0.500", "-", "0.012"],
        ["without", "tf32:", "it", "is", "old"],
        ["medians", "of", "20", "rounds", "on", "X,", "4", "threads"],
    ]


def test_the_command_prints_the_comparison(capsys, uncompiled, clock, monkeypatch):
    monkeypatch.setattr(comparison, "SWITCHES", {k: comparison.SWITCHES[k] for k in ("none", "tf32")})
    short = [f"--set={name}={value}" for name, value in SHORT.items()]
    command = ["cost", "--compare", "--quiet", "--profile", "smoke", "--steps", "1", *short]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(printed["variants"]) == ["none"] and list(printed["left_out"]) == ["tf32"]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("switches on")
