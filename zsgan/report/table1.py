"""Table 1 of a profile in one call, which makes missing runs, measures them and records provenance."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import names
from zsgan.base.settings import build, closest, merge, names_of
from zsgan.base.workers import for_workers
from zsgan.evaluation.measurements import Measurements
from zsgan.evaluation.measuring import measure_all
from zsgan.networks.load import check_of_demo
from zsgan.report import tables
from zsgan.report.basis import basis
from zsgan.runs.grid import run_all
from zsgan.runs.identity import check
from zsgan.runs.method_check import check_methods
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.run import RUNS
from zsgan.runs.scenario import Scenario

OF_PROFILE = (
    "seeds", "samples", "judge", "eyes", "clusters", "neighbours", "truncation_psi", "other_psi", "weights",
)  # fmt: skip
"""Entries of a profile that a caller may replace, in addition to settings of the runs."""
OF_ROWS = ("terms", "selection", "few_shot")
"""Settings that define a row."""


@dataclass(frozen=True, eq=False)
class Table1:
    """Table 1 and the measurements behind it.

    Attributes:
        main: table from :func:`zsgan.report.tables.table_1`.
        others: table from :func:`zsgan.report.tables.metrics_table`.
        basis: sentences on the measurements, to show beside the tables.
        provenance: from :meth:`zsgan.evaluation.measurements.Measurements.provenance`.
        runs: from :meth:`zsgan.evaluation.measurements.Measurements.table`.
        references: from :meth:`zsgan.evaluation.measurements.Measurements.bounds`.
    """

    main: pd.DataFrame
    others: pd.DataFrame
    basis: str
    provenance: Mapping[str, Any]
    runs: pd.DataFrame
    references: pd.DataFrame

    def content(self) -> dict[str, Any]:
        """All numbers for JSON, not rounded; None if there is no value.

        "runs" has a line for each row and seed, "means" the mean of each row over its seeds, "references" a
        line each for the source generator and for true images; "basis" and "provenance" are as above.
        """
        means = self.runs.groupby("row", sort=False).mean(numeric_only=True).drop(columns="seed")
        return {
            "basis": self.basis,
            "means": _plain(means.reset_index()),
            "runs": _plain(self.runs),
            "references": _plain(self.references),
            "provenance": dict(self.provenance),
        }

    def save(self, folder: Path) -> None:
        """Write table1 and table_metrics as CSV, Markdown and LaTeX with sidecars."""
        for stem, table in (("table1", self.main), ("table_metrics", self.others)):
            tables.save_table(table, stem, folder, caption=self.basis, provenance=self.provenance)


def make_table(
    profile: str | Path | None = None,
    scenario: str | None = None,
    rows: Sequence[str] = (),
    *,
    methods: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    workers: int = 1,
    progress: bool = True,
) -> Table1:
    """Table 1 of one scenario; missing runs are made.

    All names are checked, and the measuring networks are loaded, before any run starts. A call after an
    interrupted one resumes it.

    Args:
        profile: a name, or a .yaml file; the demo's by default, which is for generators of the demo.
        scenario: one of the profile's scenarios; its first by default.
        rows: some of the profile's rows; by default all whose target texts or images are available.
        methods: Python files whose methods are rows beside the profile's, see
            :func:`zsgan.adaptation.plugged.rows_of`; rows with plug-ins, these and the
            profile's own, are checked before their runs are made.
        settings: see :func:`chosen`.
        folder: folder of the runs.
        device: where runs are made and measured; several share them, such as "cuda:0,cuda:1".
        workers: number of runs that are made or measured in parallel.
        progress: show progress bars.

    Returns:
        the table.

    Raises:
        ValueError: a name or a setting is unknown, a device does not exist, or there are fewer workers than
            devices; or a method does not pass its check (:mod:`zsgan.runs.method_check`).
        FileNotFoundError: the file of a name is missing.
        RuntimeError: some runs failed; the others are kept.
    """
    first = for_workers(device, workers)[0]
    whole = load_profile(profile, methods)
    scenario = next(iter(whole.scenarios)) if scenario is None else scenario
    picked = chosen(whole, scenario, rows, settings or {})
    if profile is None:
        check_of_demo(picked.scenarios[scenario].generator)
    grid = list(product(picked.rows, picked.seeds))
    configs = [picked.config(scenario, row, seed) for row, seed in grid]
    jobs = check(configs)
    measurements = Measurements(picked, folder, first, progress)
    measurements.load(scenario)
    labels = [f"{row}, seed {seed}" for row, seed in grid]
    check_methods(picked, folder, first)
    run_all(jobs, folder=folder, device=device, workers=workers, progress=progress, labels=labels)
    if workers > 1:
        measure_all(picked, folder, device, workers, progress, snapshots=False)
    measured, reference = measurements.table(scenario), measurements.bounds(scenario)
    parts = [basis(measured, picked, scenario)]
    if left := [] if rows else [row for row in whole.rows if row not in picked.rows]:
        parts.append(f"Not made, since there are no target images: {', '.join(left)}.")
    made_on = [found.provenance["device"] for *_, found in measurements.bench(scenario).runs]
    if note := mixed(made_on):
        parts.append(note)
    if picked.weights == "random":
        parts.append("Random weights: the numbers mean nothing.")
    return Table1(
        tables.table_1(measured, reference, "here", scenario),
        tables.metrics_table(measured, reference, scenario),
        " ".join(parts),
        measurements.provenance(scenario),
        measured,
        reference,
    )


def mixed(made_on: Sequence[str]) -> str:
    """A sentence for a table whose runs were made on different kinds of device; empty for one kind.

    Noise maps are drawn on the device (see :mod:`zsgan.base.streams`), so a seed has other noise on a GPU.

    Args:
        made_on: the device in each run's provenance, see :func:`zsgan.base.device.numerics`.

    Returns:
        the sentence.
    """
    on_cpu = sum(device.startswith("cpu (") for device in made_on)
    if on_cpu in (0, len(made_on)):
        return ""
    return (
        f"{on_cpu} of the {len(made_on)} runs were made on a CPU, the others on a GPU, where the same seed "
        "draws other noise maps: rows of one seed are not fully paired."
    )


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {name: None if isinstance(x, float) and not math.isfinite(x) else x for name, x in line.items()}
        for line in table.to_dict("records")
    ]


def chosen(profile: Profile, scenario: str, rows: Sequence[str], settings: Mapping[str, Any]) -> Profile:
    """A profile reduced to one scenario and some rows, with settings replaced by the caller's.

    Args:
        profile: the whole profile.
        scenario: one of its scenarios.
        rows: some of its rows; if empty, all whose targets are available.
        settings: dotted name -> value: entries of a profile (:data:`OF_PROFILE`), of a scenario
            (truth.folder...) or, for all rows, of :class:`zsgan.adaptation.config.AdaptConfig`
            (optimiser.iterations...). With weights -> "random", generator and CLIPs are random, and eyes is
            the demo's evaluator.

    Returns:
        the profile.

    Raises:
        ValueError: a name is unknown, a value is invalid, or a setting defines a row.
    """
    profile.config(scenario, next(iter(profile.rows)))  # raises an error if the scenario is unknown
    if unknown := [row for row in rows if row not in profile.rows]:
        raise ValueError(f"row={unknown[0]!r} is unknown; choose one of {', '.join(profile.rows)}")
    all_names = [*OF_PROFILE, *names_of(Scenario), *names_of(AdaptConfig)]
    known = {name.partition(".")[0] for name in all_names}
    of_scenario = {field.name for field in fields(Scenario)}
    kinds: dict[str, dict[str, Any]] = {"profile": {}, "scenario": {}, "runs": {}}
    for name, value in settings.items():
        first = name.partition(".")[0]
        if first in OF_ROWS or name == "seed":
            instead = "seeds" if name == "seed" else "rows of your own, in a .yaml that extends the profile"
            raise ValueError(f"setting {name!r} would hold for every row of the table; give {instead}")
        if first not in known:
            raise ValueError(f"setting {name!r} is unknown; {closest(name, all_names)}")
        kind = "profile" if name in OF_PROFILE else "scenario" if first in of_scenario else "runs"
        kinds[kind][name] = value
    found = build(Scenario, merge(vars(profile.scenarios[scenario]), kinds["scenario"]))
    of_profile = kinds["profile"]
    if of_profile.get("weights", profile.weights) == "random":
        found = found.random()
        architecture = names.clip(of_profile.get("judge", profile.judge)).architecture
        of_profile = {"eyes": "evaluator", **of_profile}
        of_profile |= {"judge": f"{architecture}/random"} if architecture else {}
    values = {
        **vars(profile), **of_profile, "scenarios": {scenario: found}, "baseline": None,
        "overrides": merge(profile.overrides, kinds["runs"]), "random": merge(profile.random, kinds["runs"]),
    }  # fmt: skip
    whole = build(Profile, values)
    rows = rows or whole.rows_of(scenario)
    return replace(whole, rows={row: whole.rows[row] for row in rows})
