"""Kernel distances, density, coverage, Vendi and Inception scores, what is kept: against other code."""

import itertools
import math
import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, isc_features_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.portraits import Drawing
from zsgan.method.losses import directional_loss
from zsgan.metrics import (
    aim,
    clip_direction,
    clip_quality,
    clip_score,
    cmmd,
    density_coverage,
    extract,
    identity_kept,
    inception_score,
    kernel_distance,
    manifolds,
    precision_recall,
    structure_kept,
    variance,
    vendi_score,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d, seed=0):
    return torch.linalg.qr(normal(d, d, seed=seed))[0]


# Kernel distance


def test_kernel_distance_against_torch_fidelity():
    """One subset of all images is all images."""
    a, b = normal(60, 5), normal(60, 5, seed=1) * 0.7 + 0.5
    other = kid_features_to_metric(a, b, kid_subsets=1, kid_subset_size=60, verbose=False)
    assert kernel_distance(a, b) == pytest.approx(other[KEY_METRIC_KID_MEAN], rel=1e-9)


def test_kernel_distance_of_sets_of_two_sizes_by_hand():
    a, b = normal(4, 3), normal(7, 3, seed=1) + 1

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    def mean(pairs):
        return np.mean([kernel(x, y).item() for x, y in pairs])

    expected = (
        mean(itertools.permutations(a, 2))
        + mean(itertools.permutations(b, 2))
        - 2 * mean(itertools.product(a, b))
    )
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)
    assert kernel_distance(b, a) == pytest.approx(kernel_distance(a, b), rel=1e-12)


def test_kernel_distance_is_unbiased_and_the_mean_of_subsets():
    pairs = [(normal(10, 3, seed=2 * i), normal(10, 3, seed=2 * i + 1)) for i in range(400)]
    values = torch.tensor([kernel_distance(a, b) for a, b in pairs])
    assert abs(values.mean()) < 4 * values.std() / 20 and (values < 0).any()
    a, b = normal(5, 3), normal(5, 3, seed=1) + 1
    subsets = [list(i) for i in itertools.combinations(range(5), 3)]
    mean = np.mean([kernel_distance(a[i], b[j]) for i in subsets for j in subsets])
    assert kernel_distance(a, b) == pytest.approx(mean, rel=1e-10)


# Density and coverage


@pytest.mark.parametrize("k", [1, 3, 5])
def test_density_and_coverage_against_loops(k):
    generated, real = normal(70, 4).numpy(), (normal(50, 4, seed=1) * 0.8 + 0.3).numpy()
    among = np.sort(cdist(real, real), axis=1)[:, k]  # the first is the point itself
    density = sum(
        np.linalg.norm(x - y) < radius for x in generated for y, radius in zip(real, among, strict=True)
    ) / (k * 70)
    coverage = np.mean(
        [any(np.linalg.norm(x - y) < r for x in generated) for y, r in zip(real, among, strict=True)]
    )
    found = density_coverage(torch.from_numpy(generated), torch.from_numpy(real), k)
    assert found == pytest.approx((density, coverage)) and 0 < coverage < 1


def test_a_point_on_the_border_of_a_ball_is_outside():
    """As in the published definition: density and coverage count distances below the radius."""
    real = torch.arange(4.0)[:, None]  # radii of 1
    found = density_coverage(torch.tensor([[0.0], [1.0]]), real, k=1)
    assert (found.density, found.coverage) == (1.0, 0.5)


def duplicated(copies, order=0):
    """Ten dogs, each there several times, in an order; and the dogs that they are."""
    dogs = torch.arange(10).repeat_interleave(copies)
    which = dogs[torch.randperm(len(dogs), generator=torch.Generator().manual_seed(order))]
    return Drawing({"species": "dog", "style": "photo"}, 10, seed=1)[:][which], which


@pytest.mark.parametrize(("copies", "density"), [(2, 2 / 3), (3, 1), (5, 5 / 3), (13, 13 / 3)])
def test_copies_are_found_in_any_order(copies, density):
    """130 images are two batches and a rest of two; with 3 neighbours and 5 copies every radius is 0."""
    eyes = load_evaluator()
    sets = [extract(eyes.embed, duplicated(copies, order)[0]) for order in range(4)]
    for made, true in itertools.product(sets[:2], sets[2:]):
        assert precision_recall(made, true) == (1, 1)
        assert density_coverage(made, true, 3) == (pytest.approx(density), 1)


