"""Sheets of scenarios: images of a scenario in one PNG, small enough to ship without its runs.

A sheet has a row for the source generator and one for the lowest seed of each row of the profile, in the
profile's order; each column is a latent. It has no text, so that labels can be added at any size, see
:func:`zsgan.report.figures.image_grid`.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zsgan.base.files import write_atomically
from zsgan.base.images import read_image, to_array
from zsgan.base.resize import resize
from zsgan.evaluation.bench import SAMPLES_SEED, Bench
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images

SOURCE = "source"
"""Label of the first row."""
COLUMNS = 8
SIDE = 64
"""Pixels per side of an image."""


def make_sheet(bench: Bench) -> dict[str, Tensor]:
    """Images of the first latents on which the scenario is measured, with the same truncation.

    Args:
        bench: bench of the scenario; missing runs are made.

    Returns:
        SOURCE and every row -> images (COLUMNS, 3, SIDE, SIDE) in [-1, 1], on the CPU.
    """
    profile, seed = bench.profile, min(bench.profile.seeds)
    generators = {SOURCE: load_generator(profile.scenarios[bench.scenario].generator, bench.device)}
    generators |= {row: run.generator(device=bench.device) for row, of, run in bench.runs if of == seed}
    psi = profile.truncation_psi
    found = {
        label: sample_images(generator, COLUMNS, seed=SAMPLES_SEED, truncation_psi=psi)
        for label, generator in generators.items()
    }
    return {label: resize(images, SIDE, "bicubic").clamp(-1, 1) for label, images in found.items()}


def write_sheet(file: Path, rows: Mapping[str, Tensor]) -> None:
    """Write images (COLUMNS, 3, SIDE, SIDE) of each row as one PNG without labels; equal bytes if equal."""
    whole = torch.cat([torch.cat(list(images), dim=2) for images in rows.values()], dim=1)
    buffer = io.BytesIO()
    Image.fromarray(to_array(whole)).save(buffer, "PNG", optimize=True)
    write_atomically(file, buffer.getvalue())


def read_sheet(file: Path, labels: Sequence[str]) -> dict[str, Tensor]:
    """Images (COLUMNS, 3, SIDE, SIDE) by label, from the top; a ValueError if the sheet has another size."""
    whole = read_image(file)
    expected = (3, len(labels) * SIDE, COLUMNS * SIDE)
    if whole.shape != expected:
        height, width = whole.shape[1:]
        raise ValueError(
            f"{file} has {width} x {height} px and not {expected[2]} x {expected[1]}, "
            f"{COLUMNS} images for each of {', '.join(labels)}"
        )
    strips = whole.split(SIDE, dim=1)
    return {label: torch.stack(strip.split(SIDE, dim=2)) for label, strip in zip(labels, strips, strict=True)}
