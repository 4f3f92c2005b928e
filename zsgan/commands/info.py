"""Output of ``zsgan runs info``: the settings of a run, its course, and commands to use it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from zsgan.adaptation.stopping import alignment, plateau
from zsgan.menagerie.species import SPECIES
from zsgan.runs.profiles import load_profile
from zsgan.runs.records import size
from zsgan.runs.run import open_run
from zsgan.runs.wording import flat, flow, in_columns, in_words


def about(place: Path, profile: str | None = None) -> dict[str, Any]:
    """Facts about a finished run: its settings, its course, and commands to use it.

    Args:
        place: the run's folder.
        profile: profile whose nearest row it is compared with; demo and paper by default.

    Returns:
        facts under the names that ``zsgan runs info --json`` prints; "course" has rows of a few steps.

    Raises:
        FileNotFoundError: the run does not exist or is not finished.
        ValueError: the run is damaged, or the profile does not exist.
    """
    found = open_run(place)
    config, history, made = asdict(found.config), found.history, found.provenance
    nearest, differing = _nearest(config, [profile] if profile else ["demo", "paper"])
    try:
        levelled: int | None = plateau(alignment(history))
        rule = "not within these steps" if levelled is None else f"at step {levelled}"
    except ValueError:  # no text guided it
        levelled, rule = None, "unknown: no text guided it"
    asked = found.config.optimiser.iterations
    early = found.config.optimiser.stop_at_plateau and found.iterations < asked
    picked = sorted({1, *(round(i * len(history) / 5) for i in range(1, 6))} - {0})
    return {
        "run": str(place),
        "what": in_words(config),
        "source text": config["source_text"],
        "target text": config["target_text"],
        "nearest row": nearest,
        "settings that differ from it": differing,
        "settings": flat(config),
        "weights": made["weights"],
        "written": time.strftime(
            "%Y-%m-%d %H:%M", time.localtime((place / "provenance.json").stat().st_mtime)
        ),
        "device": made.get("device"),
        "versions": made.get("versions"),
        "seconds": made.get("seconds"),
        "host": made.get("host"),
        "zsgan": made.get("zsgan"),
        "commit": made.get("commit"),
        "bytes": size(place),
        "steps": found.iterations,
        "snapshots": found.snapshots,
        "course": [history[step - 1] for step in picked],
        "levelled off": rule,
        "levelled off at step": levelled,
        "ended": f"where it levelled off, before step {asked}"
        if early
        else f"after the {asked} steps asked for",
        "next": list(_next(place, config)),
    }


def in_lines(facts: Mapping[str, Any]) -> str:
    """The result of :func:`about` as text, without the settings that equal those of the nearest row."""
    differing = [f"{name}={flow(new)} ({flow(old)})" for name, (new, old) in
                 facts["settings that differ from it"].items()]  # fmt: skip
    versions = facts["versions"] or {}
    lines = {
        "texts": f"{facts['source text']} to {facts['target text']}",
        "nearest row": facts["nearest row"],
        "differs in": "; ".join(differing) or "nothing",
        "weights": ", ".join(facts["weights"]),
        "made": f"{facts['written']}, {facts['device']}, {facts['seconds']} s, "
        f"torch {versions.get('torch', 'unknown')}; {facts['bytes'] / 1e6:.1f} MB",
        "from": f"{facts['host'] or 'unknown host'}, zsgan {facts['zsgan'] or 'unknown'}, "
        f"commit {facts['commit'] or 'unknown'}",
        "steps": f"{facts['steps']}; ended {facts['ended']}",
        "levelled off": facts["levelled off"],
    }
    width = max(map(len, lines)) + 2
    course = [
        {"step": f"{row['step']:g}"} | {name: f"{value:.4g}" for name, value in row.items() if name != "step"}
        for row in facts["course"]
    ]
    return "\n".join([
        f"{facts['run']}: {facts['what']}",
        *(f"  {name:<{width}}{value}" for name, value in lines.items()),
        "course", in_columns(course),
        "next", *(f"  {command}" for command in facts["next"]),
    ])  # fmt: skip


def _nearest(config: Mapping[str, Any], profiles: Sequence[str]) -> tuple[str, dict[str, list[Any]]]:
    """The row that differs in the fewest settings; differing setting -> the run's value and the row's."""
    own = flat(config)
    found: list[tuple[str, dict[str, list[Any]]]] = []
    for name in profiles:
        whole = load_profile(name)
        for scenario in whole.scenarios:
            for row in whole.rows:
                other = flat(asdict(whole.config(scenario, row, config["seed"])))
                differing = {
                    key: [own.get(key), other.get(key)]
                    for key in {**own, **other}
                    if own.get(key) != other.get(key)
                }
                found.append((f"{row!r} of scenario {scenario}, profile {name}", differing))
    return min(found, key=lambda each: len(each[1]))


def _next(place: Path, config: Mapping[str, Any]) -> Iterator[str]:
    species = [word for word in config["target_text"].split() if word in SPECIES]
    truth = f"drawn:{species[0]}" if species else "FOLDER"
    yield f"zsgan sample {place} --n 32 --out images/"
    yield f"zsgan evaluate {place} --against {truth}"
    yield f"zsgan convert {place / 'generator.safetensors'} generator.pt"
