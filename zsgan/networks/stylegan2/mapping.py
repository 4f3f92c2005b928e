"""StyleGAN2's mapping network f: z -> w; a conditional discriminator has one for its labels."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from zsgan.networks.stylegan2.layers import EPSILON, EqualizedLinear

MAPPING_LR_MULTIPLIER = 0.01


class MappingNetwork(nn.Module):
    """The mapping network f: z -> w, with an optional label embedding and the truncation trick.

    Args:
        z_dim: width of z; 0 for a network with labels only.
        w_dim: width D_w of w.
        c_dim: width of the label; 0 for none.
        n_layers: number of fully connected layers.
        n_ws: L, the number of w vectors that the synthesis network takes.
        embed_dim: width of the label embedding; None for ``w_dim``.
        hidden_dim: width of the hidden layers; None for ``w_dim``.
        lr_multiplier: learning-rate multiplier of the fully connected layers, whose stored weights are
            divided by it.
        averaged: keep ``w_avg``, which truncation needs; False in a discriminator.
    """

    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        c_dim: int,
        n_layers: int,
        n_ws: int,
        *,
        embed_dim: int | None = None,
        hidden_dim: int | None = None,
        lr_multiplier: float = MAPPING_LR_MULTIPLIER,
        averaged: bool = True,
    ) -> None:
        super().__init__()
        self.z_dim, self.w_dim, self.c_dim, self.n_ws = z_dim, w_dim, c_dim, n_ws
        embed_dim = w_dim if embed_dim is None else embed_dim
        hidden_dim = w_dim if hidden_dim is None else hidden_dim
        self.embed = EqualizedLinear(c_dim, embed_dim) if c_dim else None
        widths = [z_dim + (embed_dim if c_dim else 0), *[hidden_dim] * (n_layers - 1), w_dim]
        self.layers = nn.ModuleList(
            EqualizedLinear(n_in, n_out, activate=True, lr_multiplier=lr_multiplier)
            for n_in, n_out in pairwise(widths)
        )
        self.register_buffer("w_avg", torch.zeros(w_dim) if averaged else None)

    def forward(self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0) -> Tensor:
        """Map latents to styles.

        Args:
            z: (N, z_dim), samples of N(0, I).
            c: (N, c_dim) labels; None when the network has none.
            truncation_psi: 1 for no truncation; w approaches ``w_avg`` as it goes to 0.

        Returns:
            ws, (N, L, D_w), the same w for every layer.

        Raises:
            ValueError: a shape or the truncation is wrong.
        """
        self._check(z, c, truncation_psi)
        x = normalize_second_moment(z) if self.z_dim else z
        if self.embed is not None:
            assert c is not None
            x = torch.cat([x, normalize_second_moment(self.embed(c))], dim=1)
        for layer in self.layers:
            x = layer(x)
        ws = x[:, None].expand(-1, self.n_ws, -1)
        return ws if truncation_psi == 1 else torch.lerp(self.w_avg, ws, truncation_psi)

    def _check(self, z: Tensor, c: Tensor | None, psi: float) -> None:
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise ValueError(f"z must have shape (N, {self.z_dim}), got {tuple(z.shape)}")
        if self.c_dim == 0 and c is not None and c.shape[-1] != 0:
            raise ValueError(f"c has shape {tuple(c.shape)}, but this network takes no labels: pass c=None")
        if self.c_dim and (c is None or c.shape != (len(z), self.c_dim)):
            given = None if c is None else tuple(c.shape)
            raise ValueError(f"c must have shape ({len(z)}, {self.c_dim}), a label for each z, got {given}")
        if isinstance(psi, bool) or not isinstance(psi, (int, float)) or not math.isfinite(psi):
            raise ValueError(f"truncation_psi must be a finite number (1 for no truncation), got {psi!r}")


def normalize_second_moment(x: Tensor) -> Tensor:
    """Rows (N, D) with a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
