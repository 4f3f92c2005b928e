"""Adapted generators as small files, with what is lost; and mixtures of several."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch
from torch import Tensor

from zsgan.assets import names
from zsgan.assets.names import Weights
from zsgan.base.device import set_up
from zsgan.base.places import local_path
from zsgan.base.settings import AtLeast0, AtLeast2, Finite, Seed, checked
from zsgan.compact.fit import STEPS, fit, styles
from zsgan.compact.low_rank import LowRank
from zsgan.compact.measured import judge_of, stated
from zsgan.inversion.networks import networks_for
from zsgan.metrics.lpips import Lpips
from zsgan.networks.differences import Differences, load_differences
from zsgan.networks.load import load_generator, source_of
from zsgan.networks.sampling import Samples
from zsgan.networks.stylegan2.generator import Generator
from zsgan.runs.run import Run, open_run

Form = Literal["low-rank", "styles"]
"""How an adaptation is stored: the weights' differences at low rank, or offsets of the styles alone."""

RATES = {"low-rank": 2e-3, "styles": 0.02}
"""Form -> learning rate of the fit."""
_SEED = 7_000_003  # of the latents on which the loss is measured
_PROVENANCE = 700  # bytes of the provenance in the header, at most


def export(
    run: Run | str | Path,
    out: str | Path,
    *,
    form: Form = "low-rank",
    max_kb: float = 100,
    n: int = 200,
    steps: int = STEPS,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Write an adaptation as a small file, which :func:`zsgan.networks.load.load_generator` reads.

    The file holds differences from the source generator, whose weights must be at hand where it is read. What
    is lost is measured between the images of the file as written and those of the run, for the same latents
    without truncation. Measures of the images themselves are stated for both, each with a bound on how far
    they lie apart on other latents, see :func:`zsgan.compact.measured.stated`.

    Args:
        run: a finished run, or its folder.
        out: the file, ending in .safetensors.
        form: "low-rank": as much of the weights' differences as fits, see
            :class:`zsgan.compact.low_rank.LowRank`; "styles": offsets of the styles alone, of a fixed and
            smaller size, see :func:`zsgan.compact.fit.styles`.
        max_kb: the largest file, in units of 1000 bytes.
        n: number of images on which the loss, and both generators, are measured.
        steps: steps in which the file's numbers are fitted to the run's images, see
            :func:`zsgan.compact.fit.fit`; 0 leaves them as they are.
        seed: seed of the latents of the fit.
        device: torch device.
        progress: show a progress bar.

    Returns:
        what the file's provenance holds: run, source, form, max_kb, steps, seed, n; the means over the images
        "lpips" to the run's images and "psnr" (dB), and for scale "lpips_source", from the source's images to
        the run's; "measures": diversity, clip_rate and clip_score by the run's first guiding CLIP, each with
        "run", "file" and "error"; and "bytes".

    Raises:
        ValueError: ``max_kb`` is too small, the run was adapted to images, or its source generator has
            changed.
    """
    max_kb, n = checked("max_kb", max_kb, Finite), checked("n", n, AtLeast2)
    steps = checked("steps", steps, AtLeast0)
    seed, device = checked("seed", seed, Seed), set_up(device)
    found = run if isinstance(run, Run) else open_run(local_path(run))
    file = safetensors_file(out)
    if found.config.few_shot is not None:
        raise ValueError(
            f"{found.folder} was adapted to images, which changes its latents, too; export has none"
        )
    if form == "styles" and steps == 0:
        raise ValueError("steps=0 leaves the offsets of the styles at zero; take at least 1")
    source, adapted = found.generator(0, device), found.generator(device=device)
    weights, networks = names.generator(found.config.generator), networks_for(source)
    name = weights.file.name if weights.file else weights.name  # folders are this machine's
    lost: dict[str, Any] = {}
    with TemporaryDirectory() as scratch:  # the file comes into being when all is known of it
        draft = Path(scratch) / file.name

        def size_of(tensors: Mapping[str, Tensor]) -> int:
            Differences(name, weights.identity, tensors, lost).save(draft)
            return draft.stat().st_size + (0 if lost else _PROVENANCE)

        tensors = styles(source) if form == "styles" else _fitting(LowRank(source, adapted), max_kb, size_of)
        if (size := size_of(tensors)) > 1000 * max_kb:
            raise ValueError(
                f"max_kb={max_kb:g} is too small for {form}: it takes {math.ceil(size / 1000)} kB"
            )
        tensors = fit(
            source,
            adapted,
            tensors,
            networks.loss,
            rate=RATES[form],
            steps=steps,
            seed=seed,
            progress=progress,
        )
        size_of(tensors)
        compact = copy.deepcopy(source)
        stored = load_differences(draft)
        assert stored is not None  # it was written above
        stored.add_to(compact)
        lost |= {
            "run": found.folder.name,
            "form": form,
            "max_kb": max_kb,
            "steps": steps,
            "seed": seed,
            "n": n,
        }
        samples = [Samples(one, n, _SEED, 1.0) for one in (compact, adapted, source)]
        lost |= _between(networks.judge, *samples)
        look = judge_of(found.config, networks.judge, device)
        measures = stated(run=look(samples[1]), file=look(samples[0]))
        lost["measures"] = {name: one._asdict() for name, one in measures.items()}
    Differences(name, weights.identity, tensors, lost).save(file)
    return {**lost, "source": name, "bytes": file.stat().st_size}


def _fitting(
    parts: LowRank, max_kb: float, size_of: Callable[[Mapping[str, Tensor]], int]
) -> dict[str, Tensor]:
    """The parts whose file, with its header, has the size."""
    room = math.floor(1000 * max_kb) // 2  # numbers of two bytes
    while (tensors := parts.within(room)) and (over := size_of(tensors) - 1000 * max_kb) > 0:
        room -= 1 + int(over // 2)
    if not tensors:
        raise ValueError(f"max_kb={max_kb:g} holds no part of this adaptation; allow more")
    return tensors


def safetensors_file(out: str | Path) -> Path:
    """The path of a file to write; a ValueError if it does not end in .safetensors."""
    file = local_path(out)
    if file.suffix != ".safetensors":
        raise ValueError(f"out={str(out)!r} must end in .safetensors")
    return file


def strengths(parts: Sequence[str]) -> dict[str, float]:
    """Files and strengths from texts.

    Args:
        parts: texts such as "cat.safetensors=0.5"; without a number, the strength is 1.

    Returns:
        file -> strength.

    Raises:
        ValueError: what follows the last "=" is no number, or a file is named twice.
    """
    found: dict[str, float] = {}
    for part in parts:
        name, equals, number = part.rpartition("=")
        name, number = (name, number) if equals else (part, "1")
        try:
            strength = float(number)
        except ValueError:
            raise ValueError(f"{part!r}: the strength after = must be a number, got {number!r}") from None
        if name in found:
            raise ValueError(f"{name} is named twice; give it one strength")
        found[name] = strength
    return found


def mix(
    parts: Mapping[str, float] | Mapping[Path, float],
    *,
    generator: str | Path | Weights | None = None,
    device: torch.device | str = "cpu",
) -> Generator:
    """A generator with several adaptations at once, each at a strength of its own.

    Strengths that add up to 1 interpolate; one between 0 and 1 alone is a weaker adaptation; another source
    than that of the files transfers them, which makes sense between generators of one family.

    Args:
        parts: file of :func:`export` -> factor on its differences.
        generator: the source to add them to; that of the files by default.
        device: torch device.

    Returns:
        the generator, in evaluation mode.

    Raises:
        ValueError: there is no file, a file is no export, the files have different sources and none is given,
            or a file does not fit the generator.
    """
    found = {}
    for name, strength in parts.items():
        file = local_path(name)
        if not file.is_file() or (part := load_differences(file)) is None:
            raise ValueError(f"{name} is no file of differences from a generator; zsgan export writes them")
        found[name] = part, checked("strength", strength, Finite)
    if generator is None:
        sources = {(weights := source_of(name, part)).identity: weights for name, (part, _) in found.items()}
        if len(sources) != 1:
            called = ", ".join(sorted(weights.name for weights in sources.values())) or "none"
            raise ValueError(f"the parts have the sources {called}; name the generator to add them to")
        generator = sources.popitem()[1]
    mixed = load_generator(generator, device)
    for part, strength in found.values():
        part.add_to(mixed, strength)
    return mixed


@torch.no_grad()
def _between(judge: Lpips, compact: Samples, adapted: Samples, source: Samples) -> dict[str, float]:
    """Means over the latents: LPIPS and PSNR of the compact images to the adapted, LPIPS of the source's."""
    n = len(adapted)
    sums = torch.zeros(3, dtype=torch.float64)
    for part in torch.arange(n).split(50):
        images, wanted, before = (one[part] for one in (compact, adapted, source))
        vectors = judge.features(wanted)
        for place, other in ((0, images), (2, before)):
            sums[place] += (judge.features(other) - vectors).square().sum().cpu()
        errors = (images - wanted).square().flatten(1).mean(1)
        sums[1] += (10 * torch.log10(4 / errors.clamp_min(1e-12))).sum().cpu()
    lpips, psnr, lpips_source = (sums / n).tolist()
    return {"lpips": round(lpips, 5), "psnr": round(psnr, 3), "lpips_source": round(lpips_source, 5)}