def test_an_image_is_found_among_copies_and_no_other_is():
    """The first five dogs of ten: at radius 0 they are the only ones that are real, and covered."""
    eyes = load_evaluator()
    images, which = duplicated(5)
    true, half = extract(eyes.embed, images), extract(eyes.embed, images[which < 5])
    assert manifolds(half, true) == (1, 0.5, pytest.approx(5 / 3), 0.5)
    assert manifolds(true, half) == (0.5, 1, pytest.approx(5 / 6), 1)
    brighter = images + 1 / 127.5 * torch.nn.functional.one_hot(torch.tensor(9), 64)  # one level of a column
    other = extract(eyes.embed, brighter.clamp(-1, 1))
    assert manifolds(other, true) == (0, 0, 0, 0)


def test_rounding_of_features_makes_no_distance():
    x = normal(200, 16).float().repeat(5, 1)
    noise = 1 + 1e-6 * torch.rand(x.shape, generator=torch.Generator().manual_seed(2))
    assert manifolds(x * noise, x.flip(0)) == (1, 1, pytest.approx(5 / 3), 1)
    assert manifolds(x + 1e-4, x) == (0, 0, 0, 0)


def test_the_order_changes_nothing():
    """Of sets in which some are copies of others, of each other, and most are neither."""
    real = normal(600, 8).float()
    real[300:400] = real[:100]
    made = (normal(700, 8, seed=1) * 0.9).float()
    made[100:200], made[200:250] = real[:100], made[:50]
    shares = []
    found = manifolds(made, real, 3, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1
    for i in range(5):
        first, second = (
            torch.randperm(n, generator=torch.Generator().manual_seed(i)) for n in (len(made), len(real))
        )
        assert manifolds(made[first], real[second], 3) == found


def test_density_and_coverage_of_one_distribution_are_as_expected():
    """E[density] = 1, and E[coverage] = 1 - prod_i (M - i) / (N + M - i), i = 1..k (Naeem et al., lemma)."""
    n, m, k = 40, 60, 3
    found = torch.tensor(
        [density_coverage(normal(n, 2, seed=2 * i), normal(m, 2, seed=2 * i + 1), k) for i in range(300)]
    )
    mean, error = found.mean(0), found.std(0) / math.sqrt(300)
    coverage = 1 - math.prod((m - i) / (n + m - i) for i in range(1, k + 1))
    assert (mean - torch.tensor([1.0, coverage])).abs().le(4 * error).all()


def test_coverage_sees_a_lost_mode_and_no_outlier():
    real = torch.cat([normal(30, 3), normal(30, 3, seed=1) + 50])
    density, coverage = density_coverage(real[:30], real)
    assert coverage == 0.5 and density == 1
    outlier = torch.full((1, 3), 1e4, dtype=torch.float64)
    assert density_coverage(torch.cat([real[:30], outlier]), real).coverage == 0.5
    assert density_coverage(real + 1e6, real) == (0, 0)


# Vendi score


def test_vendi_score_of_groups_is_their_number():
    axes = torch.eye(6, dtype=torch.float64)[:4]
    assert vendi_score(axes.repeat(5, 1)) == pytest.approx(4)
    assert vendi_score(axes * torch.tensor([[1.0], [2], [3], [1e-3]])) == pytest.approx(4)
    assert vendi_score(normal(1, 5).expand(9, 5)) == pytest.approx(1)
    uneven = torch.cat([axes[:1].expand(3, 6), axes[1:2]])
    assert vendi_score(uneven) == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_vendi_score_against_the_eigenvalues_of_the_cosines(shape):
    x = normal(*shape).numpy()
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(x @ x.T / len(x))
    values = values[values > 1e-12]
    expected = math.exp(-np.sum(values * np.log(values)))
    assert vendi_score(torch.from_numpy(x)) == pytest.approx(expected)
    turned = torch.from_numpy(x).flip(0) @ rotation(shape[1])
    assert vendi_score(turned) == pytest.approx(expected)


# Inception score


def test_inception_score_against_torch_fidelity():
    logits = normal(50, 6) * 3
    other = isc_features_to_metric(logits, splits=1)[KEY_METRIC_ISC_MEAN]
    assert inception_score(logits) == pytest.approx(other, rel=1e-9)


def test_inception_score_has_its_bounds():
    sure = torch.eye(5) * 1e4
    assert inception_score(sure.repeat(3, 1)) == pytest.approx(5)
    assert inception_score(sure[:1].expand(7, 5)) == pytest.approx(1)
    assert inception_score(torch.zeros(7, 5)) == pytest.approx(1)  # sure of nothing


# What is kept


def test_identity_is_kept_image_by_image():
    x = normal(6, 4)
    assert torch.allclose(identity_kept(x, 3 * x), torch.ones(6, dtype=torch.float64))
    y = torch.stack([torch.roll(row, 1) for row in torch.eye(4, dtype=torch.float64)])
    assert identity_kept(torch.eye(4), y).tolist() == [0, 0, 0, 0]


def test_structure_is_the_correlation_of_distances():
    x, y = normal(9, 4), normal(9, 4, seed=1)
    pairs = [(i, j) for i in range(9) for j in range(i)]
    of = [[(z[i] - z[j]).norm().item() for i, j in pairs] for z in (x, y)]
    assert structure_kept(x, y) == pytest.approx(np.corrcoef(*of)[0, 1])
    assert abs(structure_kept(x, y)) < 0.6
    assert structure_kept(x, 2 * x @ rotation(4) + 5) == pytest.approx(1)  # the same change for all
    assert math.isnan(structure_kept(x, torch.ones(9, 4)))


# CLIP space


def test_clip_score_is_the_mean_cosine():
    texts = torch.eye(3, dtype=torch.float64)
    angles = torch.linspace(0, math.pi, 7, dtype=torch.float64)
    images = torch.cos(angles)[:, None] * texts[0] + torch.sin(angles)[:, None] * texts[1]
    assert clip_score(images, texts[0]) == pytest.approx(0, abs=1e-15)
    assert clip_score(images[:3], texts[0]) == pytest.approx(angles[:3].cos().mean().item())


def test_variance_of_unit_vectors_is_hyperdomainnets_diversity():
    x = torch.nn.functional.normalize(normal(8, 5), dim=1)
    cosines = [1 - (x[i] @ x[j]).item() for i in range(8) for j in range(i)]
    assert variance(x).item() == pytest.approx(np.mean(cosines))


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=-1)


