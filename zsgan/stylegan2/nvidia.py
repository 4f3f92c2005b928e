"""Pickles of NVlabs/stylegan2-ada-pytorch, read as data: see ``zsgan.pickles``.

Such a pickle holds its networks as source code, which is to be executed, and the state of their modules. The
source is left alone, and the state is walked.
"""

import io
import re
import struct
from collections.abc import Iterator, Mapping
from typing import IO, Any

from zsgan.pickles import Makers, Object, opaque, read
from zsgan.torchfiles import MAKERS as TENSORS
from zsgan.torchfiles import Stored, read_legacy

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
_DEPTH = 8  # of modules inside modules; the networks have 3
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
    meta, state = _module(contents[key])
    if meta.get("class_name") != kind:
        raise ValueError(f"{key!r} is a {meta.get('class_name')!r} instead of a {kind}")
    arguments = dict(zip(_ARGUMENTS[kind], state.get("_init_args", ()), strict=False))
    return dict(_tensors(state, "", _DEPTH)), arguments | dict(state["_init_kwargs"])


def _module(value: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a module was pickled with, and its attributes."""
    meta = value.args[0] if isinstance(value, Object) and len(value.args) == 1 else None
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise ValueError("a module is not one of stylegan2-ada-pytorch")
    return meta, meta["state"]


def _tensors(state: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Stored]]:
    if depth == 0:
        raise ValueError(f"modules are nested too deeply: {prefix}")
    for name, value in {**state["_parameters"], **state["_buffers"]}.items():
        if isinstance(value, Stored):
            yield f"{prefix}{name}", value
        elif value is not None:
            raise ValueError(f"{prefix}{name} is no tensor")
    for name, module in state["_modules"].items():
        yield from _tensors(_module(module)[1], f"{prefix}{name}.", depth - 1)


def _scalar(dtype: Any, data: Any) -> Any:
    """A number of NumPy."""
    kind = dtype.args[0] if isinstance(dtype, Object) and dtype.args else None
    if kind not in _FORMATS or not isinstance(data, bytes) or len(data) != struct.calcsize(_FORMATS[kind]):
        raise ValueError(f"a number of NumPy's type {str(kind)[:20]!r} is damaged or not supported")
    return struct.unpack(_FORMATS[kind], data)[0]


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
    **{name: maker for name, maker in TENSORS.items() if not re.match(r"torch \w+Storage|argparse", name)},
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
