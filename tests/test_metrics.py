import math

import lpips
import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from zsgan.menagerie.evaluator import Prediction
from zsgan.menagerie.factors import CATEGORIES, CONTINUOUS, SPECIES
from zsgan.metrics import (
    OJHA,
    PAPER,
    Lpips,
    extract,
    extract_all,
    frechet_distance,
    intra_cluster_lpips,
    k_medoids,
    kept,
    lpips_matrix,
    precision_recall,
    species_rate,
    spread,
    sse,
    style_rate,
    target_rate,
    variance,
)


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def squared_distances(x):
    return (x[:, None] - x[None]).square().sum(-1)


# LPIPS


@pytest.fixture(scope="module")
def package():
    """AlexNet of the lpips package: its trained heads on a random trunk (the trained one is a download)."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).double().requires_grad_(False)


def pictures(n, side=64, seed=0):
    return normal(n, 3, side, side, seed=seed).clamp(-1, 1)


def pixels(images):
    """A network of two layers without weights: pixels, and means of 2 x 2 pixels."""
    return [images + 2, torch.nn.functional.avg_pool2d(images, 2) + 2]


def test_lpips_equals_the_package_on_every_pair(package):
    images = pictures(5)
    matrix = Lpips.of(package).distances(images, batch_size=2)
    for i in range(5):
        for j in range(5):
            assert matrix[i, j].item() == pytest.approx(
                package(images[i, None], images[j, None]).item(), abs=1e-12
            )


def test_lpips_of_float32_features_is_accurate(package):
    images = pictures(4)
    exact = Lpips.of(package).distances(images)
    single = Lpips.of(package.float()).distances(images.float())
    package.double()
    assert (single - exact).abs().max() < 1e-6 * exact.max()


def test_lpips_without_heads_is_the_mean_over_layers():
    a, b = pictures(2)
    expected = 0.0
    for x, y in zip(pixels(a[None]), pixels(b[None]), strict=True):
        x, y = (v / v.norm(dim=1, keepdim=True) for v in (x, y))
        expected += (x - y).square().sum(1).mean().item() / 2
    assert Lpips(pixels).distances(torch.stack([a, b]))[0, 1].item() == pytest.approx(expected, rel=1e-9)


def test_lpips_matrix_is_a_symmetric_metric_square():
    matrix = Lpips(pixels).distances(pictures(12, 16).float())
    assert matrix.dtype == torch.float64
    assert torch.equal(matrix, matrix.T) and (matrix.diagonal() == 0).all()
    assert (matrix + torch.eye(12) > 0).all()
    root = matrix.sqrt()
    assert (root[:, :, None] <= root[:, None, :] + root.T[None] + 1e-12).all()  # triangle inequality


def test_lpips_keeps_near_duplicates_apart():
    """Squared norms of 5,000 and a distance of 1e-6: less than a float32 product can resolve (about 5e-4)."""
    a = normal(1, 5000, dtype=torch.float32)
    b = a.clone()
    b[0, 7] += 1e-3
    exact = (a.double() - b.double()).square().sum().item()
    assert lpips_matrix(torch.cat([a, b]))[0, 1].item() == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("memory", [1, 5e4, 1e5])
def test_lpips_in_blocks_is_the_same(memory):
    """Blocks of 1, 4 and all 9 images."""
    images, others = pictures(9, 16), pictures(4, 16, seed=1)
    metric = Lpips(pixels)
    settings = {"memory": memory, "batch_size": 2}
    assert torch.allclose(metric.distances(images, **settings), metric.distances(images), atol=1e-14)
    both = metric.distances(torch.cat([images, others]))
    assert torch.allclose(metric.distances(images, others, **settings), both[:9, 9:], atol=1e-14)


def test_lpips_follows_the_order_of_images():
    images, order = pictures(6, 16), torch.tensor([3, 0, 5, 1, 2, 4])
    matrix = Lpips(pixels).distances(images)
    assert torch.allclose(Lpips(pixels).distances(images[order]), matrix[order][:, order], atol=1e-14)


def test_lpips_resizes_first():
    big = pictures(3, 32)
    small = torch.nn.functional.interpolate(big, (16, 16), mode="bilinear", antialias=True)
    assert torch.allclose(Lpips(pixels, size=16).distances(big), Lpips(pixels).distances(small), atol=1e-12)


@pytest.mark.parametrize("weights", [None, [torch.rand(3), torch.rand(3)]])
def test_lpips_through_eyes_is_that_of_their_maps_and_weights(weights):
    class Two:
        name, size, labels = "two", 16, None

        def maps(self, images):
            return pixels(images)

    eyes, images = Two(), pictures(4, 16)
    eyes.weights = weights
    assert torch.equal(Lpips.through(eyes).distances(images), Lpips(pixels, weights).distances(images))


def test_lpips_refuses_wrong_weights():
    with pytest.raises(ValueError, match=">= 0"):
        Lpips(pixels, [torch.ones(3), -torch.ones(3)])
    with pytest.raises(ValueError, match="each of the 2 layers, got 1"):
        Lpips(pixels, [torch.ones(3)]).features(pictures(1))


# Intra-cluster LPIPS


@pytest.fixture
def clusters():
    """Three tight clusters on a line, of 3, 3 and 5 points; the middle points 1, 4 and 8 are the medoids."""
    x = torch.tensor([0.0, 1, 2, 100, 101, 102, 200, 201, 202, 203, 204], dtype=torch.float64)
    return (x[:, None] - x[None]).abs()


def test_known_medoids(clusters):
    labels, medoids = k_medoids(clusters, 3)
    assert sorted(medoids.tolist()) == [1, 4, 8]
    assert [medoids[i].item() for i in labels] == [1, 1, 1, 4, 4, 4, 8, 8, 8, 8, 8]


def test_paper_definition_by_hand(clusters):
    result = intra_cluster_lpips(clusters, 3, **PAPER)
    inside = [[1, 0, 1], [1, 0, 1], [2, 1, 0, 1, 2]]
    means, everything = [np.mean(v) for v in inside], np.concatenate(inside)
    assert result.avg == pytest.approx(np.mean(means)) and result.avg_std == pytest.approx(np.std(means))
    assert result.all == pytest.approx(everything.mean()) and result.all_std == pytest.approx(
        everything.std()
    )
    assert result.medoids is not None and result.labels.shape == (11,)


def test_without_the_centres(clusters):
    result = intra_cluster_lpips(clusters, 3, include_centre=False)
    assert result.avg == pytest.approx((1 + 1 + 1.5) / 3) and result.all == pytest.approx(10 / 8)


def test_ojha_definition_by_hand(clusters):
    """Given centres; the last cluster has one image, hence no pair, and is dropped; unbiased deviations."""
    position = torch.tensor([0.0, 1, 2, 100, 101, 102, 200, 201, 202, 203, 204], dtype=torch.float64)[:7]
    to_centres = (position[:, None] - torch.tensor([1.0, 104, 200])).abs()
    generator = torch.Generator().manual_seed(0)
    result = intra_cluster_lpips(clusters[:7, :7], 3, centres=to_centres, generator=generator, **OJHA)
    pairs = [1, 1, 2]
    assert result.avg == pytest.approx(4 / 3) and result.avg_std == 0
    assert result.all == pytest.approx(4 / 3) and result.all_std == pytest.approx(np.std(pairs * 2, ddof=1))
    assert result.medoids is None and result.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_ten_zeros_in_a_thousand_bound_the_deviation():
    """With the medoids' zeros counted, std(All) >= mean(All) sqrt(k / (N - k))."""
    result = intra_cluster_lpips(squared_distances(normal(300, 4)), 10, **PAPER)
    assert result.all_std >= result.all * math.sqrt(10 / 290)


