"""``zsgan plan``: what a profile's runs and measurements take, before hours are spent on them."""

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from zsgan.base import device as devices
from zsgan.evaluation.files import files_of
from zsgan.evaluation.look_costs import look_seconds
from zsgan.report.table1 import OF_PROFILE, chosen
from zsgan.runs.identity import check
from zsgan.runs.inventory import Wanted, clip_at_hand, files, wanted
from zsgan.runs.plan import Measuring, Page, Plan, jobs_of, looks, shared_by
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.room import Needs, check_room, room
from zsgan.runs.row_costs import Meter, RowCosts
from zsgan.runs.scenario import Scenario
from zsgan.runs.wording import flow

log = logging.getLogger(__name__)

BUSY = 0.7
"""Share of the time below which a CPU was busy with other programs."""


def plan(
    profile: str,
    settings: Mapping[str, Any],
    *,
    scenario: str | None = None,
    folder: Path,
    device: torch.device | str = "cpu",
) -> Plan:
    """The plan of a profile.

    Nothing is kept. Networks whose files are missing are timed with random weights of the same shapes.

    Args:
        profile: a name, or a .yaml file.
        settings: see :func:`zsgan.report.table1.chosen`.
        scenario: one of the profile's; ``None`` for all.
        folder: folder of runs.
        device: device of adaptations and measurements.

    Returns:
        the plan.

    Raises:
        ValueError: a name or setting is unknown, the device is not there, or something cannot fit.
    """
    device = devices.set_up(device)
    whole = load_profile(profile)
    places = list(whole.scenarios) if scenario is None else [scenario]
    profiles = {place: chosen(whole, place, (), settings) for place in places}
    runs = wanted(profiles, folder)
    first = next(iter(profiles.values()))
    weights = files(name for found in profiles.values() for name in files_of(found))
    needs = Needs()
    log.info("looking at memory and disk for %d runs", len(runs))
    there = room(runs, weights, needs, folder, device)
    check_room(there, runs, needs, folder, device)
    began = time.perf_counter(), time.process_time()
    costs, measuring, notes = _measured(profiles, runs, device, settings, _where(profile, folder, device))
    share = (time.process_time() - began[1]) / (time.perf_counter() - began[0])
    if device.type == "cpu" and share < BUSY:
        notes.insert(
            0, f"other programs kept the processor busy: {share:.0%} of the measured time was this one's, so "
            "seconds are too many",
        )  # fmt: skip
    if compiled := sorted({run.row for run in runs if run.config.speed.compile}):
        notes.append(
            f"steps of {', '.join(compiled)} were timed without torch.compile, which first takes minutes; "
            "zsgan cost --compare times steps with it"
        )
    if any(run.at_hand.generator != run.config.generator for run in runs):
        notes.insert(0, "networks whose files are missing were timed with random weights of the same shapes")
    if first.weights == "random":
        notes.insert(0, "weights=random: seconds and bytes are real, results would mean nothing")
    left_out = {
        place: [row for row in whole.rows if row not in found.rows] for place, found in profiles.items()
    }
    where = _where(profile, folder, device)
    pages = [] if settings or scenario else _pages(whole, where, notes)

    def commands(run: Wanted) -> tuple[str, str]:
        return _of_run(["adapt"], run, settings, where), _measure(run, settings, where)

    def prepares(run: Wanted, part: str) -> str:
        return _of_run(["prepare", part], run, settings, where)

    return Plan(
        profile, str(device), jobs_of(runs, costs, needs, commands), left_out, weights, there,
        shared_by(runs, costs, prepares), measuring, pages, notes, devices.numerics(device),
    )  # fmt: skip


