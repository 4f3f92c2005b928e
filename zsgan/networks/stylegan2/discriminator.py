"""StyleGAN2's discriminator (Karras et al. 2020), which trains a source generator.

Names of parameters (``r`` is a resolution, R, ..., 8)::

    fromrgb.{weight,bias}
    blocks.<r>.{conv0,conv1}.{weight,bias}
    blocks.<r>.skip.weight                                          architecture "resnet" only
    fromrgbs.<r>.{weight,bias}                                      architecture "skip" only, r < R
    conv.{weight,bias}   fc.{weight,bias}   out.{weight,bias}       the epilogue at 4 px
    mapping.*                                                       labels only, as in the generator
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.base.precision import at_least_float32
from zsgan.networks.stylegan2.layers import (
    LRELU_GAIN,
    LRELU_SLOPE,
    BinomialFilter,
    EqualizedLinear,
    check_channels,
    check_positive,
)
from zsgan.networks.stylegan2.mapping import MAPPING_LR_MULTIPLIER, MappingNetwork

ARCHITECTURES = ("resnet", "skip", "orig")
LABEL_MAPPING_LAYERS = 8


class EqualizedConv(nn.Module):
    """Convolution with the equalised learning rate, optionally low-pass filtered and sub-sampled by 2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        down: bool = False,
        linear: bool = False,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = None if linear else nn.Parameter(torch.zeros(out_channels))
        self.filter = BinomialFilter() if down else None

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Map (N, C_in, r, r) to (N, C_out, r, r), or r / 2: filter, convolution, bias, leaky ReLU, clamp.

        ``gain`` scales the output and its clamp. A linear layer has no bias, activation or clamp.
        """
        kernel_size = self.weight.shape[-1]
        # The leaky ReLU is positively homogeneous: its gain is folded into weight and bias.
        gain_before = gain if self.bias is None else gain * LRELU_GAIN
        weight = self.weight * (gain_before / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * gain_before
        if self.filter is None:
            x = F.conv2d(x, weight, bias, padding=kernel_size // 2)
        elif kernel_size == 1:
            x = F.conv2d(self.filter(x, padding=1, stride=2), weight, bias)
        else:
            x = F.conv2d(self.filter(x, padding=2), weight, bias, stride=2)
        if self.bias is None:
            return x
        x = F.leaky_relu(x, LRELU_SLOPE)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp * gain, self.conv_clamp * gain)


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the resolution; in architecture "resnet" with a residual path."""

    def __init__(self, in_channels: int, out_channels: int, residual: bool, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv0 = EqualizedConv(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = EqualizedConv(in_channels, out_channels, 3, down=True, conv_clamp=conv_clamp)
        self.skip = EqualizedConv(in_channels, out_channels, 1, down=True, linear=True) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C_in, r, r) to (N, C_out, r / 2, r / 2)."""
        if self.skip is None:
            return self.conv1(self.conv0(x))
        return self.skip(x, gain=math.sqrt(0.5)) + self.conv1(self.conv0(x), gain=math.sqrt(0.5))


class Discriminator(nn.Module):
    """StyleGAN2's discriminator with minibatch standard deviation and label projection.

    New weights are drawn from PyTorch's default random generator, as in every ``torch.nn`` layer.

    Args:
        resolution: R, a power of two, at least 8.
        channels: width at each resolution, {4: 512, 8: 512, ...} up to R.
        c_dim: width of the label; 0 for an unconditional discriminator.
        image_channels: 3 for RGB.
        architecture: "resnet" (residual blocks), "skip" (the image enters at each resolution) or "orig".
        mbstd_group: images that share one minibatch standard deviation; None for the whole batch. A batch
            must be a multiple of it, or smaller, which makes it one group.
        mbstd_channels: channels that the minibatch standard deviation fills; 0 for none.
        conv_clamp: clamp activations to [-conv_clamp, conv_clamp]; None for no clamp.
        label_dim: width of the mapped label; None for the width at 4 px.
        mapping_layers: number of layers of the label's mapping network.
        embed_dim: width of the label embedding; None for that of the mapped label.
        hidden_dim: width of the mapping network's hidden layers; None for that of the mapped label.
        mapping_lr_multiplier: learning-rate multiplier of the mapping network.

    Raises:
        ValueError: an argument is not one of the above.
    """

    def __init__(
        self,
        resolution: int,
        channels: Mapping[int, int],
        *,
        c_dim: int = 0,
        image_channels: int = 3,
        architecture: str = "resnet",
        mbstd_group: int | None = 4,
        mbstd_channels: int = 1,
        conv_clamp: float | None = None,
        label_dim: int | None = None,
        mapping_layers: int = LABEL_MAPPING_LAYERS,
        embed_dim: int | None = None,
        hidden_dim: int | None = None,
        mapping_lr_multiplier: float = MAPPING_LR_MULTIPLIER,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {ARCHITECTURES}, got {architecture!r}")
        if mbstd_group is not None and (not isinstance(mbstd_group, int) or mbstd_group < 1):
            raise ValueError(f"mbstd_group must be a positive integer or None, got {mbstd_group!r}")
        check_positive(conv_clamp=conv_clamp, mapping_lr_multiplier=mapping_lr_multiplier)
        channels = check_channels(resolution, channels)
        width = channels[4]
        if mbstd_channels and width % mbstd_channels:
            raise ValueError(f"mbstd_channels must divide the width {width} at 4 px, got {mbstd_channels!r}")
        self.config: dict[str, Any] = {
            "resolution": resolution, "channels": channels, "c_dim": c_dim, "image_channels": image_channels,
            "architecture": architecture, "mbstd_group": mbstd_group, "mbstd_channels": mbstd_channels,
            "conv_clamp": conv_clamp, "label_dim": label_dim, "mapping_layers": mapping_layers,
            "embed_dim": embed_dim, "hidden_dim": hidden_dim, "mapping_lr_multiplier": mapping_lr_multiplier,
        }  # fmt: skip
        self.mbstd_group, self.mbstd_channels = mbstd_group, mbstd_channels
        self.fromrgb = EqualizedConv(image_channels, channels[resolution], 1, conv_clamp=conv_clamp)
        self.blocks, self.fromrgbs = nn.ModuleDict(), nn.ModuleDict()
        sizes = sorted(channels, reverse=True)
        for r in sizes[:-1]:
            block = DiscriminatorBlock(channels[r], channels[r // 2], architecture == "resnet", conv_clamp)
            self.blocks[str(r)] = block
        for r in sizes[1:] if architecture == "skip" else ():
            clamp = conv_clamp if r > 4 else None  # as in the reference
            self.fromrgbs[str(r)] = EqualizedConv(image_channels, channels[r], 1, conv_clamp=clamp)
        self.filter = BinomialFilter()
        label_dim = width if label_dim is None else label_dim
        self.conv = EqualizedConv(width + mbstd_channels, width, 3, conv_clamp=conv_clamp)
        self.fc = EqualizedLinear(width * 4 * 4, width, activate=True)
        self.out = EqualizedLinear(width, label_dim if c_dim else 1)
        self.mapping = None
        if c_dim:
            self.mapping = MappingNetwork(
                0, label_dim, c_dim, mapping_layers, 1, embed_dim=embed_dim, hidden_dim=hidden_dim,
                lr_multiplier=mapping_lr_multiplier, averaged=False,
            )  # fmt: skip

    def forward(
        self, images: Tensor, c: Tensor | None = None, return_maps: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Logits of images.

        Args:
            images: (N, 3, R, R), in [-1, 1].
            c: (N, c_dim) labels; None when the network has none.
            return_maps: also return the feature maps.

        Returns:
            logits (N, 1), large for real images. With ``return_maps``, these and a map (N, channels[r], r, r)
            for each resolution r = R, R / 2, ..., 4: the output of FromRGB, then of each block.

        Raises:
            ValueError: a shape is wrong or the batch does not divide into groups.
        """
        self._check(images, c)
        x = self.fromrgb(images)
        maps = [x] if return_maps else []
        for block in self.blocks.values():
            x = block(x)
            if self.fromrgbs:
                images = self.filter(images, padding=1, stride=2)
                x = x + self.fromrgbs[str(images.shape[-1])](images)
            if return_maps:  # otherwise they need not be kept
                maps.append(x)
        if self.mbstd_channels:
            x = minibatch_standard_deviation(x, self.mbstd_group, self.mbstd_channels)
        logits = self.out(self.fc(self.conv(x).flatten(1)))
        if self.mapping is not None:
            label = self.mapping(logits.new_empty(len(logits), 0), c)[:, 0]
            logits = (logits * label).sum(dim=1, keepdim=True) / math.sqrt(label.shape[1])
        return (logits, maps) if return_maps else logits

    def _check(self, images: Tensor, c: Tensor | None) -> None:
        channels, r = self.config["image_channels"], self.config["resolution"]
        if images.ndim != 4 or images.shape[1:] != (channels, r, r):
            raise ValueError(f"images must have shape (N, {channels}, {r}, {r}), got {tuple(images.shape)}")
        if self.mapping is None and c is not None and c.shape[-1] != 0:
            raise ValueError(f"c has shape {tuple(c.shape)}, but this network takes no labels: pass c=None")


def minibatch_standard_deviation(x: Tensor, group: int | None, channels: int = 1) -> Tensor:
    """Append channels: the standard deviation over a group of samples, averaged over pixels and features.

    Args:
        x: (N, C, H, W). Sample i belongs to the group i mod (N / group), as in the reference.
        group: samples in a group; the whole batch if that is smaller, or for None.
        channels: F, a divisor of C: each new channel is the mean over C / F of the features.

    Returns:
        (N, C + F, H, W).

    Raises:
        ValueError: n is not a multiple of the group.
    """
    n, n_features, height, width = x.shape
    group = n if group is None else min(group, n)
    if n % group:
        raise ValueError(f"the batch must be a multiple of mbstd_group = {group}, got {n} images")
    y = at_least_float32(x).reshape(group, n // group, channels, n_features // channels, height, width)
    deviation = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))  # (n / group, F)
    extra = deviation.repeat(group, 1).to(x.dtype)[:, :, None, None].expand(n, channels, height, width)
    return torch.cat([x, extra], dim=1)
