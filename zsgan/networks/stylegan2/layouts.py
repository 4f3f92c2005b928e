"""Conversion between the tensor names and shapes of the two public implementations and ours.

- "ada": NVlabs/stylegan2-ada-pytorch.
- "rosinality": rosinality/stylegan2-pytorch.

Convolution weights need no flip; rosinality's tensors have additional axes of length 1.
"""

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zsgan.networks.stylegan2.generator import Generator

LAYOUTS = ("ada", "rosinality")
FILTER = (1, 3, 3, 1)

_TAPS = torch.tensor(FILTER, dtype=torch.float64)
# Buffers that are constants of the architecture; they are checked and dropped.
_FILTER_NAME = re.compile(r"(.+\.)?(resample_filter|kernel)")

Rules = tuple[tuple[str, str], ...]  # (pattern of a public name, our name)

_ADA_GENERATOR: Rules = (
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.(embed\.weight|embed\.bias|w_avg)", r"mapping.\1"),
    (r"synthesis\.b4\.const", r"synthesis.const"),
    (r"synthesis\.b(\d+)\.((conv0|conv1|torgb|skip)\..+)", r"synthesis.blocks.\1.\2"),
)
_ADA_DISCRIMINATOR: Rules = (
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.(embed\.weight|embed\.bias)", r"mapping.\1"),
    (r"b(\d+)\.(fromrgb\..+)", r"fromrgbs.\1.\2"),
    (r"b4\.((conv|fc|out)\..+)", r"\1"),
    (r"b(\d+)\.((conv0|conv1|skip)\..+)", r"blocks.\1.\2"),
)
# The tensors of a layer in rosinality's files. The last is ToRGB's bias.
_ROSINALITY_PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}
_ROSINALITY_FINAL = {
    "final_conv.0.weight": "conv.weight",
    "final_conv.1.bias": "conv.bias",
    "final_linear.0.weight": "fc.weight",
    "final_linear.0.bias": "fc.bias",
    "final_linear.1.weight": "out.weight",
    "final_linear.1.bias": "out.bias",
}
_ROSINALITY_BLOCK = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
# Patterns of BasicSR's names and their replacements in rosinality's, applied in this order.
_BASICSR: Rules = (
    (r"^style_mlp\.", "style."),
    (r"^constant_input\.weight$", "input.input"),
    (r"^style_(convs?)", r"\1"),
    (r"\.modulated_conv\.", ".conv."),
    (r"^(conv1|convs\.\d+)\.weight$", r"\1.noise.weight"),
    (r"^noises\.noise(\d+)$", r"noises.noise_\1"),
)


