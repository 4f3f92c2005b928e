"""Weights of StyleGAN2: the public layouts converted to our names, and our own safetensors files.

The public layouts, both PyTorch state dicts:

- "ada": NVlabs/stylegan2-ada-pytorch.
- "rosinality": rosinality/stylegan2-pytorch.

Our files hold the tensors and, in the header, the configuration that rebuilds the network and the provenance
of the weights. Reading one executes nothing.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from zsgan.files import load_tensors, save_tensors
from zsgan.stylegan2.discriminator import Discriminator
from zsgan.stylegan2.generator import Generator

LAYOUTS = ("ada", "rosinality")
W_AVG_SAMPLES = 4096
SEED = 0  # of what a rosinality file may lack: the mean w and the noise maps

Network = TypeVar("Network", Generator, Discriminator)
Rules = tuple[tuple[str, str], ...]  # (pattern of a public name, our name)

# The low-pass filters, which are constants of the architecture.
_IGNORED = re.compile(r"(.+\.)?(resample_filter|kernel)")

_ADA_GENERATOR: Rules = (
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.(embed\.weight|embed\.bias|w_avg)", r"mapping.\1"),
    (r"synthesis\.b4\.const", r"synthesis.const"),
    (r"synthesis\.b(\d+)\.((conv0|conv1|torgb|skip)\..+)", r"synthesis.blocks.\1.\2"),
)
_ADA_DISCRIMINATOR: Rules = (
    (r"mapping\.fc(\d+)\.(weight|bias)", r"mapping.layers.\1.\2"),
    (r"mapping\.(embed\.weight|embed\.bias)", r"mapping.\1"),
    (r"b\d+\.(fromrgb\..+)", r"\1"),
    (r"b4\.((conv|fc|out)\..+)", r"\1"),
    (r"b(\d+)\.((conv0|conv1|skip)\..+)", r"blocks.\1.\2"),
)
# The parts of a layer in rosinality's files. The last is ToRGB's.
_ROSINALITY_PARTS = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def save(module: Generator | Discriminator, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write a network to one of our safetensors files.

    Args:
        module: the network; its buffers (``w_avg``, noise maps) are kept too.
        path: the file to write, atomically.
        provenance: how the weights were made (command, seed, ...); must be JSON.
    """
    save_tensors(module.state_dict(), path, config=module.config, provenance=provenance)


def load_generator_file(path: Path) -> Generator:
    """Read a generator from one of our safetensors files: float32, on the CPU, in evaluation mode.

    Args:
        path: the file.

    Returns:
        the generator that its header describes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or holds anything but a generator.
    """
    return _load_file(Generator, path)


def load_discriminator_file(path: Path) -> Discriminator:
    """Read a discriminator from one of our safetensors files; otherwise as ``load_generator_file``."""
    return _load_file(Discriminator, path)