def _measured(
    profiles: Mapping[str, Profile], runs: Sequence[Wanted], device: torch.device,
    settings: Mapping[str, Any], where: Sequence[str],
) -> tuple[dict[tuple[str, str], RowCosts], list[Measuring], list[str]]:  # fmt: skip
    """Costs of each row of each scenario and of their measurement, and what could not be costed."""
    check([run.at_hand for run in runs if run.seed == runs[0].seed])
    meter = Meter(device)
    costs: dict[tuple[str, str], RowCosts] = {}
    measuring: dict[str, Measuring] = {}
    notes: dict[str, None] = {}
    first = {(run.scenario, run.row): run for run in reversed(runs)}
    of_scenario: dict[str, list[Wanted]] = {scenario: [] for scenario in profiles}
    for run in runs:
        of_scenario[run.scenario].append(run)
    # Scenarios of one generator together, since the meter holds one at a time.
    for run in sorted(first.values(), key=lambda run: run.at_hand.generator):
        try:
            costs[run.scenario, run.row] = meter.row(run.at_hand)
        except torch.OutOfMemoryError:
            raise ValueError(
                f"{run.scenario}, {run.row}: a step does not fit into the memory of {device}; lower it by "
                "--set optimiser.batch_size, or selection.batch_size in the row"
            ) from None
        if run.scenario in measuring:
            continue
        profile = profiles[run.scenario]
        try:
            judge, truth = clip_at_hand(profile.judge), profile.scenarios[run.scenario].truth
            found = look_seconds(meter, profile, run.at_hand, judge, truth)
        except torch.OutOfMemoryError:
            raise ValueError(
                f"{run.scenario}: measuring does not fit into the memory of {device}; lower --batch-size"
            ) from None
        except (FileNotFoundError, ModuleNotFoundError) as error:
            notes[f"measuring was not timed: {error}"] = None
            continue
        truncations = 1 + (profile.other_psi != profile.truncation_psi)
        counted = looks(profile, of_scenario[run.scenario], truncations)
        command = shlex.join(["zsgan", "table", *where, "--scenario", run.scenario, *_set(settings)])
        measuring[run.scenario] = Measuring(
            run.scenario, command, **found, looks=counted[0], looks_table=counted[1]
        )
    return costs, [measuring[place] for place in profiles if place in measuring], list(notes)


def _where(profile: str, folder: Path, device: torch.device) -> list[str]:
    return ["--profile", profile, "--runs", str(folder), "--device", str(device)]


def _set(settings: Mapping[str, Any]) -> list[str]:
    return [part for name, value in settings.items() for part in ("--set", f"{name}={flow(value)}")]


def _measure(run: Wanted, settings: Mapping[str, Any], where: Sequence[str]) -> str:
    """The command that measures a run."""
    place = ["--scenario", run.scenario, "--row", run.row]
    return shlex.join(["zsgan", "measure", *where, *place, *_set({**settings, "seeds": [run.seed]})])


def _pages(profile: Profile, where: Sequence[str], notes: list[str]) -> list[Page]:
    """The chapters and the book of a profile, or its summary; a note says why there are none."""
    command = ["zsgan", "reproduce", *where]
    if profile.summarised:
        return [Page("summary", shlex.join(command))]
    try:
        from zsgan.book import contents, notebooks

        chapters = [page.stem for page in notebooks.chapters(having=contents.offered(profile))]
    except (ImportError, FileNotFoundError) as error:
        notes.append(f"no chapters: {error}")
        return []
    return [Page(name, shlex.join([*command, "--only", name])) for name in (*chapters, "book")]


def _of_run(verb: Sequence[str], run: Wanted, settings: Mapping[str, Any], where: Sequence[str]) -> str:
    """The command for a run; settings of profile and scenario go where ``zsgan adapt`` has them."""
    of_scenario = {field.name for field in fields(Scenario)}
    own: dict[str, Any] = {}
    for name, value in settings.items():
        group = name.partition(".")[0]
        if group in of_scenario or (name in OF_PROFILE and name != "weights"):
            continue
        own[name] = value
    texts: list[str] = []
    if any(name.partition(".")[0] in of_scenario for name in settings):
        config = run.config
        texts = ["--source", config.generator, "--source-text", config.source_text]
        texts += ["--text", config.target_text]
        if config.few_shot is not None:
            own["few_shot.target"] = dict(config.few_shot.target)
            own["few_shot.discriminator"] = config.few_shot.discriminator
    place = ["--scenario", run.scenario, "--row", run.row, "--seed", str(run.seed)]
    return shlex.join(["zsgan", *verb, *where, *place, *texts, *_set(own)])
