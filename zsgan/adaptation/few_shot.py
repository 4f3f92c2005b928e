"""Adaptation of a GAN to a few target images (Ojha et al. 2021), the 10-shot rival of Table 1.

The discriminator would memorise ten images. It therefore judges whole images only near a few anchors in the
latent space (one for each target image) and patches elsewhere, and a further loss keeps the similarities
among the source's images. Every step trains the discriminator, at intervals with R1, and then the generator,
at intervals with path length regularisation. The losses are StyleGAN2's.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import device_of
from zsgan.adaptation.rival_settings import FewShot
from zsgan.base.descent import descend, follow
from zsgan.base.streams import seeded, stream
from zsgan.networks.stylegan2 import Discriminator, Generator
from zsgan.networks.stylegan2.adversarial import PathLength, discriminator_loss, generator_loss, r1_penalty
from zsgan.networks.stylegan2.discriminator import EqualizedConv
from zsgan.rivals.few_shot_losses import distance_consistency_loss

CENTRE_SAMPLES = 4096
"""Number of latents whose mean w is the centre of truncation."""
REMEDY = "lower optimiser.lr or few_shot's weights"
"""What to do about a gradient that is not finite."""


class FewShotAdaptation:
    """Adversarial adaptation to a few images; implements :class:`zsgan.adaptation.by_text.Trainer`.

    As in the published code, the whole generator is trained, including the mapping network. Every step has
    its own random streams (:mod:`zsgan.base.streams`).

    Args:
        config: configuration of the run, with settings in ``config.few_shot``.
        g_src: source generator; not changed.
        discriminator: the source's discriminator; not changed.
        images: (n, 3, R, R) in [-1, 1], the target images.

    Raises:
        ValueError: the configuration, the networks and the images do not fit together.
    """

    def __init__(self, config: AdaptConfig, g_src: Generator, discriminator: Discriminator, images: Tensor):
        self.config, self.settings = config, _checked(config, g_src, discriminator, images)
        self.device = device_of(g_src)
        self.images = images.to(g_src.synthesis.const)
        self.g_src = deepcopy(g_src).eval().requires_grad_(False)
        self.g_trg = deepcopy(self.g_src).requires_grad_()
        self.g_ema = None if config.optimiser.ema is None else deepcopy(self.g_src)
        self.discriminator = deepcopy(discriminator).requires_grad_().to(self.device)
        width = list(discriminator.config["channels"].values())[::-1][self.settings.patch_level]
        with seeded(stream(config.seed, "patch layer").initial_seed()):
            self.patch_layer = EqualizedConv(width, 1, 3).to(g_src.synthesis.const)
        self.path_length = PathLength().to(g_src.synthesis.const)
        n, z_dim = len(images), g_src.mapping.z_dim
        self.anchors = torch.randn(n, z_dim, generator=stream(config.seed, "anchors"))
        self.optimisers = [
            self._adam([self.g_trg], self.settings.lambda_path, self.settings.path_every),
            self._adam(
                [self.discriminator, self.patch_layer], self.settings.lambda_r1, self.settings.r1_every
            ),
        ]

    def _adam(self, modules: Sequence[nn.Module], weight: float, every: int) -> torch.optim.Adam:
        """Adam with StyleGAN2's slower rates, since a regulariser adds an optimiser step every few steps."""
        ratio, settings = every / (every + 1) if weight else 1.0, self.config.optimiser
        parameters = [parameter for module in modules for parameter in module.parameters()]
        betas = (settings.betas[0] ** ratio, settings.betas[1] ** ratio)
        return torch.optim.Adam(parameters, lr=settings.lr * ratio, betas=betas)

    @property
    def state(self) -> Mapping[str, Any]:
        """The networks, their optimisers, and the running mean of path lengths."""
        state: dict[str, Any] = {
            "g_trg": self.g_trg, "discriminator": self.discriminator, "patch_layer": self.patch_layer,
            "path_length": self.path_length,
            "generator's optimiser": self.optimisers[0], "discriminator's optimiser": self.optimisers[1],
        }  # fmt: skip
        return state if self.g_ema is None else state | {"g_ema": self.g_ema}

    @property
    def result(self) -> Generator:
        """The adapted generator: the moving average, if there is one; w_avg follows the mapping network."""
        generator = self.g_trg if self.g_ema is None else self.g_ema
        mapping = generator.mapping
        z = torch.randn(CENTRE_SAMPLES, mapping.z_dim, generator=stream(0, "mean w"))
        with torch.no_grad():
            mapping.w_avg.copy_(mapping(z.to(mapping.w_avg))[:, 0].mean(0))
        return generator

    @property
    def trained(self) -> Sequence[str]:
        """Names of all parameters, and of the mean w."""
        return [*(name for name, _ in self.g_trg.named_parameters()), "mapping.w_avg"]

    def step(self, i: int) -> dict[str, float]:
        """One step of both networks.

        Args:
            i: number of the step, from 0.

        Returns:
            "loss" of the generator, "gradient_norm", its parts "adversarial" and "distance_consistency"
            (unweighted), "discriminator", and "r1" and "path_length" in the steps that compute them.

        Raises:
            FloatingPointError: the generator's gradient is not finite.
        """
        whole, r1, path = does(self.settings, i)
        self.g_trg.requires_grad_(False)
        self._trainable(True)
        row = self._step_discriminator(i, whole, r1)
        self.g_trg.requires_grad_(True)
        self._trainable(False)
        row |= self._step_generator(i, whole)
        if path:
            row["path_length"] = self._step_path_length(i)
        if self.g_ema is not None:
            assert self.config.optimiser.ema is not None
            weight = 1 - self.config.optimiser.ema
            follow(self.g_ema.parameters(), self.g_trg.parameters(), weight)
        return row

    def _trainable(self, flag: bool) -> None:
        for module in (self.discriminator, self.patch_layer):
            module.requires_grad_(flag)

    def _step_discriminator(self, i: int, whole: bool, r1: bool) -> dict[str, float]:
        real = self._real(i)
        fake = self._fake(self._ws(i, "discriminator", whole), i, "discriminator")
        loss = discriminator_loss(self._judged(real, whole), self._judged(fake, whole))
        descend(self.optimisers[1], loss, REMEDY)
        if not r1:
            return {"discriminator": loss.item()}
        real.requires_grad_()
        penalty = r1_penalty(self._judged(real, whole).flatten(1).mean(1), real)
        descend(self.optimisers[1], self.settings.lambda_r1 * self.settings.r1_every * penalty, REMEDY)
        return {"discriminator": loss.item(), "r1": penalty.item()}

    def _step_generator(self, i: int, whole: bool) -> dict[str, float]:
        fake = self._fake(self._ws(i, "generator", whole), i, "generator")
        adversarial = generator_loss(self._judged(fake, whole))
        distance = self._distance_consistency(i)
        loss = adversarial + self.settings.lambda_distance * distance
        norm = descend(self.optimisers[0], loss, REMEDY)
        values = torch.stack([loss, norm, adversarial, distance]).tolist()
        return dict(
            zip(("loss", "gradient_norm", "adversarial", "distance_consistency"), values, strict=True)
        )

    def _distance_consistency(self, i: int) -> Tensor:
        random, n = stream(self.config.seed, "distance latents", i), self.settings.distance_batch
        z = torch.randn(n, self.g_src.mapping.z_dim, generator=random).to(self.device)
        # All convolutions except the first, which is at 4 px.
        layers = torch.randint(1, self.g_src.synthesis.n_ws - 1, (n,), generator=random).tolist()
        seen = []
        for generator, whose in ((self.g_src, "source"), (self.g_trg, "target")):
            whose = "source" if self.config.shared_noise else whose
            noise = stream(self.config.seed, f"distance {whose} noise", i, self.device)
            _, maps = generator.synthesis(
                generator.mapping(z), noise="random", generator=noise, return_maps=True
            )
            seen.append(maps)
        return distance_consistency_loss(seen[1], seen[0], layers)

    def _step_path_length(self, i: int) -> float:
        """Path length step on half a batch, as in the published code."""
        n = max(1, self.config.optimiser.batch_size // 2)
        ws = self._ws(i, "path", False)[:n]
        images = self._fake(ws, i, "path")
        y = torch.randn(images.shape, generator=stream(self.config.seed, "path directions", i)).to(images)
        penalty: Tensor = self.path_length(images, ws, y)
        descend(self.optimisers[0], self.settings.lambda_path * self.settings.path_every * penalty, REMEDY)
        return penalty.item()

    def _real(self, i: int) -> Tensor:
        """A batch of target images, in equal numbers, each mirrored with probability one half."""
        random, n = stream(self.config.seed, "target images", i), self.config.optimiser.batch_size
        rounds = [torch.randperm(len(self.images), generator=random) for _ in range(0, n, len(self.images))]
        real = self.images[torch.cat(rounds)[:n].to(self.device)]
        mirrored = (torch.rand(n, generator=random) < 0.5).to(self.device)
        return torch.where(mirrored[:, None, None, None], real.flip(3), real)

    def _ws(self, i: int, purpose: str, whole: bool) -> Tensor:
        """Styles (N, L, D_w) near the anchors, or anywhere and then often mixed from two latents."""
        random, n = stream(self.config.seed, f"{purpose} latents", i), self.config.optimiser.batch_size
        mapping, z_dim = self.g_trg.mapping, self.g_trg.mapping.z_dim
        if whole:
            index = torch.randint(len(self.anchors), (n,), generator=random)
            shift = torch.randn(n, z_dim, generator=random)
            near = self.anchors[index] + self.settings.anchor_deviation * shift
            return mapping(near.to(self.device))
        first, second = torch.randn(2, n, z_dim, generator=random).to(self.device)
        if torch.rand((), generator=random) >= self.settings.mixing:
            return mapping(first)
        place = int(torch.randint(1, self.g_trg.synthesis.n_ws, (), generator=random))
        return torch.cat([mapping(first)[:, :place], mapping(second)[:, place:]], dim=1)

    def _fake(self, ws: Tensor, i: int, purpose: str) -> Tensor:
        noise = stream(self.config.seed, f"{purpose} noise", i, self.device)
        images: Tensor = self.g_trg.synthesis(ws, noise="random", generator=noise)
        return images

    def _judged(self, images: Tensor, whole: bool) -> Tensor:
        """Logits of whole images (N, 1), or of patches (N, 1, r, r)."""
        if whole:
            return self.discriminator(images)
        _, maps = self.discriminator(images, return_maps=True)
        return self.patch_layer(maps[self.settings.patch_level])


def does(settings: FewShot, i: int) -> tuple[bool, bool, bool]:
    """What step ``i`` does besides the losses of every step.

    Args:
        settings: how often.
        i: number of the step, from 0.

    Returns:
        whether it judges whole images, near the anchors, instead of patches elsewhere; whether it computes
        R1; and whether it regularises the path length.
    """
    return (
        i % settings.anchor_every == 0,
        bool(settings.lambda_r1) and i % settings.r1_every == 0,
        bool(settings.lambda_path) and i % settings.path_every == 0,
    )


def _checked(config: AdaptConfig, g_src: Generator, discriminator: Discriminator, images: Tensor) -> FewShot:
    """The few-shot settings, after checking that all inputs fit."""
    settings, resolution = config.few_shot, g_src.config["resolution"]
    if settings is None:
        raise ValueError("config.few_shot is None: set a target, or adapt by texts with Adaptation")
    judged = discriminator.config["resolution"]
    if judged != resolution or images.shape[1:] != (3, resolution, resolution):
        raise ValueError(
            f"generator, discriminator and images must have one resolution, got {resolution}, {judged} "
            f"and {tuple(images.shape)}"
        )
    levels = len(discriminator.config["channels"])
    if settings.patch_level >= levels:
        raise ValueError(
            f"few_shot.patch_level={settings.patch_level} must be below {levels}, the discriminator's maps"
        )
    batch = config.optimiser.batch_size
    group = discriminator.mbstd_group or batch
    if batch > group and batch % group:
        raise ValueError(
            f"optimiser.batch_size={batch} must be a multiple of the discriminator's group, {group}, or less"
        )
    return settings
