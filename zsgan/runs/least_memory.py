"""Lower bounds of memory and disk of an adaptation, from the shapes of its networks alone."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.guide import encode, trained_parameters
from zsgan.adaptation.rival_settings import FewShot
from zsgan.adaptation.terms import needs
from zsgan.assets import names
from zsgan.networks.load import load_clip, load_discriminator, load_generator
from zsgan.rivals.layer_selection import layer_parameters, layers
from zsgan.runs.snapshots import steps_saved


class Shapes:
    """The networks of an adaptation as tensors with shapes but no values.

    Several configurations of the same networks can share one.

    Args:
        config: the adaptation.

    Attributes:
        generator: the source generator.
        encoders: the guiding CLIPs; none if images guide.
        discriminator: that of the source, if images guide.
        nbytes: bytes of the generator, and of the other networks.

    Raises:
        ValueError: a name is unknown.
    """

    def __init__(self, config: AdaptConfig) -> None:
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._known: dict[object, int] = {}
        self.generator = load_generator(config.generator).requires_grad_(False)
        self.encoders = [] if config.few_shot else [load_clip(name) for name in config.clips]
        self.discriminator = None
        if config.few_shot is not None:
            source = names.generator(config.generator)
            self.discriminator = load_discriminator(config.few_shot.discriminator, source)
            self.discriminator.requires_grad_(False)
        size = self.generator.config["resolution"]
        for encoder in self.encoders:  # fill caches, such as matrices of the resize, with real values first
            encode(encoder, torch.zeros(1, 3, size, size), config)
        judges = [*self.encoders, *([self.discriminator] if self.discriminator else [])]
        self.nbytes = _bytes(self.generator), _bytes(*judges)
        for network in (self.generator, *judges):
            network._apply(self._mode.from_tensor)
        self._networks = (self.generator, *judges)

    def kept(self, forward: Callable[[], object], chosen: Iterable[nn.Parameter], key: object) -> int:
        """Bytes that a forward pass keeps for the gradients of some parameters.

        Args:
            forward: the pass.
            chosen: parameters of the generator.
            key: what the pass depends on; a second call with the same key returns the first one's result.

        Returns:
            the bytes, without those of the networks' own tensors.
        """
        if key in self._known:
            return self._known[key]
        found: dict[int, torch.UntypedStorage] = {}  # by address, unique while they live

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            found[storage._cdata] = storage
            return tensor

        self.generator.requires_grad_(False)
        for parameter in chosen:
            parameter.requires_grad_(True)
        with self._mode, saved_tensors_hooks(keep, lambda tensor: tensor):
            result = forward()
        for tensor in _tensors(*self._networks):
            found.pop(tensor.untyped_storage()._cdata, None)
        del result
        self._known[key] = sum(storage.nbytes() for storage in found.values())
        return self._known[key]

    def images(self, batch: int, latents: bool = False) -> Tensor:
        """Images (batch, 3, R, R) of latents in W+, without values; ``latents``: with gradients of these."""
        synthesis = self.generator.synthesis
        ws = torch.zeros(batch, synthesis.n_ws, synthesis.w_dim, requires_grad=latents)
        found: Tensor = synthesis(ws, noise="random")
        return found

    def mapped_images(self, batch: int) -> Tensor:
        """Images (batch, 3, R, R) of latents in Z, without values."""
        mapping = self.generator.mapping
        found: Tensor = self.generator.synthesis(mapping(torch.zeros(batch, mapping.z_dim)), noise="random")
        return found


def least_memory(config: AdaptConfig, shapes: Shapes | None = None) -> dict[str, int]:
    """Lower bound of the bytes that a step holds, from shapes alone: works on smaller machines, too.

    Workspaces of convolutions, gradients of activations and the allocator's slack are not counted.

    Args:
        config: the adaptation.
        shapes: its networks, if several configurations share them.

    Returns:
        "networks": source, target and CLIPs, or discriminator; "adaptation": for the trained parameters, the
        source's values, gradients, Adam's two averages and Fisher information (if a term needs it);
        "activations": what the forward pass keeps for the backward pass, of the step or of layer selection,
        whichever is larger.

    Raises:
        ValueError: a name is unknown.
    """
    shapes = shapes or Shapes(config)
    generator, others = shapes.nbytes
    found = {"networks": 2 * generator + others}
    if config.few_shot is not None:
        return found | _of_images(config, config.few_shot, shapes)
    trained = list(trained_parameters(shapes.generator, config.trainable).values())
    batch = config.optimiser.batch_size

    def activations(
        n: int, parameters: Sequence[nn.Parameter], latents: bool = False, step: int | None = 0
    ) -> int:
        def forward() -> list[Tensor]:
            images = shapes.images(n, latents)
            return [encode(encoder, images, config, step) for encoder in shapes.encoders]

        key: Any = (n, len(parameters), latents, step, config.trainable, config.features)
        return shapes.kept(forward, parameters, key)

    if (selection := config.selection) is None:
        passes = [activations(batch, trained)]
    else:  # layers are ranked on their own batch; training the last k needs the least memory
        last = layers(shapes.generator.synthesis.n_ws, selection.layer_map)[-selection.k :]
        few = frozenset().union(*layer_parameters(shapes.generator, last).values())
        chosen = [parameter for name, parameter in shapes.generator.named_parameters() if name in few]
        passes = [
            activations(selection.batch_size, trained, latents=True, step=None),
            activations(batch, chosen),
        ]
    copies = 5 if needs(config, "ewc") else 4
    return found | {
        "adaptation": copies * sum(parameter.nbytes for parameter in trained),
        "activations": max(passes),
    }


def _of_images(config: AdaptConfig, settings: FewShot, shapes: Shapes) -> dict[str, int]:
    """The entries of :func:`least_memory` for a row that images guide, in a step of the generator."""
    judge = shapes.discriminator
    assert judge is not None  # images guide

    def forward() -> tuple[Tensor, Tensor]:
        judged = judge(shapes.mapped_images(config.optimiser.batch_size))
        return judged, shapes.mapped_images(settings.distance_batch)

    trained = list(shapes.generator.parameters())
    key = ("few shot", config.optimiser.batch_size, settings.distance_batch)
    return {
        "adaptation": 3 * sum(parameter.nbytes for parameter in (*trained, *judge.parameters())),
        "activations": shapes.kept(forward, trained, key),
    }


def least_disk(config: AdaptConfig, shapes: Shapes) -> tuple[int, int]:
    """Bytes of a finished run on disk, and those of its state while it is made.

    Args:
        config: the adaptation.
        shapes: its networks.

    Returns:
        the adapted generator with the snapshots; and the generator with Adam's averages (and the moving
        average, or the discriminator, if there is one). History and caches are not counted.
    """
    generator, others = shapes.nbytes
    trained = (
        sum(p.nbytes for p in shapes.generator.parameters())
        if config.few_shot
        else sum(p.nbytes for p in trained_parameters(shapes.generator, config.trainable).values())
    )
    iterations = config.optimiser.iterations
    snapshots = len(steps_saved(iterations)) - 1
    state = generator + 2 * trained + (generator if config.optimiser.ema is not None else 0)
    return generator + snapshots * trained // 2, state + (3 * others if config.few_shot else 0)


def _tensors(*networks: nn.Module) -> list[Tensor]:
    return [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]


def _bytes(*networks: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(*networks))