def test_quality_is_the_mean_cosine_of_images_and_prompts():
    images, prompts = unit(5, 4), unit(3, 4, seed=1)
    assert clip_quality(images, prompts) == pytest.approx(1 - cdist(images, prompts, "cosine").mean())
    assert clip_quality(images, prompts[:1]) == pytest.approx(clip_score(images, prompts[0]))
    # HyperDomainNet averages cosines, a CLIP score takes the direction of the prompts' mean
    mean = prompts.mean(0)
    score = clip_score(images, mean / mean.norm())
    assert clip_quality(images, prompts) == pytest.approx(score * mean.norm().item())


def test_the_directional_score_is_one_minus_the_directional_loss():
    before, after, (source, target) = unit(6, 5), unit(6, 5, seed=1), unit(2, 5, seed=2)
    cosines = 1 - cdist(after - before, (target - source)[None], "cosine")
    assert clip_direction(before, after, source, target) == pytest.approx(cosines.mean())
    loss = directional_loss(after - before, target - source)
    assert clip_direction(before, after, source, target) == pytest.approx(1 - loss.item())
    assert clip_direction(before, after, target, source) == pytest.approx(-cosines.mean())
    assert clip_direction(source[None], target[None], source, target) == pytest.approx(1)


def test_unchanged_images_have_no_direction():
    before, (source, target) = unit(6, 5), unit(2, 5, seed=2)
    assert math.isnan(clip_direction(before, before, source, target))
    some = torch.cat([before[:4] * (1 + 1e-15), unit(2, 5, seed=1)])
    moved = clip_direction(before[4:], some[4:], source, target)
    assert clip_direction(before, some, source, target) == pytest.approx(moved)


# Directions of texts and images


