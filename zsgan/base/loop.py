"""A resumable training loop, whose result is the same to the bit with and without an interruption."""

import json
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from threading import current_thread, main_thread
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.base.files import write_atomically

log = logging.getLogger(__name__)

MINUTE = 60.0  # seconds


def loop(
    state: Mapping[str, Any],
    step: Callable[[int], Mapping[str, float]],
    total: int,
    folder: Path | None,
    *,
    finished: Callable[[list[dict[str, float]]], bool] = lambda history: False,
    save_every: int = 500,
    save_seconds: float | None = None,
    log_every: int | None = None,
    description: str | None = None,
    progress: bool = True,
    arguments: Mapping[str, Any] | None = None,
) -> list[dict[str, float]]:
    """Run ``step(0) ... step(total - 1)``, resuming an interrupted call with the same folder.

    A SIGTERM, which Slurm sends when a job's time is over, takes effect after the current step and a save, so
    that no finished step is lost. A second one takes effect at once.

    Args:
        state: everything that the steps change: modules and optimisers (by their state_dict), tensors, and
            torch.Generators. Resuming restores it, so the remaining steps are the same, to the bit, as
            without the interruption.
        step: one training step; returns the values to log.
        total: maximum number of steps.
        folder: where ``state.pt`` is saved atomically; ``None`` saves nothing.
        finished: whether to stop early; called before every step with the values logged so far.
        save_every: steps between two saves.
        save_seconds: seconds between two saves, instead of ``save_every``, for steps of unknown length.
        log_every: steps between two entries of the history, a divisor of ``save_every`` (which is the
            default).
        description: label of the progress bar.
        progress: show a progress bar.
        arguments: everything else that determines the result; must be JSON. It is saved with the state, and
            a state with other arguments is not resumed.

    Returns:
        the logged values, one entry for every ``log_every`` steps and one for the last of ``total``.

    Raises:
        ValueError: ``log_every`` does not divide ``save_every``, so that resuming would shift entries; or the
            folder holds a damaged state, or that of a training with other arguments or of another version.
        OSError: the state cannot be written; the previous one is intact, and repeating the call resumes it.
    """
    log_every = save_every if log_every is None else log_every
    if save_every % log_every:
        raise ValueError(f"log_every must divide save_every={save_every}, got {log_every}")
    path = None if folder is None else folder / "state.pt"
    asked = json.dumps({"total": total, **(arguments or {})}, sort_keys=True)
    first, seconds = 0, 0.0
    history: list[dict[str, float]] = []
    if path is not None and path.exists():
        saved = _load(path)
        if saved["arguments"] != asked:
            raise ValueError(
                f"{path} belongs to a training with other arguments: {saved['arguments']}, now {asked}. "
                "Repeat those to resume it, or delete the folder to start over"
            )
        if saved["state"].keys() != state.keys():
            raise ValueError(f"{path} is of another version of zsgan; delete the folder to start over")
        for name, part in state.items():
            if isinstance(part, torch.Generator):
                part.set_state(saved["state"][name])
            elif isinstance(part, Tensor):
                part.copy_(saved["state"][name])
            else:
                part.load_state_dict(saved["state"][name])
        first, history, seconds = saved["step"], saved["history"], saved["seconds"]
        log.info("resuming %s at step %d of %d", folder, first, total)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)  # a folder that cannot be made fails before the first step
    started = last = time.perf_counter()
    steps = tqdm(
        range(first, total),
        description,
        initial=first,
        total=total,
        disable=not progress,
        mininterval=1.0,
        leave=None,
    )
    with _terminated_later() as terminated:
        for i in steps:
            if finished(history):
                break
            row = step(i)
            done = i + 1
            if done % log_every == 0 or done == total:
                history.append({"step": done} | {name: float(value) for name, value in row.items()})
            now = time.perf_counter()
            due = done % save_every == 0 if save_seconds is None else now - last >= save_seconds
            if path is not None and (due or done == total or terminated):
                elapsed, last = seconds + now - started, now
                if row and history:
                    values = "  ".join(f"{k} {v:.4g}" for k, v in history[-1].items())
                    log.info("%.0f s  %s", elapsed, values)
                parts = {name: _saved(part) for name, part in state.items()}
                kept = {"state": parts, "step": done, "history": history, "seconds": elapsed}
                buffer = BytesIO()  # on a full disk, torch.save fails with a message about file positions
                torch.save({**kept, "arguments": asked}, buffer)
                write_atomically(path, buffer.getbuffer())
            if terminated:
                terminated.clear()
                signal.raise_signal(signal.SIGTERM)
    return history


@contextmanager
def _terminated_later() -> Iterator[list[int]]:
    """Note the first SIGTERM inside the block in the list, for the block to raise it again when it can end.

    Other threads than the main one receive no signals: their list stays empty.
    """
    received: list[int] = []
    if current_thread() is not main_thread():
        yield received
        return

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(number, before)

    before = signal.signal(signal.SIGTERM, note) or signal.SIG_DFL
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
        if received:
            signal.raise_signal(signal.SIGTERM)


def _saved(part: Any) -> Any:
    if isinstance(part, torch.Generator):
        return part.get_state()
    return part if isinstance(part, Tensor) else part.state_dict()


def _load(path: Path) -> dict[str, Any]:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{path} is damaged; delete it to start over") from error
