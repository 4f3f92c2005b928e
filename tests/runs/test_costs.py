"""What a step costs: the parts are those of the real step, in full, and measuring changes nothing."""

import io
import json
from dataclasses import replace

import pytest
import torch
from tqdm import tqdm

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import source_fisher, trained_parameters
from zsgan.cli import main
from zsgan.networks.load import load_clip, load_generator
from zsgan.runs import costs
from zsgan.runs.cost_report import estimate, in_lines, in_units
from zsgan.runs.costs import PARTS, Costs, measure_costs
from zsgan.runs.identity import resolve
from zsgan.runs.least_memory import least_memory
from zsgan.runs.make import guides_of
from zsgan.runs.profiles import load_profile

SHORT = {"clips": "clip-a", "stage1.iterations": 5, "ewc.samples": 4}


@pytest.fixture(scope="module")
def config():
    return override(load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel"), SHORT)


@pytest.fixture
def clock(monkeypatch):
    """A clock that is one second later every time it is looked at."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(costs, "now", lambda device: float(next(seconds)))


def test_every_part_of_a_step_is_seen_once_and_in_order(config, clock):
    found = measure_costs(config, steps=2)
    assert found.step == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}
    assert list(found.once) == ["texts and stage 1", "source images", "Fisher information"]
    assert found.machine["threads"] == 1  # as an adaptation of 64 px has, whatever torch has


def test_two_clips_are_told_apart_from_the_losses(config, clock):
    found = measure_costs(override(config, {"clips": ["clip-a", "clip-b"]}), steps=1)
    assert found.step == {
        **dict.fromkeys(PARTS, 1.0),
        "CLIP, forward": 2.0,
        "CLIP, backward": 2.0,
        "all": 9.0,
    }


def test_selecting_layers_counts_as_latents(config, clock):
    """It runs the generator and the CLIP as well."""
    selecting = override(config, {"terms": {"directional": 1.0}, "selection": {"k": 2}})
    assert measure_costs(selecting, steps=1).step == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}


def test_parts_add_up_to_the_step(config):
    found = measure_costs(config, steps=1)
    assert sum(found.step[part] for part in PARTS) == pytest.approx(found.step["all"])
    assert min(found.step[part] for part in ("generator, forward", "generator, backward")) > 1e-3
    assert 0 < found.processor < 60


def test_the_process_holds_more_and_more(config):
    found = measure_costs(config, steps=1)
    held = list(found.memory.values())
    assert held == sorted(held) and list(found.memory)[-1] == "Fisher information"
    assert 10**8 < held[0] < 10**11  # bytes: Python, torch and a CLIP


def test_a_row_without_fisher_information_has_none(config):
    found = measure_costs(override(config, {"terms": {"directional": 1.0}}), steps=1)
    assert "Fisher information" not in found.once and "Fisher information" not in found.memory


def test_the_measured_step_is_the_step(config, monkeypatch):
    """The same loss and gradient as without a clock, and no hook is left."""
    shorter = override(config, {"optimiser.iterations": 1})
    g_src, guides = load_generator(config.generator), guides_of(resolve(config))
    fisher = source_fisher(g_src, guides, shorter)
    plain, timed = (Adaptation(shorter, g_src, guides, fisher) for _ in range(2))
    (parts,) = costs._parts(timed, 1, costs._Clock(torch.device("cpu")))
    assert list(parts) == [*PARTS, "all"]
    plain.step(0)
    for name, parameter in plain.params.items():
        assert torch.equal(parameter, timed.params[name]), name
    modules = [timed.g_trg.synthesis, guides[0].encoder.model.visual]
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_pre_hooks for m in modules)


def test_the_least_memory_is_what_torch_keeps(config):
    """The same sum over the tensors of a real forward pass."""
    short = override(config, SHORT | {"optimiser.iterations": 1})
    adaptation = Adaptation(
        short, load_generator(short.generator), guides_of(resolve(short)), fisher_of_ones(short)
    )
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
    adaptation = Adaptation(selecting, load_generator(config.generator), guides_of(resolve(selecting)))
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
        measure_costs(config, steps=0)
    shots = replace(config, terms={}, few_shot={"target": {"species": "cat"}})
    with pytest.raises(ValueError, match="adapts to images"):
        measure_costs(shots)
    with pytest.raises(ValueError, match="device='tpu' is not on this machine"):
        measure_costs(config, device="tpu")


def test_the_command_prints_what_was_measured(capsys, clock):
    short = [f"--set={name}={value}" for name, value in SHORT.items()]
    assert main(["cost", "--quiet", "--profile", "smoke", "--steps", "1", "--json", *short]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["step_seconds"] == {**dict.fromkeys(PARTS, 1.0), "all": 7.0}
    assert printed.keys() == {
        "step_seconds", "step_processor_seconds", "once_seconds", "estimated_seconds", "iterations", "rows",
        "seeds", "memory_MB", "least_memory_MB", "machine",
    }  # fmt: skip
    smoke = load_profile("smoke")
    assert (printed["rows"], printed["seeds"]) == (len(smoke.rows), len(smoke.seeds))
    least = printed["least_memory_MB"]
    assert least["all"] == pytest.approx(
        least["networks"] + least["adaptation"] + least["activations"], abs=0.2
    )


def test_whole_runs_are_estimated_from_their_parts(config):
    """By hand: 10 steps of 7 s, 10 source images of 2 s, 3 s of texts, two batches of 5 s."""
    once = {"texts and stage 1": 3.0, "source images": 2.0, "Fisher information": 5.0}
    found = Costs({"all": 7.0}, once, {"step": 2_500_000}, 6.5, {"device": "cpu", "threads": 1})
    ten = override(config, {"optimiser.iterations": 10, "optimiser.batch_size": 4, "ewc.samples": 7})
    expected = {"run": 10 + 20 + 73, "row": 10 + 3 * (20 + 73), "table": 10 + 3 * (20 + 2 * 73)}
    assert estimate(found, ten, rows=2, seeds=3) == expected
    directional = replace(found, once={name: once[name] for name in list(once)[:2]})
    assert estimate(directional, ten, rows=1, seeds=1)["run"] == 20 + 73
    least = {"networks": 10**6, "adaptation": 2 * 10**6, "activations": 3 * 10**6}
    units = in_units(found, ten, rows=2, seeds=3, least=least)
    assert units["memory_MB"] == {"step": 2.5} and units["least_memory_MB"]["all"] == 6.0
    lines = [" ".join(line.split()) for line in in_lines(units).splitlines()]
    for line in (
        "a step, s", "all 7", "all, of a processor 6.5", "one run of 10 steps 1.717",
        "a row of 3 seeds 4.817", "a table of 2 such rows 8.467", "step 2.5", "on cpu, 1 threads",
    ):  # fmt: skip
        assert line in lines


def test_a_bar_shows_what_is_measured(config, monkeypatch):
    bars = []

    class Bar(tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, file=io.StringIO(), **options)
            self.titles = []
            bars.append(self)

        def set_description(self, title):
            self.titles.append(title)

    monkeypatch.setattr(costs, "tqdm", Bar)
    measure_costs(config, steps=1, progress=True)
    assert [(bar.n, bar.total) for bar in bars] == [(4, 4)]
    assert bars[0].titles == ["texts and stage 1", "source images", "step", "Fisher information"]
