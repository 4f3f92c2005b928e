"""Losses of features against closed forms, finite differences and invariances."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from zsgan.method.losses import (
    CovarianceReading,
    covariance_distance,
    covariance_matrix,
    directional_loss,
    directional_moment_loss,
    first_moment_loss,
    image_directions,
    in_domain_angle_loss,
    moment_gradient_ratio,
    relation_loss,
    text_set,
)

SCALES = ("sum", "n")
DISTANCES = ("frobenius", "squared_frobenius", "row")
READINGS = [CovarianceReading(*x) for x in itertools.product((False, True), SCALES, DISTANCES)]


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape, seed=0):
    return F.normalize(randn(*shape, seed=seed), dim=-1)


def rotation(dimension, seed=7):
    return torch.linalg.qr(randn(dimension, dimension, seed=seed)).Q


def weighted(terms, lambda_cov):
    return terms[0] + lambda_cov * terms[1]


def gradcheck(loss, x):
    return torch.autograd.gradcheck(loss, (x.detach().clone().requires_grad_(),))


# Directions


def test_directions_by_hand():
    t_src, t_trg = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    variations = torch.tensor([[0.0, 2.0], [3.0, 4.0]])
    expected = torch.tensor([[-1.0, 1.0], [-1.0, 2.0], [2.0, 4.0]])
    torch.testing.assert_close(text_set(t_src, t_trg, variations), expected)
    expected = torch.tensor([[-1.0, 1.0], [-1.0, 1.0], [-0.4, 0.8]])
    torch.testing.assert_close(text_set(t_src, t_trg, variations, renormalise=True), expected)
    expected = torch.tensor([[-1.0, 0.0]])
    torch.testing.assert_close(
        image_directions(torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 2.0]])), expected
    )


def test_renormalised_variations_keep_the_length_of_the_target_text():
    t_src, t_trg = 2 * unit(8), 3 * unit(8, seed=1)
    renormalised = text_set(t_src, t_trg, randn(4, 8, seed=2), renormalise=True) + t_src
    torch.testing.assert_close(renormalised.norm(dim=1), torch.full((5,), 3.0, dtype=torch.float64))


# Eq. (1)


@pytest.mark.parametrize(("degrees", "expected"), [(0, 0.0), (60, 0.5), (90, 1.0), (180, 2.0)])
def test_directional_loss_at_known_angles(degrees, expected):
    angle = math.radians(degrees)
    delta_image = 0.3 * torch.tensor(
        [[math.cos(angle), math.sin(angle)], [math.cos(angle), -math.sin(angle)]]
    )
    loss = directional_loss(delta_image, torch.tensor([5.0, 0.0]))
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_directional_loss_averages_over_samples():
    delta_image = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [0.0, -0.5]])
    assert directional_loss(delta_image, torch.tensor([1.0, 0.0])).item() == pytest.approx(
        (0 + 1 + 2 + 1) / 4
    )


# Eq. (3)


def test_first_moment_uses_the_means_of_the_sets():
    # Means (1, 1) and (3, 0): 45 degrees, although no pair of members is at that angle.
    delta_image, texts = torch.tensor([[2.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 4.0], [3.0, -4.0]])
    assert first_moment_loss(delta_image, texts).item() == pytest.approx(1 - math.sqrt(0.5))


def test_covariance_by_hand():
    x = torch.tensor([[1.0, 2.0], [3.0, 0.0], [2.0, 1.0]])
    printed = torch.tensor([[14.0, 4.0], [4.0, 5.0]])
    centred = torch.tensor([[2.0, -2.0], [-2.0, 2.0]])
    for scale, divisor in (("sum", 1), ("n", 3)):
        torch.testing.assert_close(covariance_matrix(x, CovarianceReading(False, scale)), printed / divisor)
        torch.testing.assert_close(covariance_matrix(x, CovarianceReading(True, scale)), centred / divisor)


def test_centred_covariance_is_torchs():
    x = randn(5, 8)
    expected = torch.cov(x.T, correction=0)
    torch.testing.assert_close(covariance_matrix(x, CovarianceReading(True, "n")), expected)


def test_covariance_distances_by_hand():
    # X^T X - Y^T Y = [[9, 12], [12, 16]] - [[4, 0], [0, 0]] = [[5, 12], [12, 16]]
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]])
    squares = 25 + 144 + 144 + 256
    expected = {
        "frobenius": math.sqrt(squares),
        "squared_frobenius": squares,
        "row": (13 + 20) / 2,
    }
    for distance, value in expected.items():
        reading = CovarianceReading(distance=distance)
        assert covariance_distance(x, y, reading).item() == pytest.approx(value)
        assert covariance_distance(y, x, reading).item() == pytest.approx(value)


def test_printed_reading_is_the_default():
    assert CovarianceReading() == CovarianceReading(centre=False, scale="sum", distance="frobenius")


@pytest.mark.parametrize("reading", READINGS)
def test_moment_loss_has_both_terms(reading):
    delta_image, texts = randn(4, 6), randn(7, 6, seed=1)
    terms = first_moment_loss(delta_image, texts), covariance_distance(delta_image, texts, reading)
    torch.testing.assert_close(directional_moment_loss(delta_image, texts, reading), terms)


@pytest.mark.parametrize("reading", READINGS)
def test_moment_loss_vanishes_for_equal_sets_with_a_zero_gradient(reading):
    texts = randn(4, 6)
    delta_image = texts.clone().requires_grad_()
    loss = weighted(directional_moment_loss(delta_image, texts, reading), 1e3)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert delta_image.grad.abs().max() < 1e-12


def test_scaled_covariances_ignore_repetition():
    # Twice the same set has the same moments when divided by n, but not when summed.
    delta_image, texts = randn(4, 6), randn(7, 6, seed=1)
    for scale, same in (("n", True), ("sum", False)):
        reading = CovarianceReading(scale=scale)
        once, twice = (
            covariance_distance(x, texts, reading) for x in (delta_image, delta_image.repeat(2, 1))
        )
        assert torch.isclose(once, twice).item() == same


def test_normalised_directions_have_no_length():
    delta_image, texts, reading = randn(4, 6), randn(7, 6, seed=1), CovarianceReading(scale="n")
    lengths = torch.tensor([[0.1], [1.0], [3.0], [20.0]], dtype=torch.float64)
    losses = [
        directional_moment_loss(x, texts, reading, normalise_directions=True)
        for x in (delta_image, lengths * delta_image, F.normalize(delta_image, dim=1))
    ]
    expected = directional_moment_loss(F.normalize(delta_image, dim=1), F.normalize(texts, dim=1), reading)
    torch.testing.assert_close(losses, [expected] * 3)


def test_gradient_ratio_by_finite_differences():
    delta_image, texts, reading = randn(3, 4), randn(5, 4, seed=1), CovarianceReading(scale="n")

    def norm_of_gradient(loss, step=1e-6):
        basis = step * torch.eye(12, dtype=torch.float64).view(12, 3, 4)
        return torch.stack([loss(delta_image + e) - loss(delta_image - e) for e in basis]).norm() / (2 * step)

    first = norm_of_gradient(lambda x: first_moment_loss(x, texts))
    second = norm_of_gradient(lambda x: covariance_distance(x, texts, reading))
    ratio = moment_gradient_ratio(delta_image, texts, 50.0, reading)
    torch.testing.assert_close(ratio, 50 * second / first, rtol=1e-6, atol=0)


# Eq. (5) and its rival


def test_relation_loss_of_two_images_by_hand():
    # Rows of M: (1, cos). softmax gives the image itself 1 / (1 + exp(cos - 1)), the same in both rows.
    cos_src, cos_trg = 0.2, 0.9
    features = [torch.tensor([[1.0, 0.0], [c, math.sqrt(1 - c * c)]]) for c in (cos_src, cos_trg)]
    p, q = (1 / (1 + math.exp(c - 1)) for c in (cos_src, cos_trg))
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert relation_loss(features[1], features[0]).item() == pytest.approx(divergence)
    mean = relation_loss(features[1], features[0], reduction="mean").item()
    assert mean == pytest.approx(divergence / 2)
    p, q = (1 / (1 + math.exp((c - 1) / 0.1)) for c in (cos_src, cos_trg))
    divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert relation_loss(features[1], features[0], temperature=0.1).item() == pytest.approx(
        divergence, rel=1e-5
    )


def test_relation_loss_is_torchs_divergence():
    f_trg, f_src = unit(5, 6), unit(5, 6, seed=1)
    log_q, p = (f_trg @ f_trg.T).log_softmax(1), (f_src @ f_src.T).softmax(1)
    torch.testing.assert_close(relation_loss(f_trg, f_src), F.kl_div(log_q, p, reduction="batchmean"))


def test_relation_loss_without_the_diagonal_by_hand():
    # Source: three orthogonal images, every row uniform over the two others. Target: images 0 and 1 coincide.
    f_src = torch.eye(3)
    f_trg = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    near, far = math.e / (math.e + 1), 1 / (math.e + 1)
    row = 0.5 * math.log(0.5 / near) + 0.5 * math.log(0.5 / far)
    loss = relation_loss(f_trg, f_src, diagonal=False)
    assert loss.item() == pytest.approx(2 / 3 * row)
    assert relation_loss(f_trg, f_src, diagonal=False, reduction="mean").item() == pytest.approx(row / 3)


@pytest.mark.parametrize("diagonal", [True, False])
def test_relation_loss_vanishes_only_for_equal_relations(diagonal):
    f_src = unit(4, 6)
    assert relation_loss(f_src @ rotation(6), f_src, diagonal=diagonal).item() == pytest.approx(0, abs=1e-12)
    assert relation_loss(unit(4, 6, seed=1), f_src, diagonal=diagonal) > 1e-4


def test_in_domain_angle_loss_by_hand():
    f_src = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0]])  # cosines 0, 1, 0
    f_trg = torch.tensor([[1.0, 0.0], [3.0, 0.0], [-1.0, 0.0]])  # cosines 1, -1, -1
    assert in_domain_angle_loss(f_trg, f_src).item() == pytest.approx((1 + 4 + 1) / 3)
    assert in_domain_angle_loss(f_src, f_src).item() == 0


# What holds for all of them

T_SRC, T_TRG = unit(6, seed=11), unit(6, seed=12)


def losses_of_features():
    """Every loss as a function of (f_trg, f_src, a map applied to every text feature)."""
    variations = T_TRG + unit(3, 6, seed=13)

    def directional(f_trg, f_src, turn):
        return directional_loss(image_directions(f_trg, f_src), turn(T_TRG - T_SRC))

    def moment(reading, normalise):
        def loss(f_trg, f_src, turn):
            texts = text_set(turn(T_SRC), turn(T_TRG), turn(variations))
            terms = directional_moment_loss(image_directions(f_trg, f_src), texts, reading, normalise)
            return weighted(terms, 10.0)

        return loss

    yield "directional", directional
    for reading in READINGS:
        for normalise in (False, True):
            name = f"moment-{reading.centre}-{reading.scale}-{reading.distance}-{normalise}"
            yield name, moment(reading, normalise)
    for reduction, diagonal in itertools.product(("batchmean", "mean"), (True, False)):
        yield (
            f"relation-{reduction}-{diagonal}",
            lambda f_trg, f_src, _, r=reduction, d=diagonal: relation_loss(f_trg, f_src, 0.5, d, r),
        )
    yield "angle", lambda f_trg, f_src, _: in_domain_angle_loss(f_trg, f_src)


LOSSES = dict(losses_of_features())
each_loss = pytest.mark.parametrize("name", LOSSES)


@each_loss
def test_gradients(name):
    f_src = unit(4, 6, seed=21)
    assert gradcheck(lambda f_trg: LOSSES[name](f_trg, f_src, lambda t: t), unit(4, 6, seed=22))


@each_loss
def test_order_of_the_batch_does_not_matter(name):
    f_trg, f_src, order = unit(4, 6, seed=22), unit(4, 6, seed=21), [2, 0, 3, 1]
    expected = LOSSES[name](f_trg, f_src, lambda t: t)
    torch.testing.assert_close(LOSSES[name](f_trg[order], f_src[order], lambda t: t), expected)


@each_loss
def test_rotation_of_the_feature_space(name):
    f_trg, f_src, q = unit(4, 6, seed=22), unit(4, 6, seed=21), rotation(6)
    expected = LOSSES[name](f_trg, f_src, lambda t: t)
    turned = LOSSES[name](f_trg @ q, f_src @ q, lambda t: t @ q)
    # Rows of a covariance belong to coordinates, which a rotation mixes; all else is angles and lengths.
    assert torch.isclose(turned, expected, rtol=1e-9).item() == ("-row-" not in name)


@each_loss
def test_identical_images_have_a_finite_gradient(name):
    # The first step of an adaptation when both generators get the same noise: every direction is zero.
    f_src = unit(4, 6, seed=21).float()
    f_trg = f_src.clone().requires_grad_()
    loss = LOSSES[name](f_trg, f_src, lambda t: t.float())
    loss.backward()
    assert loss.isfinite() and f_trg.grad.isfinite().all()


@each_loss
def test_float32_agrees_with_float64(name):
    f_trg, f_src = unit(4, 6, seed=22), unit(4, 6, seed=21)
    single = LOSSES[name](f_trg.float(), f_src.float(), lambda t: t.float())
    assert single.dtype == torch.float32 and single.shape == ()
    torch.testing.assert_close(single.double(), LOSSES[name](f_trg, f_src, lambda t: t), rtol=1e-4, atol=1e-6)


X = torch.ones(3, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: image_directions(X, X[:1]), r"f_trg and f_src .* got \(3, 4\) and \(1, 4\)"),
        (lambda: relation_loss(X, X[:2]), "f_trg and f_src"),
        (lambda: in_domain_angle_loss(X[0], X[0]), r"f_trg and f_src .* got \(4,\)"),
        (lambda: directional_loss(X, X[:2]), r"delta_text .* got \(2, 4\)"),
        (lambda: CovarianceReading(scale="N"), "scale must be one of .* got 'N'"),
        (lambda: CovarianceReading(distance="l2"), "distance must be one of .* got 'l2'"),
        (lambda: relation_loss(X[:1], X[:1]), r"at least 2 images \(diagonal=True\), got 1"),
        (lambda: relation_loss(X[:2], X[:2], diagonal=False), r"at least 3 images \(diagonal=False\), got 2"),
        (lambda: relation_loss(X, X, temperature=0.0), r"temperature must be > 0, got 0\.0"),
        (lambda: relation_loss(X, X, reduction="sum"), "reduction must be one of .* got 'sum'"),
        (lambda: in_domain_angle_loss(X[:1], X[:1]), "at least 2 images .* got 1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# The floor of norms


@pytest.mark.parametrize("length", [1e-6, 0.01, 0.049])
def test_below_the_floor_the_loss_is_linear_and_its_gradient_bounded(length):
    """1 - dI.dT / (floor |dT|): the gradient stays bounded, however short dI is."""
    delta_text = torch.tensor([0.3, -0.4, 0.0])
    delta_image = (length * torch.tensor([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])).requires_grad_()
    loss = directional_loss(delta_image, delta_text, floor=0.05)
    unit = delta_text / 0.5
    assert loss.item() == pytest.approx(1 - (delta_image @ unit / 0.05).mean().item(), abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, delta_image)
    torch.testing.assert_close(gradient, (-unit / 0.05 / 2).expand(2, -1))


def test_above_the_floor_nothing_changes():
    delta_image, texts, reading = X + 1, X[:2] - 1, CovarianceReading()
    plain = directional_moment_loss(delta_image, texts, reading)
    torch.testing.assert_close(directional_moment_loss(delta_image, texts, reading, floor=0.05), plain)
    assert directional_loss(delta_image, texts[0], 0.05) == directional_loss(delta_image, texts[0])


def test_the_floor_of_the_first_moment_is_for_the_means():
    """Long directions that cancel have a short mean: the floor counts."""
    delta_image = torch.tensor([[1.0, 0.01], [-1.0, 0.01]])
    texts = torch.tensor([[0.0, 2.0]])
    first, _ = directional_moment_loss(delta_image, texts, CovarianceReading(), floor=0.05)
    assert first.item() == pytest.approx(1 - 0.01 / 0.05, abs=1e-6)
