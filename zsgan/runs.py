"""Runs on disk: adapt once, use everywhere.

``runs/<id>/`` holds one adaptation; the id is a hash of all that determines it, so that a notebook, the
command line and a cluster job which ask for the same configuration meet in the same folder::

    config.json              the configuration
    history.json             one row a step: each loss term (unweighted), their sum, the norm of the gradient
    snapshots/<step>.safetensors   the trained parameters along the way, float16
    generator.safetensors    the adapted generator, float32
    provenance.json          identity, versions, time; written last: a run is finished when it is there
    state.pt                 what resuming needs; gone when the run is finished
"""

import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from zsgan import manifest
from zsgan.adaptation import NUMERICS, Adaptation, Guide, make_guide, source_fisher
from zsgan.clip import DEMO, load_guiding_clip
from zsgan.device import threads, tune_cpu
from zsgan.files import load_tensors, save_tensors, sha256, versions, write_atomically, write_json
from zsgan.loop import loop
from zsgan.profiles import AdaptConfig, build, override
from zsgan.stylegan2 import Generator, load_generator
from zsgan.stylegan2.loading import full_name

log = logging.getLogger(__name__)

RUNS = Path("runs")
SNAPSHOTS = 10
"""Generators kept along an adaptation."""
SMALL = 128  # px; up to here a second thread gains nothing, and a single one always adds up in the same order


class RunInProgress(RuntimeError):
    """Another process is computing this run."""


@dataclass(frozen=True)
class Run:
    """A finished adaptation.

    Attributes:
        folder: where it lies.
        config: what was asked for.
        provenance: identity, versions, device and seconds.
    """

    folder: Path
    config: AdaptConfig
    provenance: dict[str, Any]

    @property
    def history(self) -> list[dict[str, float]]:
        """One row a step."""
        rows: list[dict[str, float]] = json.loads((self.folder / "history.json").read_text())
        return rows

    @property
    def snapshots(self) -> list[int]:
        """Steps that :meth:`generator` knows beside 0, ascending; the last is the adapted generator."""
        kept = {int(path.stem) for path in (self.folder / "snapshots").glob("*.safetensors")}
        return sorted(kept | {self.config.iterations})

    def generator(self, step: int | None = None, device: torch.device | str = "cpu") -> Generator:
        """The adapted generator, or what it was after ``step`` steps (0: the source generator).

        Raises:
            ValueError: there is no snapshot of that step, or the source generator is no longer the one that
                was adapted.
        """
        if step is None or step == self.config.iterations:
            return load_generator(str(self.folder / "generator.safetensors"), device)
        name = full_name(self.config.generator)
        if weights_id(name) != self.provenance["weights"][name]:
            raise ValueError(
                f"{self.folder} was adapted from another {name}: its weights have changed since. "
                "Only the adapted generator can be loaded (no step), or run it again"
            )
        source = load_generator(name, device)
        if step == 0:
            return source
        if step not in self.snapshots:
            raise ValueError(
                f"step={step} has no snapshot in {self.folder}; choose one of {[0, *self.snapshots]}"
            )
        trained, _, _ = load_tensors(self.folder / "snapshots" / f"{step}.safetensors")
        source.load_state_dict(source.state_dict() | trained)
        return source


def run(
    config: AdaptConfig, *, folder: Path = RUNS, device: torch.device | str = "cpu", progress: bool = False
) -> Run:
    """The run of ``config``: found if it is finished, else made, from where an earlier attempt stopped.

    Raises:
        RunInProgress: another process holds it.
        ValueError, FileNotFoundError: a name in the configuration is unknown, or its file is missing.
    """
    place = folder / run_id(config)
    found = finished(config, folder)
    if found:
        return found
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place):
        return finished(config, folder) or _make(config, place, device, progress)


def finished(config: AdaptConfig, folder: Path = RUNS) -> Run | None:
    """The run of ``config`` if it has been made."""
    place = folder / run_id(config)
    marker = place / "provenance.json"
    return Run(place, config, json.loads(marker.read_text())) if marker.exists() else None


def open_run(place: Path) -> Run:
    """A finished run by its folder.

    Raises:
        FileNotFoundError: it is not there, or not finished.
    """
    marker = place / "provenance.json"
    if not marker.exists():
        raise FileNotFoundError(
            f"{place} holds no finished run (no provenance.json); make it with zsgan adapt"
        )
    config = build(AdaptConfig, json.loads((place / "config.json").read_text()))
    return Run(place, config, json.loads(marker.read_text()))


