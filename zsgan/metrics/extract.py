"""Features of many images."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zsgan.base.images import Images, batches

Network = Callable[[Tensor], Tensor]
"""Images (n, 3, H, W) in [-1, 1] -> features (n, D): ``evaluator.embed``, ``clip.encode_images``..."""


def extract(
    network: Network,
    images: Images,
    *,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Tensor:
    """Apply a network in batches.

    Args:
        network: what to apply.
        images: N images on any device.
        batch_size: images at a time; ``None`` for as many as :func:`zsgan.base.images.batch_size` says.
        device: where the network lives.
        progress: show a progress bar.

    Returns:
        features (N, D) on the CPU.

    Raises:
        TypeError: the images are no tensor, or hold whole numbers; see :func:`zsgan.base.images.checked`.
        ValueError: they are not (N, 3, H, W), or there is none.
    """
    found = extract_all({"": network}, images, batch_size=batch_size, device=device, progress=progress)
    return found[""]


@torch.no_grad()
def extract_all(
    networks: Mapping[str, Network],
    images: Images,
    *,
    batch_size: int | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> dict[str, Tensor]:
    """Apply several networks to each batch, so that every image is made or read once; see :func:`extract`.

    A network takes batches of one size, to which the last is filled up: with another size the last bits of a
    feature may be others, and one image would have two features.

    Args:
        networks: what to apply, by name.
        images: N images on any device.
        batch_size: images at a time; ``None`` for as many as :func:`zsgan.base.images.batch_size` says.
        device: where the networks live.
        progress: show a progress bar.

    Returns:
        features (N, D) of each network, by its name, on the CPU.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in networks}
    size = 0
    for part in batches(images, batch_size, label="features", progress=progress):
        n, size = len(part), max(size, len(part))
        filled = torch.cat([part, part[-1:].expand(size - n, -1, -1, -1)]).to(device)
        for name, network in networks.items():
            found[name].append(network(filled)[:n].cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}