def generator_tensors(state_dict: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """A public generator's tensors under our names and in our shapes, without copies.

    Args:
        state_dict: tensors under that implementation's names.
        layout: "ada" or "rosinality".

    Returns:
        tensors by our names.

    Raises:
        ValueError: the layout is unknown, a name does not belong to it, or a low-pass filter differs.
    """
    if _known_layout(layout) == "ada":
        return _renamed(state_dict, lambda name: _by_rules(name, _ADA_GENERATOR), filter_gain=1)
    stripped = {name: _strip(name, tensor) for name, tensor in state_dict.items()}
    return _renamed(stripped, _from_rosinality, filter_gain=4)


def discriminator_tensors(state_dict: Mapping[str, Tensor], layout: str) -> dict[str, Tensor]:
    """As ``generator_tensors``, for a discriminator."""
    if _known_layout(layout) == "ada":
        tensors = _renamed(state_dict, lambda name: _by_rules(name, _ADA_DISCRIMINATOR), filter_gain=1)
        largest = max(
            (int(match[1]) for n in tensors if (match := re.match(r"fromrgbs\.(\d+)\.", n))), default=0
        )
        first = f"fromrgbs.{largest}."
        tensors = {re.sub(r"^fromrgbs\.(\d+)\.fromrgb\.", r"fromrgbs.\1.", n): t for n, t in tensors.items()}
        return {n.replace(first, "fromrgb.") if n.startswith(first) else n: t for n, t in tensors.items()}
    size = 4 * 2 ** sum(re.fullmatch(r"convs\.\d+\.skip\.1\.weight", name) is not None for name in state_dict)
    return _renamed(state_dict, lambda name: _from_rosinality_discriminator(name, size), filter_gain=1)


def from_basicsr(name: str) -> str:
    """Rosinality's name of a tensor in BasicSR's generator; the shapes are the same."""
    for theirs, rosinalitys in _BASICSR:
        name = re.sub(theirs, rosinalitys, name)
    return name


def to_rosinality(generator: Generator) -> dict[str, Tensor]:
    """Copies of a generator's tensors, as rosinality has them; a ValueError if it has no such generator."""
    config = generator.config
    needed = {"architecture": "skip", "c_dim": 0, "image_channels": 3, "z_dim": config["w_dim"]}
    if wrong := {name: config[name] for name, value in needed.items() if config[name] != value}:
        raise ValueError(f"rosinality's generator cannot have {wrong}; write a .safetensors file instead")
    kernel = torch.outer(_TAPS, _TAPS).float() / 16
    state = {"input.input": generator.synthesis.const[None]}
    for name, tensor in generator.state_dict().items():
        if match := re.fullmatch(r"mapping\.layers\.(\d+)\.(weight|bias)", name):
            state[f"style.{int(match[1]) + 1}.{match[2]}"] = tensor
        elif match := re.fullmatch(r"synthesis\.blocks\.(\d+)\.(conv0|conv1|torgb)\.(.+)", name):
            level, layer, part = int(match[1]).bit_length() - 3, match[2], match[3]  # level 0 is 4 px
            index = level if layer == "torgb" else 2 * level - (layer == "conv0")
            place = "to_rgb" if layer == "torgb" else "conv"
            place += f"s.{index - 1}" if index else "1"
            if part == "noise_const":
                state[f"noises.noise_{index}"] = tensor[None, None]
            elif layer == "torgb" and part == "bias":
                state[f"{place}.bias"] = tensor[None, :, None, None]
            else:
                theirs = next(key for key, ours in _ROSINALITY_PARTS.items() if ours == part)
                extra_axis = part in ("weight", "noise_strength")
                state[f"{place}.{theirs}"] = tensor[None] if extra_axis else tensor
            if layer == "torgb" and index:
                state[f"{place}.upsample.kernel"] = kernel
            elif layer == "conv0":
                state[f"{place}.conv.blur.kernel"] = kernel
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def check_square(tensors: Mapping[str, Tensor]) -> None:
    """Check that a generator's images are square, by its tensors under our names; a ValueError if not."""
    const = tensors.get("synthesis.const")
    if const is not None and const.ndim == 3 and const.shape[1:] != (4, 4):
        size = " x ".join(str(side) for side in const.shape[1:])
        what = (
            "is not square"
            if const.shape[1] != const.shape[2]
            else "is of a resolution that is no power of two"
        )
        raise ValueError(
            f"the generator {what}: its constant is {size}, not 4 x 4; zsgan knows only generators of square "
            "images of 8, 16, 32, ... px: take one of these"
        )


def one_mean(latent_avg: Tensor) -> Tensor:
    """The mean w (D_w,), from one copy or one per layer, as encoders have; a ValueError if they differ."""
    rows = latent_avg.reshape(-1, latent_avg.shape[-1] if latent_avg.ndim else 1)
    if not (rows == rows[:1]).all():
        raise ValueError(
            f"latent_avg has {len(rows)} means that differ, one for each layer, and truncation is towards a "
            "single one: leave latent_avg out of the file, and the mean is computed"
        )
    return rows[0]


def rosinality_noises(resolution: int) -> list[str]:
    """Our names of a generator's noise maps, in rosinality's order: 4, 8, 8, 16, 16, ... px."""
    n = 2 * (resolution.bit_length() - 3) + 1
    return [f"synthesis.blocks.{_rosinality_convolution(i)}.noise_const" for i in range(n)]


def _known_layout(layout: str) -> str:
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {LAYOUTS}, got {layout!r}")
    return layout


def _renamed(
    state_dict: Mapping[str, Tensor], ours: Callable[[str], str | None], filter_gain: int
) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in state_dict.items():
        if _FILTER_NAME.fullmatch(name):
            _check_filter(name, tensor, filter_gain)
        elif (new := ours(name)) is None:
            raise ValueError(
                f"tensor {name!r} is not part of a StyleGAN2 of this layout: give the right layout"
            )
        else:
            tensors[new] = tensor
    return tensors


def _check_filter(name: str, tensor: Tensor, gain: int) -> None:
    expected = torch.outer(_TAPS, _TAPS) * (gain / 64)
    if tensor.shape != expected.shape or not torch.allclose(tensor.double(), expected, rtol=0, atol=1e-6):
        raise ValueError(f"{name} is not the low-pass filter {list(FILTER)}, the only one that is supported")


def _by_rules(name: str, rules: Rules) -> str | None:
    return next(
        (match.expand(ours) for pattern, ours in rules if (match := re.fullmatch(pattern, name))), None
    )


def _from_rosinality(name: str) -> str | None:
    if name == "input.input":
        return "synthesis.const"
    if match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
        return f"mapping.layers.{int(match[1]) - 1}.{match[2]}"  # style.0 normalises z and has no tensors
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.blocks.{_rosinality_convolution(int(match[1]))}.noise_const"
    if match := re.fullmatch(r"(conv|to_rgb)(?:1|s\.(\d{1,2}))\.(.+)", name):
        index = 0 if match[2] is None else int(match[2]) + 1
        place = _rosinality_convolution(index) if match[1] == "conv" else f"{2 ** (index + 2)}.torgb"
        part = _ROSINALITY_PARTS.get(match[3])
        return None if part is None else f"synthesis.blocks.{place}.{part}"
    return None


def _from_rosinality_discriminator(name: str, size: int) -> str | None:
    if match := re.fullmatch(r"convs\.0\.(0\.weight|1\.bias)", name):
        return "fromrgb." + match[1][2:]
    if match := re.fullmatch(r"convs\.(\d{1,2})\.(.+)", name):
        part = _ROSINALITY_BLOCK.get(match[2])
        return None if part is None else f"blocks.{size >> (int(match[1]) - 1)}.{part}"
    return _ROSINALITY_FINAL.get(name)


def _rosinality_convolution(index: int) -> str:
    """Our name of rosinality's convolution ``index``; these are at 4, 8, 8, 16, 16, ... px."""
    return f"{2 ** ((index + 1) // 2 + 2)}.conv{0 if index % 2 else 1}"


def _strip(theirs: str, tensor: Tensor) -> Tensor:
    """Remove the axes of length 1 that only rosinality's tensors have."""
    if theirs.startswith("noises."):
        return tensor.squeeze(0).squeeze(0)
    if theirs.startswith("to_rgb") and theirs.endswith(".bias") and not theirs.endswith("modulation.bias"):
        return tensor.reshape(-1)
    stripped = theirs == "input.input" or theirs.endswith((".conv.weight", ".noise.weight"))
    return tensor.squeeze(0) if stripped else tensor
