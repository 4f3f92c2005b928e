"""Layers and checks shared by StyleGAN2's generator and discriminator."""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)  # keeps the variance of a unit normal through the leaky ReLU
EPSILON = 1e-8


class EqualizedLinear(nn.Module):
    """Linear layer with the equalised learning rate: the stored weight is near N(0, 1), scaled at run time.

    It always computes in the dtype of its weight: styles and demodulation stay float32 under autocast.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        activate: bool = False,
        bias_init: float = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.activate = activate
        self.lr_multiplier = lr_multiplier
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((out_features,), bias_init / lr_multiplier))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features)."""
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight * (self.lr_multiplier / math.sqrt(self.weight.shape[1]))
            x = F.linear(x.to(weight.dtype), weight, self.bias * self.lr_multiplier)
            return F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN if self.activate else x


class BinomialFilter(nn.Module):
    """The [1, 3, 3, 1] low-pass filter of every up- and down-sampling, summing to ``gain``."""

    kernel: Tensor

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        # Not persistent: a constant of the architecture, exact in every floating-point format.
        self.register_buffer("kernel", torch.outer(taps, taps)[None, None] * (gain / 64), persistent=False)

    def forward(self, x: Tensor, *, padding: int, stride: int = 1) -> Tensor:
        """Filter each channel of (N, C, H, W), zero-padded by ``padding`` and sub-sampled by ``stride``."""
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, kernel, padding=padding, stride=stride, groups=channels)

    def upsample(self, x: Tensor) -> Tensor:
        """Double the resolution of (N, C, H, W): insert zeros, then filter (gain 4 keeps the brightness)."""
        channels = x.shape[1]
        kernel = self.kernel.to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv_transpose2d(x, kernel, stride=2, padding=1, groups=channels)


def check_channels(resolution: int, channels: Mapping[int, int]) -> dict[int, int]:
    """The widths at 4, 8, ..., resolution, with integer keys (JSON has strings); a ValueError if wrong."""
    if not isinstance(resolution, int) or resolution < 8 or resolution & (resolution - 1):
        raise ValueError(f"resolution must be a power of two of at least 8, got {resolution!r}")
    expected = [2**i for i in range(2, resolution.bit_length())]
    table = {int(r): width for r, width in channels.items()}
    if sorted(table) != expected or min(table.values()) < 1:
        raise ValueError(f"channels must give a positive width for each of {expected}, got {dict(channels)}")
    return {r: table[r] for r in expected}


def check_positive(**values: float | None) -> None:
    """Check that values, by their names for the message, are positive finite numbers or None."""
    for name, value in values.items():
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if value is not None and not (number and 0 < value < math.inf):
            raise ValueError(f"{name} must be a positive number, got {value!r}")
