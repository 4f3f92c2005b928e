"""Train every network of the demo: ``python -m zsgan.menagerie.training all``; ``list`` shows the commands.

Each network has its own resumable command, which the manifest also records. This command runs them in the
order of their dependencies, a few at a time.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

CAT = "zsgan/weights/generator_cat.safetensors"
"""The generator as it ships, which its discriminator leaves as it is."""
WORLD, PERCEPTUAL = "{state}/generator_world/generator.safetensors", "{state}/perceptual.safetensors"

COMMANDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "perceptual": ("evaluator perceptual --seed 1 --steps 1200 --images 16000", ()),
    "clip-a": ("clip a --seed 0 --images 30000 --steps 5000 --batch 64", ()),
    "world": (f"generator world --perceptual {PERCEPTUAL} --kimg 24 32 48 --bank 24000", ("perceptual",)),
    "evaluator": ("evaluator evaluator --seed 0 --steps 3600 --images 30000", ()),
    "dog": (f"generator dog --init {WORLD} --perceptual {PERCEPTUAL} --kimg 0 0 24 --bank 16000", ("world",)),
    "cat": (f"generator cat --init {WORLD} --perceptual {PERCEPTUAL} --kimg 0 0 24 --bank 16000", ("world",)),
    "clip-b": ("clip b --seed 1 --images 30000 --steps 4000 --batch 64", ()),
    "discriminator-dog": ("discriminator dog --init {state}/generator_dog/generator.safetensors", ("dog",)),
    "discriminator-cat": (f"discriminator cat --init {CAT} --alone", ("cat",)),
    "encoder-dog": ("encoder dog --seed 0 --images 6000 --steps 1000 --precision float32", ("dog",)),
    "encoder-cat": ("encoder cat --seed 0 --images 6000 --steps 1000 --precision float32", ("cat",)),
    "clip-c": ("clip c --seed 0 --images 16000 --steps 7000 --batch 64 --mixed", ()),
}
"""Network -> its command and the networks that it needs, in the order in which they start."""


def command(name: str, state: Path) -> list[str]:
    """Arguments of a network's command, after ``python``."""
    module, *words = COMMANDS[name][0].format(state=state).split()
    return ["-m", f"zsgan.menagerie.training.{module}", *words, "--quiet"]


def train_all(state: Path, workers: int) -> None:
    """Run every command, ``workers`` at a time; the logs go to ``state/logs``.

    The command of a finished training only measures its network and writes it again.

    Args:
        state: folder of the logs and of the resumable states.
        workers: number of commands at a time.

    Raises:
        RuntimeError: some commands failed; all that do not depend on them were run.
    """
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    waiting, done, failed = list(COMMANDS), set[str](), list[str]()
    running: dict[str, subprocess.Popen[bytes]] = {}
    started = time.monotonic()
    while waiting or running:
        ready = [name for name in waiting if done.issuperset(COMMANDS[name][1])]
        if not ready and not running:
            break  # the rest depends on failed commands
        for name in ready[: workers - len(running)]:
            waiting.remove(name)
            with (logs / f"{name}.log").open("a") as log:
                words = [sys.executable, *command(name, state)]
                running[name] = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        time.sleep(0.5)
        for name, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[name]
            (failed.append if process.returncode else done.add)(name)
            minutes = (time.monotonic() - started) / 60
            outcome = f"failed, see {logs / name}.log" if process.returncode else "done"
            sys.stderr.write(f"{minutes:6.1f} min  {name}: {outcome} ({len(done)} of {len(COMMANDS)})\n")
    if failed:
        left = f"; not started: {', '.join(waiting)}" if waiting else ""
        raise RuntimeError(f"{', '.join(failed)} failed{left}. Run the same command again to resume")


def main(words: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("all", "list"), help="train everything, or only show the commands")
    parser.add_argument("--state", type=Path, default=Path("training"), help="folder of resumable states")
    parser.add_argument("--workers", type=int, default=2, help="trainings at a time, one core each")
    options = parser.parse_args(words)
    if options.workers < 1:
        parser.error(f"--workers must be at least 1, got {options.workers}")
    if options.what == "list":
        for name in COMMANDS:
            sys.stdout.write(" ".join(["python", *command(name, options.state)]) + "\n")
        return 0
    try:
        train_all(options.state, options.workers)
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
