"""Output of ``zsgan runs list``: what is in a folder of runs, from where, and what a profile still lacks."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zsgan.runs.records import Record, records, size
from zsgan.runs.wording import in_columns

# Modules that load torch are imported in functions, so that a list of runs appears at once.


def run_list(folder: Path, profile: str | None = None) -> dict[str, Any]:
    """The runs of a folder, or those of a profile.

    Args:
        folder: folder of runs.
        profile: list the runs of this profile, made or not; by default all that the folder has.

    Returns:
        "runs", a line for each with :attr:`zsgan.runs.records.Record.line`, and "cache", the bytes that runs
        share. With a profile, also "profile", "missing", the number of its runs that are not finished, and
        "others", that of runs in the folder that belong to none of its rows; each line then begins with
        scenario, row and seed, and its id is ``None`` as long as the hash of a missing file is unknown.

    Raises:
        ValueError: the profile does not exist.
    """
    found = {record.id: record for record in records(folder)}
    shared = size(folder / "cache")
    if profile is None:
        return {"runs": [record.line for record in found.values()], "cache": shared}
    asked = ids_of(profile)
    lines = []
    for (scenario, row, seed), id_ in asked.items():
        line = found[id_].line if id_ in found else {**Record(Path(), "missing", 0).line, "id": id_}
        lines.append({"scenario": scenario, **line, "row": row, "seed": seed})
    return {
        "profile": profile, "runs": lines,
        "missing": sum(line["state"] != "finished" for line in lines),
        "others": len(found.keys() - set(asked.values())), "cache": shared,
    }  # fmt: skip


def ids_of(profile: str) -> dict[tuple[str, str, int], str | None]:
    """Scenario, row and seed of each run of a profile -> its id; ``None`` if a missing file determines it."""
    from zsgan.runs.inventory import known_id
    from zsgan.runs.profiles import load_profile

    whole = load_profile(profile)
    return {which: known_id(whole.config(*which)) for which in whole.grid}


def ids_to_keep(profiles: Sequence[str]) -> set[str]:
    """Ids of the runs of some profiles.

    Args:
        profiles: names or files.

    Returns:
        the ids.

    Raises:
        ValueError: a profile does not exist, or an id is unknown since a file of weights is missing: its run
            would be taken for one that no profile has.
    """
    kept: set[str] = set()
    for profile in profiles:
        for which, id_ in ids_of(profile).items():
            if id_ is None:
                raise ValueError(
                    f"profile {profile}: the id of {', '.join(map(str, which))} is unknown as long as its "
                    f"weights are missing; get them first: zsgan fetch --profile {shlex.quote(profile)}"
                )
            kept.add(id_)
    return kept


def in_lines(found: dict[str, Any], folder: Path) -> str:
    """The result of :func:`run_list` as text, with sizes in MB and without what every line lacks."""
    lines: Sequence[dict[str, Any]] = found["runs"]
    shown = [
        {name: _shown(name, value) for name, value in line.items() if name not in ("bytes", "zsgan")}
        | {"MB": f"{line['bytes'] / 1e6:.1f}" if line["bytes"] else None}
        for line in lines
    ]
    used = [name for name in (shown[0] if shown else {}) if any(line[name] is not None for line in shown)]
    table = in_columns([{name: line[name] for name in used} for line in shown])
    taken = sum(line["bytes"] for line in lines)
    tail = [f"{folder}: {taken / 1e6:.1f} MB of runs listed, {found['cache'] / 1e6:.1f} MB of shared results"]
    if "profile" in found:
        made = len(lines) - found["missing"]
        tail.append(f"{made} of the {len(lines)} runs of {found['profile']} are finished")
        if found["missing"]:
            tail[-1] += f"; zsgan reproduce --profile {shlex.quote(found['profile'])} makes the others"
        if found["others"]:
            tail.append(f"runs here that the profile does not have: {found['others']}")
    return "\n".join([table, *tail])


def _shown(name: str, value: Any) -> Any:
    return value[:8] if name == "commit" and value else value
