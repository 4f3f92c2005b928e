"""Arguments of our networks, derived from the tensors and the constructor arguments of public networks."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zsgan.networks.stylegan2.layouts import FILTER

# Their name -> our name, or the names in a nested mapping.
Names = Mapping[str, "str | Names"]

_MAPPING: Names = {
    "num_layers": "mapping_layers",
    "embed_features": "embed_dim",
    "layer_features": "hidden_dim",
    "lr_multiplier": "mapping_lr_multiplier",
}
_BLOCKS: Names = {"architecture": "architecture", "conv_clamp": "conv_clamp"}
_COMMON: Names = {
    "c_dim": "c_dim",
    "img_resolution": "resolution",
    "img_channels": "image_channels",
    "mapping_kwargs": _MAPPING,
}
GENERATOR: Mapping[str, Names] = {
    # The arguments of the blocks are nested in stylegan2-ada-pytorch and flat in stylegan3.
    "ada": {**_COMMON, **_BLOCKS, "z_dim": "z_dim", "w_dim": "w_dim", "synthesis_kwargs": _BLOCKS},
    "rosinality": {
        "size": "resolution",
        "style_dim": "w_dim",
        "n_mlp": "mapping_layers",
        "lr_mlp": "mapping_lr_multiplier",
    },
}
DISCRIMINATOR: Mapping[str, Names] = {
    "ada": {
        **_COMMON,
        **_BLOCKS,
        "cmap_dim": "label_dim",
        "block_kwargs": {},
        "epilogue_kwargs": {"mbstd_group_size": "mbstd_group", "mbstd_num_channels": "mbstd_channels"},
    },
    "rosinality": {"size": "resolution"},
}
# Widths and the use of noise follow from the tensors, the precision is that of the weights, and the others
# concern training only.
_WITHOUT_EFFECT = {
    "channel_base", "channel_max", "channel_multiplier", "num_fp16_res", "use_fp16", "fp16_channels_last",
    "channels_last", "fused_modconv_default", "use_noise", "freeze_layers", "freeze_embed", "w_avg_beta",
    "class_name",
}  # fmt: skip
_ONLY = {"activation": "lrelu", "kernel_size": 3, "resample_filter": FILTER, "blur_kernel": FILTER}
# Our arguments that do not follow from the tensors; all others must agree with the tensors.
_NOT_IN_TENSORS = {"conv_clamp", "mapping_lr_multiplier", "mbstd_group"}


def generator_arguments(tensors: Mapping[str, Tensor], layout: str) -> dict[str, Any]:
    """Arguments of ``Generator``, read from tensors under our names."""
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


def discriminator_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Arguments of ``Discriminator``, read from tensors under our names."""
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


def complete(config: Mapping[str, Any], init_kwargs: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Complete the arguments read from the tensors with those that only the public constructor knows.

    Args:
        config: our arguments, read from the tensors.
        init_kwargs: arguments of the public constructor; any may be missing.
        names: ``GENERATOR[layout]`` or ``DISCRIMINATOR[layout]``.

    Returns:
        our arguments.

    Raises:
        ValueError: an argument is unknown, not supported, or contradicts the tensors.
    """
    given = _translated(init_kwargs, names)
    for name, value in given.items():
        if name not in _NOT_IN_TENSORS and name in config and value not in (None, config[name]):
            raise ValueError(
                f"the init_kwargs say {name}={value!r}, but the tensors {config[name]!r}: they belong to "
                "different networks"
            )
    return {**config, **{name: given[name] for name in _NOT_IN_TENSORS & given.keys()}}


def _translated(arguments: Mapping[str, Any], names: Names) -> dict[str, Any]:
    ours: dict[str, Any] = {}
    for name, value in arguments.items():
        inner = names.get(name)
        if inner is not None:
            if not isinstance(inner, str) and not isinstance(value, Mapping):
                raise ValueError(f"init_kwargs: {name} must be a mapping, got {value!r}")
            more = {inner: value} if isinstance(inner, str) else _translated(value, inner)
            for twice in ours.keys() & more.keys():
                if ours[twice] != more[twice]:
                    both = f"{ours[twice]!r} and {more[twice]!r}"
                    raise ValueError(f"init_kwargs: {twice} is given twice, as {both}")
            ours |= more
        elif name in _ONLY:
            only = _ONLY[name]
            if value is not None and (tuple(value) if isinstance(only, tuple) else value) != only:
                raise ValueError(f"init_kwargs: {name}={value!r} is not supported, only {only!r}")
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"init_kwargs: {name!r} is unknown; known are {', '.join(names)}")
    return ours


def _mapping_config(tensors: Mapping[str, Tensor], output: str) -> dict[str, Any]:
    """Arguments of the mapping network from its tensors; ``output`` names the width of its last layer."""
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


def _matching(tensors: Mapping[str, Tensor], pattern: str) -> list[tuple[str, Tensor]]:
    """The weights whose name matches the pattern, each after the pattern's group."""
    found = [(match[1], name) for name in tensors if (match := re.fullmatch(pattern, name))]
    return [(group, _get(tensors, name)) for group, name in found]


def _get(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """A weight of a linear layer or of a convolution."""
    if name not in tensors:
        raise ValueError(f"the state dict lacks {name!r} (in our names): is it a StyleGAN2 of this layout?")
    if tensors[name].ndim not in (2, 4):
        raise ValueError(f"{name!r} (in our names) must have 2 or 4 axes, got {tuple(tensors[name].shape)}")
    return tensors[name]
