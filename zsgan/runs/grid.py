"""Many runs: those of a grid of configurations, several at a time."""

import logging
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.failures import full, message
from zsgan.base.workers import for_workers, on_own_device, worker_pool
from zsgan.runs.identity import Job, resolve
from zsgan.runs.make import steps_kept
from zsgan.runs.run import RUNS, Run, finished, run
from zsgan.runs.verification import DamagedRun
from zsgan.runs.wording import in_words

log = logging.getLogger(__name__)

KILLED = "a worker process was killed, perhaps for want of memory; take fewer workers"


def run_all(
    configs: Sequence[AdaptConfig | Job],
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
        configs: the configurations, or their jobs.
        folder: folder of runs.
        device: torch device, or several that share the runs, such as "cuda:0,cuda:1".
        workers: number of processes, each with one run at a time; see
            :func:`zsgan.base.workers.for_workers`.
        progress: show progress bars; with several workers, a single bar counts the steps kept on disk.
        labels: names of the configurations in bars and errors, such as row and seed; see
            :func:`zsgan.runs.run.run`.

    Returns:
        the runs, in the order of ``configs``.

    Raises:
        ValueError: a device does not exist, or ``workers`` is below 1 or the number of devices.
        RuntimeError: runs failed; the message has the error of each.
    """
    devices = for_workers(device, workers)
    found = [resolve(config) for config in configs]
    jobs = {job.id: job for job in found}
    missing = {id_: job for id_, job in jobs.items() if not is_made(job, folder)}
    labels = labels or [in_words(asdict(job.config)) for job in found]
    called = dict(zip((job.id for job in found), labels, strict=True))
    failures: dict[str, str] = {}

    def failed(id_: str, text: str, trace: str) -> None:
        failures[id_] = text
        log.error("%s (%s) failed: %s", called[id_], id_, text)
        log.debug("%s", trace)

    steps = {id_: job.config.optimiser.iterations for id_, job in missing.items()}
    with tqdm(
        total=sum(steps.values()), desc="adaptations", unit=" steps", disable=not progress or len(missing) < 2
    ) as bar:
        if workers == 1 or len(missing) < 2:
            for id_, job in missing.items():
                options = {"folder": folder, "progress": progress, "label": called[id_]}
                if failure := _attempt(job, device=devices[0], **options):
                    failed(id_, *failure)
                bar.update(steps[id_])
        else:
            with worker_pool(devices) as pool:
                tasks = {
                    pool.submit(on_own_device, _attempt, job, folder=folder): id_
                    for id_, job in missing.items()
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
    return [run(job, folder=folder, device=devices[0]) for job in found]


def _attempt(job: Job, **options: Any) -> tuple[str, str] | None:
    """Make a run; an error is returned as text, since the exception would keep the run's tensors alive."""
    try:
        if resolve(job.config).id != job.id:
            raise ValueError(
                "weights, images or the code of a plug-in have changed since this command began; repeat it"
            )
        run(job, **options)
    except Exception as error:
        return message(error), full(error)
    return None


def is_made(job: Job, folder: Path | str) -> bool:
    """Whether the run of a job is finished and undamaged."""
    try:
        return finished(job, folder) is not None
    except DamagedRun:
        return False  # run() says so, and makes it again
