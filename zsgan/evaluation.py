"""Measurements of a run or of any folder of images: all is checked first, then everything is computed."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan import names
from zsgan.cache import Cache
from zsgan.clip import ClipEncoder
from zsgan.device import set_up
from zsgan.images import Folder, held
from zsgan.judges import load_eyes, rate
from zsgan.metrics import (
    DEFINITIONS,
    Eyes,
    Lpips,
    clip_score,
    extract,
    extract_all,
    identity_kept,
    sse,
    structure_kept,
    target_rate,
    variance,
    vendi_score,
)
from zsgan.metrics.summaries import closeness, label_scores, lpips_columns
from zsgan.models import load_clip
from zsgan.names import weights_id
from zsgan.results import METRICS
from zsgan.runs import RUNS
from zsgan.subjects import Subject, subject_of, true_images

log = logging.getLogger(__name__)

JUDGES = {"evaluator": "clip-b", "photographs": "ViT-B-16/openai"}
"""Eyes -> the CLIP that judges beside them: one that saw such images, and that guides no profile's rows."""


def evaluate(
    images: str,
    *,
    against: str | None = None,
    before: str | None = None,
    centres: str | None = None,
    text: str | None = None,
    source_text: str | None = None,
    presets: Sequence[str] = ("paper", "literal"),
    n: int = 500,
    seed: int = 0,
    truncation_psi: float = 0.7,
    clusters: int = 10,
    neighbours: int = 3,
    clip: str | None = None,
    eyes: str | None = None,
    recursive: bool = False,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Diversity of images, their closeness to a target domain, and what is kept of the source.

    "sse", "variance" and what begins with "clip" are measured in the space of a CLIP, all others in the
    features of the eyes, and every result names both. "kid" is over all pairs of images. LPIPS
    distances are kept in ``folder/cache``, so that other clusters or another target are a matter of seconds.

    Args:
        images: folder of a run (n images are sampled) or of images (all are read).
        against: true images of the target: a folder, or "drawn:SPECIES[:STYLE]" for n of the demo world.
        before: folder with the source's image of each latent, under the same name or number (img7 is 00007);
            a run has its own.
        centres: folder of images that others are assigned to, for the preset "ojha": the ten targets.
        text: the target in words; that of a run by default.
        source_text: the source in words; that of a run by default.
        presets: definitions of intra-cluster LPIPS, see :data:`zsgan.metrics.diversity.DEFINITIONS`.
        n: how many images to draw.
        seed: of latents and of drawn images.
        truncation_psi: when sampling a run.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
        clip: a CLIP that did not guide the images; by default the one in :data:`JUDGES` that suits the eyes.
        eyes: "evaluator" of the demo world, or "photographs"; see :func:`zsgan.judges.load_eyes`. By default
            those that suit, see :class:`zsgan.subjects.Subject`.
        recursive: of all folders of images, their sub-folders too.
        folder: of runs.
        device: torch device.
        progress: show progress bars.

    Returns:
        first what the numbers rest on, then the numbers. "target_rate" (the evaluator's) is known with
        "drawn:" and eyes that can read it, "clip_rate" with both texts, and both are ``None`` if not; without
        either a warning says that diversity stands alone. "clip_score" is there with the target's text.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a file stands where a folder is expected.
        ValueError: an argument cannot work or is unknown, or there are too few images.
    """
    _check_presets(presets, centres)
    device = set_up(device)
    earlier = None if before is None else Path(before)
    reading = {"recursive": recursive, "progress": progress}
    subject = subject_of(Path(images), earlier, n, seed, truncation_psi, device, **reading)
    made = subject.images
    if len(made) < 3:
        raise ValueError(f"images must be at least 3 to say anything of their diversity, got {len(made)}")
    if not 1 <= clusters < len(made):
        raise ValueError(
            f"clusters must be at least 1 and below the number of images, {len(made)}, got {clusters}"
        )
    given = None if centres is None else Folder(Path(centres), **reading)
    true, labels = (None, None) if against is None else true_images(against, n, seed, made, **reading)
    places = {"images": made, "before": subject.before, "against": true, "centres": given}
    files = {name: place.counts() for name, place in places.items() if isinstance(place, Folder)}
    if true is not None and not 1 <= neighbours < min(len(made), len(true)):
        raise ValueError(
            f"images and against={against!r} must be more than {neighbours} images each (neighbours), "
            f"got {len(made)} and {len(true)}"
        )
    for name, pictures in (("images", made), ("against", true), ("centres", given)):
        if pictures is not None and len(set(pictures[:1].shape[2:])) > 1:
            height, width = pictures[:1].shape[2:]
            raise ValueError(f"{name} must be square, got {width} x {height} px; crop them")
    eyes = eyes or subject.eyes
    seeing = load_eyes(eyes, device)
    encoder, texts = _texts(subject, clip or JUDGES[eyes], text, source_text, device)

    made = held(made)  # LPIPS and the features look at them in turn
    options: dict[str, Any] = {"device": device}
    cache = Cache(folder / "cache")
    key = {"lpips": subject.key, "eyes": [weights_id(name) for name in seeing.networks]}
    distances = cache.tensors(
        key | {"metrics": METRICS}, lambda: {"": Lpips.through(seeing).distances(made, **options)}
    )[""]
    to_given = None if given is None else Lpips.through(seeing).distances(made, given, **options)
    seen = extract_all({"eyes": seeing.embed, "clip": encoder.encode_images}, made, **options)
    result: dict[str, Any] = {
        **subject.settings,
        "files": files,
        "features": f"{eyes}, {seeing.size} px",
        "clip": encoder.name,
        "clusters": clusters,
    }
    result |= lpips_columns(distances, clusters, presets, to_given=to_given, seed=seed)
    result |= {"vendi": vendi_score(seen["eyes"]), **_labels(seeing, seen["eyes"], labels, device)}
    result |= {"sse": float(sse(seen["clip"])), "variance": float(variance(seen["clip"]))}
    if len(texts):
        result["clip_score"] = clip_score(seen["clip"], texts[0])
    readable = labels is not None and seeing.labels is not None
    result["target_rate"] = rate(seeing, seen["eyes"], labels, device) if readable else None
    result["clip_rate"] = target_rate(seen["clip"], *texts) if len(texts) > 1 else None
    if result["target_rate"] is None and result["clip_rate"] is None:
        drawn = "--against drawn:SPECIES, or with " if seeing.labels is not None else ""
        log.warning(
            "nobody knows how many of the images are in the target domain, and without that their diversity "
            f"says little: name the target with {drawn}--text and --source-text"
        )
    if subject.before is not None:
        source = extract(seeing.embed, subject.before, **options)
        result["identity_kept"] = float(identity_kept(source, seen["eyes"]).mean())
        result["structure_kept"] = structure_kept(source, seen["eyes"])
    if true is None:
        return result
    result |= {"against": against, "n_against": len(true), "neighbours": neighbours}
    return result | closeness(seen["eyes"], extract(seeing.embed, true, **options), neighbours)


def _check_presets(presets: Sequence[str], centres: str | None) -> None:
    for name in presets:
        if name not in DEFINITIONS:
            raise ValueError(f"preset={name!r} is unknown; choose one of {', '.join(DEFINITIONS)}")
        if DEFINITIONS[name].centres == "given" and centres is None:
            raise ValueError(f"preset={name!r} needs centres: a folder of the images to assign others to")


def _texts(
    subject: Subject, clip: str, text: str | None, source_text: str | None, device: torch.device | str
) -> tuple[ClipEncoder, Tensor]:
    """The judging CLIP, and its features of target and source text, (0 to 2, D)."""
    if names.clip(clip).identity in subject.networks:
        raise ValueError(f"clip={clip!r} guided this run, and cannot judge what it guided; name another CLIP")
    encoder = load_clip(clip, device=device)
    target, source = text or subject.text, source_text or subject.source_text
    if target is None and source is not None:
        raise ValueError(f"source_text={source!r} needs the target's text beside it")
    asked = [words for words in (target, source) if words is not None]
    if not asked:
        return encoder, torch.empty(0, 0)
    return encoder, encoder.encode_texts(asked, subject.prompts).cpu()


def _labels(
    eyes: Eyes, embedding: Tensor, shared: Mapping[str, str] | None, device: torch.device | str
) -> dict[str, float]:
    return {} if eyes.labels is None else label_scores(eyes.read(embedding.to(device)), shared)
