"""Where an inversion starts: the mean w, an encoder's answer, or given latents."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from zsgan.assets import manifest
from zsgan.base.places import local_path
from zsgan.inversion.networks import Networks
from zsgan.networks.encoders import load_encoder_file
from zsgan.networks.stylegan2 import Generator

Start = Callable[[slice, Tensor], Tensor]
"""Slice of the pictures, and these pictures (n, 3, R, R) -> their first ws (n, L, D_w)."""


def start_of(given: str | Path | Tensor | None, generator: Generator, networks: Networks) -> Start:
    """The start of an inversion, see :func:`zsgan.inversion.optimise.invert`.

    Args:
        given: "mean", "encoder", a file or its name in the manifest, or latents. ``None`` is the encoder if
            there is one, else the mean.
        generator: the source generator.
        networks: networks of the inversion, perhaps with an encoder.

    Returns:
        a function of the pictures.

    Raises:
        ValueError: there is no such start, or it does not fit the generator.
        FileNotFoundError: the file is missing.
    """
    mapping = generator.mapping
    shape = (mapping.n_ws, mapping.w_dim)
    if isinstance(given, Tensor):
        if given.ndim != 3 or tuple(given.shape[1:]) != shape:
            raise ValueError(f"start must be latents (N, {shape[0]}, {shape[1]}), got {tuple(given.shape)}")
        return lambda part, images: given[part].to(images)
    name = ("mean" if networks.encoder is None else "encoder") if given is None else str(given)
    if name == "mean":
        return lambda part, images: mapping.w_avg.expand(len(images), *shape)
    encoder = networks.encoder
    if name != "encoder":
        known = manifest.assets().get(name)
        file = manifest.path(name) if known and known.urls else local_path(name)
        encoder = load_encoder_file(file, generator).to(mapping.w_avg.device)
    elif encoder is None:
        raise ValueError(
            "start='encoder': only the demo's generators have one here; give 'mean' or the file of a pSp or "
            "e4e encoder"
        )

    @torch.no_grad()
    def encoded(part: slice, images: Tensor) -> Tensor:
        found = encoder(images)
        return found[:, None].expand(-1, *shape) if found.ndim == 2 else found

    return encoded
