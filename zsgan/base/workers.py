"""Worker processes, each with a device of its own or with a share of one."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

import torch

from zsgan.base.device import numerics, set_up, tune_cpu

Value = TypeVar("Value")

_own: list[torch.device] = []
"""The device of this process, if it is a worker."""


def for_workers(device: torch.device | str, workers: int) -> list[torch.device]:
    """The device of each of several workers: those named, in turn.

    Args:
        device: one torch device, or several with commas between them, such as "cuda:0,cuda:1". One that is
            named twice gets twice as many workers.
        workers: number of workers.

    Returns:
        a device for each worker, prepared by :func:`zsgan.base.device.set_up`.

    Raises:
        ValueError: a device does not exist, ``workers`` is below 1 or the number of devices, or the devices
            are of different kinds: they draw other noise, so that results would depend on which made them.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    devices = [set_up(name.strip()) for name in str(device).split(",")]
    if workers < len(devices):
        raise ValueError(
            f"workers={workers} would leave {devices[workers]} without work; take at least {len(devices)} "
            "workers, or name fewer devices"
        )
    kinds = [str(numerics(one)["device"]) for one in devices]
    if len(set(kinds)) > 1:
        listed = ", ".join(f"{one} is {kind}" for one, kind in zip(devices, kinds, strict=True))
        raise ValueError(
            f"device={str(device)!r} mixes kinds ({listed}), which draw other noise for the same seed: "
            "results would depend on the device that made them; name devices of one kind"
        )
    return [devices[i % len(devices)] for i in range(workers)]


@contextmanager
def worker_pool(devices: Sequence[torch.device]) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes with one thread each, which end with the block or with this process.

    An exception that leaves the block, such as ``KeyboardInterrupt``, ends the processes at once. If this
    process is killed, they end within seconds.

    Args:
        devices: the device of each process, from :func:`for_workers`.

    Yields:
        the pool; see :func:`on_own_device`.
    """
    others = set(multiprocessing.active_children())
    # A forked process would inherit locks of torch's threads, so each starts a fresh interpreter.
    context = multiprocessing.get_context("spawn")
    waiting = context.SimpleQueue()
    for device in devices:
        waiting.put(str(device))
    with ProcessPoolExecutor(len(devices), context, initializer=begin_worker, initargs=(waiting,)) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def on_own_device(function: Callable[..., Value], *arguments: Any, **options: Any) -> Value:
    """Call a function in a process of a pool, with that process's device as the option ``device``."""
    return function(*arguments, device=_own[0], **options)


def begin_worker(devices: "SimpleQueue[str]") -> None:
    """Prepare a process of a pool: it takes a device, has one thread, and ends with its parent.

    A terminal sends Ctrl-C to every process of the pool. By default, a process would fail its current task
    with ``KeyboardInterrupt`` and take the next one, until none is left. Here Ctrl-C ends the process.

    Args:
        devices: devices that no process has taken yet.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent,), daemon=True, name="end with the parent").start()
    tune_cpu(1)
    _own[:] = [torch.device(devices.get())]


def _end_after(parent: BaseProcess) -> None:
    """Wait for the parent, even if SIGKILL ends it, and end this process, which releases its locks."""
    parent.join()
    os._exit(1)
