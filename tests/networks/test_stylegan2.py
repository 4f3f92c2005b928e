"""StyleGAN2: parity with two public implementations, closed forms, invariances, files and errors.

`golden/` holds random weights and what NVlabs/stylegan2-ada-pytorch and rosinality/stylegan2-pytorch computed
from them, in float32 and in float64.
"""

import json
import math
import time
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Discriminator, Generator
from zsgan.networks.stylegan2.checkpoints import (
    convert,
    convert_discriminator,
    load_discriminator_file,
    load_generator_file,
    save,
)
from zsgan.networks.stylegan2.discriminator import minibatch_standard_deviation
from zsgan.networks.stylegan2.generator import SynthesisLayer
from zsgan.networks.stylegan2.layers import BinomialFilter

GOLDEN = Path(__file__).parent / "golden"
ADA = ("golden_nv_32", "golden_nv_64", "golden_nv_cond_32", "golden_nv_resnet_32", "golden_nv_clamp_32")
ROSINALITY = ("golden_ros_32", "golden_ros_64")
# float64 leaves only rounding; float32 in the references is off by up to 2e-6 of the largest value.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@cache
def golden(name: str) -> tuple[dict[str, Tensor], dict]:
    return load_file(GOLDEN / f"{name}.safetensors"), json.loads((GOLDEN / f"{name}.json").read_text())


def part(name: str, prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in golden(name)[0].items() if k.startswith(prefix)}


def golden_generator(name: str, replaced: dict[str, Tensor] | None = None) -> Generator:
    """The golden generator; `replaced` puts other tensors (gradients) in the place of its own."""
    state_dict = part(name, "state_dict/") | (replaced or {})
    init_kwargs = golden(name)[1]["init_kwargs"]
    if name in ROSINALITY:
        return convert(state_dict, "rosinality", latent_avg=golden(name)[0]["io/mean_latent"], **init_kwargs)
    return convert(state_dict, "ada", **init_kwargs)


