"""Writes files as the public implementations write them, by the real `pickle` and `torch.save`.

The modules that their pickles name exist for the time of writing only.
"""

import argparse
import io
import math
import pickle
import sys
import warnings
from contextlib import contextmanager
from types import ModuleType
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

SOURCE = "raise SystemExit('module_src was executed')"


class EasyDict(dict):
    __module__ = "dnnlib.util"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("called")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent(nn.Module):
    """A module whose pickle is what NVIDIA's persistence makes of one.

    ``attributes`` are those that their layers have beside tensors, such as conv_clamp.
    """

    def __init__(self, class_name, init_kwargs=None, **attributes):
        super().__init__()
        self.class_name = class_name
        self._init_args, self._init_kwargs = (), EasyDict(init_kwargs or {})
        self.act_gain = np.sqrt(np.float64(2))
        self.__dict__.update(attributes)

    def __reduce__(self):
        state = {k: v for k, v in self.__dict__.items() if k != "class_name"}
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self.class_name}
        return _reconstruct_persistent_obj, ({**meta, "state": state},)


def persistent(state_dict, class_name, init_kwargs, **attributes):
    """NVIDIA's module of a state dict: buffers are what has no gradient there; attributes are the layers'."""
    root = Persistent(class_name, init_kwargs)
    for name, tensor in state_dict.items():
        *path, last = name.split(".")
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, Persistent("Layer", **attributes))
            module = module._modules[part]
        if last in ("w_avg", "noise_const", "resample_filter"):
            module.register_buffer(last, tensor.clone())
        else:
            module.register_parameter(last, nn.Parameter(tensor.clone()))
    return root


def foreign(module, name="Thing", base=object):
    """A class of somebody else's, which pickles in :func:`modules_of`."""
    return type(name, (base,), {"__module__": module})


@contextmanager
def modules_of(*classes):
    """The modules of these classes can be imported."""
    modules = {}
    for one in classes:
        parts = one.__module__.split(".")
        for i in range(len(parts)):
            name = ".".join(parts[: i + 1])
            modules.setdefault(name, ModuleType(name))
        setattr(modules[one.__module__], one.__name__, one)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def nvidia_pickle(
    state_dict, init_kwargs, protocol=4, discriminator=None, attributes=None, classes=(), **extra
):
    """The bytes of a pickle of stylegan2-ada-pytorch or stylegan3; G is another generator than G_ema."""
    attributes = attributes or {}
    other = {name: tensor + 1 for name, tensor in state_dict.items()}
    contents = {
        "training_set_kwargs": EasyDict(path="data.zip", resolution=np.int64(32), xflip=False),
        "G": persistent(other, "Generator", init_kwargs),
        "D": persistent(*discriminator[:1], "Discriminator", discriminator[1]) if discriminator else None,
        "G_ema": persistent(state_dict, "Generator", init_kwargs, **attributes),
        "augment_pipe": None,
        **extra,
    }
    with modules_of(EasyDict, _reconstruct_persistent_obj, *classes):
        return pickle.dumps(contents, protocol=protocol)


def old_numpy(data):
    """The same pickle as a NumPy before 2 would have written it; in protocol 3."""
    assert b"cnumpy._core.multiarray\n" in data
    return data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def rosinality_pt(state_dict, kind="converted", latent_avg=None, discriminator=None, legacy=False):
    """The bytes of a .pt of rosinality's code: converted, or as its training writes it."""
    contents = {"g_ema": state_dict}
    if kind == "converted":
        if latent_avg is not None:
            contents["latent_avg"] = latent_avg
    else:
        weight = nn.Parameter(torch.ones(3))
        optimiser = torch.optim.Adam([weight], lr=0.002, betas=(0.0, 0.99))
        weight.sum().backward()
        optimiser.step()
        contents |= {"g": {name: tensor + 1 for name, tensor in state_dict.items()}, "d": discriminator or {}}
        contents |= {"g_optim": optimiser.state_dict(), "d_optim": optimiser.state_dict()}
        contents |= {"args": argparse.Namespace(size=32, channel_multiplier=2, lr=0.002), "ada_aug_p": 0}
    return saved(contents, legacy)