def run_all(
    configs: Sequence[AdaptConfig],
    *,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    workers: int = 1,
    progress: bool = False,
) -> list[Run]:
    """The runs of several configurations, ``workers`` at a time, in the order of ``configs``."""
    missing = [config for config in dict.fromkeys(configs) if not finished(config, folder)]
    with tqdm(total=len(missing), desc="adaptations", disable=not progress or len(missing) < 2) as bar:
        if workers == 1 or len(missing) < 2:
            for config in missing:
                run(config, folder=folder, device=device, progress=progress)
                bar.update()
        else:
            # A fresh interpreter each: a forked one would inherit locks of torch's threads.
            with ProcessPoolExecutor(
                workers, get_context("spawn"), initializer=tune_cpu, initargs=(1,)
            ) as pool:
                tasks = [pool.submit(run, config, folder=folder, device=device) for config in missing]
                for task in as_completed(tasks):
                    task.result()
                    bar.update()
    return [run(config, folder=folder, device=device) for config in configs]


def run_id(config: AdaptConfig) -> str:
    """Hash of everything that determines the result: configuration, weights, version of the numerics."""
    return _hash(identity(config))


def identity(config: AdaptConfig) -> dict[str, Any]:
    """What :func:`run_id` hashes; the same for 0 and 0.0, and for "dog" and "generator-dog"."""
    config = override(config, {**asdict(config), "generator": full_name(config.generator)})
    return {
        "config": asdict(config),
        "weights": {name: weights_id(name) for name in (config.generator, *config.clips)},
        "numerics": NUMERICS,
    }


def weights_id(name: str) -> str:
    """SHA-256 of the weights of a generator or a CLIP; those of open_clip are known by their name."""
    asset = DEMO.get(name) or full_name(name)
    if asset in manifest.assets():
        return manifest.asset(asset).sha256
    return sha256(Path(name)) if Path(name).is_file() else name


def guides_of(config: AdaptConfig, device: torch.device | str = "cpu", progress: bool = False) -> list[Guide]:
    """The guides of a configuration, stage 1 included."""
    return [make_guide(load_guiding_clip(name, device), config, progress) for name in config.clips]


def fisher_of(
    config: AdaptConfig,
    g_src: Generator,
    guides: Sequence[Guide],
    folder: Path = RUNS,
    progress: bool = False,
) -> dict[str, Tensor]:
    """Fisher information of the source, once for all runs that share it; kept in ``folder/cache``."""
    relevant = (
        "generator", "source_text", "clips", "templates", "trained", "batch_size",
        "fisher_estimator", "fisher_granularity", "fisher_samples",
    )  # fmt: skip
    key = identity(config)
    key["config"] = {name: key["config"][name] for name in relevant}
    path = folder / "cache" / f"fisher-{_hash(key)}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            fisher = source_fisher(g_src, guides, config, progress)
            save_tensors(fisher, path, config=key, provenance={"versions": versions()})
    tensors, _, _ = load_tensors(path)
    device = next(g_src.parameters()).device
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _make(config: AdaptConfig, place: Path, device: torch.device | str, progress: bool) -> Run:
    write_json(place / "config.json", asdict(config))
    g_src = load_generator(config.generator, device)
    started = time.perf_counter()
    with threads(1 if torch.device(device).type == "cpu" and g_src.config["resolution"] <= SMALL else None):
        guides = guides_of(config, device, progress)
        fisher = fisher_of(config, g_src, guides, place.parent, progress) if config.lambda_ewc > 0 else None
        adaptation = Adaptation(config, g_src, guides, fisher)
        history = loop(
            adaptation.state, _with_snapshots(adaptation, place), config.iterations, place,
            save_every=snapshot_every(config), log_every=1, description=place.name, progress=progress,
        )  # fmt: skip
    write_json(place / "history.json", history)
    provenance = identity(config) | {
        "id": place.name,
        "versions": versions(),
        "machine": platform.machine(),
        "device": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else str(device),
        "seconds": round(time.perf_counter() - started, 1),
    }
    g_trg = adaptation.g_trg
    save_tensors(
        g_trg.state_dict(), place / "generator.safetensors", config=g_trg.config, provenance=provenance
    )
    write_json(place / "provenance.json", provenance)
    (place / "state.pt").unlink(missing_ok=True)
    return Run(place, config, json.loads(json.dumps(provenance)))  # as it will be read


def snapshot_every(config: AdaptConfig) -> int:
    """Steps between two snapshots of a run."""
    return max(1, config.iterations // SNAPSHOTS)


def _with_snapshots(adaptation: Adaptation, place: Path) -> Callable[[int], dict[str, float]]:
    every = snapshot_every(adaptation.config)

    def step(i: int) -> dict[str, float]:
        row = adaptation.step(i)
        if (i + 1) % every == 0 and i + 1 < adaptation.config.iterations:
            save_tensors(
                adaptation.params, place / "snapshots" / f"{i + 1}.safetensors",
                config={"step": i + 1}, provenance={}, dtype=torch.float16,
            )  # fmt: skip
        return row

    return step


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Hold the run's folder; the lock ends with the process, however it ends."""
    owner = place / "owner.txt"
    lock = FileLock(place / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = owner.read_text() if owner.exists() else "unknown"
        raise RunInProgress(f"{place} is being computed by {who}; wait for it, or stop it") from None
    try:
        write_atomically(owner, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        lock.release()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
