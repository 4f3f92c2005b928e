"""StyleGAN2's generator (Karras et al. 2020), the network that the paper adapts: z -> w -> image.

Parameters have the same names for every checkpoint format; ``r`` is a resolution, 4, 8, ..., R::

    mapping.layers.<i>.{weight,bias}
    mapping.embed.{weight,bias}             conditional generators only
    mapping.w_avg                           buffer: the mean w, centre of the truncation
    synthesis.const                         the learnt 4 x 4 input
    synthesis.blocks.<r>.conv0              the up-sampling convolution, absent at r = 4
    synthesis.blocks.<r>.conv1              the second convolution
        .weight .bias .noise_strength .affine.{weight,bias}, and the buffer .noise_const
    synthesis.blocks.<r>.torgb              .weight .bias .affine.{weight,bias}
    synthesis.blocks.<r>.skip.weight        architecture "resnet" only

The parameters of ``synthesis`` without "torgb" in their name are thus the synthesis constant and the
convolutions with their affine layers, noise strengths and biases. The mapping network is in ``mapping``.

A modulated convolution scales activations, not weights: the style scales the input channels, one ordinary
convolution follows, and the demodulation scales the output channels. The result equals that of the StyleGAN2
paper's per-sample weights, at a fraction of the cost on a CPU.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zsgan.networks.stylegan2.layers import (
    EPSILON,
    LRELU_GAIN,
    LRELU_SLOPE,
    BinomialFilter,
    EqualizedLinear,
    check_channels,
    check_positive,
)
from zsgan.networks.stylegan2.mapping import MAPPING_LR_MULTIPLIER, MappingNetwork

ARCHITECTURES = ("skip", "resnet", "orig")
DEMODULATIONS = ("ada", "rosinality")
NOISES = ("const", "random", "none")


class SynthesisLayer(nn.Module):
    """Modulated 3 x 3 convolution, demodulation, noise, bias, leaky ReLU and clamp, in that order."""

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        up: bool,
        w_dim: int,
        resolution: int,
        conv_clamp: float | None,
        demodulation: str,
    ) -> None:
        super().__init__()
        self.resolution = resolution
        self.conv_clamp = conv_clamp
        # ADA adds epsilon to the sum of raw (w s)^2; rosinality after dividing w by sqrt(fan_in), which
        # is equivalent to adding fan_in times epsilon to the raw sum.
        self.epsilon = EPSILON if demodulation == "ada" else EPSILON * in_channels * 9
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.filter = BinomialFilter(gain=4) if up else None

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None, gain: float = 1.0) -> Tensor:
        """Map (N, C_in, r_in, r_in) to (N, C_out, r, r).

        Args:
            x: input activations.
            w: (N, D_w), the style of this layer.
            noise: broadcastable to (N, 1, r, r), before ``noise_strength``; None for no noise.
            gain: factor on the output and on its clamp.

        Returns:
            activations after the leaky ReLU, the gain and the clamp.
        """
        styles = self.affine(w)  # (N, C_in)
        with torch.autocast(x.device.type, enabled=False):
            demodulation = (styles.square() @ self.weight.square().sum((2, 3)).T + self.epsilon).rsqrt()

        x = x * styles[:, :, None, None].to(x.dtype)
        if self.filter is None:
            x = F.conv2d(x, self.weight, padding=1)
        else:
            x = self.filter(F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2), padding=1)

        # The leaky ReLU is positively homogeneous: its gain is folded into the small factors before it.
        gain_before = LRELU_GAIN * gain
        scale = (demodulation * gain_before)[:, :, None, None].to(x.dtype)
        x = torch.addcmul((self.bias * gain_before)[:, None, None].to(x.dtype), x, scale)
        if noise is not None:
            x = x + (noise * (self.noise_strength * gain_before)).to(x.dtype)
        x = F.leaky_relu(x, LRELU_SLOPE, inplace=True)  # in place: its input is not kept for the gradient
        if self.conv_clamp is None:
            return x
        # One pass back, where the gradient of clamp takes four.
        return F.hardtanh(x, -self.conv_clamp * gain, self.conv_clamp * gain)


class ToRGB(nn.Module):
    """Modulated 1 x 1 convolution to image channels: no demodulation, noise or activation, but clamped."""

    def __init__(self, in_channels: int, image_channels: int, w_dim: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.weight = nn.Parameter(torch.randn(image_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(image_channels))
        self.affine = EqualizedLinear(w_dim, in_channels, bias_init=1.0)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map (N, C_in, r, r) and (N, D_w) to (N, image_channels, r, r), in the dtype of the weights."""
        styles = self.affine(w) / math.sqrt(x.shape[1])
        x = F.conv2d(x * styles[:, :, None, None].to(x.dtype), self.weight, self.bias).to(self.weight.dtype)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class UpsamplingSkip(nn.Module):
    """The residual path of architecture "resnet": 1 x 1 convolution without bias, then up-sampling."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.filter = BinomialFilter(gain=4)

    def forward(self, x: Tensor, gain: float) -> Tensor:
        """Map (N, C_in, r / 2, r / 2) to (N, C_out, r, r), scaled by ``gain``."""
        return self.filter.upsample(F.conv2d(x, self.weight * (gain / math.sqrt(x.shape[1]))))


class SynthesisBlock(nn.Module):
    """All layers of one resolution: one convolution at 4 px, two above, and a ToRGB where needed."""

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        w_dim: int,
        resolution: int,
        image_channels: int,
        architecture: str,
        is_last: bool,
        conv_clamp: float | None,
        demodulation: str,
    ) -> None:
        super().__init__()
        layer = partial(
            SynthesisLayer,
            w_dim=w_dim, resolution=resolution, conv_clamp=conv_clamp, demodulation=demodulation,
        )  # fmt: skip
        self.conv0 = self.skip = self.torgb = self.filter = None
        if in_channels is not None:
            self.conv0 = layer(in_channels, out_channels, up=True)
            self.skip = UpsamplingSkip(in_channels, out_channels) if architecture == "resnet" else None
        self.conv1 = layer(out_channels, out_channels, up=False)
        if architecture == "skip" or is_last:
            self.torgb = ToRGB(out_channels, image_channels, w_dim, conv_clamp)
            self.filter = BinomialFilter(gain=4)

    def forward(
        self, x: Tensor, image: Tensor | None, ws: Tensor, noises: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Advance the activations and the running image by one resolution.

        Args:
            x: (N, C_in, r / 2, r / 2); at 4 px the constant itself.
            image: (N, 3, r / 2, r / 2), the running image, or None at first.
            ws: (N, n + 1, D_w), a style for each of the n convolutions and then ToRGB's.
            noises: n noise maps, or None for no noise.

        Returns:
            activations (N, C_out, r, r), the running image (N, 3, r, r) or None, and the outputs
            (N, C_out, r, r) of the n convolutions.
        """
        gain = 1.0 if self.skip is None else math.sqrt(0.5)  # each of two paths has half of the variance
        if self.conv0 is None:
            maps = [self.conv1(x, ws[:, 0], noises[0], gain)]
        else:
            maps = [self.conv0(x, ws[:, 0], noises[0])]
            maps.append(self.conv1(maps[0], ws[:, 1], noises[1], gain))
        x = maps[-1] if self.skip is None else self.skip(x, gain) + maps[-1]
        if self.torgb is None or self.filter is None:
            return x, image, maps
        rgb = self.torgb(x, ws[:, -1])
        if image is None:
            return x, rgb, maps
        with torch.autocast(x.device.type, enabled=False):  # images are summed in the dtype of the weights
            return x, self.filter.upsample(image) + rgb, maps


