"""Published encoders of faces, pSp (Richardson et al. 2021) and e4e (Tov et al. 2021), read as data.

Both have the same layers: the IR-SE-50 of ArcFace, whose maps at 16, 32 and 64 px meet in a feature pyramid,
and a small network for every style. In pSp each of these gives its own w; in e4e the first gives one w, and
the others what is added to it. Tensors have the published names.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.assets.torchfiles import LEGACY_HEAD, MAKERS, Stored, read_legacy, read_zip
from zsgan.base.resize import resize
from zsgan.networks.stylegan2 import Generator
from zsgan.networks.stylegan2.layers import EqualizedLinear

SIZE = 256
"""Side of the input in pixels."""
KINDS = {"GradualStyleEncoder": False, "Encoder4Editing": True}
"""Name of the encoder in a published file -> whether all styles but the first are differences to it."""

_UNITS = ((64, 3), (128, 4), (256, 14), (512, 3))  # width of the residual units, and their number
_TAPS = (6, 20, 23)  # units whose outputs, of 64, 32 and 16 px, the pyramid takes
_COARSE, _MIDDLE = 3, 7  # styles before these see 16 px and 32 px, the others 64 px
_FAR = 0.5  # relative distance of two mean w that are not those of one generator


class FaceEncoder(nn.Module):
    """pSp's or e4e's encoder: images -> W+.

    Args:
        n_styles: L, 18 for 1024 px.
        differences: whether the styles after the first are differences to it, as in e4e.
        widths: (width, number) of the residual units at 128, 64, 32 and 16 px; those published by default.
    """

    latent_avg: Tensor

    def __init__(
        self, n_styles: int, differences: bool, widths: tuple[tuple[int, int], ...] = _UNITS
    ) -> None:
        super().__init__()
        self.differences = differences
        first, d_w = widths[0][0], widths[-1][0]
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, first, 3, padding=1, bias=False), nn.BatchNorm2d(first), nn.PReLU(first)
        )
        units, c_in = [], first
        for width, number in widths:
            units += [_Unit(c_in if k == 0 else width, width, 2 if k == 0 else 1) for k in range(number)]
            c_in = width
        self.body = nn.Sequential(*units)
        sides = [16] * _COARSE + [32] * (_MIDDLE - _COARSE) + [64] * n_styles
        self.styles = nn.ModuleList(_Style(d_w, side) for side in sides[:n_styles])
        self.latlayer1 = nn.Conv2d(widths[2][0], d_w, 1)
        self.latlayer2 = nn.Conv2d(widths[1][0], d_w, 1)
        self.register_buffer("latent_avg", torch.zeros(n_styles, d_w))

    def forward(self, images: Tensor) -> Tensor:
        """Styles (N, L, D_w) of aligned faces (N, 3, H, W) in [-1, 1], resized to 256 px."""
        x, taps = self.input_layer(resize(images, SIZE, "bicubic")), []
        for i, unit in enumerate(self.body):
            x = unit(x)
            if i in _TAPS:
                taps.append(x)
        fine, middle, coarse = taps
        middle = _larger(coarse, middle) + self.latlayer1(middle)
        fine = _larger(middle, fine) + self.latlayer2(fine)
        maps = [coarse] * _COARSE + [middle] * (_MIDDLE - _COARSE) + [fine] * len(self.styles)
        found = torch.stack([style(x) for style, x in zip(self.styles, maps, strict=False)], 1)
        if self.differences:
            found = torch.cat([found[:, :1], found[:, :1] + found[:, 1:]], 1)
        return found + self.latent_avg


class _Unit(nn.Module):
    """Residual unit with squeeze and excitation (Hu et al. 2018)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        if c_in != c_out:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(c_in),
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False),
            nn.PReLU(c_out),
            nn.Conv2d(c_out, c_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(c_out),
            _Excitation(c_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return found


class _Excitation(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)))))


class _Style(nn.Module):
    """A map of ``side`` px, halved to a point -> a style."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(int(math.log2(side))):
            layers += [nn.Conv2d(width, width, 3, 2, 1), nn.LeakyReLU(0.01)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualizedLinear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.linear(self.convs(x).flatten(1))
        return found


def _larger(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


def load_encoder_file(path: Path, generator: Generator) -> FaceEncoder:
    """Read an encoder from a published file of pSp or e4e; nothing in the file is executed.

    Args:
        path: a file of torch.save with "state_dict", "latent_avg" and, in "opts", the "encoder_type".
        generator: the generator for whose W+ the encoder was trained.

    Returns:
        the encoder, in float32, on the CPU, frozen and in evaluation mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no such encoder, or one for another generator.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"start={str(path)!r}: there is no such file; also known are mean and encoder"
        )
    with path.open("rb") as file:
        head, size = file.read(16), path.stat().st_size
        file.seek(0)
        try:
            content = (read_legacy if LEGACY_HEAD in head else read_zip)(file, size, MAKERS)
            encoder = _built(content)
        except Exception as error:  # damaged or foreign files cause many kinds of errors
            raise ValueError(f"{path} does not hold an encoder of pSp or e4e: {error}") from error
    mapping = generator.mapping
    shape = (mapping.n_ws, mapping.w_dim)
    if tuple(encoder.latent_avg.shape) != shape:
        raise ValueError(
            f"{path} encodes {tuple(encoder.latent_avg.shape)} numbers, not {shape} as the generator "
            "takes; give the encoder that was trained for it"
        )
    check_mean(encoder.latent_avg.mean(0), generator, path)
    return encoder


def check_mean(mean: Tensor, generator: Generator, name: str | Path, far: float = _FAR) -> None:
    """Refuse an encoder whose mean w is not the generator's.

    Args:
        mean: (D_w,) the encoder's.
        generator: the generator for whose latents it was trained.
        name: the encoder's, for the message.
        far: relative distance above which two means are not those of one generator.

    Raises:
        ValueError: its relative distance to it is above ``far``, or it has another width.
    """
    own = generator.mapping.w_avg.cpu()
    if mean.shape != own.shape or (mean.cpu() - own).norm() > far * own.norm():
        raise ValueError(
            f"{name} is for another generator: its mean w is not the generator's. A published file holds its "
            "own generator too: adapt that (--source FILE), or start='mean'"
        )


def _built(content: Any) -> FaceEncoder:
    options = content.get("opts") or {}
    kind = (options if isinstance(options, dict) else options.state or {}).get("encoder_type")
    if kind not in KINDS:
        raise ValueError(f"its encoder_type is {kind!r}, not one of {', '.join(KINDS)}")
    prefix = "encoder."
    tensors = {
        name.removeprefix(prefix): _read(value)
        for name, value in content["state_dict"].items()
        if name.startswith(prefix)
    }
    n_styles = len({name.split(".")[1] for name in tensors if name.startswith("styles.")})
    widths = tuple(
        (tensors[f"body.{last}.res_layer.4.weight"].shape[0], number)
        for last, (_, number) in zip((2, 6, 20, 23), _UNITS, strict=True)
    )
    average = _read(content["latent_avg"])
    tensors["latent_avg"] = average.expand(n_styles, -1).clone()
    encoder = FaceEncoder(n_styles, KINDS[kind], widths)
    encoder.load_state_dict(tensors)
    if not all(tensor.isfinite().all() for tensor in encoder.state_dict().values()):
        raise ValueError("some of its numbers are not finite")
    return encoder.eval().requires_grad_(False)


def _read(value: Any) -> Tensor:
    if not isinstance(value, Stored):
        raise ValueError(f"a tensor expected, got {type(value).__name__}")
    found = value.tensor().clone()
    return found.float() if found.is_floating_point() else found
