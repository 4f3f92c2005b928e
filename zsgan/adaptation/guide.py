"""Preparation of an adaptation: text features, semantic variations, source features, Fisher information."""

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.draws import source_noise, step_latents
from zsgan.adaptation.image_prompts import learn_prompts
from zsgan.adaptation.parts import part_directions
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.terms import needs
from zsgan.base.loop import MINUTE, loop
from zsgan.base.precision import at_least_float32, autocast
from zsgan.base.streams import stream
from zsgan.method.ewc import Add, Params, fisher_information
from zsgan.method.losses import text_set
from zsgan.method.variations import (
    Variations,
    caption_variations,
    closed_form_variations,
    semantic_variations,
)
from zsgan.networks.clip import ClipEncoder, encode_pair
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.crops import random_crops

GAP_SAMPLES = 64
"""Number of source images that estimate the modality gap, for variations from captions."""


def make_guide(
    encoder: ClipEncoder, config: AdaptConfig, progress: bool = False, g_src: Generator | None = None
) -> Guide:
    """Encode the texts and, where a term needs it, run stage 1 (eq. 2).

    Args:
        encoder: E_I and E_T.
        config: texts, templates and stage 1.
        progress: show a progress bar.
        g_src: source generator, needed for variations from captions and for ``ipl``.

    Returns:
        the guide.

    Raises:
        ValueError: the encoder cannot tell the texts apart, or cannot encode them.
    """
    t_src, t_trg = encode_pair(
        encoder, config.source_text, config.target_text, config.prompts, config.features.normalise
    )
    return guide_from(encoder, t_src, t_trg, config, progress, g_src)


def guide_from(
    encoder: ClipEncoder, t_src: Tensor, t_trg: Tensor, config: AdaptConfig, progress: bool = False,
    g_src: Generator | None = None,
) -> Guide:  # fmt: skip
    """The guide of encoded texts, with stage 1 (eq. 2) where a term needs it.

    Args:
        encoder: E_I and E_T.
        t_src: (D,) feature of the source text.
        t_trg: (D,) feature of the target text.
        config: see :func:`make_guide`, as for ``progress`` and ``g_src``.
        progress: show a progress bar.
        g_src: source generator.

    Returns:
        the guide.

    Raises:
        ValueError: a plugged-in guide does not exist, or returns something else.
    """
    variations, directions = None, (t_trg - t_src)[None]
    if needs(config, "stage1"):
        captions = config.stage1.start == "captions"
        variations = (
            _from_captions(encoder, t_src, t_trg, config, g_src)
            if captions
            else _stage_1(t_trg, config, progress)
        )
        directions = text_set(t_src, t_trg, variations.v, config.stage1.renormalise)
    own = None
    if config.ipl is not None:
        own = learn_prompts(encoder, t_src, t_trg, config, _needed(g_src, "ipl"), progress)
    parts = part_directions(encoder, config) if needs(config, "local") else None
    guide = Guide(encoder, t_src, t_trg, variations, directions, own, parts)
    if config.guide is None:
        return guide
    changed = plugged(config.guide).thing(guide, config)
    if not isinstance(changed, Guide):
        raise ValueError(f"guide: {config.guide} must return a Guide, got a {type(changed).__name__}")
    return changed


def _needed(g_src: Generator | None, setting: str) -> Generator:
    if g_src is None:
        raise ValueError(f"g_src is needed for {setting}, which looks at its images; give it")
    return g_src


def _stage_1(t_trg: Tensor, config: AdaptConfig, progress: bool) -> Variations:
    settings = config.stage1
    random = stream(config.seed if settings.seed is None else settings.seed, "variations")
    if settings.start == "closed_form":
        return closed_form_variations(t_trg, settings.n_variations, settings.epsilon, generator=random)
    return semantic_variations(
        t_trg, settings.n_variations, settings.epsilon, settings.lambda_div, settings.iterations, settings.lr,
        generator=random, progress=progress,
    )  # fmt: skip


def _from_captions(
    encoder: ClipEncoder, t_src: Tensor, t_trg: Tensor, config: AdaptConfig, g_src: Generator | None
) -> Variations:
    """Variations from attributes in words, with the prompt and the modality gap projected out."""
    g_src = _needed(g_src, "stage1.start='captions'")
    texts = [attribute.replace("{}", config.target_text) for attribute in config.stage1.attributes]
    captions = encoder.encode_texts(texts, config.prompts, normalise=config.features.normalise)
    z = torch.randn(GAP_SAMPLES, g_src.mapping.z_dim, generator=stream(0, "gap latents"))
    with torch.no_grad():
        images = g_src.synthesis(g_src.mapping(z.to(device_of(g_src))), noise="const")
        gap = encode(encoder, images, config).mean(0) - t_src  # the source domain has both
    return caption_variations(t_trg, captions, config.stage1.epsilon, without=gap[None])


def trained_parameters(generator: Generator, trained: str = "convolutions") -> dict[str, nn.Parameter]:
    """Parameters of ``generator`` that adaptation changes, by name.

    Args:
        generator: the generator.
        trained: "convolutions": the synthesis constant and the convolutions with their affine layers, noise
            strengths and biases; "convolutions_and_torgb": these and every ToRGB;
            "convolutions_without_affine": these without the affine layers; "affine": the convolutions'
            affine layers alone; "styles": an offset of every style, also those of the ToRGBs, the directions
            in StyleSpace of StyleDomain (Alanov et al. 2023). A style is A w + b, so its offset is that of
            the affine layer's bias b. The mapping network stays frozen in all of them.

    Returns:
        the parameters themselves.
    """

    def changes(name: str) -> bool:
        if trained == "styles":
            return name.startswith("synthesis.") and name.endswith(".affine.bias")
        if not name.startswith("synthesis.") or (".torgb." in name and trained != "convolutions_and_torgb"):
            return False
        affine = ".affine." in name
        return affine if trained == "affine" else not affine or trained != "convolutions_without_affine"

    return {name: parameter for name, parameter in generator.named_parameters() if changes(name)}


