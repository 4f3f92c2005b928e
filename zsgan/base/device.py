"""Devices, numerical precision, memory and threads."""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def set_up(device: torch.device | str) -> torch.device:
    """Prepare a device for computations in full float32 precision that repeat to the bit.

    This changes torch's global settings. TensorFloat32, cuDNN's default, keeps 10 of 23 bits, and cuDNN's
    benchmark may choose another algorithm in each run.

    Args:
        device: such as "cpu", "cuda" (the current GPU) or "cuda:1".

    Returns:
        the device; its :func:`peak_memory` is reset to the memory in use.

    Raises:
        ValueError: this machine has no such device, or it is an Apple GPU, which has no float64.
    """
    valid = ["cpu"]
    if torch.cuda.is_available():
        valid += ["cuda", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if str(device).partition(":")[0] == "mps":
        raise ValueError(
            f"device={str(device)!r} computes no float64, which the measurements need; choose one of "
            f"{', '.join(valid)}"
        )
    if str(device) not in (*valid, "cpu:0"):
        raise ValueError(f"device={str(device)!r} is not on this machine, which has {', '.join(valid)}")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    if torch.device(device).type == "cuda":
        torch.cuda.init()  # without it there are no statistics to reset
        torch.cuda.reset_peak_memory_stats(device)
    return torch.device(device)


def numerics(device: torch.device | str) -> dict[str, Any]:
    """The properties of the machine and of torch that affect the last bits of a result, for provenance.

    Args:
        device: where the result is computed.

    Returns:
        "device", the model of the GPU, or "cpu" with its instruction set; "tf32", whether products may be
        rounded to TensorFloat32; "deterministic", whether convolutions are deterministic; "threads", torch's
        number of threads on the CPU.
    """
    device, cuda, cudnn = torch.device(device), torch.backends.cuda, torch.backends.cudnn
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        tf32 = cuda.matmul.allow_tf32 or cudnn.allow_tf32
        deterministic = cudnn.deterministic and not cudnn.benchmark
    else:
        name = f"{device.type} ({torch.backends.cpu.get_cpu_capability()})"
        tf32, deterministic = False, device.type == "cpu"
    return {"device": name, "tf32": tf32, "deterministic": deterministic, "threads": torch.get_num_threads()}


def peak_memory(device: torch.device | str) -> int | None:
    """Peak memory in bytes of tensors on a GPU since :func:`set_up`; ``None`` for other devices."""
    device = torch.device(device)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def check_memory(
    needed: Mapping[str, int], device: torch.device | str = "cpu", remedy: str = "lower it"
) -> None:
    """Check that settings fit into memory, before an allocation fails or the machine swaps.

    Args:
        needed: a setting with its value, such as "n=1000" -> bytes that it needs at least.
        device: where the memory is needed.
        remedy: what to do, for the message.

    Raises:
        ValueError: one of them needs more than the total memory, free or not.
    """
    there = memory(device)
    for setting, least in needed.items():
        if there is not None and least > there:
            raise ValueError(
                f"{setting} needs at least {least / 2**30:,.1f} GiB of memory, and {device} has "
                f"{there / 2**30:,.1f}; {remedy}"
            )


def memory(device: torch.device | str = "cpu") -> int | None:
    """Total memory of a GPU or of the machine in bytes; ``None`` if the system does not report it."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for instance
        return None


def free_memory(device: torch.device | str) -> int:
    """Free memory of a GPU in bytes, with what torch's allocator holds but does not use."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def tune_cpu(threads: int | None = None) -> None:
    """Keep freed memory in the process, and set the number of threads.

    By default glibc returns every freed block of over 128 kB to the system, so each activation is mapped and
    zeroed again in each step. Keeping the blocks makes a training step on a CPU several times faster. Other C
    libraries are not affected.

    Args:
        threads: intra-op threads of torch; ``None`` keeps their number.
    """
    if sys.platform == "linux":
        try:
            mallopt = ctypes.CDLL(None).mallopt
        except AttributeError:  # another C library, such as musl
            pass
        else:
            mallopt(_M_MMAP_MAX, 0)
            mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
            mallopt(_M_TOP_PAD, 64 * 2**20)
    if threads is not None:
        torch.set_num_threads(threads)


@contextmanager
def threads(n: int | None) -> Iterator[None]:
    """Use ``n`` intra-op threads of torch inside the block; ``None`` keeps their number."""
    before = torch.get_num_threads()
    if n is not None:
        torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
