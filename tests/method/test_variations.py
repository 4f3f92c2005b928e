"""Stage 1, eq. (2): the optimiser against the closed form, and the closed form against mathematics."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsgan.method.losses import text_set
from zsgan.method.variations import (
    caption_variations,
    closed_form_values,
    closed_form_variations,
    semantic_variations,
    variation_losses,
)

D, K = 64, 6


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def text_feature(dimension=D, length=1.0, seed=0, dtype=torch.float32):
    return length * F.normalize(torch.randn(dimension, generator=seeded(seed), dtype=dtype), dim=0)


@pytest.fixture(scope="module")
def learned():
    """Stage 1 with the paper's settings, from two seeds."""
    return [semantic_variations(text_feature(), generator=seeded(seed)) for seed in (1, 2)]


def test_the_papers_values():
    values = closed_form_values(6)
    assert values.cos_z == pytest.approx(0.408, abs=5e-4)
    assert values.cos_v == pytest.approx(math.sqrt((1 + 1 / math.sqrt(6)) / 2))
    assert values.cos_v == pytest.approx(0.839, abs=5e-4)
    assert values.loss == pytest.approx(0.161, abs=5e-4)
    closed_form_values(6, epsilon_ratio=40)  # the bound on lambda_div holds up to here


def test_losses_by_hand():
    # t along the first axis; z_1 parallel to it, z_2 at 60 degrees in the plane, z_3 opposite to z_1.
    t = torch.tensor([2.0, 0.0])
    z = torch.tensor([[5.0, 0.0], [0.5, math.sqrt(3) / 2], [-0.1, 0.0]])
    l_cons, l_div = variation_losses(t, z, epsilon=1.0)
    # v = (3, 0), (2.5, sqrt(3) / 2), (1, 0)
    assert l_cons.item() == pytest.approx((1 - 2.5 / math.sqrt(7)) / 3)
    assert l_div.item() == pytest.approx((0.5 + 1 + 0.5) / 3)


def test_gradients_of_the_losses():
    t = text_feature(8, dtype=torch.float64)
    z = torch.randn(4, 8, generator=seeded(3), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: variation_losses(t, z, 0.7), (z,))


def test_losses_do_not_depend_on_the_length_of_z_or_on_a_rotation():
    t = text_feature(dtype=torch.float64)
    z = torch.randn(K, D, generator=seeded(3), dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(D, D, generator=seeded(4), dtype=torch.float64)).Q
    expected = torch.stack(variation_losses(t, z, 0.5))
    torch.testing.assert_close(torch.stack(variation_losses(t, 3 * z, 0.5)), expected)
    torch.testing.assert_close(torch.stack(variation_losses(rotation @ t, z @ rotation.T, 0.5)), expected)


def test_learned_variations_reach_the_closed_form(learned):
    optimum = closed_form_values(K)
    for variations in learned:
        # Adam with a fixed step trembles around the kinks of |cos|, hence the tolerances.
        loss = (variations.l_cons[-1] + variations.l_div[-1]).item()
        assert optimum.loss - 1e-6 < loss < optimum.loss + 3e-3
        cos_z = variations.z @ text_feature()
        cos_v = F.normalize(variations.v, dim=1) @ text_feature()
        assert cos_z.mean().item() == pytest.approx(optimum.cos_z, abs=0.01)
        assert (cos_z - optimum.cos_z).abs().max().item() < 0.06
        assert cos_v.mean().item() == pytest.approx(optimum.cos_v, abs=3e-3)


def test_the_rest_is_the_random_start(learned):
    closed = closed_form_variations(text_feature(), generator=seeded(1))
    # Parts orthogonal to t: the same start gives the same ones, optimised or not; another start does not.
    t = text_feature()
    rests = [F.normalize(v.z - torch.outer(v.z @ t, t), dim=1) for v in (closed, *learned)]
    assert (rests[0] * rests[1]).sum(1).min() > 0.95
    assert (rests[0] @ rests[2].T).abs().max() < 0.6


