"""Stage 1 of IPL: prompts for the source's images are learnt, see :mod:`zsgan.rivals.image_prompts`."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig
from zsgan.base.loop import loop
from zsgan.base.streams import seeded, stream
from zsgan.networks.clip import ClipEncoder
from zsgan.networks.prompts import encode_vectors, word_vectors
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.image_prompts import PromptMapper, contrastive_loss, domain_loss


def learn_prompts(
    encoder: ClipEncoder, t_src: Tensor, t_trg: Tensor, config: AdaptConfig, g_src: Generator,
    progress: bool = False,
) -> Callable[[Tensor], Tensor]:  # fmt: skip
    """Learn the prompts of one CLIP.

    The feature of a prompt is, as in IPL's code, its own plus that of the text, here both of unit norm, and
    with the class in the latter.

    Args:
        encoder: E_I and E_T, of a model of open_clip.
        t_src: (D,) feature of the source text.
        t_trg: (D,) feature of the target text.
        config: the texts, the seed, and the settings ``ipl``.
        g_src: source generator; not changed.
        progress: show a progress bar.

    Returns:
        latents (N, L, D_w) -> text directions (N, D), without gradients.
    """
    settings = config.ipl
    assert settings is not None
    names = [word_vectors(encoder, text) for text in (config.source_text, config.target_text)]
    width = names[0].shape[1]
    with seeded(stream(config.seed, "prompt mapper").initial_seed()):
        mapper = PromptMapper(g_src.synthesis.w_dim, settings.words, width, settings.activated)
    mapper.to(t_src.device)
    optimiser = torch.optim.Adam(mapper.parameters(), lr=settings.lr)
    scale = encoder.model.logit_scale.exp().item()

    def features(w: Tensor) -> list[Tensor]:
        """Of the source's and the target's prompts, (N, D) each."""
        context = mapper(w)
        found = []
        for name, text in zip(names, (t_src, t_trg), strict=True):
            vectors = torch.cat([context, name.expand(len(w), -1, -1)], dim=1)
            found.append(F.normalize(encode_vectors(encoder, vectors) + text, dim=1))
        return found

    def step(i: int) -> dict[str, float]:
        z = torch.randn(settings.batch_size, g_src.mapping.z_dim, generator=stream(config.seed, "prompts", i))
        with torch.no_grad():
            ws = g_src.mapping(z.to(t_src.device))
            noise = stream(config.seed, "prompt noise", i, t_src.device)
            images = encoder.encode_images(g_src.synthesis(ws, noise="random", generator=noise))
        of_source, of_target = features(ws[:, 0])
        loss = contrastive_loss(images, of_source, scale) + settings.weight * domain_loss(of_target, t_trg)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"loss": loss.item()}

    loop(
        {"mapper": mapper, "optimiser": optimiser}, step, settings.iterations, None, progress=progress,
        description="image-specific prompts",
    )  # fmt: skip

    def directions(ws: Tensor) -> Tensor:
        with torch.no_grad():
            of_source, of_target = features(ws[:, 0])
        return of_target - of_source

    return directions
