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
from zsgan.stylegan2.arguments import DISCRIMINATOR, GENERATOR, complete
from zsgan.stylegan2.discriminator import Discriminator
from zsgan.stylegan2.generator import Generator
from zsgan.stylegan2.layouts import discriminator_tensors, generator_tensors, rosinality_noises

W_AVG_SAMPLES = 4096
SEED = 0  # of what a rosinality file may lack: the mean w and the noise maps

Network = TypeVar("Network", Generator, Discriminator)


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
    tensors do not tell has to be given: above all the clamp, 256 in NVIDIA's released files.

    Args:
        state_dict: the tensors under the names of that implementation.
        layout: "ada" or "rosinality".
        latent_avg: (D_w,) or (1, D_w), the mean w that rosinality's files keep beside the state dict; None
            for the mean of 4096 w drawn with a fixed seed. Not for "ada", which has it among the tensors.
        **init_kwargs: Arguments of that implementation's constructor: `z_dim`, `c_dim`, `w_dim`,
            `img_resolution`, `img_channels`, `mapping_kwargs` and `synthesis_kwargs` for "ada", `size`,
            `style_dim`, `n_mlp`... for "rosinality". What the tensors tell as well has to agree with them.

    Returns:
        the generator, float32, on the CPU, in evaluation mode.

    Raises:
        ValueError: If the layout or an argument is unknown or contradicts the tensors, or a tensor is
            missing, superfluous or of the wrong shape.
    """
    tensors = generator_tensors(state_dict, layout)
    if layout == "ada" and latent_avg is not None:
        raise ValueError('latent_avg is for layout "rosinality"; "ada" has mapping.w_avg in the state dict')
    config = complete(_generator_config(tensors, layout), init_kwargs, GENERATOR[layout])
    if layout == "ada":
        return _build(Generator, config, tensors | _idle_noise(tensors, config, init_kwargs))

    random = torch.Generator().manual_seed(SEED)
    for name in rosinality_noises(config["resolution"]):
        r = int(name.split(".")[2])
        tensors.setdefault(name, torch.randn(r, r, generator=random))
    tensors["mapping.w_avg"] = torch.zeros(config["w_dim"]) if latent_avg is None else latent_avg.reshape(-1)
    generator = _build(Generator, config, tensors)
    if latent_avg is None:
        with torch.no_grad():
            z = torch.randn(W_AVG_SAMPLES, generator.mapping.z_dim, generator=random)
            generator.mapping.w_avg.copy_(generator.mapping(z)[:, 0].mean(0))
    return generator


def convert_discriminator(
    state_dict: Mapping[str, Tensor], layout: str = "ada", **init_kwargs: Any
) -> Discriminator:
    """Build a discriminator from the state dict of a public implementation; otherwise as `convert`."""
    tensors = discriminator_tensors(state_dict, layout)
    config = complete(_discriminator_config(tensors), init_kwargs, DISCRIMINATOR[layout])
    return _build(Discriminator, config, tensors)


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
        raise ValueError(f"mapping_layers={layers} does not fit {len(tensors)} tensors")
    try:
        with torch.device("meta"):  # shapes without memory
            network(**config).load_state_dict(dict(tensors), assign=True)
    except RuntimeError as error:
        raise ValueError(f"the tensors do not fit the {network.__name__}: {error}") from error
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        module = network(**config)
    module.load_state_dict(dict(tensors))
    return module.eval()


def _generator_config(tensors: Mapping[str, Tensor], layout: str) -> dict[str, Any]:
    """Arguments of `Generator`, read from tensors under our names."""
    channels = {int(r): len(t) for r, t in _matching(tensors, r"synthesis\.blocks\.(\d{1,4})\.conv1\.weight")}
    resolution = max(channels, default=0)
    torgb = _matching(tensors, r"synthesis\.blocks\.(\d+)\.torgb\.weight")
    if _matching(tensors, r"synthesis\.blocks\.(\d+)\.skip\.weight"):
        architecture = "resnet"
    else:
        architecture = "orig" if len(torgb) == 1 else "skip"
    return {
        "resolution": resolution,
        "channels": channels,
        "image_channels": len(_get(tensors, f"synthesis.blocks.{resolution}.torgb.weight")),
        "architecture": architecture,
        "demodulation": layout,
        **_mapping_config(tensors, "w_dim"),
    }


def _discriminator_config(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of `Discriminator`, read from tensors under our names."""
    epilogue = _get(tensors, "conv.weight")
    blocks = _matching(tensors, r"blocks\.(\d{1,4})\.conv0\.weight")
    channels = {4: epilogue.shape[0]} | {int(r): len(t) for r, t in blocks}
    if _matching(tensors, r"blocks\.(\d+)\.skip\.weight"):
        architecture = "resnet"
    else:
        architecture = "skip" if _matching(tensors, r"fromrgbs\.(\d+)\.weight") else "orig"
    config: dict[str, Any] = {
        "resolution": max(channels),
        "channels": channels,
        "c_dim": 0,
        "image_channels": _get(tensors, "fromrgb.weight").shape[1],
        "architecture": architecture,
        "mbstd_channels": epilogue.shape[1] - epilogue.shape[0],
    }
    if "mapping.embed.weight" in tensors:
        config |= _mapping_config(tensors, "label_dim")
        del config["z_dim"]
    return config


def _mapping_config(tensors: Mapping[str, Tensor], output: str) -> dict[str, Any]:
    """What the mapping network's tensors tell; `output` is our name of the width of its last layer."""
    layers = dict(_matching(tensors, r"mapping\.layers\.(\d{1,3})\.weight"))
    first, last = (_get(tensors, f"mapping.layers.{i}.weight") for i in (0, max(0, len(layers) - 1)))
    embed_dim = c_dim = 0
    if "mapping.embed.weight" in tensors:
        embed_dim, c_dim = _get(tensors, "mapping.embed.weight").shape[:2]
    return {
        "z_dim": first.shape[1] - embed_dim,
        "c_dim": c_dim,
        output: len(last),
        "mapping_layers": len(layers),
        "embed_dim": embed_dim or None,
        "hidden_dim": len(first) if len(layers) > 1 else None,
    }


def _idle_noise(
    tensors: Mapping[str, Tensor], config: Mapping[str, Any], init_kwargs: Mapping[str, Any]
) -> dict[str, Tensor]:
    """Noise of strength 0, for a generator that was built without any (`use_noise=False`)."""
    if init_kwargs.get("synthesis_kwargs", {}).get("use_noise", True):
        return {}
    maps = {name: int(name.split(".")[2]) for name in rosinality_noises(config["resolution"])}
    strengths = {name.replace("noise_const", "noise_strength"): torch.zeros(()) for name in maps}
    return {name: torch.zeros(r, r) for name, r in maps.items()} | strengths


def _matching(tensors: Mapping[str, Tensor], pattern: str) -> list[tuple[str, Tensor]]:
    """The weights whose name matches, with the group of the pattern."""
    found = [(match[1], name) for name in tensors if (match := re.fullmatch(pattern, name))]
    return [(group, _get(tensors, name)) for group, name in found]


def _get(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """A weight of a linear layer or of a convolution."""
    if name not in tensors:
        raise ValueError(f"the state dict lacks {name!r} (in our names): is it a StyleGAN2 of this layout?")
    if tensors[name].ndim not in (2, 4):
        raise ValueError(f"{name!r} (in our names) must have 2 or 4 axes, got {tuple(tensors[name].shape)}")
    return tensors[name]
