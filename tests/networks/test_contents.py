"""The layouts that people publish load as the plain file does; other files are refused with what they are."""

import argparse
import collections
import datetime
import io
import json
import logging
import pathlib
import pickle
import struct
import time
import zipfile

import numpy as np
import pytest
import torch
from public_files import (
    EasyDict,
    Persistent,
    _reconstruct_persistent_obj,
    equal,
    foreign,
    modules_of,
    nvidia_pickle,
    persistent,
    rosinality_pt,
    saved,
    tiny_ada,
)
from safetensors.torch import save as save_safetensors
from test_checkpoints import TOWER, text
from test_stylegan2 import golden, part
from torch import nn

from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images
from zsgan.networks.stylegan2.checkpoints import convert, convert_discriminator, load_discriminator_file
from zsgan.networks.stylegan2.layouts import to_rosinality

MEAN = torch.linspace(-1, 1, 4)


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file whose name tells nothing of its format."""

    def write(content: bytes) -> pathlib.Path:
        path = tmp_path / "weights"
        path.write_bytes(content)
        return path

    return write


def tiny_rosinality():
    """A state dict of rosinality's, and the generator that it is with ``MEAN``."""
    state, kwargs = tiny_ada()
    state = to_rosinality(convert(state, **kwargs))
    return state, convert(state, "rosinality", latent_avg=MEAN)


def same(a, b):
    """Whether two generators have the same tensors and make the same images."""
    images = [sample_images(g, 2, seed=0) for g in (a, b)]
    return equal(a.state_dict(), b.state_dict()) and torch.equal(*images) and bool(images[0].std() > 0.1)


def prefixed(prefix, state):
    return collections.OrderedDict((prefix + name, tensor) for name, tensor in state.items())


# StyleGAN2 trained by stylegan3's code


def flat(kwargs):
    """The arguments as stylegan3's constructor takes them."""
    inner = kwargs["synthesis_kwargs"]
    others = {name: value for name, value in kwargs.items() if name != "synthesis_kwargs"}
    return {
        **others,
        **inner,
        "channel_base": 16,
        "channel_max": 2,
        "fused_modconv_default": "inference_only",
    }


@pytest.mark.parametrize("name", ["golden_nv_32", "golden_nv_clamp_32", "golden_nv_resnet_32"])
def test_flat_arguments_are_the_nested_ones(name, file):
    state, kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    kwargs.setdefault("synthesis_kwargs", {})
    nested = load_generator(file(nvidia_pickle(state, kwargs)))
    g = load_generator(file(nvidia_pickle(state, flat(kwargs))))
    assert same(g, nested) and g.config == nested.config
    assert g.config["conv_clamp"] == kwargs["synthesis_kwargs"].get("conv_clamp")


@pytest.mark.parametrize("clamp", [None, 0.5])
def test_the_clamp_is_that_of_the_layers(clamp, file):
    """stylegan3's default of it is 256, so that its arguments lack it."""
    state, kwargs = tiny_ada()
    kwargs = {k: v for k, v in kwargs.items() if k != "synthesis_kwargs"}
    g = load_generator(file(nvidia_pickle(state, kwargs, attributes={"conv_clamp": clamp})))
    assert g.config["conv_clamp"] == clamp
    assert same(g, convert(state, **kwargs, conv_clamp=clamp))


def test_a_flat_generator_without_noise(file):
    state, kwargs = tiny_ada()
    bare = {name: tensor for name, tensor in state.items() if ".noise_" not in name}
    flat_kwargs = flat(kwargs) | {"use_noise": False}
    nested = convert(bare, **kwargs | {"synthesis_kwargs": {"use_noise": False, "conv_clamp": 256}})
    assert same(load_generator(file(nvidia_pickle(bare, flat_kwargs))), nested)


def stylegan3():
    names = ["input.weight", "input.affine.weight", "input.freqs", "input.phases", "input.transform"]
    names += [f"L0_36_4.{p}" for p in ("weight", "magnitude_ema", "up_filter", "affine.weight")]
    return {f"synthesis.{name}": torch.ones(2) for name in names} | {"mapping.fc0.weight": torch.ones(4, 4)}


