"""Sheet of a run: the source's images above the adapted generator's, in one PNG with labels."""

import io
import logging
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch

from zsgan.base.files import write_atomically
from zsgan.networks.sampling import sample_images
from zsgan.report.figures import STYLE, image_grid
from zsgan.runs.run import Run

log = logging.getLogger(__name__)

LATENTS = 8


def contact_sheet(run: Run, device: torch.device | str = "cpu") -> Path | None:
    """Write ``sheet.png`` into a run's folder, unless it exists.

    It shows the images that ``zsgan sample`` writes by default. It is not part of the run: if the folder
    cannot be written, or the source generator has changed, a warning is logged instead.

    Args:
        run: the finished run.
        device: torch device.

    Returns:
        the file; ``None`` if it could not be made.
    """
    file = run.folder / "sheet.png"
    if not file.exists():
        try:
            steps = {run.config.source_text: 0, run.config.target_text: run.iterations}
            rows = {
                text: sample_images(run.generator(step, device), LATENTS, seed=0)
                for text, step in steps.items()
            }
            write_atomically(file, _png(rows))
        except (OSError, ValueError) as error:
            log.warning("no contact sheet: %s", error)
            return None
    log.info("the same %d latents before and after: %s", LATENTS, file)
    return file


def _png(rows: dict[str, torch.Tensor]) -> bytes:
    """The grid as PNG bytes, independent of the user's matplotlib settings."""
    buffer = io.BytesIO()
    with mpl.rc_context():
        mpl.rcdefaults()
        plt.style.use(STYLE)
        figure = image_grid(rows)
        figure.savefig(buffer, format="png", metadata={"Software": "zsgan"})
        plt.close(figure)
    return buffer.getvalue()