def saved(contents, legacy=False):
    buffer = io.BytesIO()
    torch.save(contents, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def inception_pth():
    """The bytes of Inception's file as pytorch-fid publishes it, with random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    with patch.object(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None):
        inception = FeatureExtractorInceptionV3("", ["2048"], io.BytesIO(saved({})))
    return saved(inception.state_dict())


def torchvision_vgg16(seed=0):
    """Random tensors of torchvision's VGG-16; those of its large layers repeat few numbers, on disk too."""
    random, state, place, channels = torch.Generator().manual_seed(seed), {}, 0, 3
    for width in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"):
        if width != "M":
            spread = (2 / (9 * channels)) ** 0.5
            state[f"features.{place}.weight"] = spread * torch.randn(width, channels, 3, 3, generator=random)
            state[f"features.{place}.bias"] = 0.1 * torch.randn(width, generator=random)
            place, channels = place + 1, width
        place += 1
    for place, shape in {0: (4096, 25088), 3: (4096, 4096), 6: (1000, 4096)}.items():
        numbers = (2 / shape[1]) ** 0.5 * torch.randn(sum(shape), generator=random)
        state[f"classifier.{place}.weight"] = numbers.as_strided(shape, (1, 1))
        state[f"classifier.{place}.bias"] = 0.1 * torch.randn(shape[0], generator=random)
    return state


def dinov2_pth(seed=0):
    """The bytes of a DINOv2 as its authors publish it, with random weights; of 2 blocks and 128 channels."""
    random, width, side = torch.Generator().manual_seed(seed), 128, 37
    shapes = {"cls_token": (1, 1, width), "pos_embed": (1, 1 + side**2, width), "mask_token": (1, width)}
    layers = {"patch_embed.proj": (width, 3, 14, 14)}
    for i in range(2):
        block = f"blocks.{i}"
        layers |= {f"{block}.norm1": (width,), f"{block}.attn.qkv": (3 * width, width)}
        layers |= {f"{block}.attn.proj": (width, width), f"{block}.norm2": (width,)}
        layers |= {f"{block}.mlp.fc1": (4 * width, width), f"{block}.mlp.fc2": (width, 4 * width)}
        shapes |= {f"{block}.ls1.gamma": (width,), f"{block}.ls2.gamma": (width,)}
    for name, shape in {**layers, "norm": (width,)}.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    state = {}
    for name, shape in shapes.items():
        spread = math.prod(shape[1:]) ** -0.5 if len(shape) > 1 else 0.3
        state[name] = spread * torch.randn(shape, generator=random)
    return saved(state)


def openai_program(model):
    """The bytes of OpenAI's CLIP, a program of TorchScript: open_clip's ViT in the precision it has."""

    class Program(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in [*model.named_children(), *model.named_parameters(recurse=False)]:
                setattr(self, name, part)
            for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
                self.register_buffer(name, torch.tensor(value))

        def forward(self, x):
            return self.visual(x)

    buffer, example = io.BytesIO(), torch.zeros(1, 3, 224, 224, dtype=model.logit_scale.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Program(), example, check_trace=False), buffer)
    return buffer.getvalue()


class Reduced:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def tiny_ada(seed=0):
    """A state dict of NVIDIA's smallest generator, 8 px, with its constructor's arguments."""
    random, state = torch.Generator().manual_seed(seed), {}

    def add(name: str, *shape: int) -> None:
        state[name] = torch.randn(shape, generator=random)

    add("synthesis.b4.const", 2, 4, 4)
    for layer, r in (("b4.conv1", 4), ("b8.conv0", 8), ("b8.conv1", 8)):
        add(f"synthesis.{layer}.weight", 2, 2, 3, 3)
        add(f"synthesis.{layer}.bias", 2)
        add(f"synthesis.{layer}.noise_const", r, r)
        add(f"synthesis.{layer}.noise_strength")
        add(f"synthesis.{layer}.affine.weight", 2, 4)
        add(f"synthesis.{layer}.affine.bias", 2)
    for r in (4, 8):
        add(f"synthesis.b{r}.torgb.weight", 3, 2, 1, 1)
        add(f"synthesis.b{r}.torgb.bias", 3)
        add(f"synthesis.b{r}.torgb.affine.weight", 2, 4)
        add(f"synthesis.b{r}.torgb.affine.bias", 2)
    add("mapping.fc0.weight", 4, 4)
    add("mapping.fc0.bias", 4)
    add("mapping.w_avg", 4)
    kwargs = {"z_dim": 4, "c_dim": 0, "w_dim": 4, "img_resolution": 8, "img_channels": 3}
    return state, {**kwargs, "mapping_kwargs": {"num_layers": 1}, "synthesis_kwargs": {"conv_clamp": 256}}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
