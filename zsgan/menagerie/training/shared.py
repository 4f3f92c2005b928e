"""Shared parts of the demo's training scripts: options, precision, drawn portraits, finished weights."""

import argparse
import logging
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from zsgan.assets import manifest
from zsgan.base.device import tune_cpu
from zsgan.base.files import versions
from zsgan.base.images import to_bytes
from zsgan.base.precision import autocast
from zsgan.base.tensors import save_tensors
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import Factors, sample_factors
from zsgan.networks.stylegan2 import Discriminator, Generator

log = logging.getLogger(__name__)

CHUNK = 20  # portraits drawn at a time: their layers fit the cache of a core
WEIGHTS = Path(__file__).parents[2] / "weights"
PRECISIONS = ("auto", "float32", "bfloat16")


def arguments(description: str, seed: int) -> argparse.ArgumentParser:
    """Parser with the options of every training script; the scripts add their own."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=seed, help="seed of initial weights, data and order")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="torch device"
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="auto",
        help="precision of convolutions and products; auto: bfloat16 if it is faster on this machine",
    )  # fmt: skip
    parser.add_argument("--state", type=Path, default=Path("training"), help="folder of resumable states")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the finished weights")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    return parser


def begin(parser: argparse.ArgumentParser, words: Sequence[str] | None) -> argparse.Namespace:
    """Options of a command line, with the precision decided; also sets up the log and the CPU."""
    options = parser.parse_args(words)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    tune_cpu(options.threads)
    options.precision = precision(options.precision, options.device)
    return options


def precision(asked: str, device: torch.device | str) -> str:
    """Precision to train in: the given one, or the faster of the two on this device.

    Args:
        asked: one of PRECISIONS. "auto" times a convolution in both, since a CPU without instructions for
            bfloat16 is slower with it; bfloat16 is chosen if it saves a fifth.
        device: device of the training.

    Returns:
        "float32" or "bfloat16".
    """
    if asked != "auto":
        return asked
    images = torch.zeros(16, 64, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    layer = torch.nn.Conv2d(64, 64, 3, padding=1, device=device).to(memory_format=torch.channels_last)
    seconds = {name: min(_seconds(layer, images, name) for _ in range(8)) for name in PRECISIONS[1:]}
    return "bfloat16" if seconds["bfloat16"] < 0.8 * seconds["float32"] else "float32"


def _seconds(layer: torch.nn.Module, images: Tensor, name: str) -> float:
    started = time.perf_counter()
    with autocast(name, images.device):
        layer(images).sum().item()  # waits for a GPU
    return time.perf_counter() - started


def command() -> str:
    """Command line that repeats this process."""
    module = sys.modules["__main__"].__spec__
    words = ["python", "-m", module.name] if module else ["python", sys.argv[0]]
    return shlex.join([*words, *sys.argv[1:]])


def bank(n: int, resolution: int, generator: torch.Generator, progress: bool) -> tuple[Tensor, Factors]:
    """Draw ``n`` random portraits: uint8 (n, 3, resolution, resolution), and their factors."""
    factors = sample_factors(n, generator)
    return render(factors, resolution, progress), factors


def render(
    factors: Factors,
    resolution: int,
    progress: bool = False,
    see: Callable[[slice], dict[str, Tensor]] | None = None,
) -> Tensor:
    """Draw N portraits a few at a time: uint8 (N, 3, resolution, resolution).

    ``see`` gives the visible attributes of a slice of the portraits, to draw in place of their appearance.
    """
    n = len(factors)
    images = torch.empty(n, 3, resolution, resolution, dtype=torch.uint8)
    for start in tqdm(range(0, n, CHUNK), desc="drawing", unit=f"x{CHUNK} images", disable=not progress):
        part = slice(start, min(start + CHUNK, n))
        images[part] = to_bytes(draw(factors[part], resolution, see and see(part)))
    return images


def ship(
    network: torch.nn.Module,
    config: Mapping[str, Any],
    options: argparse.Namespace,
    *,
    name: str,
    description: str,
    measured: Mapping[str, Any],
    folder: Path | None = None,
    loader: str = "",
) -> None:
    """Write finished weights in float16, and their entry in data_manifest.yaml if they go into the package.

    ``config`` rebuilds the network; ``folder`` replaces ``options.out``; see the manifest's first lines for
    ``loader``.
    """
    path = (folder or options.out) / f"{name.replace('-', '_')}.safetensors"
    provenance = {"command": command(), "seed": options.seed, "measured": measured, "versions": versions()}
    save_tensors(network.state_dict(), path, config=config, provenance=provenance, dtype=torch.float16)
    log.info("wrote %s: %s", path, measured)
    if path.parent.resolve() == WEIGHTS:
        manifest.record(
            path, name=name, description=description, command=command(), seed=options.seed, loader=loader
        )


def ship_gan(
    network: Generator | Discriminator, species: str, options: argparse.Namespace, measured: Mapping[str, Any]
) -> None:
    """Write a finished generator or discriminator of photos of a species, see :func:`ship`."""
    kind, resolution = type(network).__name__.lower(), network.config["resolution"]
    ship(
        network, network.config, options,
        name=f"{kind}-{species}",
        description=f"StyleGAN2 {kind}, {resolution} px, photos of {species}s of the menagerie",
        measured={**measured, "precision": options.precision},
    )  # fmt: skip
