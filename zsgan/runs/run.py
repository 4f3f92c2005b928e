"""Runs on disk: adapt once, use everywhere.

``runs/<id>/`` holds one adaptation. The id is a hash of everything that determines it
(:mod:`zsgan.runs.identity`), so a notebook, the command line and a cluster job with the same configuration
share one folder::

    config.json              the configuration
    history.json             one row per step: each loss term (unweighted), their sum, the gradient norm
    snapshots/<step>.safetensors   the trained parameters along the way, float16
    generator.safetensors    the adapted generator, float32
    provenance.json          identity, hash of each file above, versions, time; written last, marks the end
    state.pt                 state for resuming; removed when the run is finished
    error.txt                traceback of the last error; removed when the run is finished
    owner.txt, lock          the process that makes the run; its end frees the lock

The files of a finished run are checked against their hashes (:mod:`zsgan.runs.verification`). :func:`run`
renames a damaged run to ``<id>.damaged-1`` and makes it again; :func:`open_run` refuses it.

Two runs of one id on one machine have identical files except for ``provenance.json``. Above 128 px on a CPU,
this needs the same number of threads, which the provenance records.
"""

import logging
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import names
from zsgan.base.files import read_json
from zsgan.base.places import local_path
from zsgan.base.tensors import load_tensors
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.identity import Job, resolve
from zsgan.runs.make import locked, make
from zsgan.runs.verification import DamagedRun, checked
from zsgan.runs.wording import in_words

log = logging.getLogger(__name__)

RUNS = Path("runs")


@dataclass(frozen=True)
class Run:
    """A finished adaptation.

    Attributes:
        folder: the run's folder.
        config: its configuration.
        provenance: identity, versions, machine, device and seconds.
    """

    folder: Path
    config: AdaptConfig
    provenance: dict[str, Any]

    def __repr__(self) -> str:
        """One line: folder, texts, terms, seed and number of steps."""
        return f"<Run {self.folder}: {in_words(asdict(self.config))}, {self.iterations} steps>"

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per step."""
        rows: list[dict[str, float]] = read_json(self.folder / "history.json")
        return rows

    @property
    def iterations(self) -> int:
        """Number of steps taken; below the configuration's if the run stopped at a plateau."""
        return len(self.history)

    @property
    def snapshots(self) -> list[int]:
        """Steps that :meth:`generator` accepts besides 0, ascending; the last is the adapted generator."""
        kept = {int(path.stem) for path in (self.folder / "snapshots").glob("*.safetensors")}
        return sorted(kept | {self.iterations})

    def generator(self, step: int | None = None, device: torch.device | str = "cpu") -> Generator:
        """The adapted generator, or its state after ``step`` steps (0: the source generator).

        Args:
            step: a step of the adaptation; the last one by default.
            device: torch device.

        Returns:
            the generator, in evaluation mode.

        Raises:
            ValueError: there is no snapshot of that step, or the source generator is no longer the one that
                was adapted.
        """
        if step is None or step == self.iterations:
            return load_generator(self.folder / "generator.safetensors", device)
        source = names.generator(self.config.generator)
        if source.identity not in self.provenance["weights"].values():
            raise ValueError(
                f"{self.folder} was adapted from another {source.name}: its weights have changed since. "
                "Only the adapted generator can be loaded (no step), or run it again"
            )
        generator = load_generator(self.config.generator, device)
        if step == 0:
            return generator
        if step not in self.snapshots:
            raise ValueError(
                f"step={step} has no snapshot in {self.folder}; choose one of {[0, *self.snapshots]}"
            )
        trained, _, _ = load_tensors(self.folder / "snapshots" / f"{step}.safetensors")
        generator.load_state_dict(generator.state_dict() | trained)
        return generator


def run(
    config: AdaptConfig | Job,
    *,
    folder: Path | str = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = False,
    label: str | None = None,
    wait: bool = False,
) -> Run:
    """The run of ``config``: loaded if it is finished, else made; an interrupted run resumes.

    Args:
        config: the configuration, or its job.
        folder: folder of runs.
        device: torch device, used if the run is not finished.
        progress: show progress bars.
        label: label of the progress bar, such as row and seed; texts, terms and seed by default.
        wait: wait while another process computes this run.

    Returns:
        the finished run.

    Raises:
        RunInProgress: another process is computing this run, and ``wait`` is off.
        ValueError: a name in the configuration is unknown, or a text cannot be encoded.
        FileNotFoundError: the file of a name is missing.
    """
    job = resolve(config)
    place = Path(folder) / job.id
    try:
        found = finished(job, folder)
    except DamagedRun:
        _set_aside(job, place)
        found = None
    if found is None:
        label = label or in_words(asdict(job.config))
        make(job, place, device=device, progress=progress, label=label, wait=wait)
        found = finished(job, folder)
    assert found is not None
    return found


def finished(config: AdaptConfig | Job, folder: Path | str = RUNS) -> Run | None:
    """The run of ``config`` if it has been made.

    Args:
        config: the configuration, or its job.
        folder: folder of runs.

    Returns:
        the run, or ``None``.

    Raises:
        DamagedRun: the run is damaged, or its folder holds a run of another id; a ValueError.
    """
    job = resolve(config)
    place = Path(folder) / job.id
    if not (place / "provenance.json").exists():
        return None
    provenance = checked(place).provenance
    if provenance["id"] != job.id:
        raise DamagedRun(f"{place} is damaged: it holds the run {provenance['id']}, not {job.id}")
    return Run(place, job.config, provenance)


def open_run(place: Path | str) -> Run:
    """A finished run by its folder.

    Args:
        place: the folder.

    Returns:
        the run.

    Raises:
        FileNotFoundError: the run does not exist or is not finished.
        DamagedRun: the run is damaged; a ValueError.
    """
    place = Path(place)
    if not (place / "provenance.json").exists():
        raise FileNotFoundError(
            f"{place} holds no finished run (no provenance.json); make it with zsgan adapt"
        )
    found = checked(place)
    return Run(place, found.config, found.provenance)


def named_run(name: str | Path) -> Run | None:
    """The run whose folder is named as a generator, see :func:`open_run`; ``None`` for other names."""
    place = local_path(name)
    return open_run(place) if place.is_dir() and not names.is_generator(str(name)) else None


def _set_aside(job: Job, place: Path) -> None:
    """Rename the folder of a damaged run to keep its files; checks again under the lock."""
    with locked(place):
        try:
            finished(job, place.parent)
        except DamagedRun as error:
            aside = (place.with_name(f"{place.name}.damaged-{n}") for n in count(1))
            free = next(folder for folder in aside if not folder.exists())
            log.warning("%s; it is kept as %s, and the run is made again", error, free)
            place.rename(free)
