"""Edit pictures of a folder by an adapted generator: a folder in; edits, latents and a contact sheet out."""

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from PIL import Image
from torch import Tensor

from zsgan.base.device import set_up
from zsgan.base.files import naming, write_atomically, write_json
from zsgan.base.images import to_array
from zsgan.base.places import folder_path, local_path
from zsgan.base.settings import Finite, Psi, checked
from zsgan.inversion.latents import Latents
from zsgan.inversion.networks import Networks, networks_for
from zsgan.inversion.optimise import InversionSettings, invert
from zsgan.inversion.pictures import Fit, files_in, read_all
from zsgan.inversion.strength import between
from zsgan.metrics import identity_kept
from zsgan.report.figures import image_grid
from zsgan.runs.run import Run, open_run

log = logging.getLogger(__name__)

SHOWN = 12
"""Pictures on a contact sheet."""


@dataclass(frozen=True, eq=False)
class Edited:
    """Edited pictures.

    Attributes:
        names: N names of the pictures.
        pictures: (N, 3, R, R) in [-1, 1], as they were read.
        latents: their latents in the source generator.
        inversions: (N, 3, R, R), the source's images of the latents.
        edits: strength -> (N, 3, R, R) by the generator of that strength.
        table: name of a picture -> its measures: "lpips" and "psnr" of the inversion, and for each strength
            what is kept, see :func:`kept`.
        faults: messages about files that could not be read.
    """

    names: Sequence[str]
    pictures: Tensor
    latents: Latents
    inversions: Tensor
    edits: Mapping[float, Tensor]
    table: Mapping[str, Mapping[str, float]]
    faults: Sequence[str] = ()

    def save(self, out: Path) -> None:
        """Write the folder that ``zsgan edit`` leaves.

        ``strength_<s>/<name>.png`` are the edits, ``inverted/<name>.png`` the inversions; beside them are
        ``latents.safetensors``, ``edits.json`` with the measures, and ``sheet.png``.

        Args:
            out: the folder, created if it is missing; files of the same names are replaced.

        Raises:
            OSError: a file cannot be written.
        """
        kinds = {"inverted": self.inversions, **{f"strength_{s:g}": made for s, made in self.edits.items()}}
        for kind, images in kinds.items():
            (out / kind).mkdir(parents=True, exist_ok=True)
            for name, image in zip(self.names, images, strict=True):
                with naming(file := out / kind / f"{name}.png"):
                    Image.fromarray(to_array(image)).save(file)
        self.latents.save(out / "latents.safetensors")
        write_json(out / "edits.json", {"pictures": self.table, "failed": list(self.faults)})
        write_atomically(out / "sheet.png", self.sheet())

    def sheet(self) -> bytes:
        """A PNG of the first pictures above their inversions and edits."""
        rows = {"picture": self.pictures, "inverted": self.inversions}
        rows |= {f"strength {strength:g}": made for strength, made in self.edits.items()}
        figure, buffer = image_grid({label: images[:SHOWN] for label, images in rows.items()}), io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": "zsgan"})
        plt.close(figure)
        return buffer.getvalue()


def edit(
    run: Run | str | Path,
    images: str | Path,
    *,
    out: str | Path | None = None,
    strengths: Sequence[float] = (0.5, 1.0),
    truncation_psi: float = 1.0,
    fit: Fit = "crop",
    start: str | Path | None = None,
    settings: InversionSettings | Mapping[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> Edited:
    """Edit the pictures of a folder: invert them, and pass the latents through the adapted generator.

    Files that cannot be read are left out and named in ``faults``; the others are done.

    Args:
        run: a finished run, or its folder.
        images: folder of the pictures.
        out: folder to write to, see :meth:`Edited.save`; an interrupted call resumes from it. By default
            nothing is written.
        strengths: strengths of the edits, see :func:`zsgan.inversion.strength.between`.
        truncation_psi: below 1, latents are moved towards the mean w before they are edited.
        fit: what becomes of pictures that are not square, see :data:`zsgan.inversion.pictures.Fit`.
        start: start of the inversion, see :func:`zsgan.inversion.optimise.invert`.
        settings: settings of the inversion, or some of them by name.
        seed: seed of the inversion.
        device: torch device.
        progress: show a progress bar.

    Returns:
        the edits.

    Raises:
        FileNotFoundError: the run, the folder or a network's file is missing, or the folder holds no picture.
        ValueError: no picture can be read, or an argument does not fit.
    """
    device = set_up(device)
    strengths = [checked("strengths", strength, Finite) for strength in strengths]
    psi = checked("truncation_psi", truncation_psi, Psi)
    place = None if out is None else folder_path(out)
    found = run if isinstance(run, Run) else open_run(local_path(run))
    source, adapted = found.generator(0, device), found.generator(device=device)
    files, pictures, faults = read_all(files_in(local_path(images)), source.config["resolution"], fit)
    for fault in faults:
        log.warning("%s", fault)
    networks = networks_for(source)
    latents = invert(
        source, pictures, start=start, settings=settings, seed=seed, networks=networks,
        folder=None if place is None else place / "state", progress=progress,
    )  # fmt: skip
    edits = {s: latents.through(between(source, adapted, s), psi) for s in strengths}
    names = names_of(files)
    found_kept = {s: kept(networks, pictures, made, device) for s, made in edits.items()}
    table = {
        name: {"lpips": float(latents.lpips[i]), "psnr": float(latents.psnr[i])}
        | {f"{what}, strength {s:g}": float(v[i]) for s, of in found_kept.items() for what, v in of.items()}
        for i, name in enumerate(names)
    }
    result = Edited(names, pictures, latents, latents.through(source), edits, table, faults)
    if place is not None:
        result.save(place)
    return result


def names_of(files: Sequence[Path]) -> list[str]:
    """Names for the results of files: theirs without the ending, or with it where two would be the same."""
    stems = [file.stem for file in files]
    return [file.stem if stems.count(file.stem) == 1 else file.name for file in files]


@torch.no_grad()
def kept(
    networks: Networks, before: Tensor, after: Tensor, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """What edits keep of pictures, as the judging eyes see it.

    Args:
        networks: networks of the inversion.
        before: (N, 3, H, W) the pictures.
        after: (N, 3, R, R) the edits.
        device: device of the networks.

    Returns:
        "features kept", the cosine (N,) of their features; and, if the eyes read factors, "factor error", the
        root mean square (N,) over the continuous factors of their differences, in deviations of the world.
    """
    seen = [networks.eyes.embed(images.to(device)) for images in (before, after)]
    found = {"features kept": identity_kept(*seen).cpu()}
    if networks.eyes.labels is not None:
        found["factor error"] = factor_distance(*(networks.eyes.read(one).continuous for one in seen)).cpu()
    return found


def factor_distance(one: Tensor, other: Tensor) -> Tensor:
    """Root mean square (N,) over the factors of the differences of two readings (N, number of factors)."""
    return (one - other).square().mean(1).sqrt()
