"""NVIDIA's generator written a second time, for all that its constructor can ask for and no golden file has.

Weights are modulated and demodulated for every sample, filters are sums of shifted images, and a layer is
looked up by the name that it has in NVIDIA's state dict: nothing is shared with the code under test.
"""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from public_files import nvidia_pickle
from test_stylegan2 import error, golden_generator, normal, part
from torch import Tensor

from zsgan.networks.stylegan2.checkpoints import convert, load_generator_file

TAPS = (1 / 8, 3 / 8, 3 / 8, 1 / 8)
State = dict[str, Tensor]


def ada_state(
    architecture: str,
    widths: dict[int, int],
    z_dim: int = 6,
    c_dim: int = 0,
    w_dim: int = 5,
    colours: int = 3,
) -> State:
    """Random weights of NVIDIA's generator, under its names; no path is idle."""
    random, state = torch.Generator().manual_seed(0), {}

    def add(name: str, *shape: int, mean: float = 0.0) -> None:
        state[name] = mean + torch.randn(shape, generator=random)

    def layer(name: str, n_in: int, n_out: int, kernel: int, r: int | None) -> None:
        add(f"{name}.weight", n_out, n_in, kernel, kernel)
        add(f"{name}.bias", n_out)
        add(f"{name}.affine.weight", n_in, w_dim)
        add(f"{name}.affine.bias", n_in, mean=1.0)
        if r:
            add(f"{name}.noise_const", r, r)
            add(f"{name}.noise_strength")

    before, last = 0, max(widths)
    for r, width in widths.items():
        block = f"synthesis.b{r}"
        if r == 4:
            add(f"{block}.const", width, 4, 4)
        else:
            layer(f"{block}.conv0", before, width, 3, r)
            if architecture == "resnet":
                add(f"{block}.skip.weight", width, before, 1, 1)
        layer(f"{block}.conv1", width, width, 3, r)
        if architecture == "skip" or r == last:
            layer(f"{block}.torgb", width, colours, 1, None)
        before = width
    if c_dim:
        add("mapping.embed.weight", w_dim, c_dim)
        add("mapping.embed.bias", w_dim)
    for i, n_in in enumerate((z_dim + w_dim * bool(c_dim), w_dim)):
        add(f"mapping.fc{i}.weight", w_dim, n_in)
        add(f"mapping.fc{i}.bias", w_dim)
    add("mapping.w_avg", w_dim)
    return state


def doubled(x: Tensor) -> Tensor:
    """Zeros between the pixels, one after the last row and column too."""
    wide = x.new_zeros(*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1])
    wide[..., ::2, ::2] = x
    return wide


def filtered(x: Tensor, before: int, after: int) -> Tensor:
    """The low-pass filter with the gain of 4 that up-sampling by 2 needs."""
    x = F.pad(x, (before, after, before, after))
    h, w = x.shape[-2] - 3, x.shape[-1] - 3
    shifts = product(enumerate(TAPS), repeat=2)
    return sum(4 * a * b * x[..., i : i + h, j : j + w] for (i, a), (j, b) in shifts)


def plain_mapping(state: State, z: Tensor, c: Tensor | None) -> Tensor:
    """w of latents; the multiplier of the learning rate is 0.01, as by default."""

    def unit(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    inputs = [unit(z)] if z.shape[1] else []
    if c is not None:
        embed = state["mapping.embed.weight"]
        inputs.append(unit(c @ embed.T / math.sqrt(c.shape[1]) + state["mapping.embed.bias"]))
    x = torch.cat(inputs, dim=1)
    for i in (0, 1):
        weight, bias = state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]
        x = F.leaky_relu(0.01 * (x @ weight.T / math.sqrt(x.shape[1]) + bias), 0.2) * math.sqrt(2)
    return x


