"""Numbers that others published, for columns of their own beside those measured here."""

from collections.abc import Mapping
from dataclasses import dataclass

# Table 1 of the paper, Dog -> Cat: (LPIPS Avg., its deviation, LPIPS All, its deviation). The paper calls
# L_dir + L_EWC "StyleGAN-NADA + L_EWC"; it has no layer selection, so here it is called by its loss.
PAPER_TABLE_1: Mapping[str, tuple[float, float, float, float]] = {
    "Ojha et al., 10-shot": (0.575, 0.019, 0.575, 0.046),
    "StyleGAN-NADA": (0.460, 0.010, 0.462, 0.063),
    "L_dir + L_EWC": (0.480, 0.006, 0.480, 0.064),
    "L_dir": (0.402, 0.008, 0.405, 0.057),
    "L_dm": (0.464, 0.013, 0.470, 0.064),
    "L_dm + L_EWC": (0.493, 0.015, 0.497, 0.067),
    "L_dm + L_EWC + L_rel": (0.507, 0.016, 0.512, 0.072),
}

PAPER_SCENARIO = "dog-to-cat"
"""Name of the scenario of the paper's table in profiles."""


@dataclass(frozen=True)
class Published:
    """One measure of one scenario in another paper.

    Attributes:
        source: the paper and its table.
        scenario: name of the scenario in profiles.
        measure: the column of a table's runs that measures the same.
        features: the network and the number of images, which set the scale.
        numbers: row -> value; a row that profiles do not have is a method of that paper.
    """

    source: str
    scenario: str
    measure: str
    features: str
    numbers: Mapping[str, float]


STYLEDOMAIN = "StyleDomain, Table 1"  # Alanov et al. 2023, FFHQ with StyleGAN-NADA's loss
_VIT_L = "CLIP ViT-L/14, n = 500"

OTHERS = (
    Published(
        STYLEDOMAIN, "photo-to-sketch", "clip_quality", _VIT_L,
        {"L_dir": 0.208, "L_dir, StyleSpace alone": 0.193},
    ),
    Published(
        STYLEDOMAIN, "photo-to-sketch", "clip_variance", _VIT_L,
        {"L_dir": 0.296, "L_dir, StyleSpace alone": 0.306},
    ),
)  # fmt: skip
"""Published numbers of scenarios and measures that profiles have, except for those of the paper itself."""
