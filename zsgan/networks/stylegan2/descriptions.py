"""Descriptions of unsuitable files, for error messages."""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch import Tensor

from zsgan.assets.pickles import Name, Object
from zsgan.assets.torchfiles import Stored
from zsgan.networks.stylegan2 import nvidia

KEYS, INSIDE, LETTERS = 8, 3, 60  # shown keys of a group, keys of each group in it, letters of a name
NAMES = 20_000  # maximum number of names that are examined
MODULE = "class torch.nn.Module"

# A pattern of tensor names, and the description of a file that has them.
_LOOKS = (
    (
        r"synthesis\.(input\.(freqs|phases)|L\d+_\d+_\d+)|magnitude_ema",
        "StyleGAN3 (stylegan3-t or -r), another architecture; zsgan adapts StyleGAN2, which stylegan3's code "
        "trains with --cfg stylegan2",
    ),
    (
        r"progression\.\d|[gG]_(mapping|synthesis)\.|\.(epi\d|adain\d?)\.|style_mod|(toRGB|scale)Layers",
        "StyleGAN1 or a progressive GAN; zsgan adapts StyleGAN2",
    ),
    (
        r"stylegan_decoder\.|style_mapping\.",
        "StyleGAN2 inside other code (GFPGAN, MMGeneration), whose names zsgan does not know",
    ),
    (r"visual\.(conv1|trunk|transformer)|text_projection|(vision|text)_model\.", "a CLIP"),
    (
        r"(down|up|input|output)_blocks\.|mid(dle)?_block\.|lora_(up|down|A|B)|unet\.",
        "a diffusion model (its UNet)",
    ),
    (r"encoder\.(input_layer|body|styles)\.", "an encoder such as pSp's, without its decoder"),
    (r"final_linear\.1\.weight|b4\.out\.weight|fromrgb\.", "only a discriminator"),
    (r"synthesis\.(b4\.)?const|input\.input", "only a generator"),
    (r"exp_avg|param_groups", "the training state of an optimiser such as Adam"),
    (
        r"layer[1-4]\.\d+\.conv|features\.\d+\.(weight|bias)|Mixed_\d",
        "a classifier such as ResNet, VGG or Inception",
    ),
)
# The first bytes of other files, and their description.
_HEADS = (
    (
        rb"\s*(<!doctype|<html|<\?xml)",
        "an HTML page, such as a download's error or confirmation page; open its address in a browser",
    ),
    (rb"version https://git-lfs", "a Git LFS pointer, not the file itself; get that with git lfs pull"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes"),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ", "a compressed archive; unpack it first"),
    (rb".{257}ustar", "a tar archive; unpack it first"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF", "a picture"),
    (rb"GGUF", "a GGUF file of a language model"),
)


def of_head(head: bytes) -> str:
    """A sentence on a file that does not start like a checkpoint, from its first 300 bytes."""
    if not head:
        return "it is an empty file; get it again"
    for pattern, what in _HEADS:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return f"it is {what}"
    return (
        "it is neither a safetensors file, nor a pickle of stylegan2-ada-pytorch, nor a .pt of torch.save; "
        f"it starts with {head[:16]!r}"
    )


def described(contents: Any) -> str:
    """A sentence on a file's content, which may contain itself many times, and the file that it resembles."""
    names = list(_names(contents))
    look = next((look for pattern, look in _LOOKS if any(re.search(pattern, name) for name in names)), None)
    if any(name.startswith("class dnnlib.tflib") for name in names):
        look = (
            "a network of TensorFlow; convert it once with legacy.py of stylegan2-ada-pytorch, or take the "
            "PyTorch version of the same network"
        )
    elif look is None and MODULE in names:
        look = "a module saved whole; save its state_dict() instead"
    holds = f"It holds {_listed(contents)}" if isinstance(contents, dict) else f"It is {_short(contents)}"
    return f"{holds}; it looks like {look}" if look else holds


def _names(contents: Any) -> Iterator[str]:
    """Names of keys and tensors, "class ..." for objects, and ``MODULE`` for modules saved whole."""
    groups, seen, modules = [("", contents)], 0, 0
    for prefix, group in groups:  # the list grows in the loop
        if isinstance(group, Object):
            modules += 1
            if modules > KEYS:
                continue  # each may hold as many as a network
            yield f"class {group.name[:LETTERS]}"
            if isinstance(group.state, dict) and "_modules" in group.state:
                yield MODULE
        for key, value in _inside(group).items():
            seen += 1
            if seen > NAMES:
                return
            name = f"{prefix}{str(key)[:LETTERS]}" if isinstance(key, (str, int)) else prefix
            yield name
            if isinstance(value, (dict, Object, tuple, list)) and len(name) < 4 * LETTERS:
                groups.append((f"{name}.", value))


def _inside(group: Any) -> dict[Any, Any]:
    """The items of a group, or the tensors of one of NVIDIA's modules."""
    if isinstance(group, dict):
        return group
    if isinstance(group, (tuple, list)):
        return dict(enumerate(group[:KEYS]))
    try:
        return {**nvidia.tensors(group)} if isinstance(group, Object) else {}
    except (ValueError, KeyError, TypeError):  # from other code, or damaged
        return {}


def _listed(group: dict[Any, Any]) -> str:
    """The first keys of a group with short descriptions of their values."""
    shown = []
    for key, value in islice(group.items(), KEYS):
        name = _key(key)
        shown.append(name if isinstance(value, (Stored, Tensor)) else f"{name} ({_short(value)})")
    more = f" and {len(group) - KEYS} more" if len(group) > KEYS else ""
    return ", ".join(shown) + more if shown else "nothing"


def _short(value: Any) -> str:
    """Description of a value in a few words."""
    match value:
        case Stored() | Tensor():
            return "a tensor"
        case dict() if value:
            keys = ", ".join(_key(key) for key in islice(value, INSIDE))
            return f"{len(value)} of {keys}{', ...' if len(value) > INSIDE else ''}"
        case dict():
            return "empty"
        case Object() | Name():
            name = nvidia.class_of(value) if isinstance(value, Object) else None
            return f"a {(name or value.name.replace(' ', '.'))[:LETTERS]}"
        case list() | tuple():
            return f"a group of {len(value)}"
        case str() | bytes():
            return "a text"
        case int() | float():
            return "a number"
        case _:
            return str(value)[:LETTERS]


def _key(key: Any) -> str:
    return (
        repr(key[:LETTERS]) if isinstance(key, str) else str(key) if isinstance(key, int) else "another key"
    )