def test_stylegan3_is_refused_by_name(file):
    kwargs = {"z_dim": 4, "img_resolution": 8, "magnitude_ema_beta": 0.9}
    kwargs["class_name"] = "training.networks_stylegan3.Generator"
    state = stylegan3()
    for content in (
        nvidia_pickle(state, kwargs),
        saved({"G_ema": state}),
        saved(state),
        save_safetensors(state),
    ):
        with pytest.raises(
            ValueError, match=r"StyleGAN3 \(stylegan3-t or -r\).*StyleGAN2, which .* --cfg stylegan2"
        ):
            load_generator(file(content))


# What is beside the generator


def harmless():
    """Values that training scripts keep, by the name of their kind."""
    return {
        "a path": pathlib.Path("models/ffhq.pt"),
        "paths of both systems": [pathlib.PurePosixPath("/a"), pathlib.PureWindowsPath("C:\\a")],
        "numbers of NumPy": [np.float64(12.3), np.float16(1), np.int64(3), np.bool_(True), np.complex64(1j)],
        "more numbers of NumPy": [np.datetime64("2020-01-01"), np.str_("x"), np.longdouble(1)],
        "arrays": {"fid": np.arange(6.0).reshape(2, 3), "object": np.array([{}, None], dtype=object)},
        "a random state": np.random.RandomState(0).get_state(),
        "a generator of NumPy": np.random.default_rng(0),
        "devices": [torch.device("cuda:0"), torch.device("cpu")],
        "dtypes": [torch.float32, np.dtype("f4")],
        "a size": torch.ones(2, 3).shape,
        "collections": [collections.Counter("aab"), collections.defaultdict(list, {"a": [1]}), {1, 2}],
        "a deque": collections.deque([1, 2], 5),
        "times": [datetime.datetime(2020, 1, 1), datetime.timedelta(1), datetime.UTC],
        "arguments": argparse.Namespace(size=8, ckpt=pathlib.Path("x.pt"), device=torch.device("cuda")),
        "tuples as keys": {(3, 3): 1, None: 2, b"x": 3, frozenset({1}): 4},
        "a complex tensor": torch.ones(2, dtype=torch.complex64),
        "tensors of eight bits": torch.ones(2).to(torch.float8_e4m3fn),
        "a sparse tensor": torch.eye(3).to_sparse(),
        "a parameter with attributes": torch.nn.Parameter(torch.ones(2)),
        "a module": nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        "a function": torch.relu,
        "a slice": slice(1, 2),
        "bytes": bytearray(b"abc"),
        "an int": 2**200,
    }


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("kind", harmless())
def test_harmless_values_beside_the_generator(kind, protocol, file):
    value = harmless()[kind]
    ros, expected = tiny_rosinality()
    buffer = io.BytesIO()
    torch.save({"args": value, "g_ema": ros, "latent_avg": MEAN}, buffer, pickle_protocol=protocol)
    assert same(load_generator(file(buffer.getvalue())), expected)
    state, kwargs = tiny_ada()
    content = nvidia_pickle(state, kwargs, protocol=max(protocol, 3), metric=value)
    assert same(load_generator(file(content)), convert(state, **kwargs))


def test_a_checkpoint_with_arguments_of_a_script_of_ones_own(file):
    """Rebuilt from what people report: argparse with type=Path, torch.device, a score of NumPy."""
    ros, expected = tiny_rosinality()
    full = {"g": ros, "d": {}, "g_ema": ros, "latent_avg": MEAN}
    arguments = {"size": 8, "batch": 4, "lr": 0.002}
    for extra in (
        {"args": argparse.Namespace(**arguments, ckpt=pathlib.Path("models/ffhq.pt"))},
        {"args": argparse.Namespace(**arguments, device=torch.device("cuda:0"))},
        {"best_fid": np.float64(12.3)},
    ):
        for legacy in (False, True):
            assert same(load_generator(file(saved(full | extra, legacy))), expected)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_foreign_classes_in_other_parts_are_held_unread(protocol, file):
    state, kwargs = tiny_ada()
    judge, conf = (
        foreign("somebody.networks", "Judge", nn.Linear),
        foreign("omegaconf.dictconfig", "DictConfig", dict),
    )
    easy = foreign("easydict", "EasyDict", dict)
    extra = {
        "D": judge(2, 2),
        "augment_pipe": judge(1, 1),
        "config": conf(a=1),
        "wandb": easy(run=judge(1, 1)),
    }
    content = nvidia_pickle(state, kwargs, protocol, classes=(judge, conf, easy), **extra)
    path = file(content)
    assert same(load_generator(path), convert(state, **kwargs))
    with pytest.raises(ValueError, match="'D' .a somebody.networks.Judge.*like only a generator"):
        load_discriminator_file(path)