def error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected value."""
    assert actual.shape == expected.shape
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def small_generator(**kwargs) -> Generator:
    """A generator with no idle path: noise strengths, biases and w_avg are not zero."""
    options = {"z_dim": 6, "w_dim": 5, "mapping_layers": 2, "channels": {4: 8, 8: 6, 16: 4}} | kwargs
    torch.manual_seed(0)
    g = Generator(max(options["channels"]), **options)
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.3 * torch.randn(parameter.shape))
        g.mapping.w_avg.normal_()
    return g.double()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


# Parity


@DTYPES
@pytest.mark.parametrize("name", ADA)
@torch.no_grad()
def test_generator_equals_ada(name: str, dtype: torch.dtype) -> None:
    io, cutoff = part(name, "io/"), golden(name)[1]["truncation_cutoff"]
    g = golden_generator(name).to(dtype)
    z, c = io["z"].to(dtype), io["c"].to(dtype) if "c" in io else None
    whole, truncated = g.mapping(z, c), g.mapping(z, c, 0.7)
    in_part = torch.cat([truncated[:, :cutoff], whole[:, cutoff:]], dim=1)
    truncations = {"psi1": whole, "psi0.7": truncated, f"psi0.7_cutoff{cutoff}": in_part}
    computed = {"img_const_ws_mixed": g.synthesis(io["ws_mixed"].to(dtype), noise="const")}
    for suffix, ws in truncations.items():
        computed[f"ws_{suffix}"] = ws
        computed[f"w_{suffix}"] = ws[:, 0]
        for noise in ("const", "none"):
            computed[f"img_{noise}_{suffix}"] = g.synthesis(ws, noise=noise)
    compared = [key for key in computed if f"{key}_f64" in io]
    assert len(compared) >= 9
    for key in compared:
        assert error(computed[key].double(), io[f"{key}_f64"]) < TOLERANCE[dtype], key


@DTYPES
@pytest.mark.parametrize("name", ROSINALITY)
@torch.no_grad()
def test_generator_equals_rosinality(name: str, dtype: torch.dtype) -> None:
    io, description = part(name, "io/"), golden(name)[1]
    g = golden_generator(name).to(dtype)
    ws, ws2 = g.mapping(io["z"].to(dtype)), g.mapping(io["z2"].to(dtype))
    truncated = g.mapping(io["z"].to(dtype), truncation_psi=0.7)
    k = description["inject_index"]
    maps = [io[f"custom_noise_{i}"] for i in range(description["num_layers"])]
    computed = {
        "w": ws[:, 0],
        "w_psi0.7": truncated[:, 0],
        "img_const_psi1": g.synthesis(ws),
        "img_const_psi0.7": g.synthesis(truncated),
        "img_const_from_w": g.synthesis(io["w"].to(dtype)[:, None].expand(-1, description["n_latent"], -1)),
        "img_const_wplus": g.synthesis(io["wplus"].to(dtype)),
        "img_const_mix_z_z2": g.synthesis(torch.cat([ws[:, :k], ws2[:, k:]], dim=1)),
        "img_nonoise_psi1": g.synthesis(ws, noise="none"),
        "img_customnoise_psi1": g.synthesis(ws, noise=maps),
    }
    for key, value in computed.items():
        assert error(value.double(), io[f"{key}_f64"]) < TOLERANCE[dtype], key


@DTYPES
@torch.no_grad()
def test_discriminator_equals_ada(dtype: torch.dtype) -> None:
    name = "golden_nv_disc_cond_32"
    io, init_kwargs = part(name, "io/"), golden(name)[1]["init_kwargs"]
    d = convert_discriminator(part(name, "state_dict/"), **init_kwargs).to(dtype)
    logits = d(io["img"].to(dtype), io["c"].to(dtype))
    assert error(logits.double(), io["logits_f64"]) < TOLERANCE[dtype]


@pytest.mark.parametrize("name", ["golden_nv_32", "golden_ros_32"])
@torch.no_grad()
def test_every_layer_equals_the_reference(name: str) -> None:
    g, activations = golden_generator(name), {}

    def keep(key: str, index: int | None = None):
        def hook(module, inputs, output):
            activations[key] = output if index is None else output[index]

        return hook

    convolutions = 0
    for r, block in g.synthesis.blocks.items():
        for kind, layer in block.named_children():
            if isinstance(layer, SynthesisLayer):
                first, others = "conv1", f"convs.{convolutions - 1}"
                ros = others if convolutions else first
                layer.register_forward_hook(keep(ros if name in ROSINALITY else f"b{r}.{kind}"))
                convolutions += 1
        to_rgb = "to_rgb1" if r == "4" else f"to_rgbs.{int(math.log2(int(r))) - 3}"
        if name in ROSINALITY:  # its ToRGB returns the running image
            block.register_forward_hook(keep(to_rgb, 1))
        else:
            block.register_forward_hook(keep(f"b{r}.img", 1))
            block.torgb.register_forward_hook(keep(f"b{r}.torgb"))
    if name not in ROSINALITY:
        for i, layer in enumerate(g.mapping.layers):
            layer.register_forward_hook(keep(f"mapping.fc{i}"))
    g(golden(name)[0]["io/z"])
    expected = part(name, "act/")
    assert activations.keys() == expected.keys()
    for key, activation in activations.items():
        assert error(activation, expected[key]) < 2e-5, key


@pytest.mark.parametrize("name", ["golden_nv_32", "golden_ros_32"])
def test_gradients_equal_the_reference(name: str) -> None:
    tensors, gradients = golden(name)[0], part(name, "grad/")
    grad_z = gradients.pop("z")
    # Renamed and reshaped as the weights are: a generator whose parameters are the expected gradients.
    expected = dict(golden_generator(name, replaced=gradients).double().named_parameters())
    assert len(expected) == len(gradients)
    g, z = golden_generator(name).double(), tensors["io/z"].double().requires_grad_()
    (g(z) * tensors["io/grad_probe"].double()).sum().backward()
    assert error(z.grad, grad_z.double()) < 1e-6  # they are stored as float32
    for key, parameter in g.named_parameters():
        assert error(parameter.grad, expected[key].detach()) < 1e-6, key


def test_w_avg_does_not_move() -> None:
    """Nor in training, where the public implementations' does."""
    io = part("golden_nv_32", "io/")
    g = golden_generator("golden_nv_32").double().train()
    before = g.mapping.w_avg.clone()
    g.mapping(io["z"].double())
    assert torch.equal(g.mapping.w_avg, before) and not g.mapping.w_avg.requires_grad


# Mathematics


