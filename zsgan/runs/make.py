"""Making of a run's files, which :mod:`zsgan.runs.run` lists."""

import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import NUMERICS, Trainer
from zsgan.adaptation.few_shot import FewShotAdaptation
from zsgan.adaptation.guide import device_of, make_guide, source_features, source_fisher
from zsgan.adaptation.limits import check_size, check_steps
from zsgan.adaptation.plugged import held
from zsgan.adaptation.speed import check_device
from zsgan.adaptation.stopping import EARLIEST, alignment, plateau
from zsgan.adaptation.targets import targets
from zsgan.adaptation.terms import needs
from zsgan.adaptation.trainers import trainer_of
from zsgan.base import device as devices
from zsgan.base import failures
from zsgan.base.cache import Cache
from zsgan.base.device import threads
from zsgan.base.files import versions, write_atomically, write_json
from zsgan.base.loop import loop
from zsgan.base.origin import origin
from zsgan.base.precision import tf32
from zsgan.base.tensors import save_tensors
from zsgan.networks.load import load_clip, load_discriminator, load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.identity import Job
from zsgan.runs.snapshots import snapshot_every
from zsgan.runs.verification import hashes

log = logging.getLogger(__name__)

ERROR = "error.txt"
"""File in a run's folder with the traceback of its last error."""
SMALL = 128  # px; up to here a second thread gains nothing, and a single one sums in a fixed order


class RunInProgress(RuntimeError):
    """Another process is computing this run."""


def make(
    job: Job, place: Path, *, device: torch.device | str, progress: bool, label: str, wait: bool = False
) -> None:
    """Adapt, and write a finished run into ``place``; the caches lie beside it.

    All checks precede the creation of the folder.

    Args:
        job: the resolved configuration.
        place: the run's folder; an interrupted run in it resumes.
        device: torch device.
        progress: show progress bars.
        label: label of the progress bar of the steps.
        wait: wait while another process computes this run.

    Raises:
        RunInProgress: another process is computing this run, and ``wait`` is off.
        ValueError: a text cannot be encoded, the generator cannot be adapted, the device does not exist or
            lacks what a switch of ``speed`` needs, or a setting is too large for its memory.
        Exception: a step failed; the traceback is kept in the folder.
    """
    config, started = job.config, time.perf_counter()
    if config.optimiser.stop_at_plateau and config.optimiser.iterations < EARLIEST:
        log.warning(
            "no run stops before step %d, so this one takes all its %d steps; raise optimiser.iterations",
            EARLIEST, config.optimiser.iterations,
        )  # fmt: skip
    device = devices.set_up(device)
    check_device(config.speed, device)
    g_src = load_generator(job.generator, device)
    check_size(config, g_src)
    with held(job.sources), threads(threads_for(g_src)), tf32(config.speed.tf32):
        begin = (
            _few_shot(job, g_src, device) if config.few_shot else _by_text(job, g_src, place.parent, progress)
        )
        place.mkdir(parents=True, exist_ok=True)
        with locked(place, wait):
            if (place / "provenance.json").exists():
                return  # another process made it meanwhile
            took: list[float] = []
            try:
                _adapt(job, begin(), place, progress, label, took)
            except Exception as error:
                failures.keep(error, place / ERROR)
                raise
            provenance = (
                job.identity
                | {"content": job.content, "sha256": hashes(place)}
                | devices.numerics(device)
                | origin()
                | {
                    "versions": versions(),
                    "machine": platform.machine(),
                    "seconds": round(time.perf_counter() - started, 1),
                    "step_seconds": median(took) if took else None,
                    "peak_memory": devices.peak_memory(device),
                }
            )
            write_json(place / "provenance.json", provenance)
            finish(place)


def finish(place: Path) -> None:
    """Remove from a finished run's folder what only an unfinished run needs."""
    for name in ("state.pt", "owner.txt", ERROR):
        (place / name).unlink(missing_ok=True)


def threads_for(g_src: Generator) -> int | None:
    """Number of intra-op threads for adapting a generator on its device; ``None`` for torch's default."""
    small = g_src.config["resolution"] <= SMALL
    return 1 if small and device_of(g_src).type == "cpu" else None


def guides_of(job: Job, device: torch.device | str = "cpu", progress: bool = False) -> list[Guide]:
    """The guides of a job, one for each of its CLIPs."""
    looks = job.config.stage1.start == "captions" or job.config.ipl is not None
    g_src = load_generator(job.generator, device) if looks else None
    with held(job.sources):
        return [make_guide(load_clip(clip, device=device), job.config, progress, g_src) for clip in job.clips]


def fisher_of(
    job: Job, g_src: Generator, guides: Sequence[Guide], folder: Path, progress: bool = False
) -> dict[str, Tensor]:
    """Fisher information of the source, computed once for all runs that share it on a type of device.

    Args:
        job: the job, with estimator, granularity and sample.
        g_src: its source generator.
        guides: guides whose features define it.
        folder: folder of runs; its ``cache`` keeps the result.
        progress: show a progress bar.

    Returns:
        F by name of the parameter, on the generator's device.
    """
    config = job.config
    key = {
        "what": "fisher",
        **_shared(job, g_src),
        "source_text": config.source_text,
        "templates": config.templates,
        "trained": config.trainable,
        "ewc": asdict(config.ewc),
    }
    cache = Cache(folder / "cache")
    kept = cache.tensors(key, lambda: source_fisher(g_src, guides, config, progress, cache.unfinished(key)))
    return {name: tensor.to(g_src.synthesis.const.device) for name, tensor in kept.items()}


