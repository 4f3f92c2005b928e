"""Names, shapes and constructor arguments of the two public StyleGAN2s, beyond the golden files."""

import math

import pytest
import torch
import torch.nn.functional as F
from test_stylegan2 import ROSINALITY, error, golden, golden_generator, normal, part, small_generator
from torch import Tensor

from zsgan.networks.stylegan2 import Discriminator
from zsgan.networks.stylegan2.checkpoints import convert, convert_discriminator
from zsgan.networks.stylegan2.layouts import to_rosinality

FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


def ada_discriminator(architecture: str, groups: int = 1, label: int = 0, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of a 16-px discriminator under NVIDIA's names, each with its filters."""
    random, state = torch.Generator().manual_seed(seed), {}
    widths = {16: 4, 8: 6, 4: 8}

    def add(name: str, *shape: int, bias: bool = True) -> None:
        state[f"{name}.weight"] = torch.randn(*shape, generator=random)
        if bias:
            state[f"{name}.bias"] = 0.3 * torch.randn(shape[0], generator=random)

    for r, width in widths.items():
        if r == 16 or architecture == "skip":
            add(f"b{r}.fromrgb", width, 3, 1, 1)
        if r > 4:
            add(f"b{r}.conv0", width, width, 3, 3)
            add(f"b{r}.conv1", widths[r // 2], width, 3, 3)
            state[f"b{r}.conv1.resample_filter"] = FIR
            if architecture == "resnet":
                add(f"b{r}.skip", widths[r // 2], width, 1, 1, bias=False)
    add("b4.conv", 8, 8 + groups, 3, 3)
    add("b4.fc", 8, 8 * 16)
    add("b4.out", label or 1, 8)
    if label:
        add("mapping.embed", 7, 2)
        add("mapping.fc0", 9, 7)
        add("mapping.fc1", label, 9)
    return state


def plain_discriminator(state: dict[str, Tensor], images: Tensor, clamp: float, n_maps: int = 1) -> Tensor:
    """Features of the discriminator written a second time: layer by layer, filters by summing shifts."""
    state = {name: tensor.double() for name, tensor in state.items()}

    def half(x: Tensor, pad: int) -> Tensor:  # filtered; sub-sampled by 2 by the caller
        x, size = F.pad(x, (pad,) * 4), x.shape[-1] + 2 * pad - 3
        return sum(FIR[i, j] * x[..., i : i + size, j : j + size] for i in range(4) for j in range(4))

    def layer(name: str, x: Tensor, gain: float = 1.0, clamp: float = clamp, **options: int) -> Tensor:
        weight = state[f"{name}.weight"]
        x = F.conv2d(x, weight / math.sqrt(weight[0].numel()), **options)
        if f"{name}.bias" not in state:
            return x * gain
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2) * gain
        return x.clamp(-clamp * gain, clamp * gain)

    residual, skip = "b16.skip.weight" in state, "b4.fromrgb.weight" in state
    x = layer("b16.fromrgb", images)
    for r in (16, 8):
        gain = math.sqrt(0.5) if residual else 1.0
        y = layer(f"b{r}.conv1", half(layer(f"b{r}.conv0", x, padding=1), 2), gain, stride=2)
        if residual:
            y = y + layer(f"b{r}.skip", half(x, 1)[..., ::2, ::2], gain)
        x = y
        if skip:
            images = half(images, 1)[..., ::2, ::2]
            x = x + layer(f"b{r // 2}.fromrgb", images, clamp=clamp if r > 8 else math.inf)
    groups = x.unflatten(0, (2, -1)).unflatten(2, (n_maps, -1))  # 2 samples each
    spread = ((groups - groups.mean(0)).square().mean(0) + 1e-8).sqrt().mean((2, 3, 4))
    x = torch.cat([x, spread.repeat(2, 1)[..., None, None].expand(-1, -1, 4, 4)], dim=1)
    x = layer("b4.conv", x, padding=1).flatten(1)
    x = x @ state["b4.fc.weight"].T / math.sqrt(x.shape[1]) + state["b4.fc.bias"]
    x = F.leaky_relu(x, 0.2) * math.sqrt(2)
    return x @ state["b4.out.weight"].T / math.sqrt(8) + state["b4.out.bias"]


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
@pytest.mark.parametrize("n_maps", [1, 2])
def test_every_discriminator_equals_a_second_implementation(architecture: str, n_maps: int) -> None:
    state, images = ada_discriminator(architecture, n_maps), 3 * normal(4, 3, 16, 16)
    kwargs = {"epilogue_kwargs": {"mbstd_group_size": 2, "mbstd_num_channels": n_maps}, "conv_clamp": 2.0}
    d = convert_discriminator(state, **kwargs, architecture=architecture, img_resolution=16, c_dim=0)
    assert d.config["architecture"] == architecture and d.config["channels"] == {4: 8, 8: 6, 16: 4}
    expected = plain_discriminator(state, images, clamp=2.0, n_maps=n_maps)
    assert error(d.double()(images), expected) < 1e-12
    assert error(expected, plain_discriminator(state, images, math.inf, n_maps)) > 1e-3  # the clamp bites


def test_labels_of_any_width_are_projected() -> None:
    state, images, c = ada_discriminator("resnet", label=5), normal(4, 3, 16, 16), normal(4, 2)
    mapping = {"embed_features": 7, "layer_features": 9, "num_layers": 2, "lr_multiplier": 0.1}
    d = convert_discriminator(
        state, c_dim=2, cmap_dim=5, mapping_kwargs=mapping, epilogue_kwargs={"mbstd_group_size": 2}
    ).double()
    features = plain_discriminator(state, images, math.inf)
    assert (
        error(d(images, c), (features * plain_mapping(state, c)).sum(1, keepdim=True) / math.sqrt(5)) < 1e-12
    )


def plain_mapping(state: dict[str, Tensor], c: Tensor) -> Tensor:
    """The label's mapping network with a learning-rate multiplier of 0.1."""
    state = {name: tensor.double() for name, tensor in state.items()}
    x = c @ state["mapping.embed.weight"].T / math.sqrt(c.shape[1]) + state["mapping.embed.bias"]
    x = x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for i in (0, 1):
        weight, bias = state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]
        x = F.leaky_relu(0.1 * (x @ weight.T / math.sqrt(x.shape[1]) + bias), 0.2) * math.sqrt(2)
    return x


def test_a_mapping_network_of_any_width() -> None:
    """NVIDIA's embed_features, layer_features and lr_multiplier: labels next to z, then layers as above."""
    random = torch.Generator().manual_seed(0)
    state = {k: v for k, v in part("golden_nv_32", "state_dict/").items() if not k.startswith("mapping.fc")}
    for name, shape in {"embed": (7, 2), "fc0": (9, 7 + 10), "fc1": (64, 9)}.items():
        state[f"mapping.{name}.weight"] = torch.randn(shape, generator=random)
        state[f"mapping.{name}.bias"] = torch.randn(shape[0], generator=random)
    mapping = {"embed_features": 7, "layer_features": 9, "num_layers": 2, "lr_multiplier": 0.1}
    g = convert(state, z_dim=10, c_dim=2, w_dim=64, mapping_kwargs=mapping).double()
    z, c = normal(3, 10), normal(3, 2)
    embedded = c @ state["mapping.embed.weight"].double().T / math.sqrt(2) + state["mapping.embed.bias"]
    x = torch.cat([x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt() for x in (z, embedded)], dim=1)
    for i in (0, 1):
        weight, bias = (state[f"mapping.fc{i}.{part}"].double() for part in ("weight", "bias"))
        x = F.leaky_relu(0.1 * (x @ weight.T / math.sqrt(x.shape[1]) + bias), 0.2) * math.sqrt(2)
    assert error(g.mapping(z, c)[:, 0], x) < 1e-12


def test_a_generator_without_noise() -> None:
    state = part("golden_nv_32", "state_dict/")
    bare = {name: tensor for name, tensor in state.items() if ".noise_" not in name}
    g = convert(bare, synthesis_kwargs={"use_noise": False}).double()
    ws = normal(2, 8, 64)
    expected = convert(state).double().synthesis(ws, noise="none")
    for noise in ("none", "const", "random"):
        assert torch.equal(g.synthesis(ws, noise=noise), expected)
    with pytest.raises(ValueError, match="noise_strength"):
        convert(bare)


# Constructor arguments


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"z_dim": 32}, "z_dim=32, but the tensors 64"),
        ({"c_dim": 1}, "c_dim=1, but the tensors 0"),
        ({"img_resolution": 64}, "resolution=64, but the tensors 32"),
        ({"mapping_kwargs": {"num_layers": 2}}, "mapping_layers=2, but the tensors 8"),
        ({"synthesis_kwargs": {"architecture": "resnet"}}, "architecture='resnet', but the tensors 'skip'"),
        ({"synthesis_kwargs": {"activation": "relu"}}, "activation='relu' is not supported, only 'lrelu'"),
        ({"synthesis_kwargs": {"resample_filter": [1, 2, 1]}}, "resample_filter"),
        ({"synthesis_kwargs": {"conv_clamp": "256"}}, "conv_clamp must be a positive number, got '256'"),
        ({"mapping_kwargs": 8}, "mapping_kwargs must be a mapping, got 8"),
        ({"clamp": 256}, "'clamp' is unknown; known are .*conv_clamp.*synthesis_kwargs"),
        ({"conv_clamp": 1, "synthesis_kwargs": {"conv_clamp": 2}}, "conv_clamp is given twice, as 1 and 2"),
        ({"size": 32}, "'size' is unknown"),
    ],
)
def test_arguments_are_known_and_agree_with_the_tensors(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(part("golden_nv_32", "state_dict/"), **kwargs)


@pytest.mark.parametrize("name", ROSINALITY)
def test_rosinalitys_arguments(name: str) -> None:
    state, kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    z = torch.randn(2, 64, generator=torch.Generator().manual_seed(1))
    g = convert(state, "rosinality", **kwargs, blur_kernel=[1, 3, 3, 1])
    other = convert(state, "rosinality", **kwargs, lr_mlp=0.02)
    assert not torch.equal(g.mapping(z), other.mapping(z))
    with pytest.raises(ValueError, match="resolution=128, but the tensors"):
        convert(state, "rosinality", **kwargs | {"size": 128})


@pytest.mark.parametrize(
    ("name", "filter_"),
    [("golden_nv_32", "synthesis.b8.conv0.resample_filter"), ("golden_ros_32", "convs.0.conv.blur.kernel")],
)
def test_another_filter_is_refused(name: str, filter_: str) -> None:
    layout = "rosinality" if name in ROSINALITY else "ada"
    state = part(name, "state_dict/")
    for wrong in (state[filter_] * 2, state[filter_].roll(1), torch.ones(2, 2) / 4):
        with pytest.raises(ValueError, match=f"{filter_} is not the low-pass filter"):
            convert(state | {filter_: wrong}, layout)


def test_tensors_of_wrong_shapes_are_refused() -> None:
    for name, layout in (("golden_nv_32", "ada"), ("golden_ros_32", "rosinality")):
        state = part(name, "state_dict/")
        for key in list(state)[::3]:
            longer = state[key][..., None].expand(*state[key].shape, 2)
            for wrong in (torch.zeros(()), torch.zeros(2), longer):
                if state[key].numel() == wrong.numel() == 1:
                    continue  # a noise strength, whichever way it is written
                with pytest.raises(ValueError):
                    convert(
                        state | {key: wrong}, layout, latent_avg=None if layout == "ada" else torch.zeros(64)
                    )


# rosinality's names


@pytest.mark.parametrize("name", ROSINALITY)
def test_a_generator_goes_back_to_rosinalitys_tensors(name: str) -> None:
    state, back = part(name, "state_dict/"), to_rosinality(golden_generator(name))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize(
    "kwargs",
    [{"architecture": "resnet"}, {"c_dim": 2}, {"image_channels": 1}, {"z_dim": 6, "w_dim": 5}],
    ids=str,
)
def test_what_rosinalitys_generator_cannot_be(kwargs: dict) -> None:
    with pytest.raises(ValueError, match=r"rosinality's generator cannot have \{"):
        to_rosinality(small_generator(**{"z_dim": 5} | kwargs))


def test_a_discriminator_of_rosinality() -> None:
    torch.manual_seed(0)
    d = Discriminator(16, {4: 8, 8: 6, 16: 4})
    with torch.no_grad():
        for name, parameter in d.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    ours, theirs = d.state_dict(), {"convs.0.0.weight": "fromrgb.weight", "convs.0.1.bias": "fromrgb.bias"}
    for i, r in ((1, 16), (2, 8)):
        theirs |= {f"convs.{i}.conv1.0.weight": f"blocks.{r}.conv0.weight"}
        theirs |= {f"convs.{i}.conv1.1.bias": f"blocks.{r}.conv0.bias"}
        theirs |= {f"convs.{i}.conv2.1.weight": f"blocks.{r}.conv1.weight"}
        theirs |= {f"convs.{i}.conv2.2.bias": f"blocks.{r}.conv1.bias"}
        theirs |= {f"convs.{i}.skip.1.weight": f"blocks.{r}.skip.weight"}
    theirs |= {"final_conv.0.weight": "conv.weight", "final_conv.1.bias": "conv.bias"}
    theirs |= {f"final_linear.{i}.{p}": f"{('fc', 'out')[i]}.{p}" for i in (0, 1) for p in ("weight", "bias")}
    state = {name: ours[key] for name, key in theirs.items()}
    state |= {f"convs.{i}.{place}.kernel": FIR for i in (1, 2) for place in ("conv2.0", "skip.0")}
    images = normal(4, 3, 16, 16).float()
    assert torch.equal(convert_discriminator(state, "rosinality", size=16)(images), d(images))
    with pytest.raises(ValueError, match=r"'convs\.1\.conv3\.0\.weight' is not part"):
        convert_discriminator(state | {"convs.1.conv3.0.weight": torch.zeros(1)}, "rosinality")
