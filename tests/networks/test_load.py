"""What no command can use is refused by every one of them with one message; wrong types are named."""

import pickle
import re

import pytest
import torch
from public_files import nvidia_pickle, rosinality_pt, tiny_ada
from safetensors.torch import save as save_safetensors
from test_stylegan2 import small_generator

from zsgan.cli import main
from zsgan.networks.load import load_clip, load_discriminator, load_generator
from zsgan.networks.stylegan2.checkpoints import load_generator_file, save

SOURCE = ["--source-text", "Dog", "--text", "Cat", "--profile", "smoke"]


def conditional(path):
    save(small_generator(c_dim=3).float(), path, {})


def grey(path):
    save(small_generator(image_channels=1).float(), path, {})


def four(path):
    save(small_generator(image_channels=4).float(), path, {})


def oblong(path):
    """NVIDIA's, by a code whose images are twice as wide as high."""
    state, kwargs = tiny_ada()
    for name in state:
        if name.endswith(("const", "noise_const")):
            state[name] = torch.cat([state[name]] * 2, dim=-1)
    path.write_bytes(nvidia_pickle(state, kwargs | {"init_res": [4, 8], "img_resolution": [8, 16]}))


def oblong_rosinality(path):
    state = {"input.input": torch.ones(1, 2, 8, 4), "conv1.conv.weight": torch.ones(1, 2, 2, 3, 3)}
    path.write_bytes(rosinality_pt(state))


CASES = {
    conditional: "' is conditional, on labels of 3 numbers; .* take an unconditional one",
    grey: "' makes images of 1 channel; .* take a generator of RGB images",
    four: "' makes images of 4 channels; .* take a generator of RGB images",
    oblong: "the generator is not square: its constant is 4 x 8, not 4 x 4",
    oblong_rosinality: "the generator is not square: its constant is 8 x 4, not 4 x 4",
}


@pytest.mark.parametrize("command", ["adapt", "cost", "sample", "table", "python"])
@pytest.mark.parametrize("write", CASES)
def test_every_command_refuses_what_it_cannot_use(write, command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "generator.safetensors"
    write(path)
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "extends: smoke\nscenarios:\n  mine:\n"
        f"    {{generator: {path}, source_text: Dog, target_text: Cat, resolution: 16}}\n"
    )
    arguments = {
        "adapt": ["adapt", "--source", str(path), *SOURCE],
        "cost": ["cost", "--source", str(path), *SOURCE, "--steps", "1"],
        "sample": ["sample", str(path), "--out", "pictures"],
        "table": ["table", "--profile", str(profile), "--scenario", "mine"],
    }
    if command == "python":
        with pytest.raises(ValueError, match=CASES[write]) as error:
            load_generator(path)
        said = str(error.value)
    else:
        assert main([*arguments[command], "--quiet"]) == 1
        said = capsys.readouterr().err
    assert str(path) in said and re.search(CASES[write], said), said
    assert not any(place.is_dir() and any(place.glob("*/history.json")) for place in tmp_path.iterdir())
    assert not (tmp_path / "pictures").exists()


def test_a_conditional_generator_converts(tmp_path, capsys):
    conditional(tmp_path / "in.safetensors")
    assert main(["convert", str(tmp_path / "in.safetensors"), str(tmp_path / "out.safetensors")]) == 0
    assert load_generator_file(tmp_path / "out.safetensors").mapping.c_dim == 3


@pytest.mark.parametrize(
    "content", [rosinality_pt({"input.input": torch.ones(1)}), pickle.dumps({}), save_safetensors({})]
)
def test_a_source_without_a_discriminator_says_how_to_name_one(content, tmp_path):
    for ending in (".pt", ".pth", ".pkl", ".safetensors"):
        path = tmp_path / f"generator{ending}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"discriminator: FILE in .* --set few_shot\.discriminator=FILE"):
            load_discriminator(None, path)


@pytest.mark.parametrize("wrong", [None, 3, b"dog", ["dog"], small_generator()])
def test_wrong_types(wrong):
    with pytest.raises(TypeError, match="name_or_path must be a name or the path of a file, got "):
        load_generator(wrong)
    with pytest.raises(TypeError, match="must be a name or the path of a file, got "):
        load_discriminator(wrong, wrong)
    with pytest.raises(TypeError, match="name must be a text such as 'clip-a' or 'ViT-B-32/openai', got "):
        load_clip(wrong)


@pytest.mark.parametrize("name", ["", "/openai", "weights.pt"])
def test_a_clip_without_an_architecture(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").write_bytes(b"")
    with pytest.raises(
        ValueError, match=f"name='{name}' names no architecture; .* ViT-B-32/openai or ViT-B-32/"
    ):
        load_clip(name)
