"""The steps at which a run is saved, before its end and there, and those at which a profile measures runs."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from zsgan.base.settings import AtLeast1, Switch

SNAPSHOTS = 10
"""Number of snapshots kept during an adaptation."""


def snapshot_every(iterations: int) -> int:
    """Number of steps between two snapshots of a run."""
    return max(1, iterations // SNAPSHOTS)


def steps_saved(iterations: int) -> list[int]:
    """Steps of a run's snapshots and its last one, in order; a run that levels off has fewer."""
    every = snapshot_every(iterations)
    return [*range(every, iterations, every), iterations]


def check_saved(steps: Sequence[int], rows: Mapping[str, int]) -> None:
    """Refuse steps at which a longer run is not saved.

    Args:
        steps: the steps at which runs are to be measured.
        rows: row -> number of iterations of its runs.

    Raises:
        ValueError: a step is below a row's number of iterations, and its runs are not saved there.
    """
    for row, iterations in rows.items():
        saved = steps_saved(iterations)
        if lost := [step for step in steps if step < iterations and step not in saved]:
            raise ValueError(
                f"snapshots={list(steps)}: a run of row {row!r} is not saved at step {lost[0]}; choose from "
                f"{', '.join(map(str, saved))}"
            )


def _switch_or_steps(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """One message in place of pydantic's for each of the two kinds."""
    try:
        return handler(value)
    except ValidationError:
        raise ValueError("true, false, or a list of steps of at least 1 expected") from None


# All snapshots, the last alone, or those of named steps; a docstring would put the whole type on a page of
# the book, wider than a phone.
Snapshots = Annotated[Switch | tuple[AtLeast1, ...], WrapValidator(_switch_or_steps)]
