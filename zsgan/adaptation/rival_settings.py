"""Groups of the configuration for what other papers add; the defaults are their published values."""

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
    Switch,
    Text,
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
