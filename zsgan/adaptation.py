"""Stage 2: one loop for every row of Table 1. Which losses take part is data, not code."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zsgan.clip import ClipEncoder
from zsgan.ewc import ewc_penalty, fisher_information
from zsgan.losses import (
    directional_loss,
    image_directions,
    moment_terms,
    relation_loss,
    text_set,
)
from zsgan.profiles import AdaptConfig
from zsgan.stylegan2 import Generator
from zsgan.variations import Variations, closed_form_variations, semantic_variations

NUMERICS = 2
"""Version of what a configuration computes; raised whenever the same configuration gives other numbers."""

# Offsets of the seeds of independent random streams.
_VARIATIONS, _FISHER, _LATENTS = 1_000_003, 2_000_003, 3_000_017


@dataclass(frozen=True, eq=False)
class Guide:
    """One CLIP and what it makes of the two texts.

    Attributes:
        encoder: E_I and E_T.
        t_src: (D,) E_T(t_src), unit norm.
        t_trg: (D,) E_T(t_trg), unit norm.
        variations: stage 1; ``None`` where the direction loss is eq. (1), which uses none.
        text_set: (K + 1, D) T of eq. (3), or (1, D) dT alone.
    """

    encoder: ClipEncoder
    t_src: Tensor
    t_trg: Tensor
    variations: Variations | None
    text_set: Tensor


def make_guide(encoder: ClipEncoder, config: AdaptConfig, progress: bool = False) -> Guide:
    """Encode the texts and, for the moment loss, run stage 1 (eq. 2).

    Raises:
        ValueError: the texts are the same to the encoder, or cannot be encoded.
    """
    t_src, t_trg = encoder.encode_texts([config.source_text, config.target_text], config.prompts)
    if torch.equal(t_src, t_trg):
        raise ValueError(
            f"source_text={config.source_text!r} and target_text={config.target_text!r} are the same to "
            f"{encoder.name}: there is no direction to follow"
        )
    if config.direction == "directional":
        return Guide(encoder, t_src, t_trg, None, (t_trg - t_src)[None])
    random = torch.Generator().manual_seed(config.seed + _VARIATIONS)
    if config.variation_start == "closed_form":
        variations = closed_form_variations(t_trg, config.n_variations, config.epsilon, generator=random)
    else:
        variations = semantic_variations(
            t_trg, config.n_variations, config.epsilon, config.lambda_div, config.variation_iterations,
            config.variation_lr, generator=random, progress=progress,
        )  # fmt: skip
    directions = text_set(t_src, t_trg, variations.v, config.renormalise_variations)
    return Guide(encoder, t_src, t_trg, variations, directions)


def trained_parameters(generator: Generator, trained: str = "convolutions") -> dict[str, nn.Parameter]:
    """Parameters of ``generator`` that adaptation changes, by name.

    The synthesis constant and the convolutions with their affine layers, noise strengths and biases; the
    mapping network and (unless ``trained`` is "convolutions_and_torgb") every ToRGB stay frozen.
    """
    return {
        name: parameter
        for name, parameter in generator.named_parameters()
        if name.startswith("synthesis.") and (".torgb." not in name or trained == "convolutions_and_torgb")
    }


def source_fisher(
    g_src: Generator, guides: Sequence[Guide], config: AdaptConfig, progress: bool = False
) -> dict[str, Tensor]:
    """Fisher information of the source generator, eq. (4), averaged over the guides.

    Independent of the row, the target text and the seed: one result serves many runs.
    """
    generator = deepcopy(g_src).requires_grad_(False)
    params = trained_parameters(generator, config.trained)
    for parameter in params.values():
        parameter.requires_grad_(True)
    # The same sample for every seed of a run: Fisher information belongs to the source, not to the run.
    random = torch.Generator().manual_seed(_FISHER)
    device = next(generator.parameters()).device
    z = torch.randn(config.fisher_samples, generator.mapping.z_dim, generator=random).to(device)
    with torch.no_grad():
        ws = generator.mapping(z)
    total = {name: torch.zeros_like(p) for name, p in params.items()}
    for guide in guides:

        def features(batch: Tensor, encoder: ClipEncoder = guide.encoder) -> Tensor:
            return encoder.encode_images(generator.synthesis(batch, noise="random", generator=random))

        fisher = fisher_information(
            features, params, ws, guide.t_src,
            estimator=config.fisher_estimator, granularity=config.fisher_granularity,  # type: ignore[arg-type]
            batch_size=config.batch_size, generator=random, progress=progress,
        )  # fmt: skip
        for name, value in fisher.items():
            total[name] += value / len(guides)
    return total


class Adaptation:
    """Stage 2, eq. (6): a copy of the source generator follows the guides, one step at a time.

    Args:
        config: what to do.
        g_src: source generator; not changed.
        guides: at least one.
        fisher: of :func:`source_fisher`; needed when ``config.lambda_ewc`` is positive.

    Attributes:
        g_trg: the generator being adapted.
        state: everything that a step changes, for :func:`zsgan.loop.loop`.
    """

    def __init__(
        self,
        config: AdaptConfig,
        g_src: Generator,
        guides: Sequence[Guide],
        fisher: Mapping[str, Tensor] | None = None,
    ):
        if config.lambda_ewc > 0 and fisher is None:
            raise ValueError(
                f"fisher is needed for lambda_ewc={config.lambda_ewc}; compute it with source_fisher()"
            )
        self.config, self.guides, self.fisher = config, guides, fisher
        self.g_src = g_src.eval().requires_grad_(False)
        self.g_trg = deepcopy(self.g_src)
        self.params = trained_parameters(self.g_trg, config.trained)
        for parameter in self.params.values():
            parameter.requires_grad_(True)
        self.source_params = {name: p.detach().clone() for name, p in self.params.items()}
        self.optimiser = torch.optim.Adam(
            self.params.values(), lr=config.lr, betas=(config.betas[0], config.betas[1])
        )
        self.random = torch.Generator().manual_seed(config.seed + _LATENTS)
        self.device = next(self.g_src.parameters()).device
        self.state: dict[str, Any] = {"g_trg": self.g_trg, "optimiser": self.optimiser, "random": self.random}

    def step(self, _: int) -> dict[str, float]:
        """One step of Adam on eq. (6).

        Returns:
            "loss" (eq. 6), "gradient_norm", and each term of the loss, unweighted.

        Raises:
            FloatingPointError: the gradient is not finite; the generator is left as it was.
        """
        config = self.config
        z = torch.randn(config.batch_size, self.g_src.mapping.z_dim, generator=self.random).to(self.device)
        with torch.no_grad():
            ws = self.g_src.mapping(z)
            source = self.g_src.synthesis(ws, noise="random", generator=self.random)
        target = self.g_trg.synthesis(ws, noise="random", generator=self.random)
        terms: dict[str, Tensor] = {}
        loss = target.new_zeros(())
        for guide in self.guides:
            with torch.no_grad():
                f_src = guide.encoder.encode_images(source)
            part, part_terms = self._guided(guide, guide.encoder.encode_images(target), f_src)
            loss = loss + part / len(self.guides)
            for name, value in part_terms.items():
                terms[name] = terms.get(name, 0) + value.detach() / len(self.guides)
        if config.lambda_ewc > 0:
            assert self.fisher is not None
            penalty = ewc_penalty(self.params, self.source_params, self.fisher)
            loss = loss + config.lambda_ewc * penalty
            terms["ewc"] = penalty.detach()
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.stack([p.grad.norm() for p in self.params.values() if p.grad is not None]).norm()
        if not norm.isfinite():
            raise FloatingPointError(
                f"the gradient is not finite (loss {loss.item():.3g}); "
                f"lower lr={config.lr} or the weights lambda_*"
            )
        self.optimiser.step()
        return {"loss": loss.item(), "gradient_norm": norm.item()} | {k: float(v) for k, v in terms.items()}

    def _guided(self, guide: Guide, f_trg: Tensor, f_src: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss by one guide without EWC, and its terms."""
        config = self.config
        delta_image = image_directions(f_trg, f_src)
        if config.direction == "directional":
            loss = directional_loss(delta_image, guide.text_set[0], config.direction_floor)
            terms = {"directional": loss}
        else:
            first, second = moment_terms(
                delta_image,
                guide.text_set,
                config.covariance,
                config.normalise_directions,
                config.direction_floor,
            )
            loss = first + config.lambda_cov * second
            terms = {"first_moment": first, "covariance": second}
        if config.lambda_rel > 0:
            relation = relation_loss(
                f_trg,
                f_src,
                config.relation_temperature,
                config.relation_diagonal,
                config.relation_reduction,  # type: ignore[arg-type]
            )
            loss = loss + config.lambda_rel * relation
            terms["relation"] = relation
        return loss, terms