def test_a_perfect_adaptation_along_the_text_has_arrived():
    text, source = unit(4), unit(6, 4, seed=1)
    half, whole, twice = (source + share * text for share in (0.5, 1, 2))
    assert aim(text, source, half, whole) == pytest.approx((1, 1, 0.5))
    assert aim(text, source, twice, whole) == pytest.approx((-1, 1, 2))  # the text now points away
    start, end = aim(text, source, source, whole), aim(text, source, whole, whole)
    assert start.ahead == pytest.approx(1) and math.isnan(start.made) and start.arrived == 0
    assert math.isnan(end.ahead) and end[1:] == pytest.approx((1, 1))


def test_a_text_across_the_ideal_direction_leads_nowhere():
    """Means of images alone have a direction: each image may differ from its ideal one."""
    x, y = torch.eye(4)[:2].double()
    source, jitter = unit(6, 4, seed=1), normal(6, 4, seed=2)
    ideal = source + 3 * y + jitter - jitter.mean(0)
    assert aim(x, source, source, ideal).ahead == pytest.approx(0, abs=1e-9)
    assert aim(x, source, source + 0.2 * x, ideal)[1:] == pytest.approx((0, 0), abs=1e-9)
    # half of the way up, and as far to the side: 45 degrees both ways
    assert aim(x, source, source + 1.5 * (y - x), ideal) == pytest.approx((0.5**0.5, 0.5**0.5, 0.5))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5,), (1, 4)])
def test_a_text_direction_of_another_shape_is_refused(shape):
    images = unit(6, 4)
    message = rf"text must be \(D,\) = \(4,\) for features \(6, 4\), got {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        aim(torch.ones(shape), images, images + 1, images + 2)


def test_texts_of_one_feature_lead_nowhere():
    source = unit(6, 4)
    found = aim(torch.zeros(4), source, source + 1, source + 2)
    assert math.isnan(found.ahead) and found[1:] == pytest.approx((1, 0.5))


# CMMD


def test_cmmd_is_the_mean_of_gaussian_kernels():
    """Of sizes above the rows that are held at a time, too; the pairs of an image with itself count."""
    a, b = unit(1300, 6), unit(40, 6, seed=1)

    def kernel(x, y):
        return np.exp(-cdist(x, y, "sqeuclidean") / 200).mean()

    expected = 1000 * (kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    assert cmmd(a, b) == pytest.approx(expected, rel=1e-9) == cmmd(b, a)
    assert cmmd(a, a) == pytest.approx(0, abs=1e-9)
    assert cmmd(a.float(), b.float()) == pytest.approx(expected, rel=1e-5)


def test_cmmd_of_two_points_in_closed_form():
    """Two points at distance r: 2 (1 - exp(-r^2 / 200)), times 1,000."""
    x = torch.tensor([[1.0, 0.0]])
    assert cmmd(x, -x) == pytest.approx(2000 * (1 - math.exp(-4 / 200)))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (
            lambda: aim(normal(3), normal(5, 3), normal(5, 3), normal(4, 3)),
            r"one shape .*\(5, 3\) and \(4, 3\)",
        ),
        (lambda: cmmd(normal(5, 3), normal(5, 4)), r"\(5, 3\) and \(5, 4\)"),
        (lambda: clip_quality(normal(5, 3), normal(0, 3)), "at least 1 images, got 0"),
        (
            lambda: clip_direction(normal(5, 3), normal(4, 3), *normal(2, 3)),
            r"one shape .*\(5, 3\) and \(4, 3\)",
        ),
        (lambda: kernel_distance(normal(5, 3), normal(5, 4)), r"\(5, 3\) and \(5, 4\)"),
        (lambda: kernel_distance(normal(1, 3), normal(5, 3)), "at least 2 images, got 1 and 5"),
        (lambda: density_coverage(normal(5, 3), normal(9, 3)), "k=5 must be >= 1 and smaller than both sets"),
        (lambda: density_coverage(normal(5, 3), normal(9, 2)), r"\(5, 3\) and \(9, 2\)"),
        (lambda: vendi_score(torch.zeros(3, 2)), "must not be zero"),
        (lambda: vendi_score(torch.zeros(3)), r"\(N, D\), got \(3,\)"),
        (lambda: inception_score(torch.zeros(0, 2)), "at least 1 images, got 0"),
        (lambda: identity_kept(normal(4, 3), normal(5, 3)), r"one shape .*\(4, 3\) and \(5, 3\)"),
        (lambda: structure_kept(normal(2, 3), normal(2, 3)), "at least 3 images, got 2"),
    ],
)
def test_what_cannot_be_measured_is_refused(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
