"""Groups of the configuration for what other papers add; the defaults are their published values."""

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from zsgan.base.settings import (
    CHECKED,
    AtLeast0,
    AtLeast1,
    AtLeast3,
    BatchSize,
    Domain,
    NonNegative,
    Positive,
    Probability,
    Psi,
    Switch,
    Text,
    Texts,
)
from zsgan.rivals.layer_selection import LayerMap


@dataclass(frozen=True, config=CHECKED)
class Spectral:
    """Spectral consistency of SCR (Liu et al. 2023), a rival of eqs. (4) and (5); values from its code.

    SCR itself is balanced, with a weight of 1. Off, as here by default, the weight stays what it is.
    """

    probes: AtLeast1 = 3  # random directions of a latent
    delta: Positive = 1.0  # of the Huber loss
    balanced: Switch = False  # in each step no stronger than the text, see zsgan.rivals.consistency.balance


@dataclass(frozen=True, config=CHECKED)
class Selection:
    """Adaptive layer selection of StyleGAN-NADA, before every step (Gal et al. 2022, sec. 4.3)."""

    k: AtLeast1  # layers trained in a step
    iterations: AtLeast1 = 1  # optimisation steps on the latents to rank the layers
    layer_map: LayerMap = "corrected"  # see zsgan.rivals.layer_selection
    batch_size: BatchSize = 8  # latents that rank the layers


@dataclass(frozen=True, config=CHECKED)
class Air:
    """Iterative refinement of AIR (Liu et al. 2025), beside the row's terms; values from its code.

    Of a run of T steps: the code's are 200 (anchors from 100, every 20) or 300 (from 150, every 30).
    """

    start: Probability = 0.5  # share of the run before the first anchor
    every: Annotated[Positive, Field(le=1)] = 0.1  # share of the run from one anchor to the next
    weight: NonNegative = 1.0  # of the direction from the anchor
    samples: AtLeast1 = 1000  # images whose mean feature places an anchor
    psi: Psi = 0.7  # their truncation
    prompt_steps: AtLeast1 = 200  # steps of Adam on an anchor's prompt
    prompt_lr: Positive = 1e-3
    learned: Literal["all", "context"] = "all"  # words of a prompt; its code: those before the domain's name

    def check_template(self, template: str) -> None:
        """Refuse a prompt template that has no words to learn."""
        if self.learned == "context" and template.startswith("{}"):
            raise ValueError(
                f"air.learned='context' learns the words before {{}} of the first template, but {template!r} "
                "has none; give templates, such as 'a photo of a {}'"
            )

    def anchors(self, iterations: int) -> range:
        """The steps before which a generator becomes the anchor, in a run of ``iterations``; at least one."""
        first = min(round(self.start * iterations), iterations - 1)
        return range(first, iterations, max(1, round(self.every * iterations)))


@dataclass(frozen=True, config=CHECKED)
class Ipl:
    """Prompts for each image of IPL (Guo et al. 2023), in the term "directional"; values from its code."""

    words: AtLeast1 = 4  # before the name of a domain, as many as "a photo of a" has
    weight: NonNegative = 1.0  # of the target prompts' closeness to the target text
    iterations: AtLeast1 = 300
    batch_size: BatchSize = 32
    lr: Positive = 0.05
    activated: Switch = False  # the words' last layer, too, as in its code


@dataclass(frozen=True, config=CHECKED)
class Local:
    """Directional loss on patches, the term "local", see :mod:`zsgan.rivals.local_directions`.

    The published codes have fifteen parts, in texts like these.
    """

    parts: Texts = ("the eyes of a {}", "the ears of a {}", "the nose of a {}", "the fur of a {}")
    side: Annotated[Positive, Field(le=1)] = 0.5  # of a patch, in sides of the image

    @model_validator(mode="after")
    def _fit(self) -> "Local":
        for part in self.parts:
            if "{}" not in part:
                raise ValueError(f"local.parts: {part!r} has no {{}} where the domain goes; add it")
        return self


@dataclass(frozen=True, config=CHECKED)
class Difa:
    """Selective cross-domain consistency of DiFa (Zhang et al. 2022), beside the row's terms; its values."""

    encoder: Text | None = None  # reads latents, see zsgan.assets.names; None: that of the demo's generator
    weight: NonNegative = 7.0
    kept: Probability = 0.8  # share of the coordinates that are to stay
    window: AtLeast1 = 30  # steps whose mean codes tell which those are; none is kept before
    rows: AtLeast1 = 7  # of W+, from the coarsest


@dataclass(frozen=True, config=CHECKED)
class FewShot:
    """Adaptation to a few images instead of a text (Ojha et al. 2021); values from its code."""

    target: Domain  # factors that drawn images share, {species: ..., style: ...}, or {folder: ...}
    images: AtLeast1 = 10  # target images, and as many anchors in the latent space
    discriminator: Text | None = None  # the source's, see zsgan.assets.names; None: that of the generator
    lambda_distance: NonNegative = 1e3  # of cross-domain distance consistency
    distance_batch: AtLeast3 = 4  # images in its comparison
    anchor_every: AtLeast1 = 4  # one step in so many judges whole images near the anchors, the others patches
    anchor_deviation: NonNegative = 0.1  # standard deviation of latents around an anchor; 0.05 in the text
    patch_level: AtLeast0 = 3  # patches are judged in the discriminator's map of R / 2^level px; 32 px of 256
    lambda_r1: NonNegative = 10.0
    r1_every: AtLeast1 = 16
    lambda_path: NonNegative = 2.0
    path_every: AtLeast1 = 4
    mixing: Probability = 0.9  # probability of two latents in the styles of one image