def test_foreign_classes_in_the_generator_are_named(file):
    state, kwargs = tiny_ada()
    strange = foreign("somebody.networks", "Layer", nn.Linear)

    def refused(match, **extra):
        with pytest.raises(ValueError, match=f"weights does not hold a Generator: .*{match}"):
            load_generator(file(nvidia_pickle(state, kwargs, classes=(strange,), **extra)))

    refused("the pickle names 'somebody.networks.Layer', which no checkpoint", G_ema=strange(2, 2))
    module = Persistent("Generator", kwargs)
    module.add_module("synthesis", strange(2, 2))
    refused("the pickle names 'somebody.networks.Layer'", G_ema=module)
    kept = Persistent("Generator", kwargs | {"synthesis_kwargs": {"conv_clamp": strange(1, 1)}})
    kept.add_module("synthesis", Persistent("SynthesisNetwork"))
    kept.synthesis.add_module("b4", Persistent("SynthesisBlock"))
    kept.synthesis.b4.register_parameter("const", nn.Parameter(torch.ones(2, 4, 4)))
    refused("the pickle names 'somebody.networks.Layer'", G_ema=kept)
    refused("'G_ema' is a 'Mine', no Generator", G_ema=Persistent("Mine", kwargs))


def spliced(operations):
    """A good pickle of NVIDIA's, with these opcodes as one more value."""
    state, kwargs = tiny_ada()
    return nvidia_pickle(state, kwargs, protocol=3)[:-1] + text("junk") + operations + b"s."


def put(index):
    return b"r" + struct.pack("<I", index)


def get(index):
    return b"j" + struct.pack("<I", index)


