"""Adaptive layer selection against gradients, and against the order in which styles are used."""

import pytest
import torch

from zsgan.networks.stylegan2 import Generator
from zsgan.rivals.layer_selection import choose, layer_parameters, layer_scores, layers, selected

MAPS = ("as_published", "corrected")
L = 6  # of 16 px


@pytest.fixture
def start(make_generator):
    """A generator of 16 px, ws (2, L, 16) and a loss of its images."""
    generator = make_generator()
    z = torch.randn(2, 16, generator=seeded(1))
    target = torch.randn(3, 16, 16, generator=seeded(2))
    return generator, generator.mapping(z).detach(), lambda images: (images - target).square().mean()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def short(names):
    return [name.removeprefix("synthesis.blocks.") for name in names]


# Scores


@pytest.mark.parametrize("lr", [0.01, 3.0])
def test_one_iteration_is_the_mean_size_of_the_gradients(start, lr):
    generator, ws, loss = start
    leaf = ws.clone().requires_grad_()
    loss(generator.synthesis(leaf, noise="const")).backward()
    sizes = leaf.grad.abs().mean((0, 2))
    scores = layer_scores(generator, ws, loss, lr=lr, noise="const")
    torch.testing.assert_close(scores, lr * sizes)
    for layer_map in MAPS:
        order = sizes[: len(layers(L, layer_map))].argsort(descending=True).tolist()
        assert selected(scores, 3, layer_map) == tuple(layers(L, layer_map)[row] for row in order[:3])
    assert sizes.max() > 1.5 * sizes.min()


def test_several_iterations_are_gradient_descent(start):
    generator, ws, loss = start
    generator.double()
    ws, steps = ws.double(), 4
    leaf = ws.clone().requires_grad_()
    optimiser = torch.optim.SGD([leaf], lr=0.5)
    random = seeded(3)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(generator.synthesis(leaf, noise="random", generator=random)).backward()
        optimiser.step()
    expected = (leaf.detach() - ws).abs().mean((0, 2))
    scores = layer_scores(generator, ws, loss, steps, lr=0.5, generator=seeded(3))
    torch.testing.assert_close(scores, expected)
    once = layer_scores(generator, ws, loss, lr=0.5, generator=seeded(3))
    assert (scores / once - steps).abs().max() > 0.01  # the gradient changes on the way


def test_steps_below_the_rounding_of_ws_still_count(start):
    generator, ws, loss = start
    scores = layer_scores(generator, ws, loss, lr=1e-12, noise="const")
    torch.testing.assert_close(scores, 1e-12 * layer_scores(generator, ws, loss, lr=1.0, noise="const"))
    assert scores.min() > 0


def test_a_row_that_the_image_does_not_depend_on_scores_zero(start):
    generator, ws, loss = start
    with torch.no_grad():
        generator.synthesis.blocks["16"].torgb.weight.zero_()
    scores = layer_scores(generator, ws, loss, noise="const")
    # Rows 4 and 5 are the styles of 16.conv1 and 16.torgb; row 3 also that of the ToRGB of 8 px.
    assert (scores == 0).tolist() == [False] * 4 + [True] * 2


def test_the_generator_is_left_as_it_was(start):
    generator, ws, loss = start
    generator.mapping.requires_grad_(False)
    wanted = {name: p.requires_grad for name, p in generator.named_parameters()}
    values = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    with torch.no_grad():
        choose(generator, ws, loss, k=2, iterations=3, generator=seeded())
    assert {name: p.requires_grad for name, p in generator.named_parameters()} == wanted
    assert all(p.grad is None for p in generator.parameters())
    assert all(torch.equal(tensor, values[name]) for name, tensor in generator.state_dict().items())
    assert not ws.requires_grad


# Which layers


