"""The public constructors' arguments in ours: what their tensors do not tell, or have to agree with."""

from collections.abc import Mapping
from typing import Any

from zsgan.stylegan2.layouts import FILTER

# Name of theirs -> name of ours, or the names in a nested mapping.
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
    "ada": {**_COMMON, "z_dim": "z_dim", "w_dim": "w_dim", "synthesis_kwargs": _BLOCKS},
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
# Widths are read from the tensors, and everything is computed in the precision of the weights; without noise,
# there are no tensors of it; layers are frozen, or w averaged, in training alone.
_WITHOUT_EFFECT = {
    "channel_base", "channel_max", "channel_multiplier", "num_fp16_res", "use_fp16", "fp16_channels_last",
    "channels_last", "fused_modconv_default", "use_noise", "freeze_layers", "w_avg_beta",
}  # fmt: skip
_ONLY = {"activation": "lrelu", "kernel_size": 3, "resample_filter": FILTER, "blur_kernel": FILTER}
# Ours that no tensor tells; all the others have to agree with the tensors.
_NOT_IN_TENSORS = {"conv_clamp", "mapping_lr_multiplier", "mbstd_group"}


def complete(config: Mapping[str, Any], init_kwargs: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """The configuration that the tensors gave, with what only the constructor's arguments tell.

    Args:
        config: Arguments of ours, read from the tensors.
        init_kwargs: Arguments of the public constructor; any may be missing.
        names: `GENERATOR[layout]` or `DISCRIMINATOR[layout]`.

    Raises:
        ValueError: If an argument is unknown, not supported, or contradicts the tensors.
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
        if isinstance(inner, str):
            ours[inner] = value
        elif inner is not None:
            if not isinstance(value, Mapping):
                raise ValueError(f"init_kwargs: {name} must be a mapping, got {value!r}")
            ours |= _translated(value, inner)
        elif name in _ONLY:
            only = _ONLY[name]
            if value is not None and (tuple(value) if isinstance(only, tuple) else value) != only:
                raise ValueError(f"init_kwargs: {name}={value!r} is not supported, only {only!r}")
        elif name not in _WITHOUT_EFFECT:
            raise ValueError(f"init_kwargs: {name!r} is unknown; known are {', '.join(names)}")
    return ours