@pytest.mark.parametrize("demodulation", ["ada", "rosinality"])
@pytest.mark.parametrize("up", [False, True])
def test_scaled_activations_equal_per_sample_weights(demodulation: str, up: bool) -> None:
    torch.manual_seed(1)
    layer = SynthesisLayer(
        3, 4, up=up, w_dim=5, resolution=8, conv_clamp=None, demodulation=demodulation
    ).double()
    torch.nn.init.normal_(layer.bias)
    # Tiny styles: epsilon matters, and the two placements differ.
    layer.affine.bias.data.fill_(1e-4)
    layer.affine.weight.data.mul_(1e-4)
    layer.noise_strength.data.fill_(0.7)
    r = 4 if up else 8
    x, w, noise = normal(2, 3, r, r), normal(2, 5, seed=1), normal(2, 1, 8, 8, seed=2)
    expected = []
    for n in range(2):
        style = w[n] @ layer.affine.weight.T / math.sqrt(5) + layer.affine.bias
        weight = layer.weight * style[:, None, None]
        if demodulation == "rosinality":
            weight = weight / math.sqrt(3 * 9)
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            y = F.conv_transpose2d(x[n : n + 1], weight.transpose(0, 1), stride=2)
            fir = torch.tensor([1.0, 3, 3, 1], dtype=torch.float64) / 4
            y = F.conv2d(F.pad(y, (1, 1, 1, 1))[0][:, None], torch.outer(fir, fir)[None, None])[:, 0][None]
        else:
            y = F.conv2d(x[n : n + 1], weight, padding=1)
        y = y + 0.7 * noise[n] + layer.bias[:, None, None]
        expected.append(torch.where(y > 0, y, 0.2 * y) * math.sqrt(2))
    assert error(layer(x, w, noise), torch.cat(expected)) < 1e-12


@torch.no_grad()
def test_demodulation_gives_unit_variance_for_any_style() -> None:
    """White noise in, unit variance out: the squared impulse responses of all inputs sum to 1."""
    torch.manual_seed(0)
    layer = SynthesisLayer(
        6, 1, up=False, w_dim=4, resolution=8, conv_clamp=None, demodulation="ada"
    ).double()
    impulses = torch.zeros(6, 6, 8, 8, dtype=torch.float64)
    impulses[range(6), range(6), 4, 4] = 1
    y = layer(impulses, 5 * normal(1, 4).expand(6, -1), None) / math.sqrt(2)
    y = torch.where(y > 0, y, 5 * y)  # undo the leaky ReLU
    assert y.square().sum().item() == pytest.approx(1, rel=1e-6)


def test_filter_preserves_brightness_and_interpolates() -> None:
    up = BinomialFilter(gain=4).double().upsample(x := normal(1, 2, 6, 6))
    bilinear = F.interpolate(x, scale_factor=2, mode="bilinear")  # the same away from the border
    assert error(up[..., 1:-1, 1:-1], bilinear[..., 1:-1, 1:-1]) < 1e-12
    ones = BinomialFilter().double()(torch.ones(1, 1, 8, 8, dtype=torch.float64), padding=1, stride=2)
    assert torch.equal(ones[..., 1:-1, 1:-1], torch.ones(1, 1, 2, 2, dtype=torch.float64))


def test_orig_is_skip_with_only_the_last_torgb() -> None:
    skip, orig = small_generator(architecture="skip"), small_generator(architecture="orig")
    assert orig.load_state_dict(skip.state_dict(), strict=False).missing_keys == []
    with torch.no_grad():
        for r in ("4", "8"):
            skip.synthesis.blocks[r].torgb.weight.zero_()
            skip.synthesis.blocks[r].torgb.bias.zero_()
    ws = normal(2, skip.mapping.n_ws, 5)
    assert error(skip.synthesis(ws), orig.synthesis(ws)) < 1e-12


def test_lower_resolution_is_a_prefix() -> None:
    """A generator grows: with shared weights, its running image at 8 px is the 8-px generator's image."""
    large, small = small_generator(), small_generator(channels={4: 8, 8: 6})
    assert small.load_state_dict(large.state_dict(), strict=False).missing_keys == []
    images = []
    large.synthesis.blocks["8"].register_forward_hook(lambda module, inputs, output: images.append(output[1]))
    ws = normal(2, large.mapping.n_ws, 5)
    large.synthesis(ws)
    assert torch.equal(images[0], small.synthesis(ws[:, : small.mapping.n_ws]))


