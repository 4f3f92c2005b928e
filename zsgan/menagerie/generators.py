"""Generators of the demo world: build one, grow it, specialise it to a species, and finish it."""

import torch
import torch.nn.functional as F

from zsgan.menagerie.factors import index_of
from zsgan.menagerie.species import SPECIES
from zsgan.networks.stylegan2 import Generator

CHANNELS = {4: 128, 8: 128, 16: 96, 32: 48, 64: 24}
Z_DIM, W_DIM, MAPPING_LAYERS = 64, 128, 2


def network(resolution: int, conditional: bool) -> Generator:
    """New generator for one training stage; if conditional, its label is the species."""
    return Generator(
        resolution,
        z_dim=Z_DIM,
        w_dim=W_DIM,
        c_dim=len(SPECIES) if conditional else 0,
        mapping_layers=MAPPING_LAYERS,
        channels={r: width for r, width in CHANNELS.items() if r <= resolution},
    )


@torch.no_grad()
def grow(small: Generator, large: Generator) -> None:
    """Copy the shared weights of a generator to one of higher resolution; new ToRGB layers start at zero.

    The larger generator's images are at first the smaller one's, upsampled.
    """
    shared = small.state_dict()
    for name, tensor in large.state_dict().items():
        if name in shared and shared[name].shape == tensor.shape:
            tensor.copy_(shared[name])
        elif ".torgb." in name and "affine" not in name:
            tensor.zero_()


@torch.no_grad()
def specialise(conditional: Generator, species: str) -> Generator:
    """Unconditional generator that equals ``conditional`` with a fixed label, up to rounding.

    The first mapping layer takes the latent and the label's embedding. For a fixed label the embedding adds a
    constant, which goes into the bias.
    """
    result = network(conditional.config["resolution"], conditional=False)
    mapping = conditional.mapping
    assert mapping.embed is not None
    label = F.one_hot(torch.tensor([index_of("species", species)]), len(SPECIES)).float()
    embedding = mapping.embed(label)[0]
    embedding = embedding * (embedding.square().mean() + 1e-8).rsqrt()
    state = {name: tensor for name, tensor in conditional.state_dict().items() if ".embed." not in name}
    first = "mapping.layers.0.weight"
    # Weights are stored for a gain of 1 / sqrt(fan in), and the fan in shrinks.
    seen, folded = state[first].split([Z_DIM, W_DIM], dim=1)
    state["mapping.layers.0.bias"] = state["mapping.layers.0.bias"] + folded @ embedding / (
        (Z_DIM + W_DIM) ** 0.5
    )
    state[first] = seen * (Z_DIM / (Z_DIM + W_DIM)) ** 0.5
    result.load_state_dict(state)
    return result


@torch.no_grad()
def finish(generator: Generator, n: int = 10_000) -> None:
    """Normalise the weights of a trained generator to the scale of published generators.

    Sets ``w_avg`` to the mean of ``n`` ws, and scales every convolution's weights and styles to unit mean
    square, which demodulation cancels. Large training steps leave large weights, on which an adaptation's
    learning rate has less effect: with styles five times as large, a whole adaptation changed noses and eyes,
    but could not raise an ear. A generator with labels keeps its styles and ``w_avg``, which depend on the
    label.
    """
    for layer in generator.synthesis.convolutions:
        layer.weight.div_(layer.weight.square().mean().sqrt())
    mapping = generator.mapping
    if mapping.embed is None:
        z = torch.randn(n, Z_DIM, generator=torch.Generator().manual_seed(0)).to(mapping.w_avg)
        w = mapping(z)[:, 0]
        mapping.w_avg.copy_(w.mean(0))
        for layer in generator.synthesis.convolutions:
            scale = layer.affine(w).square().mean().sqrt()
            layer.affine.weight.div_(scale)
            layer.affine.bias.div_(scale)
