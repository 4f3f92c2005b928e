"""Where it is computed, and how exactly: devices, precision, threads."""

import ctypes
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import Any

import torch

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def set_up(device: torch.device | str) -> torch.device:
    """Make ready to compute on a device: float32 in full precision, the same bits in every run.

    The settings are torch's global ones. TensorFloat32, which cuDNN takes unless told, keeps 10 of 23 bits;
    and what cuDNN's benchmark finds to be the fastest algorithm differs from run to run.

    Args:
        device: such as "cpu", "cuda" (the current GPU) or "cuda:1".

    Returns:
        the device, with :func:`peak_memory` starting at what is on it now.

    Raises:
        ValueError: this machine has no such device, or it is a GPU of Apple's, which has no float64.
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
        torch.cuda.init()  # before it there are no statistics to reset
        torch.cuda.reset_peak_memory_stats(device)
    return torch.device(device)


def numerics(device: torch.device | str) -> dict[str, Any]:
    """What of the machine and of torch's settings takes part in the last bits of a result, for provenance.

    Args:
        device: where the result is computed.

    Returns:
        "device", the model of the GPU, or the kind of device with the instruction set of the CPU; "tf32" and
        "deterministic", whether it may round products to TensorFloat32, and whether convolutions are asked
        to repeat their bits; "threads", torch's on the CPU.
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
    """Most bytes that tensors took on a GPU at a time since :func:`set_up`.

    Args:
        device: torch device.

    Returns:
        bytes; ``None`` for other devices, on which what a process holds is not what its tensors take.
    """
    device = torch.device(device)
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def check_memory(needed: Mapping[str, int], device: torch.device | str = "cpu") -> None:
    """Refuse what cannot fit, before the allocator does or the machine begins to swap.

    Args:
        needed: a setting with its value, such as "n=1000" -> bytes that it needs at least.
        device: where they would lie.

    Raises:
        ValueError: one of them needs more than there is, be it free or not.
    """
    there = memory(device)
    for setting, least in needed.items():
        if there is not None and least > there:
            raise ValueError(
                f"{setting} needs at least {least / 2**30:,.1f} GiB of memory, and {device} has "
                f"{there / 2**30:,.1f}; lower it"
            )


def memory(device: torch.device | str = "cpu") -> int | None:
    """Bytes of memory of a GPU, or of the machine; ``None`` where the system does not tell."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows, for instance
        return None


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
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes with one thread each, none of which outlives the block or this process.

    An exception that leaves the block, such as ``KeyboardInterrupt``, ends the processes at once. If this
    process is killed, they end within seconds.

    Args:
        workers: processes at a time.

    Yields:
        the pool.
    """
    others = set(multiprocessing.active_children())
    # A fresh interpreter each: a forked one would inherit locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=begin_worker) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def begin_worker() -> None:
    """Make ready a process of a pool: :func:`tune_cpu` with one thread, and it ends with its parent.

    A terminal sends Ctrl-C to every process of the pool. By default one would fail its present task with
    ``KeyboardInterrupt``, take the next, and the pool would wait for all of them. Here Ctrl-C ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        _end_after(parent.join)  # a pipe that closes when the parent ends, even by SIGKILL
    tune_cpu(1)


def end_with_parent(parent: int) -> None:
    """End this process within two seconds of its parent's end, for processes that are in no pool.

    Args:
        parent: id of the process that started this one, as it knew it itself (``os.getpid()`` there).
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)

    _end_after(watch)


def _end_after(wait: Callable[[], object]) -> None:
    """End this process, and release its locks, when ``wait`` returns in a thread of its own."""

    def end() -> None:
        wait()
        os._exit(1)

    Thread(target=end, daemon=True, name="end with the parent").start()


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
