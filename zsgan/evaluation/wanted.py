"""Checks of the arguments of ``evaluate``: which measures are requested and available."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from zsgan.base.device import check_memory
from zsgan.base.images import Images
from zsgan.base.settings import AtLeast1, Psi, Seed, check_texts, checked
from zsgan.evaluation.subjects import Given
from zsgan.metrics import DEFINITIONS
from zsgan.metrics.columns import ALL, MEASURES, OF_SOURCE, OF_TRUTH, USUAL
from zsgan.metrics.manifold import Manifolds

READ = ("inception", "evaluator_rate")
"""Measures of the factors that the eyes read."""

_BYTES = 8192  # lower bound for an image's latent and features


def measures_of(asked: Sequence[str] | str | None) -> tuple[frozenset[str], frozenset[str]]:
    """The measures that groups and names stand for.

    Args:
        asked: groups or names of :data:`zsgan.metrics.columns.MEASURES`; ``None`` for
            :data:`zsgan.metrics.columns.USUAL`.

    Returns:
        all requested measures, and those requested by name.

    Raises:
        ValueError: a name is unknown, or there is none.
    """
    if asked is None:
        return USUAL, frozenset()
    items = [name.strip() for name in (asked.split(",") if isinstance(asked, str) else asked)]
    known = [*MEASURES, *(name for names in MEASURES.values() for name in names)]
    for name in items or [""]:
        if name not in known:
            raise ValueError(f"measure={name!r} is unknown; choose among {', '.join(known)}")
    groups = frozenset(name for item in items for name in MEASURES.get(item, ()))
    named = frozenset(items) & ALL
    return groups | named, named


def known_measures(
    wanted: frozenset[str], named: Collection[str], missing: Mapping[str, str]
) -> frozenset[str]:
    """The requested measures that are available.

    Args:
        wanted: measures requested by group or name.
        named: measures requested by name.
        missing: measure -> its missing input.

    Returns:
        a subset of ``wanted``.

    Raises:
        ValueError: a measure requested by name is not available, or none is.
    """
    known = wanted - missing.keys()
    lacking = [name for name in missing if name in named or (name in wanted and not known)]
    if lacking:
        raise ValueError(f"measure={lacking[0]!r} needs {missing[lacking[0]]}")
    return known


def missing_for(
    source_text: str | None, text: str | None, before: bool, against: bool, labels: bool
) -> dict[str, str]:
    """Missing inputs of measures, except for eyes that read factors.

    Args:
        source_text: the source in words.
        text: the target in words.
        before: whether there are images of the source.
        against: whether there are true images.
        labels: whether the true images have labels.

    Returns:
        measure -> its missing input, in words.
    """
    missing: dict[str, str] = {}
    if not labels:
        missing["evaluator_rate"] = "against=drawn:SPECIES, of which it is known what they show"
    if text is None or source_text is None:
        missing |= dict.fromkeys(("clip_rate", "clip_direction"), "the target's text and the source's")
    if text is None:
        missing |= dict.fromkeys(("clip_score", "clip_quality"), "the target's text")
    if not against:
        missing |= dict.fromkeys(OF_TRUTH, "against: true images of the target")
    if not before:
        missing |= dict.fromkeys(OF_SOURCE, "before: the source's images")
    return missing


def check_words(source_text: str | None, text: str | None) -> None:
    """Refuse an empty text, a source text without a target text, and two equal texts.

    Args:
        source_text: the source in words, if known.
        text: the target in words, if known.

    Raises:
        ValueError: the texts are invalid.
    """
    for name, words in (("source_text", source_text), ("text", text)):
        if words is not None and not words.strip():
            raise ValueError(f"{name}={words!r} is empty; say in words what the images show, or leave it out")
    if source_text is not None and text is None:
        raise ValueError(f"source_text={source_text!r} needs the target's text beside it")
    if source_text is not None and text is not None:
        check_texts(source_text, text)


def check_presets(presets: Sequence[str], centres: Given | None) -> None:
    """Refuse definitions of intra-cluster LPIPS that do not exist or lack their centres.

    Args:
        presets: names of :data:`zsgan.metrics.diversity.DEFINITIONS`.
        centres: cluster centres.

    Raises:
        ValueError: there is no preset, or one is unknown or lacks its centres.
    """
    if not presets or isinstance(presets, str):
        raise ValueError(f"presets={presets!r} must be a list of one or more of {', '.join(DEFINITIONS)}")
    for name in presets:
        if name not in DEFINITIONS:
            raise ValueError(f"preset={name!r} is unknown; choose one of {', '.join(DEFINITIONS)}")
        if DEFINITIONS[name].centres == "given" and centres is None:
            raise ValueError(f"preset={name!r} needs centres: a folder of the images to assign others to")


def check_numbers(
    n: int | None, seed: int | None, truncation_psi: float | None, lpips_images: int | None
) -> tuple[int | None, int | None, float | None, int | None]:
    """Check numbers before any image is read.

    Args:
        n: number of images to draw.
        seed: seed of latents and drawn images.
        truncation_psi: truncation of a run's images.
        lpips_images: limit of images for LPIPS.

    Returns:
        the four as numbers, in this order.

    Raises:
        ValueError: a number is out of range, or n images do not fit into memory.
    """

    def number(name: str, value: Any, kind: Any) -> Any:
        return None if value is None else checked(name, value, kind)

    n = number("n", n, AtLeast1)
    if n is not None:
        check_memory({f"n={n}": n * _BYTES})
    return (
        n,
        number("seed", seed, Seed),
        number("truncation_psi", truncation_psi, Psi),
        number("lpips_images", lpips_images, AtLeast1),
    )


def check_used(
    n: int | None, seed: int | None, truncation_psi: float | None, sampled: bool, drawn: bool, chosen: bool
) -> None:
    """Refuse numbers that would have no effect.

    Args:
        n: number of images to draw.
        seed: seed of latents and drawn images.
        truncation_psi: truncation of a run's images.
        sampled: whether a run makes the images.
        drawn: whether true images are drawn.
        chosen: whether LPIPS is computed on a random choice of the images, or a preset draws.

    Raises:
        ValueError: a number is given that nothing uses.
    """
    for name, value, used, use in (
        ("n", n, sampled or drawn, "a run and against=drawn:SPECIES; lpips_images limits those for LPIPS"),
        ("seed", seed, sampled or drawn or chosen, "a run, against=drawn:SPECIES and a limit lpips_images"),
        ("psi", truncation_psi, sampled, "a run"),
    ):
        if value is not None and not used:
            raise ValueError(
                f"{name}={value} has no effect on images that are given, which are all measured as they are; "
                f"leave it out (it is for {use})"
            )


def check_sizes(
    made: Images, true: Images | None, n_lpips: int, clusters: int, neighbours: int, wanted: Collection[str]
) -> None:
    """Refuse too few images, and more than fit into memory.

    Args:
        made: the images.
        true: true images.
        n_lpips: number of images for LPIPS.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
        wanted: requested measures.

    Raises:
        ValueError: a measure cannot be computed from so few or so many.
    """
    n = len(made)
    if n < 3:
        raise ValueError(f"images must be at least 3 to say anything of their diversity, got {n}")
    if "lpips" in wanted and not 1 <= clusters < n_lpips:
        raise ValueError(
            f"clusters must be at least 1 and below the number of images, {n_lpips}, got {clusters}"
        )
    near = set(Manifolds._fields) & set(wanted)
    k = neighbours if near else 1
    if true is not None and set(OF_TRUTH) & set(wanted) and not 1 <= k < min(n, len(true)):
        why = "(neighbours), " if near else ""
        raise ValueError(f"images and against must be more than {k} images each {why}got {n} and {len(true)}")
    if "lpips" in wanted:
        check_memory({f"lpips_images={n_lpips}, the LPIPS of all their pairs,": 48 * n_lpips**2})
    if "structure_kept" in wanted:
        check_memory(
            {f"structure_kept of all pairs of {n} images": 24 * n**2}, remedy="leave it out of measures"
        )
