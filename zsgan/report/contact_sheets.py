"""Contact sheets: pictures of a scenario in one PNG that is small enough to ship, where its runs are not.

A sheet has a row for the source generator and one for each row of the profile, its lowest seed, in the
profile's order; a column is one latent. It has no words, so that who shows it can cut it and write labels of
their own size, see :func:`zsgan.report.figures.image_grid`.
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
"""Pixels a side of a picture."""


def make_sheet(bench: Bench) -> dict[str, Tensor]:
    """Pictures of the first latents that the scenario is measured on, truncated as they are.

    Args:
        bench: of the scenario; its missing runs are made.

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
    """Write pictures as one PNG; the same bytes for the same pictures.

    Args:
        file: where to.
        rows: label -> images (COLUMNS, 3, SIDE, SIDE) in [-1, 1]; the labels are not written.
    """
    whole = torch.cat([torch.cat(list(images), dim=2) for images in rows.values()], dim=1)
    buffer = io.BytesIO()
    Image.fromarray(to_array(whole)).save(buffer, "PNG", optimize=True)
    write_atomically(file, buffer.getvalue())


def read_sheet(file: Path, labels: Sequence[str]) -> dict[str, Tensor]:
    """Cut a sheet into its pictures.

    Args:
        file: that :func:`write_sheet` wrote.
        labels: of its rows, from the top.

    Returns:
        label -> images (COLUMNS, 3, SIDE, SIDE) in [-1, 1].

    Raises:
        ValueError: it is no image, or not one with as many rows.
    """
    whole = read_image(file)
    expected = (3, len(labels) * SIDE, COLUMNS * SIDE)
    if whole.shape != expected:
        height, width = whole.shape[1:]
        raise ValueError(
            f"{file} has {width} x {height} px and not {expected[2]} x {expected[1]}, "
            f"{COLUMNS} pictures for each of {', '.join(labels)}"
        )
    strips = whole.split(SIDE, dim=1)
    return {label: torch.stack(strip.split(SIDE, dim=2)) for label, strip in zip(labels, strips, strict=True)}
