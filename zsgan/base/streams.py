"""Random streams by seed, purpose and step: what one draw takes does not shift what another one gets.

The same stream gives the same bits on one machine and device. Latents are drawn on the CPU and so are the
same on every device; noise maps are drawn where they are used, since at 1024 px drawing and moving them would
take longer than the step, and differ from device to device.
"""

import hashlib

import torch


def stream(seed: int, purpose: str, step: int = 0, device: torch.device | str = "cpu") -> torch.Generator:
    """A source of randomness of its own.

    Args:
        seed: of the run.
        purpose: what is drawn, such as "latents".
        step: of the adaptation.
        device: where the numbers are drawn.

    Returns:
        a seeded generator; it depends on the arguments alone.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{step}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
