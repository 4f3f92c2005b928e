"""A plan as text."""

import math
from collections.abc import Iterator

from zsgan.runs.plan import Plan
from zsgan.runs.room import gigabytes
from zsgan.runs.wording import in_columns


def in_lines(plan: Plan) -> str:
    """The plan as text: files, runs, hours, memory, disk, and what is not known."""
    return "\n".join([*_files(plan), *_runs(plan), *_hours(plan), *_room(plan), *_end(plan)])


def _files(plan: Plan) -> Iterator[str]:
    missing = [file for file in plan.files if not file.there]
    if not missing:
        yield f"files: all {len(plan.files)} are here" if plan.files else "files: none are needed"
        return
    unknown = sum(file.bytes is None for file in missing)
    more = f", and {unknown} of a size that nobody published" if unknown else ""
    yield (
        f"files: {len(missing)} of {len(plan.files)} are missing, {gigabytes(plan.room.download)} to "
        f"download{more}"
    )
    yield f"  zsgan fetch {' '.join(file.name for file in missing)}"


def _runs(plan: Plan) -> Iterator[str]:
    there = sum(job.finished for job in plan.jobs)
    yield f"runs: {len(plan.jobs)}, of which {there} are there"
    lines = []
    for scenario, row in dict.fromkeys((job.scenario, job.row) for job in plan.jobs):
        jobs = [job for job in plan.jobs if (job.scenario, job.row) == (scenario, row)]
        first = jobs[0]
        lines.append({
            "scenario": scenario, "row": row, "there": f"{sum(job.finished for job in jobs)}/{len(jobs)}",
            "steps": first.iterations, "a step, s": f"{first.step_seconds:.3g}",
            "a run": duration(first.seconds), "the row": duration(sum(job.seconds for job in jobs)),
            "memory": gigabytes(first.memory),
        })  # fmt: skip
    yield in_columns(lines)
    for scenario, rows in plan.left_out.items():
        if rows:
            yield f"  left out of {scenario}, which has no target images: {', '.join(rows)}"


def _hours(plan: Plan) -> Iterator[str]:
    seconds = plan.seconds
    yield "time, one after the other:"
    parts = {
        "adaptations": seconds["adaptations"],
        "source images, once a seed": seconds["source images"],
        "Fisher information, once a source": seconds["Fisher information"],
        "training": seconds["training"],
        "of which missing": seconds["training left"],
    }
    if plan.measuring:
        parts["measuring, all snapshots (zsgan reproduce)"] = seconds["measuring"]
        parts["measuring, last step (zsgan table)"] = seconds["measuring for tables"]
    yield from (f"  {name:<45}{duration(value):>10}" for name, value in parts.items())


def _room(plan: Plan) -> Iterator[str]:
    room = plan.room
    measured = "" if plan.device == "cpu" else " or was measured"
    there = "unknown" if room.memory_there is None else gigabytes(room.memory_there)
    memory = max((job.memory for job in plan.jobs), default=0)
    yield f"memory: the largest step needs at least{measured} {gigabytes(memory)}; {plan.device} has {there}"
    yield f"disk: the missing runs need {gigabytes(room.disk)}, {gigabytes(room.disk_there)} are free"


def _end(plan: Plan) -> Iterator[str]:
    yield from (f"note: {note}" for note in plan.notes)
    yield f"on {plan.machine['device']}, {plan.machine['threads']} threads"


def duration(seconds: float) -> str:
    """Seconds in words: "0.8 s", "12 min" or "3.4 h"; "unknown" for nan."""
    if math.isnan(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