def test_one_cluster_pairwise_is_the_mean_of_all_pairs():
    distances = squared_distances(normal(30, 4))
    result = intra_cluster_lpips(distances, 1, statistic="pairwise")
    assert result.avg == pytest.approx(distances.sum().item() / (30 * 29)) and result.avg_std == 0
    assert math.isnan(intra_cluster_lpips(distances, 1, statistic="pairwise", unbiased=True).avg_std)


def test_at_most_max_members(clusters):
    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        return intra_cluster_lpips(clusters, 3, statistic="pairwise", max_members=2, generator=generator)

    results = [run(seed) for seed in range(8)]
    assert all(
        r.all in [(a + b + c) / 3 for a in (1, 2) for b in (1, 2) for c in (1, 2, 3, 4)] for r in results
    )
    assert len({r.all for r in results}) > 1 and run(0).all == results[0].all


def test_does_not_depend_on_the_order():
    distances = squared_distances(normal(60, 5))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    a = intra_cluster_lpips(distances, 5)
    b = intra_cluster_lpips(distances[order][:, order], 5)
    assert sorted(order[b.medoids].tolist()) == sorted(a.medoids.tolist())
    for name in ("avg", "avg_std", "all", "all_std"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-12)


def test_medoids_are_locally_optimal():
    """PAM: no exchange of a medoid lowers the sum. Alternation: none inside its own cluster does."""
    distances = squared_distances(normal(100, 5))
    _, medoids = k_medoids(distances, 8)
    best = distances[:, medoids].amin(1).sum()
    for slot in range(8):
        others = distances[:, medoids[torch.arange(8) != slot]].amin(1)
        assert torch.minimum(others[:, None], distances).sum(0).min() >= best - 1e-9
    labels, medoids = k_medoids(distances, 8, method="alternate")
    for cluster, medoid in enumerate(medoids):
        inside = distances[labels == cluster][:, labels == cluster].sum(1)
        assert distances[medoid, labels == cluster].sum() <= inside.min() + 1e-9
    assert distances[:, medoids].amin(1).sum() > best  # stopped early


