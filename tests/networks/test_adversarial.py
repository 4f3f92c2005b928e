"""Adversarial losses in closed form, against numpy, and by finite differences."""

import math

import numpy as np
import pytest
import torch

from zsgan.networks.stylegan2 import Discriminator
from zsgan.networks.stylegan2.adversarial import PathLength, discriminator_loss, generator_loss, r1_penalty


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_undecided_discriminator_costs_log_4_and_the_generator_log_2():
    zero = torch.zeros(3, 1)
    assert discriminator_loss(zero, zero).item() == pytest.approx(math.log(4))
    assert generator_loss(zero).item() == pytest.approx(math.log(2))


def test_the_losses_are_those_of_binary_classification():
    real, fake = torch.randn(2, 5, 1, generator=rng(), dtype=torch.double) * 3
    p_real, p_fake = (1 / (1 + np.exp(-x.numpy())) for x in (real, fake))
    expected = -np.log(p_real).mean() - np.log(1 - p_fake).mean()
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-12)
    assert generator_loss(fake).item() == pytest.approx(-np.log(p_fake).mean(), rel=1e-12)


def test_gradients_push_logits_apart_and_do_not_saturate():
    real, fake = (torch.full((2, 1), v, requires_grad=True) for v in (-20.0, -20.0))
    discriminator_loss(real, fake).backward()
    assert torch.allclose(real.grad, torch.full((2, 1), -0.5)) and fake.grad.abs().max() < 1e-8
    fake.grad = None
    generator_loss(fake).backward()
    assert torch.allclose(fake.grad, torch.full((2, 1), -0.5))  # where log(1 - D) would have none


def test_r1_of_a_linear_judge_is_half_its_squared_weight():
    weight = torch.randn(3, 4, 4, generator=rng(), requires_grad=True)
    images = torch.randn(5, 3, 4, 4, generator=rng(1), requires_grad=True)
    penalty = r1_penalty((images * weight).sum((1, 2, 3)), images)
    assert penalty.item() == pytest.approx(weight.square().sum().item() / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, weight, atol=1e-5)


def test_r1_of_the_network_agrees_with_finite_differences():
    """|grad|^2 of one image from directional differences along an orthonormal basis."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Discriminator(8, {4: 3, 8: 2}).double()
    image = torch.randn(1, 3, 8, 8, generator=rng(), dtype=torch.double)
    step = 1e-6
    basis = torch.eye(192, dtype=torch.double).view(192, 3, 8, 8)
    with torch.no_grad():
        slopes = torch.cat([network(image + step * b) - network(image - step * b) for b in basis]) / (
            2 * step
        )
    leaf = image.clone().requires_grad_()
    assert r1_penalty(network(leaf), leaf).item() == pytest.approx(slopes.square().sum().item() / 2, rel=1e-6)


@pytest.fixture
def linear():
    """images = J w with w repeated over two styles, so that |J^T y| is known."""
    jacobian = torch.randn(48, 5, generator=rng(2), dtype=torch.double, requires_grad=True)
    ws = torch.randn(3, 2, 5, generator=rng(3), dtype=torch.double, requires_grad=True)
    images = (ws.sum(1) @ jacobian.T).view(3, 3, 4, 4)
    noise = torch.randn(3, 3, 4, 4, generator=rng(4), dtype=torch.double)
    return jacobian, ws, images, noise


def test_path_lengths_are_those_of_a_known_jacobian(linear):
    jacobian, ws, images, noise = linear
    path = PathLength(decay=0.25).double()
    path.mean.fill_(0.5)
    penalty = path(images, ws, noise)
    lengths = ((noise.view(3, 48) / 4) @ jacobian).norm(dim=1)  # the same for each of the two styles
    mean = 0.75 * 0.5 + 0.25 * lengths.mean()
    assert path.mean.item() == pytest.approx(mean.item())
    assert penalty.item() == pytest.approx((lengths - mean).square().mean().item())
    expected = torch.autograd.grad((lengths - mean).square().mean(), jacobian)[0]
    assert torch.allclose(torch.autograd.grad(penalty, jacobian)[0], expected)


def test_the_running_mean_is_kept_and_carries_no_graph(linear):
    _, ws, images, noise = linear
    path = PathLength().double()
    path(images, ws, noise)
    other = PathLength().double()
    other.load_state_dict(path.state_dict())
    assert other.mean == path.mean > 0 and not path.mean.requires_grad
