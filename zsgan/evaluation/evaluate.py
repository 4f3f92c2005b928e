"""Measurements of a run or of any images; all arguments are checked before the computation."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zsgan.assets import names
from zsgan.assets.names import weights_id
from zsgan.base.cache import Cache
from zsgan.base.device import set_up
from zsgan.base.images import Folder, Images, held
from zsgan.evaluation.bench import METRICS, SAMPLES_SEED
from zsgan.evaluation.judges import Judges, prompt_features
from zsgan.evaluation.loading import load_eyes
from zsgan.evaluation.seen import Seen
from zsgan.evaluation.subjects import Given, Subject, images_of, name_of, subject_of, true_images
from zsgan.evaluation.wanted import (
    READ,
    check_numbers,
    check_presets,
    check_sizes,
    check_used,
    check_words,
    known_measures,
    measures_of,
    missing_for,
)
from zsgan.menagerie.portraits import TRUTH_SEED
from zsgan.metrics import Lpips
from zsgan.metrics.columns import OF_CLIP, OF_EYES, OF_SOURCE, OF_TRUTH
from zsgan.metrics.manifold import Manifolds
from zsgan.metrics.progress import Picked, Progress, Watched
from zsgan.networks.clip import encode_pair
from zsgan.networks.dinov2 import DINOV2, load_dinov2
from zsgan.networks.load import load_clip
from zsgan.runs.run import RUNS, Run

log = logging.getLogger(__name__)

JUDGES = {"evaluator": "clip-b", "photographs": "ViT-B-16/openai"}
"""Eyes -> the default judging CLIP: one trained on such images that guides no row of a profile."""

N = 500
"""Default number of images to draw."""

LPIPS_IMAGES = 2000
"""Default limit of images for LPIPS, which compares all pairs."""


def evaluate(
    images: Run | Given,
    *,
    against: Given | None = None,
    before: Given | None = None,
    centres: Given | None = None,
    text: str | None = None,
    source_text: str | None = None,
    measures: Sequence[str] | str | None = None,
    presets: Sequence[str] = ("paper", "literal"),
    n: int | None = None,
    seed: int | None = None,
    truncation_psi: float | None = None,
    clusters: int = 10,
    neighbours: int = 3,
    lpips_images: int | None = LPIPS_IMAGES,
    clip: str | None = None,
    eyes: str | None = None,
    recursive: bool = False,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
) -> dict[str, Any]:
    """Diversity of images, closeness to a target domain, and similarity to the source.

    Columns have the names of the tables. For a run, with defaults and the target as ``against``, they also
    have the numbers of the tables, with one exception: a folder counts as a whole here, while a table keeps
    every second image for its row "true target". Columns that begin with "clip" are measured in the space of
    a CLIP, "fd_dinov2" in that of DINOv2, all others in the features of the eyes; results name these. "kid"
    is over all pairs of images. LPIPS distances are kept in ``folder/cache`` if it is writable, so repeated
    calls are fast.

    Args:
        images: a run or its folder (n images are sampled), a folder of images (all are read), or images
            (N, 3, H, W) in [-1, 1]. Files are read as a viewer shows them, see
            :func:`zsgan.base.pictures.shown`; "files" counts those read and left out.
        against: true images of the target, or "drawn:SPECIES[:STYLE]" for n of the demo world.
        before: the source's image of each latent, in files with the same name or number (img7 is 00007);
            for a run they are made by default.
        centres: cluster centres for the preset "ojha": the ten targets.
        text: the target in words; a run's by default.
        source_text: the source in words; a run's by default.
        measures: groups or names of :data:`zsgan.metrics.columns.MEASURES`, such as "fid,lpips"; no others
            are computed. By default, or of a group, all available ones; "extra" and "dinov2" only by name.
        presets: definitions of intra-cluster LPIPS, see :data:`zsgan.metrics.diversity.DEFINITIONS`.
        n: number of images to draw, of a run and of the truth; :data:`N` by default. As ``seed`` and
            ``truncation_psi``, it is refused if it has no effect.
        seed: seed of latents, drawn images and the subset for LPIPS; by default the seeds of the tables.
        truncation_psi: truncation of a run's images, in [0, 10]; by default that of the tables, see
            :data:`zsgan.evaluation.subjects.PSI`.
        clusters: k of the k-medoids.
        neighbours: k of precision, recall, density and coverage.
        lpips_images: limit of images for LPIPS, chosen at random; ``None`` for all.
        clip: a CLIP that did not guide the images; by default the one in :data:`JUDGES` that suits the eyes.
        eyes: "evaluator" of the demo world, or "photographs"; see :func:`zsgan.evaluation.loading.load_eyes`.
            For the default see :class:`zsgan.evaluation.subjects.Subject`.
        recursive: whether to read sub-folders of image folders too.
        folder: folder of runs, with the cache.
        device: torch device.
        progress: show progress bars.

    Returns:
        first the settings behind the numbers, then the numbers. "evaluator_rate" needs "drawn:" and eyes that
        read factors, "clip_rate" needs both texts; otherwise they are ``None``, and without either there is a
        warning. "clip_score" needs the target's text.

    Raises:
        FileNotFoundError: a folder is missing or holds no image.
        NotADirectoryError: a path is a file instead of a folder.
        TypeError: the images are neither a run nor a folder nor a tensor, or a tensor of integers.
        ValueError: an argument is invalid, or there are too few images.
    """
    wanted, named = measures_of(measures)
    if "lpips" in wanted:
        check_presets(presets, centres)
    n, seed, truncation_psi, lpips_images = check_numbers(n, seed, truncation_psi, lpips_images)
    device = set_up(device)
    reading: dict[str, Any] = {"recursive": recursive, "progress": progress}
    image_seed, truth_seed = (SAMPLES_SEED, TRUTH_SEED) if seed is None else (seed, seed)
    subject = subject_of(images, before, n or N, image_seed, truncation_psi, device, **reading)
    made = subject.images
    true, labels = (
        (None, None) if against is None else true_images(against, n or N, made, truth_seed, **reading)
    )
    given = None if centres is None else images_of("centres", centres, **reading)
    places = {"images": made, "before": subject.before, "against": true, "centres": given}
    for name, pictures in places.items():
        if pictures is not None and len(set(pictures[:1].shape[2:])) > 1:
            height, width = pictures[:1].shape[2:]
            raise ValueError(f"{name} must be square, got {width} x {height} px; crop them")
    source_text = subject.source_text if source_text is None else source_text
    words = source_text, subject.text if text is None else text
    check_words(*words)
    n_lpips = len(made) if lpips_images is None else min(lpips_images, len(made))
    chosen = "lpips" in wanted and (n_lpips < len(made) or "ojha" in presets)
    check_used(n, seed, truncation_psi, "seed" in subject.settings, labels is not None, chosen)
    missing = missing_for(*words, subject.before is not None, true is not None, labels is not None)
    check_sizes(made, true, n_lpips, clusters, neighbours, wanted - missing.keys())
    eyes = eyes or subject.eyes
    seeing = load_eyes(eyes, device)
    if seeing.labels is None:
        missing |= dict.fromkeys(READ, "eyes that read factors: the evaluator of the demo world")
    wanted = known_measures(wanted, named, missing)
    clip = clip or JUDGES[eyes]
    judge = _judge(subject, clip, words, device, wanted) if OF_CLIP & wanted else {}
    near, kept = set(OF_TRUTH) & wanted, set(OF_SOURCE) & wanted
    result: dict[str, Any] = {
        **subject.settings,
        "files": {name: place.counts() for name, place in places.items() if isinstance(place, Folder)},
    }
    if wanted & OF_EYES:
        result["features"] = f"{eyes}, {seeing.size} px"
    result |= {"clip": clip} if judge else {}
    if "fd_dinov2" in wanted:
        judge |= {"dinov2": load_dinov2(device)}
        result |= {"dinov2": DINOV2}
    if "lpips" in wanted:
        result |= {"n_lpips": n_lpips, "clusters": clusters}
        result |= {"seed_lpips": seed or 0} if n_lpips < len(made) else {}
    costs = _costs(len(made), n_lpips, 0 if true is None else len(true), wanted)
    with Progress(costs, progress) as bar:
        made = held(Watched(made, bar.of("images")))  # several networks read them
        seen = Seen()
        if "lpips" in wanted:
            lpips, choice = Lpips.through(seeing), _choice(len(made), n_lpips, seed or 0)
            some = made if choice is None else Picked(made, choice)
            key: dict[str, Any] = {"lpips": subject.key, "metrics": METRICS[eyes]}
            key |= {"eyes": [weights_id(name) for name in seeing.networks]}
            key |= {} if choice is None else {"choice": choice.tolist()}
            seen["distances"] = _cached(
                folder / "cache", key,
                lambda: lpips.distances(some, device=device, progress=bar.of("LPIPS")),
            )  # fmt: skip
            if given is not None:
                seen["to_given"] = lpips.distances(some, given, device=device)
        truth = _Shown(None if true is None else Watched(true, bar.of("true images")), labels)
        judges = Judges(
            seeing, truth, 0, 0, clusters=clusters, neighbours=neighbours, device=device, measures=wanted,
            definitions=presets, seed=seed or 0, **judge,
        )  # fmt: skip
        seen |= judges.look(Watched(made, bar.of("features")), wanted - {"lpips"})
        result |= judges.diversity(seen)
        bar.of("clusters")(1)
        result |= dict.fromkeys(("evaluator_rate", "clip_rate")) if measures is None else {}
        result |= judges.adaptation(seen, wanted - near)
        if subject.before is not None and kept:
            result |= judges.kept(seen, judges.look(Watched(subject.before, bar.of("source images")), kept))
        if true is not None and near:
            result |= {"against": name_of(against)}
            result |= {"seed_against": truth_seed} if labels is not None else {}
            result |= {"n_against": len(true)}
            result |= {"neighbours": neighbours} if set(Manifolds._fields) & near else {}
            result |= judges.closeness(seen, near, bar.of("neighbours"))
    if "lpips" in wanted and not {"evaluator_rate", "clip_rate"} & wanted:
        drawn = "--against drawn:SPECIES, or with " if seeing.labels is not None else ""
        log.warning(
            "target rate unknown, and without it their diversity says little: name the target with "
            f"{drawn}--text and --source-text"
        )
    return result


@dataclass(frozen=True)
class _Shown:
    """A :class:`zsgan.evaluation.truth.Truth` of given images."""

    true: Images | None
    labels: Mapping[str, str] | None

    @property
    def seen(self) -> bool:
        return self.true is not None

    @property
    def key(self) -> dict[str, Any]:
        return {}

    def images(self, n: int, resolution: int, fresh: bool = False) -> Images:
        assert self.true is not None
        return self.true


def _judge(
    subject: Subject,
    clip: str,
    words: tuple[str | None, str | None],
    device: torch.device,
    wanted: frozenset[str],
) -> dict[str, Any]:
    """The judging CLIP and its features of the texts, as attributes of :class:`Judges`."""
    if names.clip(clip).identity in subject.networks:
        raise ValueError(f"clip={clip!r} guided this run, and cannot judge what it guided; name another CLIP")
    encoder = load_clip(clip, device=device)
    source, target = words
    found: dict[str, Any] = {"clip": encoder}
    if target is not None and source is None:
        found["texts"] = encoder.encode_texts([target], subject.prompts).cpu()
    if target is not None and source is not None:
        found["texts"] = encode_pair(encoder, source, target, subject.prompts).cpu()
    if target is not None and "clip_quality" in wanted:
        found["prompts"] = prompt_features(encoder, target, subject.prompts)
    return found


def _choice(n: int, n_lpips: int, seed: int) -> Tensor | None:
    """Indices of the images for LPIPS, ascending; ``None`` for all."""
    if n_lpips == n:
        return None
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:n_lpips].sort().values


def _costs(n: int, n_lpips: int, m: int, wanted: frozenset[str]) -> dict[str, float]:
    """Approximate cost of each part on a CPU, in forward passes of an image."""
    lpips = n_lpips if "lpips" in wanted else 0
    near = n * n + m * m + n * m if set(Manifolds._fields) & wanted else 0
    return {
        "images": n,
        "LPIPS": lpips + lpips**2 / 250,
        "features": n
        * (bool(wanted & OF_EYES - {"lpips"}) + bool(OF_CLIP & wanted) + ("fd_dinov2" in wanted)),
        "clusters": lpips**2 / 8000,
        "source images": 2 * n if set(OF_SOURCE) & wanted else 0,
        "true images": 2 * m if set(OF_TRUTH) & wanted else 0,
        "neighbours": near / 10_000,
    }


def _cached(folder: Path, key: Mapping[str, Any], make: Callable[[], Tensor]) -> Tensor:
    """The tensor of a key from the cache; computed without it if the cache cannot be read or written."""
    made: list[Tensor] = []
    making = False

    def once() -> dict[str, Tensor]:
        nonlocal making
        making = True
        made.append(make())
        return {"": made[0]}

    try:
        return Cache(folder).tensors(key, once)[""]
    except OSError as error:
        if making and not made:  # an image could not be read
            raise
        log.warning("LPIPS distances are not kept: %s (--runs names another folder)", error)
        return made[0] if made else make()