def source_features_of(
    job: Job, g_src: Generator, guides: Sequence[Guide], folder: Path, progress: bool = False
) -> list[Tensor]:
    """Features of every step's source images, computed once for all runs that share them."""
    config = job.config
    key = {"what": "source features", **_shared(job, g_src), "seed": config.seed}
    key["iterations"] = config.optimiser.iterations
    if config.features.crops:
        key["crops"] = config.features.crops
    if config.speed.autocast:
        key["autocast"] = config.speed.autocast
    encoders, cache = [guide.encoder for guide in guides], Cache(folder / "cache")

    def computed() -> Mapping[str, Tensor]:
        features = source_features(g_src, encoders, config, progress, cache.unfinished(key))
        return {str(i): tensor for i, tensor in enumerate(features)}

    kept = cache.tensors(key, computed)
    return [kept[str(i)] for i in range(len(encoders))]


def _shared(job: Job, g_src: Generator) -> dict[str, object]:
    """Cache key of features of source images; it has the device because noise maps are drawn on it."""
    features = asdict(job.config.features)
    for name in ("direction_floor", "crops"):  # they matter to losses and steps alone
        del features[name]
    shared = {
        "generator": job.content["generator"],
        "clips": job.content["clips"],
        "device": device_of(g_src).type,
        "features": features,
        "batch_size": job.config.optimiser.batch_size,
        "numerics": NUMERICS,
    }
    if job.config.guide is not None:  # its code may change encoder and t_src, by any setting
        shared["guide"] = job.id
    return shared | {"tf32": True} if job.config.speed.tf32 else shared


def _by_text(job: Job, g_src: Generator, folder: Path, progress: bool) -> Callable[[], Trainer]:
    """Encode the texts, and return the function that starts an adaptation guided by them."""
    config = job.config
    guides = guides_of(job, device_of(g_src), progress)
    check_steps(config, [guide.t_src for guide in guides])

    def begin() -> Trainer:
        fisher = fisher_of(job, g_src, guides, folder, progress) if needs(config, "ewc") else None
        features = source_features_of(job, g_src, guides, folder, progress)
        return trainer_of(config)(config, g_src, guides, fisher, features)

    return begin


def _few_shot(job: Job, g_src: Generator, device: torch.device) -> Callable[[], Trainer]:
    """Check the target images, and return the function that starts an adaptation to them."""
    config = job.config
    assert config.few_shot is not None
    discriminator = load_discriminator(job.discriminator, job.generator, device)
    images = targets(config.few_shot, g_src.config["resolution"])
    trainer = FewShotAdaptation(config, g_src, discriminator, images)
    return lambda: trainer


def _adapt(job: Job, trainer: Trainer, place: Path, progress: bool, label: str, took: list[float]) -> None:
    """Adapt; the seconds of every step of this process are appended to ``took``."""
    iterations = job.config.optimiser.iterations
    every = snapshot_every(iterations)

    def levelled_off(history: Sequence[Mapping[str, float]]) -> bool:
        asked = job.config.optimiser.stop_at_plateau and bool(history)
        return asked and plateau(alignment(history)) is not None

    write_json(place / "config.json", asdict(job.config))
    history = loop(
        trainer.state, _with_snapshots(trainer, place, iterations, took), iterations, place,
        finished=levelled_off, save_every=every, log_every=1, description=label, progress=progress,
        arguments={"id": job.id},
    )  # fmt: skip
    write_json(place / "history.json", history)
    result = trainer.result
    save_tensors(
        result.state_dict(), place / "generator.safetensors", config=result.config, provenance=job.identity
    )


def steps_kept(place: Path) -> int:
    """Step of the last snapshot of a run in progress; 0 without one."""
    return max((int(file.stem) for file in (place / "snapshots").glob("*.safetensors")), default=0)


def _with_snapshots(
    trainer: Trainer, place: Path, iterations: int, took: list[float]
) -> Callable[[int], dict[str, float]]:
    every = snapshot_every(iterations)

    def step(i: int) -> dict[str, float]:
        started = time.perf_counter()
        row = trainer.step(i)
        took.append(time.perf_counter() - started)
        if (i + 1) % every == 0 and i + 1 < iterations:
            now = trainer.result.state_dict()
            save_tensors(
                {name: now[name] for name in trainer.trained}, place / "snapshots" / f"{i + 1}.safetensors",
                config={"step": i + 1}, provenance={}, dtype=torch.float16,
            )  # fmt: skip
        return row

    return step


@contextmanager
def locked(place: Path, wait: bool = False) -> Iterator[None]:
    """Lock the run's folder until block or process end; RunInProgress if another has it, unless ``wait``."""
    owner = place / "owner.txt"
    lock = FileLock(place / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        who = owner.read_text() if owner.exists() else "unknown"
        if not wait:
            raise RunInProgress(f"{place} is being computed by {who}; wait for it, or stop it") from None
        log.info("waiting for %s, which is being computed by %s", place, who)
        lock.acquire(poll_interval=1)
    try:
        write_atomically(owner, f"process {os.getpid()} on {platform.node()}".encode())
        yield
    finally:
        lock.release()
