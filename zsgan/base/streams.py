"""Independent random streams by seed, purpose and step, so that one draw does not shift another.

The same stream gives the same bits on one machine and device. Latents are drawn on the CPU and are therefore
the same on every device. Noise maps are drawn where they are used and differ between devices: at 1024 px,
drawing them on the CPU and moving them would take longer than the step.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def stream(seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one stream.

    Args:
        seed: seed of the run.
        purpose: what is drawn, such as "latents".
        step: step of the adaptation.
        device: where the numbers are drawn.

    Returns:
        a seeded generator that depends on the arguments alone.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's default CPU generator, which draws the weights of new layers, inside the block alone."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
