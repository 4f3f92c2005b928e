"""Least memory and disk of a profile's runs, and the refusal of what cannot fit."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from zsgan.adaptation.config import AdaptConfig, override
from zsgan.assets import manifest
from zsgan.base import device as devices
from zsgan.base.files import lowest
from zsgan.base.images import PIXEL, batch_size
from zsgan.runs.inventory import File, Wanted
from zsgan.runs.least_memory import Shapes, least_disk, least_memory


@dataclass(frozen=True)
class Room:
    """Least disk of the missing runs, and what memory and disk there is.

    Attributes:
        memory_there: bytes of the device; ``None`` if unknown.
        disk: bytes of the missing runs, and of the state of one in progress.
        disk_there: free bytes in the folder of runs.
        download: known bytes of missing files.
        download_there: free bytes in the folder of downloads.
    """

    memory_there: int | None
    disk: int
    disk_there: int
    download: int
    download_there: int


class Needs:
    """Least memory and disk of runs, from the shapes of their networks, each loaded once."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[object, ...], Shapes] = {}

    def memory(self, config: AdaptConfig) -> int:
        """Least bytes of a step; see :func:`zsgan.runs.least_memory.least_memory`."""
        return sum(least_memory(config, self._of(config)).values())

    def disk(self, config: AdaptConfig) -> tuple[int, int]:
        """Bytes of a run and of its state; see :func:`zsgan.runs.least_memory.least_disk`."""
        return least_disk(config, self._of(config))

    def resolution(self, config: AdaptConfig) -> int:
        """Pixels a side of the generator."""
        return int(self._of(config).generator.config["resolution"])

    def _of(self, config: AdaptConfig) -> Shapes:
        judges = config.clips if config.few_shot is None else config.few_shot.discriminator
        key = config.generator, config.few_shot is None, judges, config.features
        if key not in self._shapes:
            self._shapes[key] = Shapes(config)
        return self._shapes[key]


def room(
    runs: Sequence[Wanted], weights: Sequence[File], needs: Needs, folder: Path, device: torch.device
) -> Room:
    """Least disk of the missing runs, and what memory and disk there is.

    Args:
        runs: the runs.
        weights: files of :func:`zsgan.runs.inventory.files`.
        needs: memory and disk of a configuration.
        folder: folder of runs.
        device: device of the adaptations.

    Returns:
        both.
    """
    return Room(
        memory_there=devices.memory(device),
        disk=_disk(runs, needs),
        disk_there=_free(folder),
        download=sum(file.bytes or 0 for file in weights if not file.there),
        download_there=_free(manifest.cache_folder()),
    )


def check_room(found: Room, runs: Sequence[Wanted], needs: Needs, folder: Path, device: torch.device) -> None:
    """Refuse what cannot fit.

    Args:
        found: result of :func:`room`.
        runs: the runs.
        needs: memory and disk of a configuration.
        folder: folder of runs.
        device: device of adaptations and measurements.

    Raises:
        ValueError: something does not fit; the message names every such thing, and the setting that would
            make it fit.
    """
    wrong = [
        *_memory_of_rows(found.memory_there, runs, needs, device),
        *_memory_of_measuring(found.memory_there, runs, needs, device),
    ]
    same_disk = lowest(folder).stat().st_dev == lowest(manifest.cache_folder()).stat().st_dev
    if found.disk + same_disk * found.download > found.disk_there:
        wrong.append(
            f"disk: the runs need {gigabytes(found.disk)}"
            + (f", and the downloads {gigabytes(found.download)}" if same_disk and found.download else "")
            + f", but {gigabytes(found.disk_there)} are free in {folder}; name a folder on another disk by "
            f"--runs{_fewer_seeds(found.disk_there - same_disk * found.download, runs, needs)}"
        )
    if not same_disk and found.download > found.download_there:
        wrong.append(
            f"disk: the missing files have {gigabytes(found.download)}, but "
            f"{gigabytes(found.download_there)} are free in {manifest.cache_folder()}; name another folder "
            "by the environment variable ZSGAN_HOME"
        )
    if wrong:
        raise ValueError("this cannot fit:\n" + "\n".join(f"  {line}" for line in wrong))


def _memory_of_rows(
    there: int | None, runs: Sequence[Wanted], needs: Needs, device: torch.device
) -> Iterator[str]:
    if there is None:
        return
    first = {(run.scenario, run.row): run for run in reversed(runs) if not run.finished}
    for run in reversed(first.values()):
        if (least := needs.memory(run.at_hand)) > there:
            yield (
                f"memory: a step of {run.scenario}, {run.row}, needs at least {gigabytes(least)}, and "
                f"{device} has {gigabytes(there)}; {_smaller(run.at_hand, there, needs)}"
            )


def _smaller(config: AdaptConfig, there: int, needs: Needs) -> str:
    """The setting that makes a step fit, as advice."""
    ranks = "selection.batch_size"
    for step in ("optimiser.batch_size",), (ranks,), (ranks, "optimiser.batch_size"):
        if ranks in step and config.selection is None:
            continue
        for halved in range(1, 10):
            sizes = {name: _size(config, name) >> halved for name in step}
            try:
                smaller = override(config, sizes)
            except ValueError:  # too small for a term
                break
            if needs.memory(smaller) <= there:
                said = ", ".join(f"{name}={size}" for name, size in sizes.items())
                if ranks in step:  # which belongs to the row
                    return f"it fits with {said} in the row, in a .yaml that extends the profile"
                return f"it fits with --set {said}"
    return "no batch size would make it fit: name a device with more memory, or a smaller generator"


def _size(config: AdaptConfig, name: str) -> int:
    if name == "optimiser.batch_size" or config.selection is None:
        return config.optimiser.batch_size
    return config.selection.batch_size


def _memory_of_measuring(
    there: int | None, runs: Sequence[Wanted], needs: Needs, device: torch.device
) -> Iterator[str]:
    """Only a batch size of the user's can be too large; others follow the memory."""
    size = max((needs.resolution(run.at_hand) for run in runs), default=0)
    n = batch_size(size**2, device) if size else 0
    if there is not None and n * PIXEL * size**2 > there:
        yield (
            f"memory: {n} images of {size} px are measured at a time, which needs about "
            f"{gigabytes(n * PIXEL * size**2)}, and {device} has {gigabytes(there)}; it fits with "
            f"--batch-size {max(1, there // (PIXEL * size**2))}"
        )


def _fewer_seeds(there: int, runs: Sequence[Wanted], needs: Needs) -> str:
    """The number of seeds for which there is room on the disk of the runs, as advice."""
    seeds = sorted({run.seed for run in runs})
    for n in range(len(seeds) - 1, 0, -1):
        needed = _disk([run for run in runs if run.seed in seeds[:n]], needs)
        if needed <= there:
            return f", or take fewer seeds, --set seeds={seeds[:n]}, which need {gigabytes(needed)}"
    return ""


def _disk(runs: Sequence[Wanted], needs: Needs) -> int:
    """Bytes of the missing runs, and of the state of one in progress."""
    disk = [needs.disk(run.at_hand) for run in runs if not run.finished]
    return sum(kept for kept, _ in disk) + max((state for _, state in disk), default=0)


def gigabytes(size: int) -> str:
    """Bytes in words; a gigabyte is a billion."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _free(folder: Path) -> int:
    return shutil.disk_usage(lowest(folder)).free