def test_truncation() -> None:
    g, z = small_generator(), normal(3, 6)
    ws = g.mapping(z)
    assert torch.equal(ws, ws[:, :1].expand_as(ws))
    assert torch.equal(g.mapping(z, truncation_psi=0), g.mapping.w_avg.expand_as(ws))
    assert error(g.mapping(z, truncation_psi=0.5), (ws + g.mapping.w_avg) / 2) < 1e-12


def test_mapping_ignores_the_length_of_z_and_the_batch() -> None:
    g, z = small_generator(), normal(3, 6)
    assert error(g.mapping(7 * z), g.mapping(z)) < 1e-6  # up to the epsilon of the normalisation
    assert error(g(z)[1:2], g(z[1:2])) < 1e-12


def test_noise() -> None:
    g, ws = small_generator(), normal(2, 6, 5)
    const = [layer.noise_const for layer in g.synthesis.convolutions]
    image = g.synthesis(ws)
    assert torch.equal(g.synthesis(ws, noise=const), image)
    assert torch.equal(g.synthesis(ws, noise=[m.expand(2, 1, *m.shape) for m in const]), image)
    none = g.synthesis(ws, noise="none")
    assert torch.equal(g.synthesis(ws, noise=[torch.zeros_like(m) for m in const]), none)
    assert error(image, none) > 1e-2

    twins = ws[:1].expand(2, -1, -1)
    state = torch.get_rng_state()
    random = g.synthesis(twins, noise="random", generator=seeded(3))
    assert torch.equal(random, g.synthesis(twins, noise="random", generator=seeded(3)))
    assert torch.equal(torch.get_rng_state(), state)
    assert error(random[0], random[1]) > 1e-2  # every sample has its own
    assert error(random, g.synthesis(twins, noise="random", generator=seeded(4))) > 1e-2


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_conv_clamp_bounds_layers_and_image(architecture: str) -> None:
    g = small_generator(conv_clamp=0.25, architecture=architecture)
    largest = []
    for layer in g.synthesis.convolutions:
        layer.register_forward_hook(lambda module, inputs, output: largest.append(output.abs().max().item()))
    image = g(normal(2, 6))
    second = 0.25 * math.sqrt(0.5) if architecture == "resnet" else 0.25  # the clamp follows the gain
    assert largest == pytest.approx([0.25, 0.25, second, 0.25, second])
    # Clamped ToRGBs, interpolated and summed.
    assert image.abs().max() <= (3 if architecture == "skip" else 1) * 0.25 + 1e-12


@pytest.mark.parametrize("architecture", ["skip", "resnet"])
def test_conv_clamp_and_its_gradient_are_those_of_torch_clamp(architecture: str) -> None:
    """Whichever of torch's functions clamps the layers."""
    z, weights = normal(2, 6), normal(2, 3, 16, 16, seed=1)

    def outcome(g: Generator) -> list[Tensor]:
        image, maps = g.synthesis(g.mapping(z), return_maps=True)
        parameters = [p for name, p in g.named_parameters() if p.requires_grad]
        return [image, *maps, *torch.autograd.grad((image * weights).sum(), parameters)]

    g = small_generator(conv_clamp=0.5, architecture=architecture)
    found = outcome(g)
    share = torch.cat([m.flatten() for m in found[1:6]]).abs().div(0.5 * math.sqrt(0.5)).ge(1 - 1e-9)
    assert 0.1 < share.double().mean() < 0.9  # the clamp bites, though not everywhere

    def clamp(layer: SynthesisLayer, inputs: tuple, output: Tensor) -> Tensor:
        bound = 0.5 * (inputs[3] if len(inputs) > 3 else 1.0)  # it follows the gain
        return torch.clamp(output, -bound, bound)

    for layer in g.synthesis.convolutions:
        layer.conv_clamp = None
        layer.register_forward_hook(clamp)
    torch.testing.assert_close(found, outcome(g), rtol=1e-12, atol=1e-12)


def test_conv_clamp_bounds_the_discriminator() -> None:
    torch.manual_seed(0)
    d, largest = Discriminator(8, {4: 4, 8: 3}, conv_clamp=0.25), []
    for layer in (d.fromrgb, d.blocks["8"].conv0, d.blocks["8"].conv1, d.conv):
        layer.register_forward_hook(lambda module, inputs, output: largest.append(output.abs().max().item()))
    d(10 * normal(4, 3, 8, 8).float())
    assert largest == pytest.approx([0.25, 0.25, 0.25 * math.sqrt(0.5), 0.25])


