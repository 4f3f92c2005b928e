"""Zero-shot GAN adaptation with semantic variations: Jeon et al., ICCV 2023, re-executable.

Import from here what the README shows; the modules hold the rest. Names are loaded when first used, so that
``zsgan --help`` does not wait for torch.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zsgan.api import adapt
    from zsgan.config import AdaptConfig
    from zsgan.evaluation import evaluate
    from zsgan.figures import image_grid
    from zsgan.models import load_clip, load_generator
    from zsgan.profiles import load_profile
    from zsgan.runs import run
    from zsgan.sampling import sample_images

_PUBLIC = {
    "AdaptConfig": "config",
    "adapt": "api",
    "evaluate": "evaluation",
    "image_grid": "figures",
    "load_clip": "models",
    "load_generator": "models",
    "load_profile": "profiles",
    "run": "runs",
    "sample_images": "sampling",
}

__all__ = [
    "AdaptConfig",
    "adapt",
    "evaluate",
    "image_grid",
    "load_clip",
    "load_generator",
    "load_profile",
    "run",
    "sample_images",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("zsgan")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zsgan' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"zsgan.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