def test_the_table_of_both_maps():
    corrected = ["4.conv1", "8.conv0", "8.conv1", "16.conv0", "16.conv1"]
    assert short(layers(L, "corrected")) == corrected
    assert short(layers(L, "as_published")) == [corrected[0], "4.torgb", *corrected[1:]]
    published = short(layers(18, "as_published"))
    assert len(published) == 18 and published[-2:] == ["1024.conv0", "1024.conv1"]


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_corrected_is_the_convolution_whose_style_moved(architecture):
    """Which affine layers see a row, by differentiating their outputs."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Generator(
            16, z_dim=4, w_dim=4, mapping_layers=1, channels={4: 4, 8: 4, 16: 4}, architecture=architecture
        )
    styles = {}
    for name, module in network.named_modules():
        if name.endswith(".affine"):
            module.register_forward_hook(lambda _, __, out, name=name: styles.update({name: out}))
    ws = torch.randn(1, L, 4, generator=seeded()).requires_grad_()
    network.synthesis(ws)
    rows = {}
    for name, style in styles.items():
        (gradient,) = torch.autograd.grad(style.sum(), ws)
        if ".torgb." not in name:
            rows[gradient.abs().sum((0, 2)).nonzero().item()] = name.removesuffix(".affine")
    assert tuple(rows[row] for row in range(L - 1)) == layers(L, "corrected")


@pytest.mark.parametrize(
    ("layer_map", "expected"),
    [("as_published", ["16.conv1", "4.torgb", "8.conv0"]), ("corrected", ["8.conv0", "8.conv1", "4.conv1"])],
)
def test_the_largest_scores_are_chosen(layer_map, expected):
    scores = torch.tensor([3.0, 5.0, 4.0, 1.0, 2.0, 9.0])  # the last row is that of a ToRGB alone
    assert short(selected(scores, 3, layer_map)) == expected


@pytest.mark.parametrize("layer_map", MAPS)
def test_all(start, layer_map):
    generator, ws, loss = start
    every = layers(L, layer_map)
    assert set(selected(torch.rand(L, generator=seeded()), len(every), layer_map)) == set(every)
    names = choose(generator, ws, loss, k=len(every), layer_map=layer_map, generator=seeded())
    trained = {name for name, _ in generator.named_parameters() if ".conv" in name}
    if layer_map == "as_published":
        first = "synthesis.blocks.4.torgb"
        trained |= {f"{first}.{name}" for name in ("weight", "bias", "affine.weight", "affine.bias")}
    assert names == trained


def test_parameters_of_a_layer(start):
    generator, *_ = start
    layer = "synthesis.blocks.8.conv0"
    names = ("weight", "bias", "noise_strength", "affine.weight", "affine.bias")
    assert layer_parameters(generator, [layer]) == {layer: {f"{layer}.{name}" for name in names}}


@pytest.mark.parametrize("layer_map", MAPS)
def test_chosen_parameters_are_those_of_the_chosen_layers(start, layer_map):
    generator, ws, loss = start
    scores = layer_scores(generator, ws, loss, 2, generator=seeded(5))
    names = choose(generator, ws, loss, 2, 2, layer_map, generator=seeded(5))
    parameters = layer_parameters(generator, selected(scores, 2, layer_map)).values()
    assert len(parameters) == 2 and names == frozenset().union(*parameters)


# Errors


@pytest.mark.parametrize("layer_map", MAPS)
def test_k_out_of_range(layer_map):
    most = {"as_published": L, "corrected": L - 1}[layer_map]
    for k in (0, -1, most + 1):
        with pytest.raises(ValueError, match=rf"k must be from 1 to {most}, .*'{layer_map}', got {k}"):
            selected(torch.ones(L), k, layer_map)


def test_bad_options(start):
    generator, ws, loss = start
    with pytest.raises(ValueError, match="iterations must be at least 1, got 0"):
        layer_scores(generator, ws, loss, iterations=0)
    with pytest.raises(ValueError, match="layer_map must be one of .* got 'published'"):
        choose(generator, ws, loss, 2, layer_map="published")
    with pytest.raises(ValueError, match="ws must have shape"):
        layer_scores(generator, ws[:, 0], loss)


def test_as_published_needs_the_first_torgb():
    network = Generator(8, z_dim=4, w_dim=4, mapping_layers=1, channels={4: 4, 8: 4}, architecture="orig")
    ws = torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match=r"'synthesis.blocks.4.torgb'.*use layer_map='corrected'"):
        choose(network, ws, torch.mean, 1)
    assert len(choose(network, ws, torch.mean, 1, layer_map="corrected")) == 5
