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
        network: the network.
        images: N images on any device.
        batch_size: images at a time; ``None`` for :func:`zsgan.base.images.batch_size`.
        device: device of the network.
        progress: show a progress bar.

    Returns:
        features (N, D) on the CPU.

    Raises:
        TypeError: the images are not a tensor, or are integers; see :func:`zsgan.base.images.checked`.
        ValueError: they are not (N, 3, H, W), or there are none.
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

    The last batch is padded to the size of the others, because the last bits of a feature may depend on the
    batch size, and one image would then have two features.

    Args:
        networks: the networks by name.
        images: N images on any device.
        batch_size: images at a time; ``None`` for :func:`zsgan.base.images.batch_size`.
        device: device of the networks.
        progress: show a progress bar.

    Returns:
        features (N, D) of each network, by its name, on the CPU.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in networks}
    size = 0
    for part in batches(images, batch_size, label="features", progress=progress, device=device):
        n, size = len(part), max(size, len(part))
        filled = torch.cat([part, part[-1:].expand(size - n, -1, -1, -1)]).to(device)
        for name, network in networks.items():
            found[name].append(network(filled)[:n].cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}
