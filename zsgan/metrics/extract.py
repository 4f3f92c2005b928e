"""Features of many images."""

from collections.abc import Callable

import torch
from torch import Tensor
from tqdm import tqdm


@torch.no_grad()
def extract(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    *,
    batch_size: int = 50,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> Tensor:
    """Apply a network in batches, for instance ``evaluator.embed`` or ``clip.encode_images``.

    Args:
        network: images (n, 3, H, W) -> features (n, D).
        images: (N, 3, H, W) in [-1, 1], on any device.
        batch_size: images at a time.
        device: where the network lives.
        progress: show a progress bar.

    Returns:
        features (N, D) on the CPU.
    """
    batches = tqdm(images.split(batch_size), desc="features", disable=not progress)
    return torch.cat([network(batch.to(device)).cpu() for batch in batches])
