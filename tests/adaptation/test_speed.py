"""Switches for faster steps: the same adaptation but for rounding, refused where they have no effect."""

from functools import partial

import pytest
import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, build, override
from zsgan.adaptation.guide import make_guide, source_features, source_fisher
from zsgan.adaptation.speed import Speed, check_device
from zsgan.networks.load import load_clip
from zsgan.runs.identity import resolve
from zsgan.runs.make import source_features_of
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import run

STEPS = 3
CHOICES = {"tf32": True, "autocast": "bfloat16", "channels_last": True, "compile": "default"}
BASE = build(
    AdaptConfig,
    {
        "generator": "random-16", "source_text": "dog", "target_text": "cat", "clips": "clip-a",
        "templates": "a {}", "stage1": {"iterations": 4}, "ewc": {"samples": 2},
        "optimiser": {"iterations": STEPS},
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder():
    return load_clip("clip-a")


@pytest.fixture
def adapted(make_generator, encoder):
    """A function: an adaptation with some switches after its steps, and the losses of each."""

    def adapted(**speed):
        config = override(BASE, {"speed": speed})
        g_src = make_generator()
        guides = [make_guide(encoder, config)]
        adaptation = Adaptation(config, g_src, guides, source_fisher(g_src, guides, config))
        return adaptation, [adaptation.step(i) for i in range(STEPS)]

    return adapted


def difference(rows, others):
    return max(abs(row["loss"] / other["loss"] - 1) for row, other in zip(rows, others, strict=True))


def test_all_switches_are_off():
    assert BASE.speed == Speed() and BASE.speed.chosen == {}
    assert override(BASE, {"speed": CHOICES}).speed.chosen == CHOICES


def test_autocast_is_close_to_float32_whose_losses_and_weights_it_keeps(adapted, encoder):
    (_, exact), (adaptation, rows) = adapted(), adapted(autocast="bfloat16")
    assert 1e-6 < difference(rows, exact) < 0.05
    batch = adaptation.batch(0)
    assert batch.seen[0].f_trg.dtype == batch.seen[0].f_src.dtype == torch.float32
    loss, values = adaptation.objective(batch)
    assert {loss.dtype, *(value.dtype for value in values.values())} == {torch.float32}
    state = adaptation.g_trg.state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_source_and_target_are_seen_alike(make_generator, encoder):
    """Otherwise the rounding of one of them would be a direction of its own."""
    g_src, config = make_generator(noise=0.0), override(BASE, {"speed.autocast": "bfloat16"})
    guides = [make_guide(encoder, config)]
    batch = Adaptation(config, g_src, guides, source_fisher(g_src, guides, config)).batch(0)
    assert torch.equal(batch.seen[0].f_trg, batch.seen[0].f_src)
    exact = source_features(g_src, [encoder], BASE)[0][0]
    assert 1e-4 < (batch.seen[0].f_src - exact).norm(dim=1).max() < 0.05


def test_crops_are_cut_in_float32(adapted):
    from zsgan.rivals.crops import random_crops

    images = torch.rand(2, 3, 16, 16)
    expected = random_crops(images, 2, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(random_crops(images, 2, torch.Generator().manual_seed(0)), expected)


def test_channels_last_is_a_layout_alone(adapted):
    (_, exact), (adaptation, rows) = adapted(), adapted(channels_last=True)
    assert difference(rows, exact) < 1e-4
    for generator in (adaptation.g_src, adaptation.g_trg):
        weight = generator.synthesis.blocks["16"].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    plain = torch.zeros(4, 8, 3, 3)
    assert adapted()[0].g_trg.synthesis.blocks["16"].conv1.weight.stride()[1:] == plain.stride()[1:]


def test_compiled_steps_are_close_and_compiled_once(adapted, monkeypatch):
    """Traced and differentiated by the compiler; its code generator, which takes a minute, is left out."""
    asked, traced = [], []

    def backend(graph, inputs):
        traced.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    compiler = torch.compile

    def fast(function, mode, dynamic):
        asked.append((mode, dynamic))
        return compiler(function, backend=backend, dynamic=dynamic, fullgraph=True)

    monkeypatch.setattr(torch, "compile", fast)
    (_, exact), (_, rows) = adapted(), adapted(compile="default")
    assert asked == [("default", False)] * 2 and len(traced) == 2  # generator and CLIP, each in one graph
    assert difference(rows, exact) < 1e-4


def test_compiling_leaves_the_guides_encoder_as_it_is(adapted, encoder, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: partial(function))
    before = encoder.network
    adaptation, _ = adapted(compile="default")
    assert encoder.network == before and adaptation._encoders[0].network != before
    assert adaptation._encoders[0].model is encoder.model


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"terms": {}, "few_shot": {"target": {"species": "cat"}}, "speed.channels_last": True,
          "speed.autocast": "bfloat16"}, "speed: autocast, channels_last is for rows that texts guide"),
        ({"selection": {"k": 2}, "speed.compile": "default"}, "selection trains other layers"),
        ({"speed.autocast": "float16"}, "speed.autocast='float16'"),
        ({"speed.compile": True}, "speed.compile=True"),
        ({"speed.fast": True}, "setting 'speed.fast' is unknown"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        override(BASE, settings)


def test_images_may_guide_with_tf32():
    shots = {"terms": {}, "few_shot": {"target": {"species": "cat"}}, "speed.tf32": True}
    assert override(BASE, shots).speed.chosen == {"tf32": True}


@pytest.mark.parametrize(
    ("speed", "message"),
    [
        (Speed(tf32=True), "speed.tf32=True has no effect on cpu"),
        (Speed(compile="reduce-overhead"), "speed.compile='reduce-overhead' records CUDA graphs, which cpu"),
    ],
)
def test_a_cpu_has_neither_tf32_nor_cuda_graphs(speed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_device(speed, torch.device("cpu"))
    config = override(load_profile("smoke").config("dog-to-cat", "L_dir"), {"speed": speed.chosen})
    with pytest.raises(ValueError, match=message):
        run(config, folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_gpus_have_tf32_since_2020(monkeypatch):
    capability = {0: (7, 5), 1: (8, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability[device.index])
    everything = Speed(tf32=True, autocast="bfloat16", channels_last=True, compile="reduce-overhead")
    check_device(everything, torch.device("cuda", 1))
    with pytest.raises(ValueError, match="speed.tf32=True has no effect on cuda:0"):
        check_device(everything, torch.device("cuda", 0))


def test_a_switch_is_part_of_the_id_where_it_is_on():
    full = load_profile("smoke").config("dog-to-cat", "L_dir")
    off = {"tf32": False, "autocast": None, "channels_last": False, "compile": None}
    assert resolve(override(full, {"speed": off})).id == resolve(full).id
    others = [{name: value} for name, value in CHOICES.items()] + [{"compile": "reduce-overhead"}, CHOICES]
    ids = {resolve(override(full, {"speed": other})).id for other in others}
    assert len(ids | {resolve(full).id}) == len(others) + 1
    shots = override(full, {"terms": {}, "few_shot": {"target": {"species": "cat"}}})
    assert resolve(shots).id != resolve(override(shots, {"speed.tf32": True})).id


def test_what_is_computed_before_the_steps_is_kept_by_its_precision(make_generator, encoder, tmp_path):
    g_src, guides = make_generator(), [make_guide(encoder, BASE)]

    def features(**speed):
        source_features_of(resolve(override(BASE, {"speed": speed})), g_src, guides, tmp_path)
        return len(list((tmp_path / "cache").glob("*.safetensors")))

    assert [features(), features(channels_last=True, compile="default")] == [1, 1]
    assert [features(autocast="bfloat16"), features(tf32=True)] == [2, 3]


def test_a_run_says_what_was_on(tmp_path, smoke):
    short = {"speed.autocast": "bfloat16", "optimiser.iterations": 1}
    config = override(smoke.config("dog-to-cat", "L_dir"), short)
    found = run(config, folder=tmp_path)
    assert found.config.speed.chosen == {"autocast": "bfloat16"}
    assert found.provenance["config"]["speed"]["autocast"] == "bfloat16"
    assert not found.provenance["tf32"]
