"""Text directions of the parts of an animal, for :mod:`zsgan.rivals.local_directions`."""

from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.networks.clip import ClipEncoder


def part_directions(encoder: ClipEncoder, config: AdaptConfig) -> Tensor:
    """Directions (P, D) from each part of the source, in words, to that of the target.

    Args:
        encoder: E_T.
        config: the texts, their templates, and the parts, ``config.local.parts``.

    Returns:
        (P, D), E_T(part of the target) - E_T(part of the source).

    Raises:
        ValueError: a text cannot be encoded.
    """
    source, target = (
        encoder.encode_texts(
            [part.replace("{}", text) for part in config.local.parts], config.prompts,
            normalise=config.features.normalise,
        )
        for text in (config.source_text, config.target_text)
    )  # fmt: skip
    return target - source
