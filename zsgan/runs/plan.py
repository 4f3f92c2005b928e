"""A plan: the jobs of a profile with their seconds and bytes, before any of them starts."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.terms import needs as needs_of
from zsgan.runs.inventory import File, Wanted
from zsgan.runs.profiles import Profile
from zsgan.runs.room import Needs, Room
from zsgan.runs.row_costs import RowCosts
from zsgan.runs.snapshots import steps_saved


@dataclass(frozen=True)
class Job:
    """One adaptation.

    Attributes:
        id: id of the run; ``None`` as long as the hash of a missing file is unknown.
        scenario: scenario of the profile.
        row: row of the profile.
        seed: seed of the run.
        finished: whether the folder of runs has it.
        command: a command that makes the run.
        measure: a command that measures it at all its snapshots.
        iterations: number of steps.
        step_seconds: measured seconds of a step.
        seconds: texts, stage 1 and all steps; what rows share is in :attr:`Plan.shared`.
        memory: peak bytes of the measured steps on a GPU; otherwise, and at least, the lower bound from the
            shapes of the tensors.
        disk: bytes of the finished run.
    """

    id: str | None
    scenario: str
    row: str
    seed: int
    finished: bool
    command: str
    measure: str
    iterations: int
    step_seconds: float
    seconds: float
    memory: int
    disk: int


@dataclass(frozen=True)
class Shared:
    """What several runs need and the first of them computes.

    Attributes:
        what: "source images" or "Fisher information".
        scenario: the first scenario that needs it.
        seed: seed of the runs that share it; ``None`` for all.
        seconds: its seconds.
        needed: whether a missing run needs it.
        command: a command that computes it.
        jobs: places in :attr:`Plan.jobs` of the runs that need it.
    """

    what: str
    scenario: str
    seed: int | None
    seconds: float
    needed: bool
    command: str
    jobs: Sequence[int]


@dataclass(frozen=True)
class Measuring:
    """Measurement of a scenario.

    Attributes:
        scenario: the scenario.
        command: a command that measures its finished runs at the last step.
        images: seconds of one generator's images, made and seen by eyes and judges.
        lpips: seconds of LPIPS of all pairs of these.
        looks: generators to measure for a book: the source and all snapshots of all runs.
        looks_table: those for a table: the source and the adapted generators.
    """

    scenario: str
    command: str
    images: float
    lpips: float
    looks: int
    looks_table: int


@dataclass(frozen=True)
class Page:
    """A part of the profile's book, or its summary.

    Attributes:
        name: the chapter, or "book" for all pages, made of the executed chapters; "summary" of a profile
            whose measurements are written as tables instead.
        command: a command that makes it, once all runs are measured.
    """

    name: str
    command: str


@dataclass(frozen=True)
class Plan:
    """What a profile takes, and what is missing.

    Attributes:
        profile: name of the profile.
        device: device of adaptations and measurements.
        jobs: its runs.
        left_out: scenario -> rows without target images.
        files: files of weights.
        room: memory and disk.
        shared: what several runs share.
        measuring: measurement of each scenario; empty if it could not be timed.
        pages: the chapters and the book, or the summary; empty unless the whole profile is planned.
        notes: what is not costed, and what else to know.
        machine: see :func:`zsgan.base.device.numerics`.
    """

    profile: str
    device: str
    jobs: Sequence[Job]
    left_out: Mapping[str, Sequence[str]]
    files: Sequence[File]
    room: Room
    shared: Sequence[Shared]
    measuring: Sequence[Measuring]
    pages: Sequence[Page]
    notes: Sequence[str]
    machine: Mapping[str, Any]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of all, one after the other: by part, of the missing runs, and of measuring."""
        once = {
            what: sum(each.seconds for each in self.shared if each.what == what)
            for what in ("source images", "Fisher information")
        }
        adapting = sum(job.seconds for job in self.jobs)
        looks = [(each.images + each.lpips, each) for each in self.measuring]
        left = sum(job.seconds for job in self.jobs if not job.finished)
        return {
            "adaptations": adapting,
            **once,
            "training": adapting + sum(once.values()),
            "training left": left + sum(each.seconds for each in self.shared if each.needed),
            "measuring": sum(look * each.looks for look, each in looks) if looks else math.nan,
            "measuring for tables": sum(look * each.looks_table for look, each in looks)
            if looks
            else math.nan,
        }

    def content(self) -> dict[str, Any]:
        """The plan for JSON; None where a number is not known."""
        seconds = {name: None if math.isnan(value) else value for name, value in self.seconds.items()}
        return {**asdict(self), "seconds": seconds}


