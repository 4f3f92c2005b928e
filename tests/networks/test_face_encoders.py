"""Encoders of pSp and e4e: files of their layout, with random weights, are read as data."""

import pickle

import pytest
import torch
import torch.nn.functional as F

from zsgan.networks.encoders import FaceEncoder, load_encoder_file

WIDTHS = ((16, 3), (16, 4), (16, 14), (16, 3))
N_STYLES = 6


@pytest.fixture
def generator(make_generator):
    return make_generator()  # 16 px: six styles of 16 numbers


def published(generator, kind, change=None):
    """What their training scripts save, with a small random network, written out in their names."""
    random = torch.Generator().manual_seed(0)
    tensors = {}

    def conv(name, c_out, c_in, size, bias=False):
        tensors[f"{name}.weight"] = (
            torch.randn(c_out, c_in, size, size, generator=random) / (c_in * size) ** 0.5
        )
        if bias:
            tensors[f"{name}.bias"] = torch.randn(c_out, generator=random)

    def norm(name, c):
        for part in ("weight", "running_var"):
            tensors[f"{name}.{part}"] = 1 + torch.rand(c, generator=random)
        for part in ("bias", "running_mean"):
            tensors[f"{name}.{part}"] = torch.randn(c, generator=random) / 4
        tensors[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("input_layer.0", 16, 3, 3)
    norm("input_layer.1", 16)
    tensors["input_layer.2.weight"] = torch.full((16,), 0.25)
    for i in range(24):
        unit = f"body.{i}.res_layer"
        norm(f"{unit}.0", 16)
        conv(f"{unit}.1", 16, 16, 3)
        tensors[f"{unit}.2.weight"] = torch.full((16,), 0.25)
        conv(f"{unit}.3", 16, 16, 3)
        norm(f"{unit}.4", 16)
        conv(f"{unit}.5.fc1", 1, 16, 1)
        conv(f"{unit}.5.fc2", 16, 1, 1)
    for i in range(N_STYLES):
        for k in range(4 if i < 3 else 5):
            conv(f"styles.{i}.convs.{2 * k}", 16, 16, 3, bias=True)
        tensors[f"styles.{i}.linear.weight"] = torch.randn(16, 16, generator=random)
        tensors[f"styles.{i}.linear.bias"] = torch.randn(16, generator=random)
    for name in ("latlayer1", "latlayer2"):
        conv(name, 16, 16, 1, bias=True)
    state = {f"encoder.{name}": value for name, value in tensors.items()}
    state["decoder.input.input"] = torch.zeros(1)
    average = generator.mapping.w_avg.repeat(N_STYLES, 1)
    return {"state_dict": state, "latent_avg": average, "opts": {"encoder_type": kind}} | (change or {})


@pytest.fixture(autouse=True)
def mean(generator):
    generator.mapping.w_avg.copy_(torch.linspace(1, 2, 16))


def by_hand(content, images, differences):
    """The published forward pass, in functions."""
    t = {name.removeprefix("encoder."): value for name, value in content["state_dict"].items()}

    def norm(x, name):
        return F.batch_norm(x, *(t[f"{name}.{p}"] for p in ("running_mean", "running_var", "weight", "bias")))

    x = F.conv2d(images, t["input_layer.0.weight"], padding=1)
    x = F.prelu(norm(x, "input_layer.1"), t["input_layer.2.weight"])
    seen = {}
    for i in range(24):
        unit, stride = f"body.{i}.res_layer", 2 if i in (0, 3, 7, 21) else 1
        y = F.conv2d(norm(x, f"{unit}.0"), t[f"{unit}.1.weight"], padding=1)
        y = F.conv2d(F.prelu(y, t[f"{unit}.2.weight"]), t[f"{unit}.3.weight"], stride=stride, padding=1)
        y = norm(y, f"{unit}.4")
        gate = F.relu(F.conv2d(y.mean((2, 3), keepdim=True), t[f"{unit}.5.fc1.weight"]))
        x = y * torch.sigmoid(F.conv2d(gate, t[f"{unit}.5.fc2.weight"])) + x[:, :, ::stride, ::stride]
        seen[i] = x

    def add(small, large, name):
        up = F.interpolate(small, large.shape[2:], mode="bilinear", align_corners=True)
        return up + F.conv2d(large, t[f"{name}.weight"], t[f"{name}.bias"])

    coarse = seen[23]
    middle = add(coarse, seen[20], "latlayer1")
    codes = []
    for i in range(N_STYLES):
        y = coarse if i < 3 else middle
        for k in range(4 if i < 3 else 5):
            y = F.leaky_relu(
                F.conv2d(y, t[f"styles.{i}.convs.{2 * k}.weight"], t[f"styles.{i}.convs.{2 * k}.bias"], 2, 1),
                0.01,
            )
        codes.append(F.linear(y.flatten(1), t[f"styles.{i}.linear.weight"] / 4, t[f"styles.{i}.linear.bias"]))
        if differences and i:
            codes[i] = codes[0] + codes[i]
    return torch.stack(codes, 1) + content["latent_avg"]


@pytest.mark.parametrize(("kind", "differences"), [("GradualStyleEncoder", False), ("Encoder4Editing", True)])
def test_both_published_layouts_load(generator, tmp_path, kind, differences):
    content = published(generator, kind)
    torch.save(content, tmp_path / "encoder.pt")
    encoder = load_encoder_file(tmp_path / "encoder.pt", generator)
    images = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        found, expected = encoder(images), by_hand(content, images, differences)
    assert found.shape == (1, N_STYLES, 16)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_the_published_shapes():
    """The numbers of pSp's paper: 18 styles of 512; its encoder has 267 million parameters."""
    with torch.device("meta"):
        encoder = FaceEncoder(18, differences=False)
    assert encoder.latent_avg.shape == (18, 512)
    assert encoder.styles[17].convs[10].weight.shape == (512, 512, 3, 3)
    assert encoder.body[3].shortcut_layer[0].weight.shape == (128, 64, 1, 1)
    assert encoder.latlayer1.weight.shape == (512, 256, 1, 1)
    assert encoder.body[23].res_layer[5].fc1.weight.shape == (32, 512, 1, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opts": {"encoder_type": "ResNet"}}, "encoder_type is 'ResNet', not one of GradualStyleEncoder"),
        ({"latent_avg": torch.full((6, 16), -3.0)}, "is for another generator: its mean w"),
        ({"state_dict": {}}, "does not hold an encoder of pSp or e4e"),
    ],
)
def test_other_files_are_refused(generator, tmp_path, change, message):
    torch.save(published(generator, "Encoder4Editing", change), tmp_path / "encoder.pt")
    with pytest.raises(ValueError, match=message):
        load_encoder_file(tmp_path / "encoder.pt", generator)


def test_an_encoder_for_other_latents_is_refused(generator, make_generator, tmp_path):
    torch.save(published(generator, "Encoder4Editing"), tmp_path / "encoder.pt")
    with pytest.raises(ValueError, match=r"encodes \(6, 16\) numbers, not \(8, 16\) as the generator takes"):
        load_encoder_file(tmp_path / "encoder.pt", make_generator(resolution=32))
    with pytest.raises(FileNotFoundError, match="there is no such file; also known are mean and encoder"):
        load_encoder_file(tmp_path / "absent.pt", generator)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_nothing_in_a_file_is_executed(generator, tmp_path, capsys):
    content = published(generator, "Encoder4Editing", {"extra": Evil()})
    torch.save(content, tmp_path / "encoder.pt")
    load_encoder_file(tmp_path / "encoder.pt", generator)
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="does not hold an encoder"):
        load_encoder_file(tmp_path / "bare.pt", generator)
    assert "executed" not in capsys.readouterr().out