def test_history_starts_at_the_random_start_and_ends_at_the_result(learned):
    first = learned[0]
    start = torch.randn(K, D, generator=seeded(1))
    assert first.l_cons.shape == first.l_div.shape == (2001,)
    expected_start = variation_losses(text_feature(), start, 1.0)
    expected_end = variation_losses(text_feature(), first.z, first.epsilon)
    torch.testing.assert_close((first.l_cons[0], first.l_div[0]), expected_start)
    torch.testing.assert_close((first.l_cons[-1], first.l_div[-1]), expected_end)


def test_first_step_is_adams():
    # Without momentum, Adam's first step is lr against the gradient's sign, up to its own epsilon of 1e-8.
    t, lr = text_feature(dtype=torch.float64), 0.01
    z = torch.randn(K, D, generator=seeded(5), dtype=torch.float64, requires_grad=True)
    l_cons, l_div = variation_losses(t, z, 0.5)
    (gradient,) = torch.autograd.grad(l_cons + 3 * l_div, z)
    stepped = semantic_variations(t, K, 0.5, 3.0, iterations=1, lr=lr, generator=seeded(5))
    expected = F.normalize(z - lr * gradient / (gradient.abs() + 1e-8), dim=1)
    torch.testing.assert_close(stepped.z, expected.detach())


@pytest.mark.parametrize("length", [1.0, 7.5])
@pytest.mark.parametrize("ratio", [0.25, 1.0, 3.0])
@pytest.mark.parametrize(("n_variations", "dimension"), [(2, 2), (6, 64), (16, 16)])
def test_closed_form_variations_are_the_optimum(n_variations, dimension, ratio, length):
    t = text_feature(dimension, length, dtype=torch.float64)
    found = closed_form_variations(t, n_variations, ratio * length, generator=seeded(1))
    values = closed_form_values(n_variations, ratio, lambda_div=10.0)
    eye = torch.eye(n_variations, dtype=torch.float64)
    torch.testing.assert_close(found.z @ found.z.T, eye, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.z @ t / length, torch.full_like(eye[0], values.cos_z))
    torch.testing.assert_close(F.cosine_similarity(found.v, t[None]), torch.full_like(eye[0], values.cos_v))
    torch.testing.assert_close(found.z.mean(0), t / length / math.sqrt(n_variations))
    assert (found.l_cons + 10 * found.l_div).item() == pytest.approx(values.loss)


def test_closed_form_is_the_optimum_nearest_to_the_start():
    t = text_feature(16, dtype=torch.float64)
    found = closed_form_variations(t, 4, generator=seeded(1)).z
    start = torch.randn(4, 16, generator=seeded(1), dtype=torch.float64)
    for seed in range(20):  # other optima: rotate the solution a little, about t
        generator = torch.randn(16, 16, generator=seeded(seed), dtype=torch.float64)
        projector = torch.eye(16, dtype=torch.float64) - torch.outer(t, t)
        rotation = torch.linalg.matrix_exp(0.1 * projector @ (generator - generator.T) @ projector)
        assert (found @ rotation - start).norm() > (found - start).norm()


@pytest.mark.parametrize("ratio", [0.25, 1.0, 2.0])
def test_no_perturbation_of_the_closed_form_is_better(ratio):
    t = text_feature(8, dtype=torch.float64)
    found = closed_form_variations(t, 4, ratio, generator=seeded(1))
    best = sum(variation_losses(t, found.z, ratio))
    for seed in range(200):
        noise = torch.randn(4, 8, generator=seeded(seed), dtype=torch.float64)
        assert sum(variation_losses(t, found.z + 10 ** (-seed / 40) * noise, ratio)) > best


def test_below_the_bound_on_lambda_div_the_directions_lean_together():
    t = text_feature(8, dtype=torch.float64)
    z = closed_form_variations(t, 4, generator=seeded(1)).z
    change = torch.stack(variation_losses(t, z + 1e-3 * t, 1.0)) - torch.stack(variation_losses(t, z, 1.0))
    assert change @ torch.tensor([1, 0.21], dtype=torch.float64) < 0  # the bound is 0.2165
    assert change @ torch.tensor([1, 0.22], dtype=torch.float64) > 0
    closed_form_values(4, lambda_div=0.22)
    with pytest.raises(ValueError, match=r"lambda_div must be >= 0\.2165 .* got 0\.21"):
        closed_form_values(4, lambda_div=0.21)


