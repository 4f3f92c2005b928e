"""Zero-shot GAN adaptation with semantic variations: Jeon et al., ICCV 2023, re-executable.

This module has the names that the README uses. They are imported on first use, so that ``zsgan --help`` does
not load torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zsgan.adaptation.config import AdaptConfig
    from zsgan.adaptation.plugged import guide, term, trainer
    from zsgan.api import adapt
    from zsgan.compact.export import export, mix
    from zsgan.evaluation.evaluate import evaluate
    from zsgan.inversion.edit import edit
    from zsgan.inversion.optimise import invert
    from zsgan.networks.load import load_clip, load_generator
    from zsgan.networks.sampling import sample_images
    from zsgan.report.figures import image_grid
    from zsgan.runs.profiles import load_profile
    from zsgan.runs.run import run

_PUBLIC = {
    "AdaptConfig": "adaptation.config",
    "adapt": "api",
    "edit": "inversion.edit",
    "evaluate": "evaluation.evaluate",
    "export": "compact.export",
    "guide": "adaptation.plugged",
    "image_grid": "report.figures",
    "invert": "inversion.optimise",
    "load_clip": "networks.load",
    "load_generator": "networks.load",
    "load_profile": "runs.profiles",
    "mix": "compact.export",
    "run": "runs.run",
    "sample_images": "networks.sampling",
    "term": "adaptation.plugged",
    "trainer": "adaptation.plugged",
}

__all__ = [
    "AdaptConfig",
    "adapt",
    "edit",
    "evaluate",
    "export",
    "guide",
    "image_grid",
    "invert",
    "load_clip",
    "load_generator",
    "load_profile",
    "mix",
    "run",
    "sample_images",
    "term",
    "trainer",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("zsgan")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zsgan' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"zsgan.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
