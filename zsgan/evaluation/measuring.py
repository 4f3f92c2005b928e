"""Measuring all runs of a profile, in parallel, before tables and figures read the results."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from zsgan.base.workers import for_workers, on_own_device, worker_pool
from zsgan.evaluation.measurements import Measurements
from zsgan.runs.profiles import Profile
from zsgan.runs.run import RUNS


def measure_all(
    profile: Profile,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    workers: int = 1,
    progress: bool = False,
    *,
    snapshots: bool = True,
) -> None:
    """Fill the cache of measurements of a profile's runs; a task is one row of one scenario.

    One worker alone loads the judges of a scenario once, for all of its rows.

    Rows that are measured already start no process and load no network.

    Args:
        profile: profile whose runs are finished.
        folder: folder of the runs, whose cache keeps the measurements.
        device: where images are made and measured; several share the rows, such as "cuda:0,cuda:1".
        workers: number of rows that are measured in parallel; see :func:`zsgan.base.workers.for_workers`.
        progress: show a progress bar.
        snapshots: measure the runs at all their snapshots, not only at the end.
    """
    devices = for_workers(device, workers)
    rows = [
        (scenario, row)
        for scenario in profile.scenarios
        for row in profile.rows_of(scenario)
        if not _of_rows(profile, [row], folder, devices[0]).bench(scenario).complete
    ]
    with tqdm(total=len(rows), desc="measuring", disable=not (progress and rows)) as bar:
        if workers == 1 or len(rows) < 2:
            for scenario in dict.fromkeys(at for at, _ in rows):  # its rows share what judges them
                chosen = [row for at, row in rows if at == scenario]
                _measure(profile, scenario, chosen, folder, snapshots, devices[0], progress)
                bar.update(len(chosen))
            return
        with worker_pool(devices) as pool:
            tasks = [
                pool.submit(on_own_device, _measure, profile, place, [row], folder, snapshots)
                for place, row in rows
            ]
            for task in tasks:
                task.result()
                bar.update()


def _measure(
    profile: Profile, scenario: str, rows: Sequence[str], folder: Path, snapshots: bool,
    device: torch.device, progress: bool = False,
) -> None:  # fmt: skip
    measurements = _of_rows(profile, rows, folder, device, progress)
    measurements.course(scenario) if snapshots else measurements.table(scenario)


def _of_rows(
    profile: Profile, rows: Sequence[str], folder: Path, device: torch.device, progress: bool = False
) -> Measurements:
    some = {row: profile.rows[row] for row in rows}
    return Measurements(replace(profile, rows=some, baseline=None), folder, device, progress)
