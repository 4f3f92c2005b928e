"""What a step costs: the parts are those of the real step, in full, and measuring changes nothing."""

import json
from dataclasses import replace

import pytest
import torch

from zsgan import costs
from zsgan.adaptation import Adaptation
from zsgan.cli import main
from zsgan.config import override
from zsgan.costs import PARTS, least_memory, measure
from zsgan.guides import source_fisher, trained_parameters
from zsgan.making import guides_of
from zsgan.models import load_clip, load_generator
from zsgan.profiles import load_profile

SHORT = {"clips": "clip-a", "stage1.iterations": 5, "ewc.samples": 4}


@pytest.fixture(scope="module")
def config():
    return override(load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel"), SHORT)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is one second later every time it is looked at."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(costs, "_now", lambda device: float(next(seconds)))


def test_every_part_of_a_step_is_seen_once_and_in_order(config, clock):
    found = measure(config, steps=2)
    assert found.step == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}
    assert list(found.once) == ["texts and stage 1", "source images", "Fisher information"]
    assert found.machine["threads"] == 1  # as an adaptation of 64 px has, whatever torch has


def test_two_clips_are_told_apart_from_the_losses(config, clock):
    found = measure(override(config, {"clips": ["clip-a", "clip-b"]}), steps=1)
    assert found.step == {
        **dict.fromkeys(PARTS, 1.0),
        "CLIP, forward": 2.0,
        "CLIP, backward": 2.0,
        "all": 9.0,
    }


def test_selecting_layers_counts_as_latents(config, clock):
    """It runs the generator and the CLIP as well."""
    selecting = override(config, {"terms": {"directional": 1.0}, "selection": {"k": 2}})
    assert measure(selecting, steps=1).step == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}


def test_parts_add_up_to_the_step(config):
    found = measure(config, steps=1)
    assert sum(found.step[part] for part in PARTS) == pytest.approx(found.step["all"])
    assert min(found.step[part] for part in ("generator, forward", "generator, backward")) > 1e-3
    assert 0 < found.processor < 60


def test_the_process_holds_more_and_more(config):
    found = measure(config, steps=1)
    held = list(found.memory.values())
    assert held == sorted(held) and list(found.memory)[-1] == "Fisher information"
    assert 10**8 < held[0] < 10**11  # bytes: Python, torch and a CLIP


def test_a_row_without_fisher_information_has_none(config):
    found = measure(override(config, {"terms": {"directional": 1.0}}), steps=1)
    assert "Fisher information" not in found.once and "Fisher information" not in found.memory


def test_the_measured_step_is_the_step(config, monkeypatch):
    """The same loss and gradient as without a clock, and no hook is left."""
    shorter = override(config, {"optimiser.iterations": 1})
    g_src, guides = load_generator(config.generator), guides_of(config)
    fisher = source_fisher(g_src, guides, shorter)
    plain, timed = (Adaptation(shorter, g_src, guides, fisher) for _ in range(2))
    parts = costs._parts(timed, 1, costs._Clock(torch.device("cpu")))
    assert list(parts) == [*PARTS, "all"]
    plain.step(0)
    for name, parameter in plain.params.items():
        assert torch.equal(parameter, timed.params[name]), name
    modules = [timed.g_trg.synthesis, guides[0].encoder.model.visual]
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_pre_hooks for m in modules)


def test_the_least_memory_is_what_torch_keeps(config):
    """The same sum over the tensors of a real forward pass."""
    short = override(config, SHORT | {"optimiser.iterations": 1})
    adaptation = Adaptation(short, load_generator(short.generator), guides_of(short), fisher_of_ones(short))
    encoder = adaptation.guides[0].encoder
    weights = {tensor.data_ptr() for m in (adaptation.g_trg, encoder) for tensor in m.state_dict().values()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        adaptation.batch(0)
    activations = sum(storage.nbytes() for address, storage in kept.items() if address not in weights)
    found = least_memory(short)
    assert found["activations"] == pytest.approx(activations, rel=0.02)
    trained = sum(parameter.nbytes for parameter in adaptation.params.values())
    assert found["adaptation"] == 5 * trained
    assert least_memory(override(short, {"terms": {"directional": 1}}))["adaptation"] == 4 * trained
    twice = least_memory(override(short, {"optimiser.batch_size": 8}))
    assert twice["activations"] == pytest.approx(2 * found["activations"], rel=0.05)
    assert twice["networks"] == found["networks"] > 3e6


def test_layer_selection_counts_with_a_batch_of_its_own(config):
    """The first step ranks layers by whole images, whose tensors torch keeps until it has the gradient."""
    rows = {"terms": {"directional": 1.0}, "optimiser.iterations": 1, "optimiser.batch_size": 2}
    selecting = override(config, rows | {"selection": {"k": 2, "batch_size": 6}})
    adaptation = Adaptation(selecting, load_generator(config.generator), guides_of(selecting))
    encoder = adaptation.guides[0].encoder
    weights = {tensor.data_ptr() for m in (adaptation.g_trg, encoder) for tensor in m.state_dict().values()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        adaptation._select_layers(0)
    activations = sum(storage.nbytes() for address, storage in kept.items() if address not in weights)
    assert least_memory(selecting)["activations"] == pytest.approx(activations, rel=0.05)
    half = least_memory(override(selecting, {"selection.batch_size": 3}))["activations"]
    assert half == pytest.approx(activations / 2, rel=0.05)
    few = least_memory(override(selecting, {"optimiser.batch_size": 64, "selection.batch_size": 1}))
    assert few["activations"] > activations  # then the step itself is what needs most


def test_counting_leaves_nothing_without_numbers_behind(config):
    """Images that are resized, before and after: the resize keeps its matrices."""
    larger = override(config, {"generator": "random-128"})
    before = least_memory(larger)
    features = load_clip(config.clips[0]).encode_images(torch.zeros(1, 3, 128, 128))
    assert type(features) is torch.Tensor and features.isfinite().all()
    assert least_memory(larger) == before


def fisher_of_ones(config):
    params = trained_parameters(load_generator(config.generator), config.trainable)
    return {name: torch.ones_like(parameter) for name, parameter in params.items()}


def test_what_cannot_be_measured_is_refused(config):
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        measure(config, steps=0)
    shots = replace(config, terms={}, few_shot={"target": {"species": "cat"}})
    with pytest.raises(ValueError, match="adapts to images"):
        measure(shots)
    with pytest.raises(ValueError, match="device='tpu' is not on this machine"):
        measure(config, device="tpu")


def test_the_command_prints_what_was_measured(capsys, clock):
    short = [f"--set={name}={value}" for name, value in SHORT.items()]
    assert main(["cost", "--quiet", "--profile", "smoke", "--steps", "1", *short]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["step"] == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}
    assert printed.keys() == {"step", "once", "least_memory", "memory", "processor", "machine"}
