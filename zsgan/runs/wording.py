"""Short descriptions of a run, from the plain values of its configuration."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

SYMBOLS = {
    "directional": "L_dir",
    "moment": "L_dm",
    "ewc": "L_EWC",
    "relation": "L_rel",
    "in_domain_angle": "L_angle",
    "spectral": "L_spectral",
    "local": "L_local",
}
"""Term of the loss -> its symbol in Table 1, in the order of the table."""


def row_in_words(config: Mapping[str, Any]) -> str:
    """The row of Table 1 that a configuration belongs to, such as "L_dm + L_EWC".

    Args:
        config: values of :class:`zsgan.adaptation.config.AdaptConfig`, as ``asdict`` or config.json has them.

    Returns:
        the terms, with k of layer selection if there is one; "10-shot" for an adaptation to ten images.
    """
    if config["few_shot"] is not None:
        return f"{config['few_shot']['images']}-shot"
    weights = config["terms"]
    names = [*SYMBOLS, *(name for name in weights if name not in SYMBOLS)]
    terms = " + ".join(SYMBOLS.get(name, name) for name in names if weights.get(name))
    return terms if config["selection"] is None else f"{terms}, {config['selection']['k']} layers"


def in_words(config: Mapping[str, Any]) -> str:
    """Texts, terms and seed: "dog to cat, L_dir, seed 0"; for ``config`` see :func:`row_in_words`."""
    texts = f"{config['source_text']} to {config['target_text']}"
    return f"{texts}, {row_in_words(config)}, seed {config['seed']}"


def in_columns(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines with the same keys as a text table with a header; "none" without lines."""
    if not lines:
        return "  none"
    cells = [["" if value is None else str(value) for value in line.values()] for line in lines]
    cells.insert(0, list(lines[0]))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Settings by their dotted names, such as "moment.lambda_cov".

    Args:
        values: values of a configuration; groups are mappings, or None where they are absent.
        above: prefix of every name.

    Returns:
        dotted name -> value.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{above}{name}.")
        else:
            found[f"{above}{name}"] = list(value) if isinstance(value, tuple) else value
    return found


def flow(value: Any) -> str:
    """A value as text that ``--set`` accepts."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
