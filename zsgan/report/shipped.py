"""Summaries of the runs of a large grid, small enough to ship beside their profile.

``zsgan/profiles/<name>/`` holds the measurements of ``zsgan reproduce --profile <name>``::

    finals.csv        a line for each run, at its end, see Measurements.table in zsgan.evaluation.measurements
    course.csv        a line for each snapshot that was measured, see Measurements.course there
    differences.csv   differences to the profile's baseline, with intervals of a paired bootstrap, see
                      zsgan.evaluation.comparisons
    provenance.json   ids of the runs, weights, settings and versions
    <scenario>.png    pictures, if the profile says ``sheets: true``, see zsgan.report.scenario_sheet

A run's id is a hash of everything that determines it, so a summary of other networks or settings is
recognised without the runs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from torch import Tensor

from zsgan.assets.names import weights_id
from zsgan.base.files import read_json, versions, write_atomically, write_json
from zsgan.base.workers import for_workers
from zsgan.evaluation.bench import METRICS, Bench
from zsgan.evaluation.comparisons import differences, matched_differences
from zsgan.evaluation.measurements import Measurements
from zsgan.evaluation.measuring import measure_all
from zsgan.report.scenario_sheet import SOURCE, make_sheet, read_sheet, write_sheet
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import Profile, load_profile, profile_file

RATES = (0.5, 0.75, 0.9)
"""Target rates at which rows are compared: the evaluator's, or CLIP's if no evaluator knows the target."""
VARIED = ("lpips_all", "clip_variance")
"""Measures of diversity with a value for each image."""
TABLES = ("finals", "course", "differences")
_OF_RUNS = ("settings", "overrides", "weights")
_COUNTS = (
    "samples", "clusters", "neighbours", "truncation_psi", "other_psi", "judge", "eyes"
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Summary:
    """The shipped measurements of a profile.

    Attributes:
        profile: the profile in its present state.
        finals: a line for each run.
        course: a line for each snapshot.
        differences: a line for each row, measure and target rate (nan: at the end of the runs).
        provenance: ids of the runs, weights, settings and versions.
    """

    profile: Profile
    finals: pd.DataFrame
    course: pd.DataFrame
    differences: pd.DataFrame
    provenance: dict[str, Any]

    @property
    def stale(self) -> list[str]:
        """Reasons why the measurements are out of date for the present profile; empty if they are not."""
        found = self.provenance
        reasons = [
            f"{name} has other weights"
            for name, known in found["weights"].items()
            if weights_id(name) != known
        ]
        ids = run_ids(self.profile)
        if other := {run for run in {*ids, *found["runs"]} if ids.get(run) != found["runs"].get(run)}:
            reasons.append(f"{len(other)} of {len(ids)} runs have other settings or networks")
        reasons += [
            f"{name} differs" for name, now in _settings(self.profile).items() if found.get(name) != now
        ]
        return reasons

    @property
    def origin(self) -> str:
        """A sentence in Markdown on the origin of the numbers, to show beside them."""
        profile, n = self.profile, self.finals["seed"].nunique()
        text = f"From profile {profile.name}: {len(self.finals)} runs, {n} seed{'s' * (n > 1)}."
        if not self.stale:
            return text
        return (
            f"**These numbers are out of date** ({'; '.join(self.stale)}); "
            f"`{self.provenance['command']}` makes them again. {text}"
        )

    def of(self, scenario: str) -> "Summary":
        """The summary with the lines of one scenario alone; a ValueError if it has none."""
        if scenario not in set(self.finals["scenario"]):
            known = ", ".join(self.finals["scenario"].unique())
            raise ValueError(f"scenario={scenario!r} was not measured; choose one of {known}")
        tables = {name: getattr(self, name) for name in TABLES}
        return replace(self, **{name: table[table["scenario"] == scenario] for name, table in tables.items()})

    def beside(self, profile: Profile, scenario: str) -> pd.DataFrame:
        """Runs that can be added to the table of another profile with the same settings.

        Args:
            profile: the profile of the table.
            scenario: one of that profile's scenarios.

        Returns:
            the lines of ``finals`` for rows that the profile lacks; empty if anything but the rows and the
            seeds differs, or if the summary is out of date.
        """
        same = (
            self.profile.scenarios.get(scenario) == profile.scenarios[scenario]
            and _settings(self.profile) == _settings(profile)
            and all(getattr(self.profile, name) == getattr(profile, name) for name in _OF_RUNS)
            and not self.stale
        )
        ours = (self.finals["scenario"] == scenario) & ~self.finals["row"].isin(list(profile.rows))
        return self.finals[ours & same]

    def sheet(self, scenario: str) -> dict[str, Tensor]:
        """Pictures of one scenario: images of the source generator and of each row for the same latents.

        Args:
            scenario: one of the profile's scenarios.

        Returns:
            "source" and every row -> images (N, 3, H, W) in [-1, 1], of the lowest seed.

        Raises:
            FileNotFoundError: no pictures ship with the summary.
            ValueError: the scenario was not measured, or its picture does not belong to the tables.
        """
        # The measured rows, since the profile may have changed.
        labels = (SOURCE, *self.of(scenario).finals["row"].unique())
        file = summary_folder(self.profile.name) / f"{scenario}.png"
        command = f"zsgan reproduce --profile {self.profile.name}"
        if not file.is_file():
            raise FileNotFoundError(
                f"{file} is missing; with sheets: true in the profile, {command} makes it"
            )
        try:
            return read_sheet(file, labels)
        except ValueError as error:
            raise ValueError(f"{error}; make it again with: {command}") from None


def load_summary(name: str) -> Summary:
    """The measurements that ship with a profile.

    Args:
        name: name of the profile, or its file.

    Returns:
        the summary, which may be out of date, see ``Summary.stale``.

    Raises:
        FileNotFoundError: the profile has no summary.
    """
    place = summary_folder(name)
    if not (place / "provenance.json").is_file():
        raise FileNotFoundError(f"{place} has no summary; make it with: zsgan reproduce --profile {name}")
    return read_summary(load_profile(name), place)


def read_summary(profile: Profile, place: Path) -> Summary:
    """The measurements of a profile in a folder that :func:`summarise` wrote.

    Args:
        profile: the profile in its present state.
        place: the folder.

    Returns:
        the summary.
    """
    tables = {table: pd.read_csv(place / f"{table}.csv") for table in TABLES}
    return Summary(profile, provenance=read_json(place / "provenance.json"), **tables)


def summary_folder(name: str) -> Path:
    """Folder of a profile's summary, beside the profile's file."""
    return profile_file(name).with_suffix("")


def summarise(
    profile: Profile,
    place: Path,
    *,
    folder: Path,
    command: str | None = None,
    device: str = "cpu",
    workers: int = 1,
    progress: bool = False,
) -> None:
    """Measure every run of a profile and write its summary; existing measurements are reused.

    Args:
        profile: profile whose runs are finished.
        place: folder of the summary, see :func:`summary_folder`.
        folder: folder of the runs.
        command: what makes the summary, for its provenance; by default ``zsgan reproduce``.
        device: where images are made and measured; several may share it, such as "cuda:0,cuda:1".
        workers: number of rows that are measured in parallel.
        progress: show progress bars.
    """
    measure_all(profile, folder, device, workers, progress)
    measurements = Measurements(profile, folder, for_workers(device, workers)[0])
    tables: dict[str, list[pd.DataFrame]] = {"finals": [], "course": [], "differences": []}
    weights: dict[str, str] = {}
    seconds = 0.0
    for scenario in profile.scenarios:  # one after the other: the judges of one scenario are loaded at a time
        bench = measurements.bench(scenario)
        tables["finals"].append(measurements.table(scenario))
        tables["course"].append(measurements.course(scenario))
        tables["differences"].append(_differences(bench))
        if profile.sheets:
            write_sheet(place / f"{scenario}.png", make_sheet(bench))
        for _, _, found in bench.runs:
            weights |= bench.networks(found)
            seconds += found.provenance["seconds"]
    for name, parts in tables.items():
        text = pd.concat(parts).to_csv(index=False, float_format="%.5g", lineterminator="\n")
        write_atomically(place / f"{name}.csv", text.encode())
    command = command or f"zsgan reproduce --profile {profile.name}"
    write_json(place / "provenance.json", _provenance(profile, weights, seconds, command))


def run_ids(profile: Profile) -> dict[str, str]:
    """Scenario, row and seed of each of a profile's runs -> the present id of the run."""
    return {
        f"{scenario}, {row}, seed {seed}": resolve(profile.config(scenario, row, seed)).id
        for scenario, row, seed in profile.grid
    }


def _settings(profile: Profile) -> dict[str, Any]:
    extra = {"measures": list(profile.measures)} if profile.measures else {}
    return {name: getattr(profile, name) for name in _COUNTS} | {"metrics": METRICS[profile.eyes]} | extra


def _provenance(profile: Profile, weights: Mapping[str, str], seconds: float, command: str) -> dict[str, Any]:
    return {
        "profile": profile.name, "command": command,
        **_settings(profile), "runs": run_ids(profile), "weights": dict(weights),
        "adaptation_seconds": round(seconds), "versions": versions(),
    }  # fmt: skip


def _differences(bench: Bench) -> pd.DataFrame:
    """Differences to the baseline at the end of the runs, and of snapshots at every rate of RATES."""
    seeds = len(bench.profile.seeds)
    known = bench.judges.rate_column
    found = [differences(bench, (known, *VARIED)).assign(arrived=seeds, target=math.nan)]
    if bench.profile.snapshots:
        found += [
            matched_differences(bench, rate, measure, known) for rate, measure in product(RATES, VARIED)
        ]
    table = pd.concat(found)
    table.insert(0, "scenario", bench.scenario)
    return table
