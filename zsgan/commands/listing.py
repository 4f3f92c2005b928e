"""Output of ``zsgan list``: profiles, scenarios, rows, words, settings and networks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zsgan.assets.manifest import assets
from zsgan.runs.wording import flat, flow, in_columns

# Modules that load torch are imported in functions, so that a list that needs none appears at once.

Lines = list[dict[str, Any]]


def listing(kinds: Sequence[str], profile: str) -> dict[str, Lines]:
    """Available items by kind.

    Args:
        kinds: "profiles", "scenarios", "rows", "texts" (words that a CLIP knows), "settings", "generators"
            or "clips"; empty for an overview.
        profile: profile of the scenarios, rows, settings and texts.

    Returns:
        kind -> a line for each item, with name and description.

    Raises:
        ValueError: the profile does not exist.
    """
    found: dict[str, Callable[[], Lines]] = {
        "profiles": _profiles,
        "scenarios": lambda: _scenarios(profile),
        "rows": lambda: _rows(profile),
        "texts": lambda: _texts(profile),
        "settings": lambda: _settings(profile),
        "generators": lambda: _networks("generator-"),
        "clips": lambda: _networks("clip-", "ViT-"),
    }
    return {kind: found[kind]() for kind in kinds or ("profiles", "generators", "clips")}


def in_lines(found: Mapping[str, Lines]) -> str:
    """The result of :func:`listing` as text tables."""
    return "\n\n".join(f"{kind}\n{in_columns(lines)}" for kind, lines in found.items())


def _profiles() -> Lines:
    from zsgan.runs.profiles import PROFILES

    lines = []
    for file in sorted(PROFILES.glob("*.yaml")):
        comment = " ".join(
            line.removeprefix("#").strip()
            for line in file.read_text(encoding="utf-8").splitlines()
            if line.startswith("#")
        )
        lines.append({"name": file.stem, "what it is": re.split(r"(?<=\.) (?=[A-Z])", comment)[0]})
    return lines


def _scenarios(profile: str) -> Lines:
    from zsgan.runs.profiles import load_profile

    return [
        {
            "name": name, "generator": it.generator, "source text": it.source_text,
            "target text": it.target_text, "true images": flow(it.truth) if it.truth else None,
        }
        for name, it in load_profile(profile).scenarios.items()
    ]  # fmt: skip


def _rows(profile: str) -> Lines:
    from zsgan.runs.profiles import load_profile

    whole = load_profile(profile)
    first = next(iter(whole.scenarios))
    return [
        {"name": row, "steps": whole.config(first, row).optimiser.iterations, "settings": flow(settings)}
        for row, settings in whole.rows.items()
    ]


def _texts(profile: str) -> Lines:
    from zsgan.assets.names import demo_clips
    from zsgan.menagerie.clip_model import CompactTokenizer
    from zsgan.networks.load import load_clip
    from zsgan.runs.profiles import load_profile

    whole = load_profile(profile)
    rows = [whole.config(next(iter(whole.scenarios)), row) for row in whole.rows]
    lines = []
    for name in dict.fromkeys(clip for config in rows for clip in config.clips):
        words = "any, as long as the text has at most 75 tokens"
        if name in demo_clips() and isinstance(known := load_clip(name).tokenizer, CompactTokenizer):
            words = ", ".join(known.known_words())
        lines.append({"CLIP": name, "words": words})
    return lines


def _settings(profile: str) -> Lines:
    from zsgan.runs.profiles import load_profile

    whole = load_profile(profile)
    config = whole.config(next(iter(whole.scenarios)), list(whole.rows)[-1])
    return [{"name": name, "value": flow(value)} for name, value in flat(asdict(config)).items()]


def _networks(*prefixes: str) -> Lines:
    return [
        {
            "name": name,
            "here": "yes" if entry.file.is_file() else f"zsgan fetch {name}",
            "what it is": entry.description,
        }
        for name, entry in assets().items()
        if name.startswith(prefixes)
    ]
