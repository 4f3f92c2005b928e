"""The demo world's generators: a new one, one that grows, one made for a species, and the finished form."""

import torch
import torch.nn.functional as F

from zsgan.menagerie.factors import SPECIES, index_of
from zsgan.networks.stylegan2 import Generator

CHANNELS = {4: 128, 8: 128, 16: 96, 32: 48, 64: 24}
Z_DIM, W_DIM, MAPPING_LAYERS = 64, 128, 2


def network(resolution: int, conditional: bool) -> Generator:
    """A new generator of one stage; its label, if it takes one, is the species."""
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
    """Copy what a generator shares with one of higher resolution; the new ToRGBs start at zero.

    So the larger one's image is, at first, the smaller one's enlarged.
    """
    shared = small.state_dict()
    for name, tensor in large.state_dict().items():
        if name in shared and shared[name].shape == tensor.shape:
            tensor.copy_(shared[name])
        elif ".torgb." in name and "affine" not in name:
            tensor.zero_()


@torch.no_grad()
def specialise(conditional: Generator, species: str) -> Generator:
    """The unconditional generator that draws what ``conditional`` draws for one label.

    The first mapping layer sees the latent beside the label's embedding. That embedding is constant now, so
    its part of the layer is a constant too: it goes into the bias. Exact up to rounding.
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
    """Bring a trained generator to the form in which others come.

    Sets ``w_avg`` to the mean of ``n`` ws, and scales every convolution's weights and styles to unit mean
    square, which its demodulation undoes: large training steps leave large weights, to which the learning
    rate of an adaptation would mean something else. With styles five times as large, a whole adaptation
    changed noses and eyes, but could not raise an ear. A generator with labels keeps its styles and
    ``w_avg``: they depend on the label.
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