PERSISTENT = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"
KEY = text("k" * 1_000_000) + put(10**6) + b"0"
MANY = b"}" + put(10**6 + 1) + b"".join(text(str(i)) + b"Ns" for i in range(300)) + b"0"
HOSTILE = {
    "a tower in a call": b"cos\nsystem\n" + TOWER + b"\x85R",
    "a tower as a key": b"}" + TOWER + b"Ns",
    "a tower as keywords": b"cos\nsystem\n)" + TOWER + b"\x92",
    "a tower as state": b"cos\nsystem\n)R" + TOWER + b"b",
    "a call of a call": b"cos\nsystem\n)R" + b")R" * 20_000,
    "itself": b"}" + put(10**6) + text("g_ema") + get(10**6) + b"s",
    "an object in itself": b"cos\nsystem\n)R" + put(10**6) + get(10**6) + b"b",
    "nested lists": b"]" * 20_000 + b"a" * 19_999,
    "nested dictionaries": (b"}" + text("a")) * 20_000 + b"N" + b"s" * 20_000,
    "nested calls": b"cos\nsystem\n" * 20_000 + b")" + b"R\x85" * 19_999 + b"R",
    "a long key, often": KEY
    + b"}"
    + b"".join(text(str(i)) + b"}" + get(10**6) + b"Nss" for i in range(10_000)),
    "one group, often": MANY + b"}" + b"".join(text(str(i)) + get(10**6 + 1) + b"s" for i in range(10_000)),
    "a long name": text("a" * 10_000_000) + text("b") + b"\x93)R",
    "a long list": b"](" + b"K\x01" * 200_000 + b"e",
    "a key of many digits": b"}" + pickle.dumps(2 ** (8 * 10**6), protocol=2)[2:-1] + b"Ns",
    "a network of NVIDIA's without anything": PERSISTENT + b")R",
    "a network of NVIDIA's with a tower": PERSISTENT + TOWER + b"\x85R",
    "a network of NVIDIA's that is a tower": PERSISTENT + b"}" + text("class_name") + TOWER + b"s\x85R",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_that_are_not_asked_for_do_nothing(name, file):
    state, kwargs = tiny_ada()
    path, started = file(spliced(HOSTILE[name])), time.process_time()
    assert equal(load_generator(path).state_dict(), convert(state, **kwargs).state_dict())
    with pytest.raises(ValueError, match="no discriminator of StyleGAN2 is in it") as error:
        load_discriminator_file(path)  # which describes it
    assert len(str(error.value)) < 3000
    assert time.process_time() - started < 20


# Layouts


def layouts():
    """Files of the same generator of rosinality's, as people publish it."""
    state, _ = tiny_rosinality()
    layers = {"latent_avg": MEAN[None].repeat(4, 1)}

    training = {"optimizer": torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict(), "epoch": 3}
    return {
        "converted": saved({"g_ema": state, "latent_avg": MEAN}),
        "bare": saved({**state, "latent_avg": MEAN}),
        "DataParallel": saved({"g_ema": prefixed("module.", state), "latent_avg": MEAN}),
        "torch.compile": saved({"g_ema": prefixed("_orig_mod.", state), "latent_avg": MEAN}),
        "both": saved({"g_ema": prefixed("module._orig_mod.", state), "latent_avg": MEAN}),
        "pSp": saved({"state_dict": prefixed("decoder.", state), **layers, "opts": {"size": 8}}),
        "e4e": saved(
            {"state_dict": prefixed("encoder.", {"a": MEAN}) | prefixed("decoder.", state), **layers}
        ),
        "a batch of means": saved({"g_ema": state, "latent_avg": MEAN.repeat(1, 4, 1)}),
        "Lightning": saved(
            {"state_dict": prefixed("generator.", state) | {"latent_avg": MEAN}, "hparams": {"a": 1}}
        ),
        "generator": saved({"generator": state, "critic": {"x": MEAN}, "latent_avg": MEAN, **training}),
        "EMA beside": saved({"g": {k: v + 1 for k, v in state.items()}, "g_ema": state, "latent_avg": MEAN}),
        "EMA first": saved({"params_ema": state, "params": prefixed("", {**state}), "latent_avg": MEAN}),
        "safetensors": save_safetensors({**state, "latent_avg": MEAN}),
        "safetensors of DataParallel": save_safetensors(prefixed("module.", {**state, "latent_avg": MEAN})),
        "older container": saved({"state_dict": prefixed("decoder.", state), **layers}, legacy=True),
    }  # fmt: skip


@pytest.mark.parametrize("name", layouts())
def test_published_layouts_are_the_plain_file(name, file, caplog):
    with caplog.at_level(logging.WARNING):
        assert same(load_generator(file(layouts()[name])), tiny_rosinality()[1])
    assert not caplog.text


def ada_layouts():
    """A state dict under NVIDIA's names, without the arguments of the constructor."""
    state, _ = tiny_ada()
    split = {
        head: {k.removeprefix(f"{head}."): v for k, v in state.items() if k.startswith(f"{head}.")}
        for head in ("mapping", "synthesis")
    }
    return {
        "bare": saved(state),
        "G_ema": saved({"G_ema": state, "G": {k: v + 1 for k, v in state.items()}, "D": None}),
        "safetensors": save_safetensors(state),
        "DataParallel inside": saved(
            {k.replace("synthesis.", "synthesis.module."): v for k, v in state.items()}
        ),
        "apart": saved({**split, "step": 3}),
        "apart in G_ema": saved({"G_ema": split}),
        "a pickle of tensors": saved({"G_ema": state}, legacy=True),
    }


@pytest.mark.parametrize("name", ada_layouts())
def test_state_dicts_of_nvidia(name, file, caplog):
    state, _ = tiny_ada()
    with caplog.at_level(logging.WARNING):
        assert same(load_generator(file(ada_layouts()[name])), convert(state))
    assert "weights does not say to which value activations are clamped (256 in NVIDIA's" in caplog.text


def test_a_module_of_nvidia_in_a_file_of_torch_save(file):
    state, kwargs = tiny_ada()
    module = nvidia_pickle(state, kwargs, protocol=3)
    expected = load_generator(file(module))

    with modules_of(EasyDict, _reconstruct_persistent_obj):
        contents = {"G_ema": persistent(state, "Generator", kwargs), "step": 3}
        for content in (saved(contents), saved(contents, legacy=True), saved(contents["G_ema"])):
            assert same(load_generator(file(content)), expected)
        assert same(load_generator(file(pickle.dumps(contents["G_ema"], protocol=4))), expected)


def test_names_of_basicsr(file):
    state, expected = tiny_rosinality()
    renamed = {}
    for name, tensor in state.items():
        for ours, theirs in (
            ("conv1.noise.weight", "conv1.weight"), ("input.input", "constant_input.weight"),
            ("noises.noise_", "noises.noise"), (".conv.weight", ".modulated_conv.weight"),
            (".conv.modulation", ".modulated_conv.modulation"),
        ):  # fmt: skip
            name = name.replace(ours, theirs)
        if name.startswith("convs."):
            name = name.replace(".noise.weight", ".weight")
        if name.startswith("conv"):
            name = f"style_{name}".replace("style_constant", "constant")
        renamed[f"style_mlp{name.removeprefix('style')}" if name.startswith("style.") else name] = tensor
    assert {
        "style_conv1.weight",
        "style_convs.0.weight",
        "constant_input.weight",
        "style_mlp.1.bias",
    } <= renamed.keys()
    raw = {name: tensor + 1 for name, tensor in renamed.items()}
    for content in ({"params": raw, "params_ema": renamed}, {"params_ema": renamed}):
        assert same(load_generator(file(saved(content | {"latent_avg": MEAN}))), expected)


@pytest.mark.parametrize("key", ["G_ema", "g_ema", "params_ema", "ema", "generator_ema", "G_avg", "Gs"])
def test_the_averaged_generator_is_taken(key, file, caplog):
    state, expected = tiny_rosinality()
    other = {name: tensor + 1 for name, tensor in state.items()}
    contents = {"generator": other, "g": other, key: state, "params": other, "latent_avg": MEAN}
    with caplog.at_level(logging.WARNING):
        assert same(load_generator(file(saved(contents))), expected)
    assert not caplog.text
    whole = foreign("model", "Generator", nn.Linear)
    with modules_of(whole):
        path = file(saved(contents | {key: whole(2, 2)}))
    with pytest.raises(
        ValueError, match="the pickle names 'model.Generator'.*'generator' .* of 'input.input'"
    ):
        load_generator(path)  # and not another one


@pytest.mark.parametrize("key", ["g", "G", "params"])
def test_a_generator_that_was_not_averaged_loads_with_a_warning(key, file, caplog):
    state, expected = tiny_rosinality()
    with caplog.at_level(logging.WARNING):
        assert same(load_generator(file(saved({key: state, "latent_avg": MEAN, "g_ema": None}))), expected)
    assert f"weights: the generator is '{key}', since there is no averaged one" in caplog.text


def test_nvidias_g_without_g_ema(file, caplog):
    state, kwargs = tiny_ada()
    with caplog.at_level(logging.WARNING):
        g = load_generator(file(nvidia_pickle(state, kwargs, G_ema=None)))
    assert same(g, convert({k: v + 1 for k, v in state.items()}, **kwargs))
    assert "the generator is 'G', since there is no averaged one" in caplog.text


def test_means_that_differ_and_several_generators_are_refused(file):
    state, _ = tiny_rosinality()
    means = MEAN[None].repeat(4, 1)
    means[2, 1] += 1
    with pytest.raises(ValueError, match="latent_avg has 4 means that differ, one for each layer"):
        load_generator(file(saved({"state_dict": prefixed("decoder.", state), "latent_avg": means})))
    with pytest.raises(
        ValueError, match="there are 2 generators in it, 'cats', 'dogs': save one of them alone"
    ):
        load_generator(file(saved({"cats": state, "dogs": state})))
    with pytest.raises(ValueError, match="'latent_avg' must be a tensor, got a str"):
        load_generator(file(saved({"g_ema": state, "latent_avg": "x"})))
    with pytest.raises(ValueError, match=r"there are 2 generators in it, '\(outermost\)', '\(outermost\)'"):
        load_generator(file(saved({**state, "module.input.input": MEAN})))
    with pytest.raises(ValueError, match="there are two tensors 'to_rgb1.bias' in it: save one generator"):
        load_generator(file(saved({**state, "module.to_rgb1.bias": MEAN})))
    with pytest.raises(ValueError, match="some of its numbers are complex"):
        load_generator(file(saved({**state, "conv1.activate.bias": torch.ones(2, dtype=torch.complex64)})))
    lost = {"g_ema": {"something": MEAN}, "g": state}
    with pytest.raises(
        ValueError, match="'g_ema' is no generator of StyleGAN2. It holds 'g_ema' .1 of 'something'"
    ):
        load_generator(file(saved(lost)))


def test_a_discriminator_in_any_layout(file):
    name = "golden_nv_disc_cond_32"
    state, kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    expected = convert_discriminator(state, c_dim=kwargs["c_dim"])
    for contents in (
        state,
        {"D": prefixed("module.", state)},
        {"state_dict": prefixed("discriminator.", state)},
    ):
        d = load_discriminator_file(file(saved(contents)))
        assert equal(d.state_dict(), expected.state_dict())


def test_the_clamp_of_a_discriminator_is_that_of_its_layers(file):
    name, (state, kwargs) = "golden_nv_disc_cond_32", tiny_ada()
    d_state, d_kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    d = persistent(d_state, "Discriminator", d_kwargs, conv_clamp=0.25)
    assert load_discriminator_file(file(nvidia_pickle(state, kwargs, D=d))).config["conv_clamp"] == 0.25


# Files that hold something else


def zipped(*names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


def names(*keys):
    return {key: torch.ones(2) for key in keys}


def others():
    """Contents by what the message has to say of them."""
    adam = torch.optim.Adam([nn.Parameter(torch.ones(2))])
    whole = foreign("model", "Generator", nn.Linear)
    network = foreign("dnnlib.tflib.network", "Network")
    with modules_of(whole, network):
        module, tensorflow = saved(whole(2, 2)), pickle.dumps((network(), network(), network()))
    return {
        "it is an empty file": b"",
        "it is an HTML page": b"\n<!DOCTYPE html><html>Too many requests</html>",
        "it is a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n",
        "it is an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "it is a compressed archive": b"\x1f\x8b" + bytes(99),
        "it is a picture": b"\x89PNG\r\n\x1a\n" + bytes(99),
        "neither a safetensors file, nor a pickle .* starts with": bytes(100),
        "a zip that was not written by PyTorch; it has 'a.png', 'b.png'": zipped("a.png", "b.png"),
        "a program of TorchScript": zipped("x/data.pkl", "x/constants.pkl"),
        "training state of an optimiser such as Adam": saved(adam.state_dict()),
        "'optimizer' .2 of 'state', 'param_groups'.*an optimiser such as Adam": saved(
            {"optimizer": adam.state_dict(), "epoch": 3}
        ),
        "looks like StyleGAN1 or a progressive": saved(
            {"generator": names("progression.0.conv1.0.conv.weight", "to_rgb.0.conv.weight")}
        ),
        "looks like StyleGAN1": saved(names("g_mapping.dense0.weight", "g_synthesis.blocks.4x4.const")),
        "looks like a CLIP": save_safetensors(names("visual.conv1.weight", "text_projection")),
        "looks like a CLIP .*|CLIP": saved({"state_dict": names("vision_model.embeddings.weight")}),
        "looks like a diffusion model": save_safetensors(names("down_blocks.0.resnets.0.conv1.weight")),
        "a diffusion": saved({"state_dict": names("model.diffusion_model.input_blocks.0.0.weight")}),
        "looks like only a discriminator": saved({"d": names("final_linear.1.weight", "convs.0.0.weight")}),
        "an encoder such as pSp's": saved({"state_dict": names("encoder.input_layer.0.weight")}),
        "GFPGAN": saved({"params_emas": names("stylegan_decoder.style_conv1.weight")}),
        "such as ResNet, VGG": saved(names("layer1.0.conv1.weight", "fc.weight")),
        "a module saved whole; save its state_dict": module,
        "the pickle names 'model.Generator'": module,
        r"TensorFlow; convert it once with legacy\.py": tensorflow,
        r"It holds 'a' \(a number\), 'b' \(a text\), 'c' \(2 of 'x', 3\)": pickle.dumps(
            {"a": 1, "b": "x", "c": {"x": 1, 3: 4}}
        ),
        "It is a tensor": saved(torch.ones(2)),
        r"It is a group of 2": saved([1, 2]),
        r"'k7' \(a number\) and 992 more$": pickle.dumps({f"k{i}": i for i in range(1000)}),
        "It holds nothing": saved({}),
    }


@pytest.mark.parametrize("what", others())
def test_what_a_refused_file_holds(what, file):
    path = file(others()[what])
    with pytest.raises(ValueError, match=what) as error:
        load_generator(path)
    assert str(error.value).startswith(f"{path} does not hold a Generator: ") and len(str(error.value)) < 1500


def test_another_network_of_ours_is_told(file):
    header = {"config": json.dumps({"token_ids": [1]}), "provenance": "{}"}
    with pytest.raises(
        ValueError, match="another network of zsgan's. It holds 'visual.conv1.weight'; .*a CLIP"
    ):
        load_generator(file(save_safetensors(names("visual.conv1.weight"), header)))
    d = rosinality_pt(tiny_rosinality()[0])
    with pytest.raises(ValueError, match="only a generator"):
        load_discriminator_file(file(d))