@pytest.mark.parametrize(
    ("distances", "arguments", "message"),
    [
        (torch.zeros(4, 4), {"k": 5}, "between 1 and the number of images, 4, got 5"),
        (torch.zeros(4, 4), {"k": 0}, "got 0"),
        (torch.zeros(4, 3), {"k": 2}, "square"),
        (torch.triu(torch.ones(4, 4), 1), {"k": 2}, "symmetric"),
        (torch.ones(4, 4), {"k": 2}, "zero diagonal"),
        (torch.zeros(4, 4), {"k": 2, "centres": torch.zeros(4, 3)}, r"\(4, 2\), got \(4, 3\)"),
        (torch.zeros(4, 4), {"k": 2, "max_members": 2}, "generator"),
        (1 - torch.eye(4), {"k": 4, "statistic": "pairwise"}, "no cluster has two images"),
    ],
)
def test_diversity_errors(distances, arguments, message):
    with pytest.raises(ValueError, match=message):
        intra_cluster_lpips(distances, **arguments)


# FID, precision, recall


def test_frechet_distance_of_a_set_to_itself_is_zero():
    x = normal(50, 8)
    assert frechet_distance(x, x.flip(0)) < 1e-12
    assert frechet_distance(x[:5], x[:5]) < 1e-12  # fewer images than dimensions


def test_frechet_distance_closed_forms():
    x = normal(100, 6)
    shift = torch.arange(6.0, dtype=torch.float64)
    assert frechet_distance(x, x + shift) == pytest.approx(shift.square().sum().item(), rel=1e-10)
    # Same mean, covariance times 9: tr S (3 - 1)^2.
    wider = x.mean(0) + 3 * (x - x.mean(0))
    assert frechet_distance(x, wider) == pytest.approx(4 * x.var(0).sum().item(), rel=1e-10)
    # Commuting covariances: sum of (sigma_a - sigma_b)^2 along the common axes.
    axes, _ = torch.linalg.qr(x - x.mean(0))
    a, b = shift + 1, shift.flip(0) + 3
    expected = ((a - b).square() / 99).sum().item()
    assert frechet_distance(axes * a, axes * b) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("n", [300, 20])
def test_frechet_distance_against_references(n):
    a, b = normal(n, 16), normal(n + 7, 16, seed=1) @ normal(16, 16, seed=2) * 0.3 + 0.5
    s_a, s_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s_a @ s_b).real
    expected = (a.mean(0) - b.mean(0)).square().sum().item() + np.trace(s_a + s_b - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)
    other = fid_statistics_to_metric(fid_features_to_statistics(a), fid_features_to_statistics(b), False)
    assert frechet_distance(a, b) == pytest.approx(other["frechet_inception_distance"], rel=1e-8)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-12)


def test_precision_recall_of_equal_and_distant_sets():
    x = normal(40, 5)
    assert precision_recall(x, x) == (1, 1)
    assert precision_recall(x, x + 100) == (0, 0)


def test_precision_is_of_the_generated():
    """Generated images in one mode out of two: each looks real, half of the real ones are covered."""
    real = torch.cat([normal(20, 3), normal(20, 3, seed=1) + 50])
    collapsed = real[:20]
    assert precision_recall(collapsed, real) == (1, 0.5)
    assert precision_recall(real, collapsed) == (0.5, 1)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_recall_against_torch_fidelity(k):
    generated, real = normal(80, 4), normal(70, 4, seed=1) * 0.7 + 0.5
    other = prc_features_to_metric(
        generated, real, prc_neighborhood=k, prc_batch_size=32, save_cpu_ram=False, verbose=False
    )
    ours = precision_recall(generated, real, k)
    assert 0 < ours.precision < 1 and 0 < ours.recall < 1
    assert ours == pytest.approx((other["precision"], other["recall"]), abs=1e-7)