def test_derivatives_of_first_and_second_order() -> None:
    """R1 and path-length regularisation differentiate gradients."""
    g = small_generator(channels={4: 2, 8: 2}, conv_clamp=3.0)
    ws = normal(2, g.mapping.n_ws, 5).requires_grad_()
    assert torch.autograd.gradcheck(g.synthesis, ws, fast_mode=True)
    assert torch.autograd.gradgradcheck(g.synthesis, ws, fast_mode=True)
    torch.manual_seed(0)
    d = Discriminator(8, {4: 3, 8: 2}, mbstd_group=2).double()
    images = normal(4, 3, 8, 8).requires_grad_()
    assert torch.autograd.gradcheck(d, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(d, images, fast_mode=True)


def test_minibatch_standard_deviation() -> None:
    x = normal(6, 2, 4, 4)
    y = minibatch_standard_deviation(x, group=3)
    assert torch.equal(y[:, :2], x)
    for i in range(6):  # groups are {0, 2, 4} and {1, 3, 5}
        expected = (x[i % 2 :: 2].var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        assert torch.allclose(y[i, 2], expected)
    same = minibatch_standard_deviation(x[:1].expand(2, -1, -1, -1), group=4)
    assert torch.allclose(same[:, 2], torch.tensor(1e-4, dtype=torch.float64))


def test_discriminator_projects_labels() -> None:
    """With labels the logit is linear in the embedded label: <features, label> / sqrt(width)."""
    torch.manual_seed(0)
    d = Discriminator(8, {4: 4, 8: 3}, c_dim=2, conv_clamp=256).double()
    features = []
    d.out.register_forward_hook(lambda module, inputs, output: features.append(output))
    images, c = normal(4, 3, 8, 8), torch.eye(2, dtype=torch.float64).repeat(2, 1)
    logits = d(images, c)
    label = d.mapping(torch.empty(4, 0, dtype=torch.float64), c)[:, 0]
    assert torch.allclose(logits[:, 0], torch.linalg.vecdot(features[0], label) / 2)


# Maps


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_synthesis_returns_the_outputs_of_its_convolutions(architecture: str) -> None:
    g, ws = small_generator(architecture=architecture), normal(2, 6, 5).requires_grad_()
    outputs = []
    for layer in g.synthesis.convolutions:
        layer.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    image, maps = g.synthesis(ws, return_maps=True)
    assert [tuple(m.shape) for m in maps] == [
        (2, 8, 4, 4), (2, 6, 8, 8), (2, 6, 8, 8), (2, 4, 16, 16), (2, 4, 16, 16)
    ]  # fmt: skip
    assert all(m is output for m, output in zip(maps, outputs, strict=True))
    assert torch.equal(image, g.synthesis(ws))
    for i, m in enumerate(maps):  # the map of convolution i knows of its style, and of no later one
        (gradient,) = torch.autograd.grad(m.square().sum(), ws, retain_graph=True)
        reached = gradient.abs().sum((0, 2)) > 0
        assert reached.tolist() == [j <= i for j in range(6)]
    image, maps = g(normal(2, 6), noise="none", return_maps=True)
    assert torch.equal(image, g(normal(2, 6), noise="none")) and len(maps) == 5


@pytest.mark.parametrize("c_dim", [0, 2])
def test_the_discriminator_returns_a_map_for_each_resolution(c_dim: int) -> None:
    torch.manual_seed(0)
    d = Discriminator(16, {4: 8, 8: 6, 16: 4}, c_dim=c_dim).double()
    images, c = normal(4, 3, 16, 16).requires_grad_(), normal(4, 2) if c_dim else None
    logits, maps = d(images, c, return_maps=True)
    assert [tuple(m.shape) for m in maps] == [(4, 4, 16, 16), (4, 6, 8, 8), (4, 8, 4, 4)]
    assert torch.equal(logits, d(images, c)) and logits.shape == (4, 1)
    assert torch.equal(maps[0], d.fromrgb(images)) and torch.equal(maps[2], d.blocks["8"](maps[1]))
    for m in maps:
        (gradient,) = torch.autograd.grad(m.square().sum(), images, retain_graph=True)
        assert gradient.abs().sum() > 0


# Numerics that depend on the machine


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_autocast_keeps_styles_and_image_in_float32(memory_format: torch.memory_format) -> None:
    g = small_generator().float().to(memory_format=memory_format)
    z = normal(4, 6).float()
    exact, styles = g(z), []
    for layer in g.synthesis.convolutions:
        layer.affine.register_forward_hook(lambda module, inputs, output: styles.append(output))
    last, summands = g.synthesis.blocks["16"], []
    last.register_forward_hook(lambda module, inputs, output: summands.append(inputs[1]))
    last.torgb.register_forward_hook(lambda module, inputs, output: summands.append(output))
    with torch.autocast("cpu", torch.bfloat16):
        image = g(z)
    assert torch.equal(image, last.filter.upsample(summands[1]) + summands[0])  # summed in float32
    assert image.dtype == torch.float32 and {s.dtype for s in styles} == {torch.float32}
    assert error(image, exact) < 0.03
    assert not torch.equal(image, exact)  # the convolutions did run in bfloat16
    image.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in g.parameters())

    torch.manual_seed(0)
    d = Discriminator(16, {4: 8, 8: 6, 16: 4}).to(memory_format=memory_format)
    with torch.autocast("cpu", torch.bfloat16):
        logits = d(exact.detach())
    assert logits.dtype == torch.float32
    assert error(logits, d(exact.detach())) < 0.05


def test_channels_last_changes_nothing() -> None:
    g, z = small_generator(architecture="resnet"), normal(2, 6)
    image = g(z)
    image_last = g.to(memory_format=torch.channels_last)(z)
    assert image_last.is_contiguous(memory_format=torch.channels_last)
    assert error(image_last, image) < 1e-12


# Files and names


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"c_dim": 3, "architecture": "resnet", "conv_clamp": 256.0},
        {"architecture": "orig", "demodulation": "rosinality", "image_channels": 1},
    ],
)
def test_generator_file_round_trip(kwargs: dict, tmp_path: Path) -> None:
    g, path = small_generator(**kwargs).float(), tmp_path / "generator.safetensors"
    save(g, path, {"seed": 3})
    loaded = load_generator_file(path)
    assert loaded.config == g.config and not loaded.training
    assert load_tensors(path)[2] == {"seed": 3}
    z, c = normal(2, 6).float(), normal(2, 3).float() if "c_dim" in kwargs else None
    ws = g.mapping(z, c, truncation_psi=0.7)
    assert torch.equal(loaded.mapping(z, c, truncation_psi=0.7), ws)
    assert torch.equal(loaded.synthesis(ws), g.synthesis(ws))


