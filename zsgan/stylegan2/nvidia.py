"""Pickles of NVlabs/stylegan2-ada-pytorch, read as data: see ``zsgan.pickles``.

Such a pickle holds its networks as source code, which is to be executed, and the state of their modules. The
source is left alone, and the state is walked.
"""

import io
import re
import struct
from collections.abc import Mapping
from typing import IO, Any

from zsgan.pickles import Makers, Object, opaque, read
from zsgan.torchfiles import MAKERS as TENSORS
from zsgan.torchfiles import Stored, read_legacy, tensors_of

# Positional arguments of the constructors.
_ARGUMENTS = {
    "Generator": (
        "z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs"
    ),
    "Discriminator": (
        "c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max",
        "num_fp16_res", "conv_clamp", "cmap_dim", "block_kwargs", "mapping_kwargs", "epilogue_kwargs",
    ),
}  # fmt: skip
_FORMATS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "i2": "<h", "i1": "<b", "u1": "<B", "b1": "<?"}


def network(stream: IO[bytes], kind: str) -> tuple[dict[str, Stored], dict[str, Any]]:
    """A network of a pickle: G_ema, the averaged generator, or D.

    Args:
        stream: the file.
        kind: "Generator" or "Discriminator".

    Returns:
        its tensors by NVIDIA's names, and the arguments of its constructor.

    Raises:
        ValueError: the pickle is damaged, names anything but what such a pickle needs, or has no such
            network.
    """
    contents, key = read(stream, _MAKERS), {"Generator": "G_ema", "Discriminator": "D"}[kind]
    if not isinstance(contents, dict) or key not in contents:
        raise ValueError(f"no pickle of stylegan2-ada-pytorch: it has no {key!r}")
    meta = _meta(contents[key])
    if meta.get("class_name") != kind:
        raise ValueError(f"{key!r} is not a {kind}")
    state = meta["state"]
    arguments = dict(zip(_ARGUMENTS[kind], state.get("_init_args", ()), strict=False))
    arguments |= dict(state["_init_kwargs"])
    if not _is_plain(arguments, depth=3):
        raise ValueError("the arguments of its constructor are not numbers, texts and groups of these")
    return tensors_of(contents[key], _attributes), arguments


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a value can be looked at and printed: what is nested may hold itself a million times."""
    if not isinstance(value, (dict, list, tuple)):
        return isinstance(value, (int, float, str, type(None)))
    inside = value.values() if isinstance(value, dict) else value
    return depth > 0 and len(value) <= 32 and all(_is_plain(one, depth - 1) for one in inside)


def _meta(module: Any) -> Mapping[str, Any]:
    """What a module was pickled with."""
    meta = module.args[0] if isinstance(module, Object) and len(module.args) == 1 else None
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise ValueError("a module is not one of stylegan2-ada-pytorch")
    return meta


def _attributes(module: Object) -> Mapping[str, Any]:
    """Parameters, buffers and modules of a module."""
    state = _meta(module)["state"]
    return {**state["_parameters"], **state["_buffers"], **state["_modules"]}


def _scalar(dtype: Any, data: Any) -> Any:
    """A number of NumPy."""
    kind = dtype.args[0] if isinstance(dtype, Object) and dtype.args else None
    form = _FORMATS.get(kind) if isinstance(kind, str) else None
    if form is None or not isinstance(data, bytes) or len(data) != struct.calcsize(form):
        raise ValueError("a number of NumPy is damaged, or of a type that is not supported")
    return struct.unpack(form, data)[0]


def _encoded(text: Any, encoding: Any) -> bytes:
    """Bytes, as old protocols write them."""
    if not isinstance(text, str) or len(text) > 100 or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes are written in a way that no checkpoint needs")
    return text.encode("latin-1")


def _storage(data: Any) -> Any:
    if not isinstance(data, bytes):
        raise TypeError("a storage is not made of bytes")
    return read_legacy(io.BytesIO(data), len(data))


def _tensorflow(*_: Any) -> Any:
    raise ValueError(
        "this is a network of TensorFlow; convert it once with legacy.py of stylegan2-ada-pytorch, or take "
        "the PyTorch version of the same network"
    )


_MAKERS: Makers = {
    **{
        name: maker
        for name, maker in TENSORS.items()
        if not re.match(r"torch \w+Storage|argparse|copy_reg|__builtin__", name)
    },
    "torch_utils.persistence _reconstruct_persistent_obj": opaque,
    "dnnlib.util EasyDict": lambda: {},
    "builtins set": lambda items=(): items,
    "torch.storage _load_from_bytes": _storage,
    "numpy dtype": opaque,
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "_codecs encode": _encoded,
    "dnnlib.tflib.network Network": _tensorflow,
}