def plain_synthesis(state: State, ws: Tensor, clamp: float, noise: list[Tensor] | None) -> Tensor:
    """Images of one style for each layer; ``noise`` are maps in the order of the layers."""
    names = {key.split(".")[1] for key in state if key.startswith("synthesis.")}
    resolutions = sorted(int(name[1:]) for name in names)

    def convolution(name: str, x: Tensor, w: Tensor, up: bool, noise: Tensor | None, gain: float) -> Tensor:
        style = w @ state[f"{name}.affine.weight"].T / math.sqrt(w.shape[1]) + state[f"{name}.affine.bias"]
        weights = state[f"{name}.weight"] * style[:, None, :, None, None]  # (N, O, I, 3, 3)
        weights = weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        if up:  # the transposed convolution, as a convolution with flipped weights of an image with gaps
            each = [
                F.conv2d(F.pad(doubled(a[None]), (2, 1, 2, 1)), k.flip(2, 3))
                for a, k in zip(x, weights, strict=True)
            ]
            x = filtered(torch.cat(each), 1, 1)
        else:
            each = [F.conv2d(a[None], k, padding=1) for a, k in zip(x, weights, strict=True)]
            x = torch.cat(each)
        if noise is not None:
            x = x + noise * state[f"{name}.noise_strength"]
        x = F.leaky_relu(x + state[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2) * gain
        return x.clamp(-clamp * gain, clamp * gain)

    image, used = None, 0
    x = state["synthesis.b4.const"].expand(len(ws), -1, -1, -1)
    maps = iter(noise) if noise else None
    for r in resolutions:
        block = f"synthesis.b{r}"
        residual = f"{block}.skip.weight" in state
        gain = math.sqrt(0.5) if residual else 1.0
        before = x
        for layer in ("conv0", "conv1")[r == 4 :]:
            own = gain if layer == "conv1" else 1.0
            x = convolution(
                f"{block}.{layer}", x, ws[:, used], layer == "conv0", next(maps) if maps else None, own
            )
            used += 1
        if residual:
            weight = state[f"{block}.skip.weight"]
            x = x + gain * filtered(doubled(F.conv2d(before, weight / math.sqrt(weight.shape[1]))), 2, 1)
        if image is not None:
            image = filtered(doubled(image), 2, 1)
        if f"{block}.torgb.weight" in state:
            rgb, w = f"{block}.torgb", ws[:, used]
            style = w @ state[f"{rgb}.affine.weight"].T / math.sqrt(w.shape[1]) + state[f"{rgb}.affine.bias"]
            weights = state[f"{rgb}.weight"][None] * style[:, None, :, None, None] / math.sqrt(style.shape[1])
            new = torch.einsum("noi,nihw->nohw", weights[..., 0, 0], x) + state[f"{rgb}.bias"][:, None, None]
            new = new.clamp(-clamp, clamp)
            image = new if image is None else image + new
    assert image is not None
    return image


WIDTHS = {4: 7, 8: 6, 16: 5, 32: 4}
CASES = [
    {"architecture": architecture, "c_dim": c_dim, "clamp": clamp}
    for architecture, c_dim, clamp in product(("skip", "resnet", "orig"), (0, 3), (None, 2.0))
] + [
    {"architecture": "skip", "colours": 1},
    {"architecture": "resnet", "colours": 4},
    {"architecture": "skip", "z_dim": 0, "c_dim": 3},
    {"architecture": "orig", "widths": {4: 3, 8: 9}},
    {"architecture": "skip", "widths": {4: 4, 8: 4, 16: 4, 32: 4, 64: 2, 128: 2}},
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
@torch.no_grad()
def test_every_generator_equals_a_second_implementation(case: dict, tmp_path) -> None:
    case = {"clamp": None, "c_dim": 0, "z_dim": 6, "colours": 3, "widths": WIDTHS} | case
    clamp, architecture, widths = case.pop("clamp"), case["architecture"], case["widths"]
    state = ada_state(**case)
    kwargs = {"z_dim": case["z_dim"], "c_dim": case["c_dim"], "w_dim": 5, "img_resolution": max(widths)}
    kwargs |= {"img_channels": case["colours"], "mapping_kwargs": {"num_layers": 2}}
    kwargs["synthesis_kwargs"] = {"architecture": architecture, "conv_clamp": clamp, "num_fp16_res": 2}
    file = tmp_path / "any.pkl"
    file.write_bytes(nvidia_pickle(state, kwargs))
    g = load_generator_file(file).double()
    assert g.config["architecture"] == architecture and g.config["channels"] == widths
    z, c = normal(2, case["z_dim"]), normal(2, case["c_dim"], seed=1) if case["c_dim"] else None
    double = {name: tensor.double() for name, tensor in state.items()}
    w, average = plain_mapping(double, z, c), double["mapping.w_avg"]
    assert error(g.mapping(z, c)[:, 0], w) < 1e-12
    n_ws = g.synthesis.n_ws
    truncated = (average + 0.6 * (w - average))[:, None].repeat(1, n_ws, 1)
    assert error(g.mapping(z, c, 0.6), truncated) < 1e-12

    limit = math.inf if clamp is None else clamp
    const = [double[f"{layer}.noise_const"] for layer in layers(widths)]
    given = [normal(2, 1, *m.shape, seed=2 + i) for i, m in enumerate(const)]
    mixed = normal(2, n_ws, 5, seed=1)
    for ws in (truncated, mixed):
        for noise, maps in (("const", const), ("none", None), (given, given)):
            assert error(g.synthesis(ws, noise=noise), plain_synthesis(double, ws, limit, maps)) < 1e-11
    if clamp is not None:
        unclamped = plain_synthesis(double, mixed, math.inf, const)
        assert error(g.synthesis(mixed), unclamped) > 1e-3  # the clamp bites
    torch.manual_seed(3)
    drawn = [torch.randn(2, 1, *m.shape) for m in const]  # one after another, as NVIDIA's layers draw them
    torch.manual_seed(3)
    single = convert(state, **kwargs).synthesis(mixed.float(), noise="random")
    expected = plain_synthesis(double, mixed.float().double(), limit, [m.double() for m in drawn])
    assert error(single.double(), expected) < 2e-5


def layers(widths: dict[int, int]) -> list[str]:
    """Names of the convolutions, from 4 px up."""
    return [f"synthesis.b{r}.{layer}" for r in widths for layer in ("conv0", "conv1")[r == 4 :]]


@pytest.mark.parametrize("name", ["golden_nv_32", "golden_nv_resnet_32", "golden_nv_clamp_32"])
def test_the_second_implementation_is_nvidias(name: str) -> None:
    """It is held to the golden files itself."""
    state = {key: tensor.double() for key, tensor in part(name, "state_dict/").items()}
    io, clamp = part(name, "io/"), golden_generator(name).config["conv_clamp"]
    widths = golden_generator(name).config["channels"]
    const = [state[f"{layer}.noise_const"] for layer in layers(widths)]
    images = plain_synthesis(state, io["ws_mixed"].double(), clamp or math.inf, const)
    assert error(images, io["img_const_ws_mixed_f64"]) < 1e-9
