"""DiFa (Zhang et al. 2022): what an encoder reads in the images stays, but where the domain has to move."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zsgan.adaptation.batches import Batch, Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import device_of
from zsgan.adaptation.rival_settings import Difa
from zsgan.assets import names
from zsgan.menagerie.encoder import load_encoder
from zsgan.networks.encoders import check_mean, load_encoder_file
from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.selective_consistency import kept_coordinates, ramp, selective_loss

FAR = 0.1
"""Relative distance of two mean w that are not those of one generator of the demo, which are all alike."""


class SelectiveAdaptation(Adaptation):
    """An adaptation whose loss gets selective cross-domain consistency, with a weight that rises.

    DiFa is made for one image; with a text in its place, its code has the directional loss and this one, and
    leaves out the attentive style loss, which needs the image. Its text direction starts by default at the
    mean feature of the source's images, ours at the source's text.

    Args:
        config: configuration of the run, with ``difa``.
        g_src: see :class:`zsgan.adaptation.by_text.Adaptation`, as for the others.
        guides: at least one guide.
        fisher: Fisher information, if a term needs it.
        f_src: features of the source images.

    Attributes:
        encoder: images (N, 3, R, R) -> W (N, D_w), or W+ (N, L, D_w).
        means: (2, window, D) mean codes of the last steps' images, the source's and the target's.

    Raises:
        ValueError: the encoder belongs to another generator.
    """

    def __init__(
        self,
        config: AdaptConfig,
        g_src: Generator,
        guides: Sequence[Guide],
        fisher: Mapping[str, Tensor] | None = None,
        f_src: Sequence[Tensor] | None = None,
    ) -> None:
        super().__init__(config, g_src, guides, fisher, f_src)
        assert config.difa is not None
        self.settings: Difa = config.difa
        self.encoder = encoder_of(config, self.g_src)
        w_avg = self.g_src.mapping.w_avg
        with torch.no_grad():
            blank = torch.zeros(1, 3, *[self.g_src.config["resolution"]] * 2).to(w_avg)
            width = self._codes(blank).shape[1]
        self.means = w_avg.new_zeros(2, self.settings.window, width)

    @property
    def state(self) -> Mapping[str, Any]:
        """As of every adaptation, and the mean codes."""
        return {**super().state, "means": self.means}

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. (6) with selective consistency.

        Args:
            batch: batch of a step.

        Returns:
            see :meth:`Adaptation.loss`; with "selective", without its weights.
        """
        loss, values = super().loss(batch)
        step = batch.seen[0].step
        assert step is not None
        with torch.no_grad():
            of_source = self._codes(step.source_images)
        of_target = self._codes(step.images)
        self.means[:, step.i % self.settings.window] = torch.stack([of_source, of_target.detach()]).mean(1)
        filled = self.means[:, : step.i + 1].mean(1)
        kept = kept_coordinates(filled[1] - filled[0], self.settings.kept)
        value = selective_loss(of_target, of_source, kept)
        weight = ramp(step.i, self.config.optimiser.iterations, self.settings.window)
        return loss + self.settings.weight * weight * value, {**values, "selective": value.detach()}

    def _codes(self, images: Tensor) -> Tensor:
        """(N, D) coordinates of the latents, those of the coarsest rows of W+."""
        found: Tensor = self.encoder(images)
        return found if found.ndim == 2 else found[:, : self.settings.rows].flatten(1)


def encoder_of(config: AdaptConfig, g_src: Generator) -> Callable[[Tensor], Tensor]:
    """The encoder of a configuration's ``difa``, frozen, on the generator's device.

    Args:
        config: the configuration, with ``difa``.
        g_src: its source generator.

    Returns:
        images (N, 3, R, R) in [-1, 1] -> W (N, D_w), or W+ (N, L, D_w).

    Raises:
        ValueError: no encoder is known for the generator, or the named one is for another, or none.
        FileNotFoundError: its file is missing or altered.
    """
    assert config.difa is not None
    found = names.encoder(config.difa.encoder, names.generator(config.generator))
    assert found.path is not None  # encoders are files
    encoder: nn.Module
    try:
        if found.path.suffix == ".safetensors":
            encoder = load_encoder(found.name, file=found.path)
            check_mean(encoder.trunk.mean, g_src, found.name, FAR)
        else:
            encoder = load_encoder_file(found.path, g_src)
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"difa.encoder={found.name!r} is no encoder of generator {config.generator!r}: {error}; name the "
            "one that was trained for it"
        ) from error
    return encoder.to(device_of(g_src))