def jobs_of(
    runs: Sequence[Wanted],
    costs: Mapping[tuple[str, str], RowCosts],
    needs: Needs,
    commands: Callable[[Wanted], tuple[str, str]],
) -> list[Job]:
    """The jobs of some runs.

    Args:
        runs: the runs.
        costs: scenario and row -> measured costs.
        needs: memory and disk of a configuration.
        commands: commands that make a run and that measure it.

    Returns:
        the jobs, in the order of the runs.
    """
    found = []
    for run in runs:
        cost, iterations = costs[run.scenario, run.row], run.config.optimiser.iterations
        disk, _ = needs.disk(run.at_hand)
        found.append(
            Job(
                run.id, run.scenario, run.row, run.seed, run.finished, *commands(run), iterations, cost.step,
                cost.texts + iterations * cost.step, max(needs.memory(run.at_hand), cost.memory or 0), disk,
            )
        )  # fmt: skip
    return found


def shared_by(
    runs: Sequence[Wanted], costs: Mapping[tuple[str, str], RowCosts], command: Callable[[Wanted, str], str]
) -> list[Shared]:
    """What the runs share: source images of a seed, and Fisher information of a source.

    Args:
        runs: the runs.
        costs: scenario and row -> measured costs.
        command: command that computes a part of a run, one of :data:`zsgan.runs.prepare.PARTS`.

    Returns:
        each once.
    """
    found: dict[tuple[Any, ...], Shared] = {}
    jobs: dict[tuple[Any, ...], list[int]] = {}
    of_part = {"source images": "features", "Fisher information": "fisher"}
    for place, run in enumerate(runs):
        cost = costs[run.scenario, run.row]
        for what, seed, seconds, key in _parts(run.config, cost):
            places = jobs.setdefault((what, *key), [])
            places.append(place)
            known = found.get((what, *key)) or Shared(
                what, run.scenario, seed, seconds, False, command(run, of_part[what]), places
            )
            needed = known.needed or not run.finished
            found[what, *key] = replace(known, seconds=seconds, needed=needed)
    return list(found.values())


def _parts(config: AdaptConfig, cost: RowCosts) -> Iterator[tuple[str, int | None, float, tuple[Any, ...]]]:
    """Kind, seed, seconds and key of what a run shares with others, as in :mod:`zsgan.runs.make`."""
    if config.few_shot is not None:
        return
    optimiser, features = config.optimiser, (config.features.normalise, config.features.antialias)
    key = config.generator, config.clips, features, optimiser.batch_size, config.speed.tf32
    steps = config.seed, optimiser.iterations, config.features.crops, config.speed.autocast
    yield "source images", config.seed, optimiser.iterations * cost.source, (*key, *steps)
    if needs_of(config, "ewc"):
        what = config.source_text, config.templates, config.trainable, config.ewc
        yield "Fisher information", None, cost.fisher, (*key, *what)


def looks(profile: Profile, runs: Sequence[Wanted], truncations: int) -> tuple[int, int]:
    """Numbers of generators to measure for a book or a summary, with snapshots, and for a table.

    Args:
        profile: says which snapshots are measured.
        runs: the runs of a scenario.
        truncations: number of truncations at which the source is measured.

    Returns:
        both.
    """
    snapshots = 0
    for run in runs:
        snapshots += len(profile.measured(steps_saved(run.config.optimiser.iterations)))
    return 1 + truncations + snapshots, truncations + len(runs)