def convert(
    state_dict: Mapping[str, Tensor],
    layout: str = "ada",
    *,
    latent_avg: Tensor | None = None,
    **init_kwargs: Any,
) -> Generator:
    """Build a generator from the state dict of a public implementation.

    Sizes, architecture and the placement of the demodulation's epsilon follow from tensors and layout. What
    tensors do not tell has to be given: above all ``conv_clamp``, 256 in NVIDIA's released files.

    Args:
        state_dict: the tensors under the names of that implementation.
        layout: "ada" or "rosinality".
        latent_avg: (D_w,) or (1, D_w), the mean w that rosinality's files keep beside the state dict; None
            for the mean of 4096 w drawn with a fixed seed. Not for "ada", which has it among the tensors.
        **init_kwargs: arguments of ``Generator`` that win over what the tensors say.

    Returns:
        the generator, float32, on the CPU, in evaluation mode.

    Raises:
        ValueError: the layout is unknown, or a tensor is missing, superfluous or of the wrong shape.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {LAYOUTS}, got {layout!r}")
    if layout == "ada" and latent_avg is not None:
        raise ValueError('latent_avg is for layout "rosinality"; "ada" has mapping.w_avg in the state dict')
    tensors = _rename(state_dict, _ADA_GENERATOR) if layout == "ada" else _rename_rosinality(state_dict)
    config = _generator_config(tensors, layout) | init_kwargs
    if layout == "ada":
        return _build(Generator, config, tensors)

    random = torch.Generator().manual_seed(SEED)
    for i in range(2 * len(config["channels"]) - 1):
        place = _rosinality_convolution(i)
        r = int(place.split(".")[0])
        tensors.setdefault(f"synthesis.blocks.{place}.noise_const", torch.randn(r, r, generator=random))
    tensors["mapping.w_avg"] = torch.zeros(config["w_dim"]) if latent_avg is None else latent_avg.reshape(-1)
    generator = _build(Generator, config, tensors)
    if latent_avg is None:
        with torch.no_grad():
            z = torch.randn(W_AVG_SAMPLES, generator.mapping.z_dim, generator=random)
            generator.mapping.w_avg.copy_(generator.mapping(z)[:, 0].mean(0))
    return generator


def convert_discriminator(state_dict: Mapping[str, Tensor], **init_kwargs: Any) -> Discriminator:
    """Build a discriminator from a state dict of the layout "ada"; otherwise as ``convert``."""
    tensors = _rename(state_dict, _ADA_DISCRIMINATOR)
    blocks = _matching(tensors, r"blocks\.(\d+)\.conv0\.weight")
    channels = {4: _get(tensors, "conv.weight").shape[0]} | {int(r): len(t) for r, t in blocks.items()}
    config: dict[str, Any] = {
        "resolution": max(channels),
        "channels": channels,
        "c_dim": tensors["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in tensors else 0,
        "image_channels": _get(tensors, "fromrgb.weight").shape[1],
    }
    return _build(Discriminator, config | init_kwargs, tensors)


def _load_file(network: type[Network], path: Path) -> Network:
    tensors, config, _ = load_tensors(path)
    try:
        return _build(network, config, tensors)
    except (AttributeError, TypeError, ValueError) as error:  # whatever a foreign configuration provokes
        raise ValueError(f"{path} does not hold a {network.__name__}: {error}") from error


def _build(network: type[Network], config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Network:
    """The network that the configuration describes, filled with all the tensors, in evaluation mode.

    PyTorch's default random generator stays where it was.

    Raises:
        ValueError: a tensor is missing, superfluous or of the wrong shape; found before any memory is
            taken for what the configuration declares.
    """
    layers = config.get("mapping_layers", 0)
    if layers > len(tensors):
        raise ValueError(f"mapping_layers={layers} does not fit {len(tensors)} tensors: fetch them again")
    try:
        with torch.device("meta"):  # shapes without memory
            network(**config).load_state_dict(dict(tensors), assign=True)
    except RuntimeError as error:
        raise ValueError(f"the tensors do not fit the {network.__name__}: {error}") from error
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        module = network(**config)
    module.load_state_dict(dict(tensors))
    return module.eval()


def _rename(state_dict: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in state_dict.items():
        matches = (match.expand(ours) for pattern, ours in rules if (match := re.fullmatch(pattern, name)))
        if not _IGNORED.fullmatch(name):
            tensors[_known(next(matches, None), name)] = tensor
    return tensors


def _rename_rosinality(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in state_dict.items():
        ours = None
        if _IGNORED.fullmatch(name):
            continue
        if name == "input.input":
            ours = "synthesis.const"
        elif match := re.fullmatch(r"style\.(\d+)\.(weight|bias)", name):
            ours = f"mapping.layers.{int(match[1]) - 1}.{match[2]}"  # style.0 normalises z and has no tensors
        elif match := re.fullmatch(r"noises\.noise_(\d+)", name):
            ours = f"synthesis.blocks.{_rosinality_convolution(int(match[1]))}.noise_const"
        elif match := re.fullmatch(r"(conv|to_rgb)(?:1|s\.(\d+))\.(.+)", name):
            index = 0 if match[2] is None else int(match[2]) + 1
            place = _rosinality_convolution(index) if match[1] == "conv" else f"{2 ** (index + 2)}.torgb"
            if part := _ROSINALITY_PARTS.get(match[3]):
                ours = f"synthesis.blocks.{place}.{part}"
        tensors[_known(ours, name)] = _strip(tensor, name)
    return tensors


def _strip(tensor: Tensor, name: str) -> Tensor:
    """Drop the axes of length 1 that rosinality's tensors have and ours have not."""
    if name.endswith("conv.weight") or name == "input.input":
        return tensor[0]
    if name.startswith("noises."):
        return tensor[0, 0]
    if name.endswith("noise.weight"):
        return tensor.reshape(())
    return tensor.reshape(-1) if name.startswith("to_rgb") and name.endswith(".bias") else tensor


def _known(ours: str | None, name: str) -> str:
    if ours is None:
        raise ValueError(f"tensor {name!r} is not part of a StyleGAN2 of this layout: give the right layout")
    return ours


def _rosinality_convolution(index: int) -> str:
    """Place of a convolution in our blocks; rosinality counts them over 4, 8, 8, 16, 16, ... px."""
    return f"{2 ** ((index + 1) // 2 + 2)}.conv{0 if index % 2 else 1}"


def _generator_config(tensors: Mapping[str, Tensor], layout: str) -> dict[str, Any]:
    """Arguments of ``Generator``, read from tensors under our names."""
    w_dim, n_in = _get(tensors, "mapping.layers.0.weight").shape
    c_dim = tensors["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in tensors else 0
    blocks = _matching(tensors, r"synthesis\.blocks\.(\d+)\.conv1\.weight")
    channels = {int(r): len(weight) for r, weight in blocks.items()}
    resolution = max(channels, default=0)
    if _matching(tensors, r"synthesis\.blocks\.(\d+)\.skip\.weight"):
        architecture = "resnet"
    elif len(_matching(tensors, r"synthesis\.blocks\.(\d+)\.torgb\.weight")) == 1:
        architecture = "orig"
    else:
        architecture = "skip"
    return {
        "resolution": resolution,
        "z_dim": n_in - (w_dim if c_dim else 0),
        "w_dim": w_dim,
        "c_dim": c_dim,
        "mapping_layers": len(_matching(tensors, r"mapping\.layers\.(\d+)\.weight")),
        "channels": channels,
        "image_channels": len(_get(tensors, f"synthesis.blocks.{resolution}.torgb.weight")),
        "architecture": architecture,
        "demodulation": layout,
    }


def _matching(tensors: Mapping[str, Tensor], pattern: str) -> dict[str, Tensor]:
    """The tensors whose name matches, by the group of the pattern."""
    return {match[1]: tensor for name, tensor in tensors.items() if (match := re.fullmatch(pattern, name))}


def _get(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise ValueError(f"the state dict lacks {name!r} (in our names): is it a StyleGAN2 of this layout?")
    return tensors[name]