@pytest.mark.parametrize("epsilon", [0.25, 1.0])
def test_first_moment_of_the_text_set(epsilon):
    t_trg, t_src = text_feature(dtype=torch.float64), text_feature(seed=9, dtype=torch.float64)
    found = closed_form_variations(t_trg, K, epsilon, generator=seeded(1))
    expected = t_trg - t_src + K / (K + 1) * epsilon / math.sqrt(K) * t_trg
    torch.testing.assert_close(text_set(t_src, t_trg, found.v).mean(0), expected)


@pytest.mark.parametrize("make", [lambda t, g: semantic_variations(t, iterations=5, generator=g), None])
def test_same_seed_same_bits(make):
    make = make or (lambda t, g: closed_form_variations(t, generator=g))
    first, again, other = (make(text_feature(), seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.z, again.z) and torch.equal(first.v, again.v)
    assert not torch.equal(first.z, other.z)
    assert first.z.dtype == first.v.dtype == torch.float32
    assert not first.v.requires_grad


@pytest.mark.parametrize(
    ("t", "options", "message"),
    [
        (torch.zeros(8), {}, "t_trg must be one non-zero"),
        (torch.ones(1, 8), {}, r"t_trg must be .* got shape \(1, 8\)"),
        (torch.ones(8), {"n_variations": 1}, "n_variations must be at least 2 .* got 1"),
        (torch.ones(8), {"n_variations": 9}, "at most D = 8 .* got 9"),
        (torch.ones(8), {"epsilon": 0.0}, r"epsilon must be > 0 .* got 0\.0"),
    ],
)
def test_bad_arguments(t, options, message):
    for make in (semantic_variations, closed_form_variations):
        with pytest.raises(ValueError, match=message):
            make(t, **options, generator=seeded(0))


@pytest.mark.parametrize(("arguments", "message"), [((1,), "n_variations"), ((6, 0.0), "epsilon_ratio")])
def test_bad_arguments_of_the_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        closed_form_values(*arguments)


# Variations from captions


def test_caption_variations_by_hand():
    t = torch.tensor([2.0, 0.0, 0.0, 0.0])
    captions = torch.tensor([[5.0, 3.0, 0.0, 4.0], [1.0, 7.0, -2.0, 0.0]])
    gap = torch.tensor([[1.0, 1.0, 0.0, 0.0]])  # with t, it takes the first two axes out
    found = caption_variations(t, captions, 0.5, without=gap)
    assert torch.allclose(found.z, torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, -1.0, 0.0]]), atol=1e-6)
    assert torch.allclose(found.v, t + 0.5 * found.z)
    assert found.epsilon == 0.5 and len(found.l_cons) == len(found.l_div) == 1
    plain = caption_variations(t, captions)
    assert torch.allclose(plain.z[0], torch.tensor([0.0, 0.6, 0.0, 0.8]), atol=1e-6)
    assert plain.epsilon == 2.0


def test_caption_variations_turn_the_first_moment_to_neither_text_nor_gap():
    t, gap = text_feature(), torch.randn(2, D, generator=seeded(8))
    found = caption_variations(t, torch.randn(5, D, generator=seeded(7)), without=gap)
    assert torch.allclose(found.z @ torch.cat([t[None], gap]).T, torch.zeros(5, 3), atol=1e-5)
    assert torch.allclose(found.z.norm(dim=1), torch.ones(5))


def test_a_caption_that_says_nothing_is_refused():
    t = text_feature()
    captions = torch.stack([t + text_feature(seed=4), 3 * t])
    with pytest.raises(ValueError, match=r"captions \[1\] add nothing to the target text"):
        caption_variations(t, captions)