def test_fidelity_errors():
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(5, 4\)"):
        frechet_distance(normal(5, 3), normal(5, 4))
    with pytest.raises(ValueError, match="at least 2"):
        frechet_distance(normal(1, 3), normal(5, 3))
    with pytest.raises(ValueError, match="k=3"):
        precision_recall(normal(3, 2), normal(9, 2))


# CLIP space


def test_sse_and_variance():
    x = normal(20, 7)
    mean_pair = squared_distances(x).sum() / (20 * 19)
    assert variance(x).item() == pytest.approx(mean_pair.item() / 2)
    assert sse(x).item() == pytest.approx(19 * x.var(0).sum().item())
    assert sse(x[:1] + torch.zeros(4, 1)).item() == pytest.approx(0, abs=1e-24)
    assert torch.autograd.gradcheck(sse, normal(4, 3).requires_grad_())
    with pytest.raises(ValueError, match="at least 2"):
        variance(x[:1])


def test_target_rate_is_the_share_nearest_to_the_target():
    target, source, third = torch.eye(3)
    angle = torch.linspace(0, math.pi / 2, 10)
    images = torch.cos(angle)[:, None] * target + torch.sin(angle)[:, None] * source
    assert target_rate(images, target, source) == 0.5
    assert target_rate(images, target, torch.stack([source, third])) == 0.5
    assert target_rate(images, source, target) == 0.5
    assert target_rate(images[:4], target, source) == 1
    assert target_rate(images[:1], third, torch.stack([target, source])) == 0


def test_several_networks_look_at_each_image_once():
    images, seen = pictures(7, 8), []

    class Once:
        def __len__(self):
            return 7

        def __getitem__(self, part):
            seen.extend(range(*part.indices(7)))
            return images[part]

    found = extract_all({"a": lambda x: x.flatten(1), "b": lambda x: x.mean((2, 3))}, Once(), batch_size=3)
    assert seen == list(range(7))
    assert torch.equal(found["a"], images.flatten(1)) and torch.equal(found["b"], images.mean((2, 3)))


def test_extract_does_not_depend_on_the_batch():
    images = pictures(7, 8)
    whole = extract(lambda x: x.flatten(1), images, batch_size=7)
    assert torch.equal(whole, extract(lambda x: x.flatten(1), images, batch_size=3))


# Factors of the demo


def prediction(species, furs, continuous):
    n = len(species)
    logits = {kind: torch.zeros(n, len(names)) for kind, names in CATEGORIES.items()}
    logits["species"][range(n), [SPECIES.index(name) for name in species]] = 1
    logits["fur"][range(n), furs] = 1
    return Prediction(logits, continuous)


def test_rates():
    p = prediction(["cat", "dog", "cat", "fox"], [0, 1, 2, 3], torch.zeros(4, len(CONTINUOUS)))
    assert species_rate(p, "cat") == 0.5 and species_rate(p, "bear") == 0
    assert style_rate(p, "photo") == 1
    with pytest.raises(ValueError, match="dragon"):
        species_rate(p, "dragon")


def test_spread_and_what_is_kept():
    continuous = torch.zeros(4, len(CONTINUOUS))
    continuous[:, 0] = torch.tensor([-1.0, 1, -1, 1])
    source = prediction(["dog"] * 4, [0, 1, 2, 3], continuous)
    adapted = prediction(["cat"] * 4, [0, 0, 1, 1], continuous / 4)
    before = spread(source)
    assert before["fur"] == pytest.approx(math.log(4)) and before["species"] == 0
    assert before[CONTINUOUS[0]] == 1 and before[CONTINUOUS[1]] == 0
    ratio = kept(source, adapted)
    assert ratio["fur"] == pytest.approx(0.5) and ratio[CONTINUOUS[0]] == pytest.approx(0.25)
    assert math.isnan(ratio["species"])
    assert set(ratio) == {*CATEGORIES, *CONTINUOUS}


@pytest.mark.parametrize("distinct", [1, 2, 4])
def test_total_collapse_has_no_diversity(distinct):
    """Fewer different images than clusters: every image is a medoid or equal to one."""
    places = torch.arange(20) % distinct
    distances = (places[:, None] != places[None]).double() * 0.5
    statistic = intra_cluster_lpips(distances, 5, **PAPER)
    assert statistic.avg == statistic.all == 0
