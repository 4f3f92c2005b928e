"""SCR's spectral term against closed forms, a Jacobian written out, and finite differences."""

import pytest
import torch
from torch import nn

from zsgan.rivals.consistency import balance, probe_directions, spectral_loss, squared_stretch


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def signs(*shape, seed=0):
    return randn(*shape, seed=seed).sign()


class Mapping(nn.Module):
    """From Z (5) to the same style (3) for 4 layers."""

    def forward(self, z):
        w = torch.tanh(z @ randn(5, 3, seed=9))
        return w[:, None].expand(-1, 4, -1)


def curved(ws):
    """(N, 4, 3) to (N, 6)."""
    return torch.sin(ws.flatten(1) @ randn(12, 6, seed=8))


def test_of_a_linear_map_it_is_the_length_of_the_product():
    a, ws, directions = randn(6, 12, seed=1), randn(2, 4, 3), randn(3, 2, 4, 3, seed=2)
    found = squared_stretch(lambda w: w.flatten(1) @ a.T, ws, directions)
    expected = [sum((a @ u.flatten()).square().sum() for u in directions[:, n]) / 3 for n in range(2)]
    torch.testing.assert_close(found, torch.stack(expected))


def test_over_all_signs_it_is_the_trace():
    """Hutchinson: in the mean over all 2^4 probes cross terms vanish; what is left are squared entries."""
    a, ws = randn(6, 4, seed=1), randn(1, 1, 4)
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 4)
    found = squared_stretch(lambda w: w.flatten(1) @ a.T, ws, corners[:, None, None])
    torch.testing.assert_close(found, a.square().sum()[None])


def test_of_a_curved_map_it_is_the_finite_difference():
    ws, directions, h = randn(2, 4, 3), randn(3, 2, 4, 3, seed=2), 1e-5
    moved = [(curved(ws + h * u) - curved(ws - h * u)) / (2 * h) for u in directions]
    expected = torch.stack([difference.square().sum(1) for difference in moved]).mean(0)
    torch.testing.assert_close(squared_stretch(curved, ws, directions), expected, rtol=1e-8, atol=0)


def test_latents_that_share_memory_over_the_layers_are_understood():
    w, directions = randn(2, 1, 3), randn(3, 2, 4, 3, seed=2)
    expected = squared_stretch(curved, w.repeat(1, 4, 1), directions)
    torch.testing.assert_close(squared_stretch(curved, w.expand(-1, 4, -1), directions), expected)


def test_gradients_reach_the_weights_of_the_map():
    ws, directions = randn(2, 4, 3), randn(3, 2, 4, 3, seed=2)

    def total(a):
        return squared_stretch(lambda w: torch.sin(w.flatten(1) @ a), ws, directions).sum()

    assert torch.autograd.gradcheck(total, (randn(12, 2, seed=8).requires_grad_(),))


def test_probes_go_through_the_mapping_network_and_count_all_layers_alike():
    z, u = randn(2, 5), signs(3, 2, 5, seed=3)
    found = probe_directions(Mapping(), z, u)
    assert found.shape == (3, 2, 4, 3) and not found.requires_grad
    for p in range(3):
        for n in range(2):
            jacobian = torch.autograd.functional.jacobian(lambda x: Mapping()(x[None])[0, 0], z[n])
            for layer in range(4):
                torch.testing.assert_close(found[p, n, layer], jacobian @ u[p, n] / 4)


def test_moving_all_layers_alike_is_moving_the_latent():
    """The chain rule: with a map that sees the mean of its layers, L times the probe is a step in Z."""
    z, u, a = randn(2, 5), signs(3, 2, 5, seed=3), randn(3, 6, seed=4)
    found = squared_stretch(lambda w: w.sum(1) @ a, Mapping()(z), probe_directions(Mapping(), z, u))
    h = 1e-5
    moved = [(Mapping()(z + h * v)[:, 0] - Mapping()(z - h * v)[:, 0]) / (2 * h) @ a for v in u]
    expected = torch.stack([m.square().sum(1) for m in moved]).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


def test_the_loss_is_quadratic_then_linear():
    source = torch.tensor([1.0, 1.0], dtype=torch.float64)
    target = torch.tensor([1.3, 6.0], dtype=torch.float64)
    expected = (0.3**2 / 2 + 2 * (5 - 1)) / 2
    assert spectral_loss(target, source, delta=2).item() == pytest.approx(expected)
    assert spectral_loss(source, source) == 0


def test_a_collapsed_generator_is_pulled_back():
    """With a map scaled to nothing the gradient asks for more."""
    ws, directions = randn(2, 4, 3), randn(3, 2, 4, 3, seed=2)
    scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    target = squared_stretch(lambda w: scale * curved(w), ws, directions)
    spectral_loss(target, squared_stretch(curved, ws, directions)).backward()
    assert scale.grad < 0


def test_a_balanced_term_pulls_no_harder_than_the_text():
    lever = torch.tensor([3.0, 4.0], dtype=torch.float64, requires_grad=True)
    text, slope = 2 * lever.sum(), lever.square().sum() / 2  # gradients (2, 2) and (3, 4)
    assert balance(text, slope, lever).item() == pytest.approx(8**0.5 / (5 + 1e-4))
    assert balance(text, 1e-9 * slope, lever).item() == 1e4
    assert balance(text, 0 * slope, lever).item() == 1e4
    assert not balance(text, slope, lever).requires_grad
    for size in (1e-6, 1.0, 1e6):
        assert balance(text, size * slope, lever) * size * 5 < 8**0.5


X = torch.ones(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectral_loss(X, X[:2]), r"stretch_trg and stretch_src .* got \(3,\) and \(2,\)"),
        (lambda: spectral_loss(X[None], X[None]), r"must both be \(N,\)"),
        (lambda: spectral_loss(X, X, 0.0), "delta must be > 0, got 0.0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