def test_discriminator_file_round_trip(tmp_path: Path) -> None:
    torch.manual_seed(0)
    d, path = Discriminator(8, {4: 4, 8: 3}, c_dim=2, mbstd_group=2), tmp_path / "discriminator.safetensors"
    save(d, path, {})
    loaded = load_discriminator_file(path)
    assert loaded.config == d.config
    images, c = normal(4, 3, 8, 8).float(), normal(4, 2).float()
    assert torch.equal(loaded(images, c), d(images, c))


def test_files_that_are_no_generator(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(FileNotFoundError, match=r"d\.safetensors"):
        load_generator_file(path)
    save(Discriminator(8, {4: 4, 8: 3}), path, {})
    with pytest.raises(ValueError, match="does not hold a Generator"):
        load_generator_file(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged"):
        load_discriminator_file(path)


@pytest.mark.parametrize(
    "change",
    [
        {"resolution": 8192, "channels": {2**i: 8 for i in range(2, 14)}},
        {"channels": {4: 10**9, 8: 10**9}},
        {"channels": {4: 10**30, 8: 8}},
        {"mapping_layers": 10**9},
        {"mapping_layers": "8"},
        {"w_dim": 10**9, "z_dim": 10**9},
        {"z_dim": -1},
        {"c_dim": 10**12},
        {"channels": [8, 8]},
        {"channels": {"four": 8}},
        {"resolution": 2**70},
    ],
    ids=str,
)
def test_a_file_that_declares_more_than_it_holds_takes_no_memory(change: dict, tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    config = {"resolution": 8, "z_dim": 4, "w_dim": 4, "mapping_layers": 1, "channels": {4: 8, 8: 8}}
    save_tensors({"synthesis.const": torch.zeros(8, 4, 4)}, path, config=config | change, provenance={})
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with pytest.raises(ValueError, match=r"huge\.safetensors does not hold a Generator: "):
        load_generator_file(path)
    assert time.perf_counter() - started < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.2 * before


def test_loading_leaves_the_global_randomness_alone(tmp_path: Path) -> None:
    path = tmp_path / "generator.safetensors"
    save(small_generator(), path, {})
    before = torch.get_rng_state()
    load_generator(path)
    load_generator("dog")
    golden_generator(ROSINALITY[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_convert_copies_the_tensors() -> None:
    state_dict = {name: tensor.clone() for name, tensor in part(ADA[0], "state_dict/").items()}
    generator = convert(state_dict)
    with torch.no_grad():
        generator.synthesis.const.zero_()
    assert state_dict["synthesis.b4.const"].abs().sum() > 0


def test_convert_reads_the_configuration() -> None:
    for name in (*ADA, *ROSINALITY):
        config, (_, description) = golden_generator(name).config, golden(name)
        kwargs = description["init_kwargs"]
        assert config["channels"] == {int(r): width for r, width in description["channels"].items()}
        if name in ROSINALITY:
            expected = {"resolution": kwargs["size"], "mapping_layers": kwargs["n_mlp"], "c_dim": 0}
            expected |= {"w_dim": kwargs["style_dim"], "architecture": "skip", "demodulation": "rosinality"}
        else:
            synthesis, layers = kwargs["synthesis_kwargs"], kwargs["mapping_kwargs"]["num_layers"]
            expected = {
                "resolution": kwargs["img_resolution"],
                "mapping_layers": layers,
                "demodulation": "ada",
            }
            expected |= {key: kwargs[key] for key in ("z_dim", "w_dim", "c_dim")}
            expected |= {"architecture": synthesis.get("architecture", "skip")}
        assert expected.items() <= config.items()
    assert golden_generator("golden_nv_32").config["architecture"] == "skip"


def test_rosinality_file_without_mean_and_noises() -> None:
    state_dict = part(ROSINALITY[0], "state_dict/")
    bare = {name: tensor for name, tensor in state_dict.items() if not name.startswith("noises.")}
    g, again = convert(bare, "rosinality"), convert(bare, "rosinality")
    assert all(torch.equal(a, b) for a, b in zip(g.buffers(), again.buffers(), strict=True))
    with torch.no_grad():
        w = g.mapping(normal(4096, 64, seed=5).float())[:, 0]
    # Two means of 4096 samples: they differ by a few standard errors.
    assert ((g.mapping.w_avg - w.mean(0)).abs() / (w.std(0) * math.sqrt(2 / 4096))).max() < 5
    assert torch.equal(g.synthesis.const, state_dict["input.input"][0])


def test_convert_refuses_what_it_does_not_know() -> None:
    state_dict = part("golden_nv_32", "state_dict/")
    with pytest.raises(ValueError, match="layout"):
        convert(state_dict, "tensorflow")
    with pytest.raises(ValueError, match="not part of a StyleGAN2"):
        convert(state_dict, "rosinality")
    with pytest.raises(ValueError, match="synthesis.b4.extra"):
        convert(state_dict | {"synthesis.b4.extra": torch.ones(1)}, "ada")
    with pytest.raises(ValueError, match="noise_strength"):
        convert({k: v for k, v in state_dict.items() if k != "synthesis.b8.conv0.noise_strength"}, "ada")
    with pytest.raises(ValueError, match="the state dict lacks"):
        convert({}, "ada")
    with pytest.raises(ValueError, match="latent_avg"):
        convert(state_dict, "ada", latent_avg=torch.zeros(64))
    with pytest.raises(ValueError, match="lacks 'conv.weight'"):
        convert_discriminator({})


def test_names_select_what_the_paper_trains() -> None:
    names = {name for name, _ in small_generator().named_parameters()}
    trained = {name for name in names if name.startswith("synthesis.") and "torgb" not in name}
    layers = [
        f"synthesis.blocks.{place}." for place in ("4.conv1", "8.conv0", "8.conv1", "16.conv0", "16.conv1")
    ]
    parts = ("weight", "bias", "noise_strength", "affine.weight", "affine.bias")
    assert trained == {"synthesis.const"} | {layer + p for layer in layers for p in parts}
    rgb = {f"synthesis.blocks.{r}.torgb." for r in (4, 8, 16)}
    frozen = {layer + p for layer in rgb for p in parts if p != "noise_strength"}
    frozen |= {f"mapping.layers.{i}.{p}" for i in range(2) for p in ("weight", "bias")}
    assert names - trained == frozen


# Errors


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"architecture": "dense"}, "architecture .* 'dense'"),
        ({"demodulation": "tf"}, "demodulation .* 'tf'"),
        ({"resolution": 24}, "power of two .* 24"),
        ({"resolution": 4}, "power of two"),
        ({"channels": {4: 8, 16: 4}}, r"channels .*\[4, 8, 16\]"),
        ({"channels": {4: 8, 8: 0, 16: 4}}, "positive width"),
        ({"conv_clamp": -1.0}, "conv_clamp must be a positive number, got -1.0"),
        ({"mapping_lr_multiplier": float("inf")}, "mapping_lr_multiplier must be a positive number"),
    ],
)
def test_generator_refuses(kwargs: dict, match: str) -> None:
    options = {"resolution": 16, "z_dim": 6, "w_dim": 5, "channels": {4: 8, 8: 6, 16: 4}} | kwargs
    with pytest.raises(ValueError, match=match):
        Generator(**options)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"z": torch.zeros(2, 5)}, r"z must have shape \(N, 6\), got \(2, 5\)"),
        ({"z": torch.zeros(6)}, "z must have shape"),
        ({"c": torch.zeros(2, 1)}, "takes no labels"),
        ({"truncation_psi": "0.7"}, "truncation_psi .* '0.7'"),
        ({"truncation_psi": float("nan")}, "truncation_psi"),
        ({"truncation_psi": None}, "truncation_psi"),
        ({"truncation_psi": True}, "truncation_psi"),
    ],
)
def test_mapping_refuses(kwargs: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        small_generator().mapping(**{"z": torch.zeros(2, 6, dtype=torch.float64)} | kwargs)


def test_conditional_mapping_needs_a_label_for_each_z() -> None:
    g, z = small_generator(c_dim=3), normal(2, 6)
    for c in (None, torch.zeros(1, 3), torch.zeros(2, 2)):
        with pytest.raises(ValueError, match=r"c must have shape \(2, 3\)"):
            g.mapping(z, c)


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"ws": torch.zeros(2, 5, 5)}, r"ws must have shape \(N, 6, 5\), got \(2, 5, 5\)"),
        ({"ws": torch.zeros(2, 5)}, "ws must have shape"),
        ({"noise": "gaussian"}, "noise .* 'gaussian'"),
        ({"noise": None}, "noise .* NoneType"),
        ({"noise": torch.zeros(5, 4, 4)}, "noise .* Tensor"),
        ({"noise": [torch.zeros(4, 4)] * 4}, "list of 5 maps, got 4"),
        ({"noise": [torch.zeros(4, 4)] * 5}, r"noise\[1\] must have shape \(8, 8\)"),
        ({"noise": [torch.zeros(3, 1, 4, 4)] * 5}, r"noise\[0\] .* \(2, 1, 4, 4\), got \(3, 1, 4, 4\)"),
    ],
)
def test_synthesis_refuses(kwargs: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        small_generator().synthesis(**{"ws": torch.zeros(2, 6, 5)} | kwargs)


def test_discriminator_refuses() -> None:
    with pytest.raises(ValueError, match="architecture .* 'dense'"):
        Discriminator(8, {4: 4, 8: 3}, architecture="dense")
    with pytest.raises(ValueError, match="mbstd_channels must divide the width 4 at 4 px, got 3"):
        Discriminator(8, {4: 4, 8: 3}, mbstd_channels=3)
    with pytest.raises(ValueError, match="conv_clamp must be a positive number, got 'low'"):
        Discriminator(8, {4: 4, 8: 3}, conv_clamp="low")
    with pytest.raises(ValueError, match="mbstd_group .* 0"):
        Discriminator(8, {4: 4, 8: 3}, mbstd_group=0)
    with pytest.raises(ValueError, match="power of two"):
        Discriminator(12, {4: 4, 8: 3})
    d = Discriminator(8, {4: 4, 8: 3})
    with pytest.raises(ValueError, match=r"images must have shape \(N, 3, 8, 8\)"):
        d(torch.zeros(4, 3, 16, 16))
    with pytest.raises(ValueError, match="multiple of mbstd_group = 4, got 6"):
        d(torch.zeros(6, 3, 8, 8))
    with pytest.raises(ValueError, match="takes no labels"):
        d(torch.zeros(4, 3, 8, 8), torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"c must have shape \(4, 2\)"):
        Discriminator(8, {4: 4, 8: 3}, c_dim=2)(torch.zeros(4, 3, 8, 8))
