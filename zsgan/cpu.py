"""Settings that make small networks fast on a CPU."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
