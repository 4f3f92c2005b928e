"""Reports of :mod:`zsgan.runs.costs` and :mod:`zsgan.runs.comparison`: units, and estimates for tables."""

import math
from collections.abc import Mapping
from typing import Any

from zsgan.adaptation.config import AdaptConfig
from zsgan.runs.comparison import Comparison
from zsgan.runs.costs import Costs


def estimate(found: Costs, config: AdaptConfig, rows: int, seeds: int) -> dict[str, float]:
    """Estimate the seconds of whole adaptations from those of their parts, without evaluation.

    Args:
        found: the costs of ``config``.
        config: the configuration that was measured.
        rows: rows of a table; the estimate assumes that their steps take as long as those of this row.
        seeds: runs of every row.

    Returns:
        "run": texts and stage 1, source images of all steps, Fisher information of the whole sample, and the
        steps; "row": all seeds, which share the Fisher information; "table": all rows, which also share the
        source images of each seed.
    """
    optimiser = config.optimiser
    batches = math.ceil(config.ewc.samples / optimiser.batch_size)
    fisher = found.once.get("Fisher information", 0.0) * batches
    source = found.once["source images"] * optimiser.iterations
    own = found.once["texts and stage 1"] + found.step["all"] * optimiser.iterations
    return {
        "run": fisher + source + own,
        "row": fisher + seeds * (source + own),
        "table": fisher + seeds * (source + rows * own),
    }


def in_units(
    found: Costs, config: AdaptConfig, *, rows: int, seeds: int, least: Mapping[str, int]
) -> dict[str, Any]:
    """The costs and :func:`estimate` under names that say the unit; a megabyte is a million bytes.

    Args:
        found: the costs of ``config``.
        config: the configuration that was measured.
        rows: see :func:`estimate`.
        seeds: runs of every row.
        least: result of :func:`zsgan.runs.least_memory.least_memory`.

    Returns:
        step_seconds (by part, and "all"), step_processor_seconds, once_seconds, estimated_seconds and the
        numbers behind them (iterations, rows, seeds); memory_MB, least_memory_MB (with "all"), and machine.
    """

    def megabytes(held: Mapping[str, int]) -> dict[str, float]:
        return {name: round(value / 1e6, 1) for name, value in held.items()}

    return {
        "step_seconds": dict(found.step),
        "step_processor_seconds": found.processor,
        "once_seconds": dict(found.once),
        "estimated_seconds": estimate(found, config, rows, seeds),
        "iterations": config.optimiser.iterations, "rows": rows, "seeds": seeds,
        "memory_MB": megabytes(found.memory),
        "least_memory_MB": megabytes({**least, "all": sum(least.values())}),
        "machine": dict(found.machine),
    }  # fmt: skip


def in_lines(costs: Mapping[str, Any]) -> str:
    """The result of :func:`in_units` as a text table."""
    counted = {
        "run": f"one run of {costs['iterations']} steps",
        "row": f"a row of {costs['seeds']} seeds",
        "table": f"a table of {costs['rows']} such rows",
    }
    parts: dict[str, Mapping[str, float]] = {
        "a step, s": costs["step_seconds"] | {"all, of a processor": costs["step_processor_seconds"]},
        "once, s (source images of one step, Fisher information of one batch)": costs["once_seconds"],
        "estimated, min (without measuring)": {
            counted[name]: seconds / 60 for name, seconds in costs["estimated_seconds"].items()
        },
        "most memory so far, MB": costs["memory_MB"],
        "memory that a step needs at least, MB": costs["least_memory_MB"],
    }
    lines = []
    for title, values in parts.items():
        lines += [title, *(f"  {name:<28}{value:>12,.4g}" if value < 1000 else f"  {name:<28}{value:>12,.0f}"
                           for name, value in values.items())]  # fmt: skip
    machine = costs["machine"]
    return "\n".join([*lines, f"on {machine['device']}, {machine['threads']} threads"])


def comparison_in_units(found: Comparison) -> dict[str, Any]:
    """A comparison of switches under names that say the unit, as JSON; a megabyte is a million bytes.

    Args:
        found: the comparison.

    Returns:
        variants (name -> switches, step_seconds, ratio, peak_memory_MB, which is null on a CPU, and
        largest_loss_difference), left_out (name -> reason), rounds and machine.
    """
    variants = {
        name: {
            "switches": dict(each.switches),
            "step_seconds": each.seconds,
            "ratio": each.ratio,
            "peak_memory_MB": None if each.memory is None else round(each.memory / 1e6, 1),
            "largest_loss_difference": each.difference,
        }
        for name, each in found.found.items()
    }
    return {
        "variants": variants, "left_out": dict(found.left_out), "rounds": found.rounds,
        "machine": dict(found.machine),
    }  # fmt: skip


def comparison_in_lines(found: Mapping[str, Any]) -> str:
    """The result of :func:`comparison_in_units` as a text table."""
    lines = [f"{'switches on':<16}{'s a step':>12}{'ratio':>10}{'peak MB':>12}{'loss differs by':>18}"]
    for name, each in found["variants"].items():
        memory = "-" if each["peak_memory_MB"] is None else f"{each['peak_memory_MB']:,.0f}"
        lines.append(
            f"{name:<16}{each['step_seconds']:>12.4g}{each['ratio']:>10.3f}{memory:>12}"
            f"{each['largest_loss_difference']:>18.2g}"
        )
    lines += [f"without {name}: {reason}" for name, reason in found["left_out"].items()]
    machine = found["machine"]
    lines.append(f"medians of {found['rounds']} rounds on {machine['device']}, {machine['threads']} threads")
    return "\n".join(lines)