def source_features(
    g_src: Generator,
    encoders: Sequence[ClipEncoder],
    config: AdaptConfig,
    progress: bool = False,
    folder: Path | None = None,
) -> list[Tensor]:
    """Features of the source images of every step, for each encoder; the rows of a table share them.

    Args:
        g_src: source generator.
        encoders: one for each guide.
        config: seed, batch, iterations, and how images are encoded.
        progress: show a progress bar.
        folder: folder for intermediate results, saved every minute, from which a later call resumes.

    Returns:
        for each encoder (iterations, N, D), on the generator's device.
    """
    device, features = device_of(g_src), [_Features() for _ in encoders]

    def see(step: int) -> dict[str, float]:
        ws = step_latents(g_src, config, step)
        with torch.no_grad():
            noise = source_noise(config, step, device)
            with autocast(config.speed.autocast, device):
                images = g_src.synthesis(ws, noise="random", generator=noise)
                for encoder, seen in zip(encoders, features, strict=True):
                    seen.steps.append(encode(encoder, images, config, step))
        return {}

    loop(
        {str(i): seen for i, seen in enumerate(features)}, see, config.optimiser.iterations, folder,
        save_seconds=MINUTE, description="source images", progress=progress,
    )  # fmt: skip
    return [torch.stack([step.to(device) for step in seen.steps]) for seen in features]


class _Features:
    """Features of the steps so far, (N, D) each, as a state of :func:`zsgan.base.loop.loop`."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def state_dict(self) -> dict[str, Tensor]:
        return {"steps": torch.stack([step.cpu() for step in self.steps])}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.steps = list(state["steps"])


def encode(encoder: ClipEncoder, images: Tensor, config: AdaptConfig, step: int | None = None) -> Tensor:
    """Features of images with the settings of a configuration.

    Args:
        encoder: E_I.
        images: (N, 3, H, H) in [-1, 1].
        config: how images are encoded.
        step: step of the adaptation, which determines the crops if the configuration has any; images of the
            source and of the target get the same ones. ``None``: whole images.

    Returns:
        (N, D).
    """
    features = config.features
    see = partial(encoder.encode_images, normalise=features.normalise, antialias=features.antialias)
    if step is None or not features.crops:
        return see(images)
    views = random_crops(images, features.crops, stream(config.seed, "crops", step))
    mean = see(views.flatten(0, 1)).unflatten(0, views.shape[:2]).mean(0)
    return F.normalize(mean, dim=1) if features.normalise else mean


def source_fisher(
    g_src: Generator,
    guides: Sequence[Guide],
    config: AdaptConfig,
    progress: bool = False,
    folder: Path | None = None,
) -> dict[str, Tensor]:
    """Fisher information of the source generator, eq. (4), averaged over the guides.

    It does not depend on the row, the target text or the seed, so many runs share one result.

    Args:
        g_src: source generator; not changed.
        guides: guides whose features define it.
        config: estimator, granularity and sample.
        progress: show a progress bar.
        folder: folder for intermediate results, saved every minute, from which a later call resumes.

    Returns:
        F by name of the parameter, on the generator's device.
    """
    g_src = deepcopy(g_src).requires_grad_(False)
    params = trained_parameters(g_src, config.trainable)
    # The same sample for every seed of a run: Fisher information belongs to the source, not to the run.
    z = torch.randn(config.ewc.samples, g_src.mapping.z_dim, generator=stream(0, "fisher latents"))
    with torch.no_grad():
        ws = g_src.mapping(z.to(device_of(g_src)))
    total = {name: torch.zeros_like(at_least_float32(p)) for name, p in params.items()}
    for number, guide in enumerate(guides):
        place = None if folder is None else folder / str(number)
        for name, value in _fisher_of(g_src, guide, params, ws, config, progress, place).items():
            total[name] += value * (1 / len(guides))
    return total


def _fisher_of(
    g_src: Generator, guide: Guide, params: Params, ws: Tensor, config: AdaptConfig, progress: bool,
    folder: Path | None,
) -> dict[str, Tensor]:  # fmt: skip
    """Fisher information by the features of one guide; arguments as in :func:`source_fisher`."""
    noise, probes = (stream(0, f"fisher {what}", device=device_of(g_src)) for what in ("noise", "probes"))
    settings = config.ewc

    def features(params: Params, ws: Tensor) -> Tensor:
        own = {name.removeprefix("synthesis."): parameter for name, parameter in params.items()}
        images = functional_call(g_src.synthesis, own, (ws,), {"noise": "random", "generator": noise})
        return encode(guide.encoder, images, config)

    def resumed(total: list[Tensor], add: Add, n: int) -> None:
        sums = {f"sum {i}": value for i, value in enumerate(total)}
        loop(
            sums | {"probes": probes, "noise": noise}, add, n, folder, save_seconds=MINUTE, progress=progress,
            description=f"Fisher information ({settings.estimator})",
            arguments={"estimator": settings.estimator},
        )  # fmt: skip

    return fisher_information(
        features, params, ws, guide.t_src, estimator=settings.estimator, granularity=settings.granularity,
        batch_size=config.optimiser.batch_size, generator=probes, batches=resumed,
    )  # fmt: skip


def device_of(generator: Generator) -> torch.device:
    """The device of a generator."""
    return generator.synthesis.const.device
