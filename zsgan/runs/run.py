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
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import names
from zsgan.base.device import set_up, worker_pool
from zsgan.base.failures import full, message
from zsgan.base.files import read_json
from zsgan.base.tensors import load_tensors
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.identity import Job, resolve
from zsgan.runs.make import locked, make, steps_kept
from zsgan.runs.verification import DamagedRun, checked
from zsgan.runs.wording import in_words

log = logging.getLogger(__name__)

RUNS = Path("runs")
KILLED = "a worker process was killed, perhaps for want of memory; take fewer workers"


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
    config: AdaptConfig,
    *,
    folder: Path | str = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = False,
    label: str | None = None,
) -> Run:
    """The run of ``config``: loaded if it is finished, else made; an interrupted run resumes.

    Args:
        config: the configuration.
        folder: folder of runs.
        device: torch device, used if the run is not finished.
        progress: show progress bars.
        label: label of the progress bar, such as row and seed; texts, terms and seed by default.

    Returns:
        the finished run.

    Raises:
        RunInProgress: another process is computing this run.
        ValueError: a name in the configuration is unknown, or a text cannot be encoded.
        FileNotFoundError: the file of a name is missing.
    """
    job = resolve(config)
    place = Path(folder) / job.id
    try:
        found = _found(job, place)
    except DamagedRun:
        _set_aside(job, place)
        found = None
    if found is None:
        make(job, place, device=device, progress=progress, label=label or in_words(asdict(job.config)))
        found = _found(job, place)
    assert found is not None
    return found


def finished(config: AdaptConfig, folder: Path | str = RUNS) -> Run | None:
    """The run of ``config`` if it has been made.

    Args:
        config: the configuration.
        folder: folder of runs.

    Returns:
        the run, or ``None``.

    Raises:
        DamagedRun: the run is damaged; a ValueError.
    """
    job = resolve(config)
    return _found(job, Path(folder) / job.id)


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


def run_all(
    configs: Sequence[AdaptConfig],
    *,
    folder: Path | str = RUNS,
    device: torch.device | str = "cpu",
    workers: int = 1,
    progress: bool = False,
    labels: Sequence[str] | None = None,
) -> list[Run]:
    """The runs of several configurations, ``workers`` at a time.

    A failed run does not stop the others: it is logged at once, and all failures are raised together at the
    end. A repeated call makes only the missing runs.

    Args:
        configs: the configurations.
        folder: folder of runs.
        device: torch device.
        workers: number of processes, each with one run at a time.
        progress: show progress bars; with several workers, a single bar counts the steps kept on disk.
        labels: names of the configurations in bars and errors, such as row and seed; see :func:`run`.

    Returns:
        the runs, in the order of ``configs``.

    Raises:
        ValueError: ``workers`` is below 1, or the device does not exist.
        RuntimeError: runs failed; the message has the error of each.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    set_up(device)
    found = [resolve(config) for config in configs]
    jobs = {job.id: job for job in found}
    missing = {id_: job.config for id_, job in jobs.items() if not _is_made(job, Path(folder) / id_)}
    called = dict(
        zip(
            (job.id for job in found), labels or [in_words(asdict(config)) for config in configs], strict=True
        )
    )
    failures: dict[str, str] = {}

    def failed(id_: str, text: str, trace: str) -> None:
        failures[id_] = text
        log.error("%s (%s) failed: %s", called[id_], id_, text)
        log.debug("%s", trace)

    steps = {id_: config.optimiser.iterations for id_, config in missing.items()}
    with tqdm(
        total=sum(steps.values()), desc="adaptations", unit=" steps", disable=not progress or len(missing) < 2
    ) as bar:
        if workers == 1 or len(missing) < 2:
            for id_, config in missing.items():
                options = {"folder": folder, "device": device, "progress": progress, "label": called[id_]}
                if failure := _attempt(config, **options):
                    failed(id_, *failure)
                bar.update(steps[id_])
        else:
            with worker_pool(workers) as pool:
                tasks = {
                    pool.submit(_attempt, config, folder=folder, device=device): id_
                    for id_, config in missing.items()
                }
                left = set(tasks)
                while left:
                    ended, left = wait(left, timeout=1, return_when=FIRST_COMPLETED)
                    for task in ended:
                        try:
                            failure = task.result()
                        except BrokenProcessPool as error:
                            failure = KILLED, full(error)
                        if failure:
                            failed(tasks[task], *failure)
                    taken = [steps_kept(Path(folder) / tasks[task]) - steps[tasks[task]] for task in left]
                    bar.update(bar.total + sum(taken) - bar.n)
    if failures:
        listed = "\n".join(f"  {called[id_]} ({id_}): {text}" for id_, text in failures.items())
        raise RuntimeError(
            f"{len(failures)} of {len(jobs)} adaptations failed; the others are kept, and the same command "
            f"makes only what is missing:\n{listed}"
        )
    return [run(config, folder=folder, device=device) for config in configs]


def _attempt(config: AdaptConfig, **options: Any) -> tuple[str, str] | None:
    """Make a run; an error is returned as text, since the exception would keep the run's tensors alive."""
    try:
        run(config, **options)
    except Exception as error:
        return message(error), full(error)
    return None


def _found(job: Job, place: Path) -> Run | None:
    """The run of a job, if it is finished.

    Raises:
        DamagedRun: the run is damaged, or its folder holds a run of another id.
    """
    if not (place / "provenance.json").exists():
        return None
    provenance = checked(place).provenance
    if provenance["id"] != job.id:
        raise DamagedRun(f"{place} is damaged: it holds the run {provenance['id']}, not {job.id}")
    return Run(place, job.config, provenance)


def _is_made(job: Job, place: Path) -> bool:
    try:
        return _found(job, place) is not None
    except DamagedRun:
        return False  # run() says so, and makes it again


def _set_aside(job: Job, place: Path) -> None:
    """Rename the folder of a damaged run to keep its files; checks again under the lock."""
    with locked(place):
        try:
            _found(job, place)
        except DamagedRun as error:
            aside = (place.with_name(f"{place.name}.damaged-{n}") for n in count(1))
            free = next(folder for folder in aside if not folder.exists())
            log.warning("%s; it is kept as %s, and the run is made again", error, free)
            place.rename(free)
