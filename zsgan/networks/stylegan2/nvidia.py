"""Networks in pickles of NVlabs/stylegan2-ada-pytorch and stylegan3, read by ``zsgan.assets.pickles``.

Such a pickle holds the source code of its networks and the state of their modules. The source code is never
executed; the tensors are read from the state.
"""

import io
import struct
from collections.abc import Mapping
from typing import Any

from zsgan.assets.pickles import Makers, Object
from zsgan.assets.torchfiles import MAKERS as TENSORS
from zsgan.assets.torchfiles import Stored, read_legacy, tensors_of

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
# A layer that has the common clamp: the default is None in stylegan2-ada-pytorch and 256 in stylegan3.
_CLAMPED = {"Generator": ("synthesis", "b4", "conv1"), "Discriminator": ("b4", "conv")}
_PERSISTENT = "torch_utils.persistence _reconstruct_persistent_obj"
_FORMATS = {
    "f8": "<d", "f4": "<f", "f2": "<e", "i8": "<q", "i4": "<i", "i2": "<h", "i1": "<b", "u1": "<B", "b1": "<?"
}  # fmt: skip


def class_of(module: Object) -> str | None:
    """Class name of one of NVIDIA's modules; None for any other object."""
    meta = module.args[0] if module.name == _PERSISTENT and len(module.args) == 1 else None
    name = meta.get("class_name") if isinstance(meta, dict) else None
    return name if isinstance(name, str) else None


def tensors(module: Object) -> dict[str, Stored]:
    """Tensors of one of NVIDIA's modules by their names in a state dict; a ValueError if it is none."""
    return tensors_of(module, _attributes)


def arguments(module: Object, kind: str) -> dict[str, Any]:
    """Arguments of the constructor of a "Generator" or "Discriminator", with the clamp stored in its layers.

    An argument that is not a number, a text or a group of these raises a ValueError.
    """
    state = _meta(module)["state"]
    found = dict(zip(_ARGUMENTS[kind], state.get("_init_args", ()), strict=False))
    found |= dict(state["_init_kwargs"])
    _check_plain(found, depth=3)
    layer: Any = module
    for part in _CLAMPED[kind]:
        layer = _attributes(layer).get(part) if isinstance(layer, Object) else None
    if isinstance(layer, Object) and "conv_clamp" in (state := _meta(layer)["state"]):
        inner = found.get("synthesis_kwargs")
        if isinstance(inner, dict):
            found["synthesis_kwargs"] = {k: v for k, v in inner.items() if k != "conv_clamp"}
        found["conv_clamp"] = state["conv_clamp"]
    return found


def _check_plain(value: Any, depth: int) -> None:
    """Refuse values that cannot be compared and printed, since nested ones may contain themselves."""
    if isinstance(value, Object):
        raise ValueError(value.refusal)
    group = isinstance(value, (dict, list, tuple))
    if not ((group and depth > 0 and len(value) <= 32) or isinstance(value, (int, float, str, type(None)))):
        raise ValueError("the arguments of its constructor are not numbers, texts and groups of these")
    for one in (value.values() if isinstance(value, dict) else value) if group else ():
        _check_plain(one, depth - 1)


def _meta(module: Object) -> Mapping[str, Any]:
    """The dictionary with which a module was pickled."""
    if module.name != _PERSISTENT:
        raise ValueError(module.refusal)
    meta = module.args[0] if len(module.args) == 1 else None
    if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
        raise ValueError("a module is not one of NVIDIA's")
    return meta


def _attributes(module: Object) -> dict[str, Any]:
    """Parameters, buffers and modules of a module."""
    state = _meta(module)["state"]
    found = {**state["_parameters"], **state["_buffers"], **state["_modules"]}
    if unknown := [one for one in found.values() if isinstance(one, Object) and one.name != _PERSISTENT]:
        raise ValueError(unknown[0].refusal)
    return found


def _scalar(dtype: Any, data: Any) -> Any:
    """A NumPy scalar."""
    kind = dtype.args[0] if isinstance(dtype, Object) and dtype.args else None
    form = _FORMATS.get(kind) if isinstance(kind, str) else None
    if form is None or not isinstance(data, bytes) or len(data) != struct.calcsize(form):
        return Object("numpy scalar", (dtype, data))
    return struct.unpack(form, data)[0]


def _encoded(text: Any, encoding: Any) -> bytes | Object:
    """The bytes of a NumPy scalar in old pickle protocols."""
    if not isinstance(text, str) or len(text) > 100 or encoding not in ("latin1", "latin-1"):
        return Object("_codecs encode", (text, encoding))
    return text.encode("latin-1")


def _storage(data: Any) -> Any:
    if not isinstance(data, bytes):
        raise TypeError("a storage is not made of bytes")
    return read_legacy(io.BytesIO(data), len(data))


MAKERS: Makers = {
    **TENSORS,
    "dnnlib.util EasyDict": lambda *_: {},
    "builtins set": lambda items=(): items,
    "torch.storage _load_from_bytes": _storage,
    "numpy.core.multiarray scalar": _scalar,
    "numpy._core.multiarray scalar": _scalar,
    "_codecs encode": _encoded,
}
"""Names in files of ``torch.save`` and of NVIDIA's code."""