class SynthesisNetwork(nn.Module):
    """The synthesis network g: ws -> image. Arguments as in ``Generator``."""

    def __init__(
        self,
        resolution: int,
        w_dim: int,
        channels: Mapping[int, int],
        image_channels: int,
        architecture: str,
        conv_clamp: float | None,
        demodulation: str,
    ) -> None:
        super().__init__()
        self.w_dim = w_dim
        self.const = nn.Parameter(torch.randn(channels[4], 4, 4))
        self.blocks = nn.ModuleDict()
        for r, width in channels.items():
            self.blocks[str(r)] = SynthesisBlock(
                channels.get(r // 2), width, w_dim, r, image_channels, architecture, r == resolution,
                conv_clamp, demodulation,
            )  # fmt: skip
        self.n_ws = 2 * len(channels)  # a style for each convolution, and one more for the last ToRGB

    @property
    def convolutions(self) -> list[SynthesisLayer]:
        """The L - 1 convolutions, in the order of their styles and noise maps."""
        return [module for module in self.modules() if isinstance(module, SynthesisLayer)]

    @property
    def last_torgb(self) -> ToRGB:
        """The ToRGB of the highest resolution."""
        return [module for module in self.modules() if isinstance(module, ToRGB)][-1]

    def forward(
        self,
        ws: Tensor,
        noise: str | Sequence[Tensor] = "const",
        generator: torch.Generator | None = None,
        return_maps: bool = False,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Synthesise images.

        Args:
            ws: (N, L, D_w), in W (the same vector L times) or W+.
            noise: "const" (the maps stored with the weights), "random" (new maps for every sample), "none",
                or L - 1 maps, one for each convolution: (r, r), (1, 1, r, r) or (N, 1, r, r).
            generator: source of "random" noise; None means PyTorch's default generator. The maps are drawn on
                its device: a CPU generator gives the same noise on any device.
            return_maps: also return the outputs of the convolutions.

        Returns:
            images (N, 3, R, R), nominally in [-1, 1] but not clamped, in the dtype of the weights. With
            ``return_maps``, these and the outputs (N, C, r, r) of the L - 1 convolutions in their order,
            after the activation; in architecture "resnet" before the residual is added.

        Raises:
            ValueError: ``ws`` or ``noise`` does not fit this network.
        """
        if ws.ndim != 3 or ws.shape[1:] != (self.n_ws, self.w_dim):
            raise ValueError(
                f"ws must have shape (N, {self.n_ws}, {self.w_dim}), got {tuple(ws.shape)}; "
                f"repeat a w of shape (N, {self.w_dim}) with w[:, None].expand(-1, {self.n_ws}, -1)"
            )
        ws = ws.to(self.const.dtype)
        noises = self._noises(noise, len(ws), generator)
        x = self.const.expand(len(ws), -1, -1, -1)
        if x.device.type == "cpu":  # where convolutions are faster with channels last
            x = x.contiguous(memory_format=torch.channels_last)
        image: Tensor | None = None
        maps: list[Tensor] = []
        for i, block in enumerate(self.blocks.values()):
            # A block's ToRGB shares its style with the next block's first convolution.
            first, last = max(2 * i - 1, 0), 2 * i + 1
            x, image, new = block(x, image, ws[:, first : last + 1], noises[first:last])
            if return_maps:  # otherwise they need not be kept
                maps += new
        assert image is not None  # the last block has a ToRGB
        return (image, maps) if return_maps else image

    def _noises(
        self, noise: str | Sequence[Tensor], n: int, generator: torch.Generator | None
    ) -> Sequence[Tensor | None]:
        layers = self.convolutions
        if isinstance(noise, str):
            if noise == "const":
                return [layer.noise_const for layer in layers]
            if noise == "random":
                return self.random_noise(n, generator)
            if noise == "none":
                return [None] * len(layers)
            raise ValueError(f"noise must be one of {NOISES} or a sequence of maps, got {noise!r}")
        if not isinstance(noise, (list, tuple)) or len(noise) != len(layers):
            given = f"{len(noise)} of them" if isinstance(noise, (list, tuple)) else type(noise).__name__
            raise ValueError(f"noise must be one of {NOISES} or a list of {len(layers)} maps, got {given}")
        maps: list[Tensor] = list(noise)
        for i, (layer, given_map) in enumerate(zip(layers, maps, strict=True)):
            r = layer.resolution
            if given_map.shape not in {(r, r), (1, 1, r, r), (n, 1, r, r)}:
                raise ValueError(
                    f"noise[{i}] must have shape ({r}, {r}), (1, 1, {r}, {r}) or ({n}, 1, {r}, {r}), "
                    f"got {tuple(given_map.shape)}"
                )
        return [given_map.to(self.const) for given_map in maps]

    def random_noise(self, n: int, generator: torch.Generator | None = None) -> list[Tensor]:
        """Maps of "random" noise, (n, 1, r, r) for each of the L - 1 convolutions, see :meth:`forward`."""
        device = self.const.device if generator is None else generator.device
        shapes = [(n, 1, layer.resolution, layer.resolution) for layer in self.convolutions]
        return [
            torch.randn(shape, generator=generator, device=device, dtype=self.const.dtype).to(self.const)
            for shape in shapes
        ]


class Generator(nn.Module):
    """StyleGAN2's generator, G_src and G_trg of the paper.

    New weights are drawn from PyTorch's default random generator, as in every ``torch.nn`` layer.

    Args:
        resolution: R, a power of two, at least 8.
        z_dim: width of z.
        w_dim: width D_w of w.
        c_dim: width of the label; 0 for an unconditional generator.
        mapping_layers: number of layers of the mapping network.
        channels: width of the convolutions at each resolution, {4: 512, 8: 512, ...} up to R.
        image_channels: 3 for RGB.
        architecture: "skip" (a ToRGB at each resolution, summed), "resnet" or "orig" (one ToRGB at the end).
        conv_clamp: clamp activations to [-conv_clamp, conv_clamp]; None for no clamp.
        demodulation: "ada" or "rosinality", the code that sets where demodulation adds its epsilon.
        embed_dim: width of the label embedding; None for ``w_dim``.
        hidden_dim: width of the mapping network's hidden layers; None for ``w_dim``.
        mapping_lr_multiplier: learning-rate multiplier of the mapping network.

    Raises:
        ValueError: an argument is not one of the above.
    """

    def __init__(
        self,
        resolution: int,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        c_dim: int = 0,
        mapping_layers: int = 8,
        channels: Mapping[int, int],
        image_channels: int = 3,
        architecture: str = "skip",
        conv_clamp: float | None = None,
        demodulation: str = "ada",
        embed_dim: int | None = None,
        hidden_dim: int | None = None,
        mapping_lr_multiplier: float = MAPPING_LR_MULTIPLIER,
    ) -> None:
        super().__init__()
        if architecture not in ARCHITECTURES:
            raise ValueError(f"architecture must be one of {ARCHITECTURES}, got {architecture!r}")
        if demodulation not in DEMODULATIONS:
            raise ValueError(f"demodulation must be one of {DEMODULATIONS}, got {demodulation!r}")
        check_positive(conv_clamp=conv_clamp, mapping_lr_multiplier=mapping_lr_multiplier)
        channels = check_channels(resolution, channels)
        self.config: dict[str, Any] = {
            "resolution": resolution, "z_dim": z_dim, "w_dim": w_dim, "c_dim": c_dim,
            "mapping_layers": mapping_layers, "channels": channels, "image_channels": image_channels,
            "architecture": architecture, "conv_clamp": conv_clamp, "demodulation": demodulation,
            "embed_dim": embed_dim, "hidden_dim": hidden_dim, "mapping_lr_multiplier": mapping_lr_multiplier,
        }  # fmt: skip
        self.synthesis = SynthesisNetwork(
            resolution, w_dim, channels, image_channels, architecture, conv_clamp, demodulation
        )
        self.mapping = MappingNetwork(
            z_dim, w_dim, c_dim, mapping_layers, self.synthesis.n_ws,
            embed_dim=embed_dim, hidden_dim=hidden_dim, lr_multiplier=mapping_lr_multiplier,
        )  # fmt: skip

    def forward(
        self, z: Tensor, c: Tensor | None = None, **synthesis_kwargs: Any
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Images (N, 3, R, R) of latents (N, z_dim) without truncation: ``synthesis(mapping(z, c), ...)``."""
        return self.synthesis(self.mapping(z, c), **synthesis_kwargs)
