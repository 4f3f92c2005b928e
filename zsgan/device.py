"""Where to compute, and settings that make it reproducible there and fast."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def tune_cpu(threads: int | None = None) -> None:
    """Keep freed memory in the process, and set the number of threads.

    By default glibc returns every freed block of over 128 kB to the system, so each activation of each step
    is mapped and zeroed anew; keeping it makes a training step on a CPU several times faster. No effect
    elsewhere.

    Args:
        threads: intra-op threads of torch; ``None`` leaves them alone.
    """
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:  # another C library, such as musl: nothing to set
            pass
        else:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_TOP_PAD, 64 * 2**20)
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """Compute with ``n`` intra-op threads inside the block, and with as many as before after it.

    Args:
        n: number of threads; ``None`` leaves it alone.
    """
    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_up(device: torch.device | str) -> torch.device:
    """Make a device ready: the same bits every time, and float32 that is float32.

    TF32 and cuDNN's choice of algorithms by a race are switched off.

    Args:
        device: such as "cpu", "cuda" or "cuda:1".

    Returns:
        The device.

    Raises:
        ValueError: There is no such device here.
    """
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={str(device)!r} is not available: {str(error).splitlines()[0]}; use cpu"
        ) from None
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return found


def numerics(device: torch.device) -> dict[str, Any]:
    """What of a device may change the last bits of a result, for its provenance."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    tf32 = torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    return {"device": name, "tf32": tf32, "threads": torch.get_num_threads()}
