import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from zsgan.metrics import DEFINITIONS, Definition, intra_cluster_lpips, k_medoids
from zsgan.metrics.diversity import AIR, LITERAL, OJHA, PAPER


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squared_distances(x):
    return (x[:, None] - x[None]).square().sum(-1)


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
    result = intra_cluster_lpips(clusters, PAPER, 3)
    inside = [[1, 0, 1], [1, 0, 1], [2, 1, 0, 1, 2]]
    means, everything = [np.mean(v) for v in inside], np.concatenate(inside)
    assert result.avg == pytest.approx(np.mean(means)) and result.avg_std == pytest.approx(np.std(means))
    assert result.all == pytest.approx(everything.mean()) and result.all_std == pytest.approx(
        everything.std()
    )
    assert result.medoids is not None and result.labels.shape == (11,)


def test_without_the_centres(clusters):
    result = intra_cluster_lpips(clusters, Definition(include_centre=False), 3)
    assert result.avg == pytest.approx((1 + 1 + 1.5) / 3) and result.all == pytest.approx(10 / 8)


def test_ojha_definition_by_hand(clusters):
    """Given centres; the last cluster has one image, hence no pair, and is dropped; unbiased deviations."""
    position = torch.tensor([0.0, 1, 2, 100, 101, 102, 200, 201, 202, 203, 204], dtype=torch.float64)[:7]
    to_centres = (position[:, None] - torch.tensor([1.0, 104, 200])).abs()
    generator = torch.Generator().manual_seed(0)
    result = intra_cluster_lpips(clusters[:7, :7], OJHA, to_given=to_centres, generator=generator)
    pairs = [1, 1, 2]
    assert result.avg == pytest.approx(4 / 3) and result.avg_std == 0
    assert result.all == pytest.approx(4 / 3) and result.all_std == pytest.approx(np.std(pairs * 2, ddof=1))
    assert result.medoids is None and result.labels.tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_ten_zeros_in_a_thousand_bound_the_deviation():
    """With the medoids' zeros counted, std(All) >= mean(All) sqrt(k / (N - k))."""
    result = intra_cluster_lpips(squared_distances(normal(300, 4)), PAPER, 10)
    assert result.all_std >= result.all * math.sqrt(10 / 290)


def test_one_cluster_pairwise_is_the_mean_of_all_pairs():
    distances = squared_distances(normal(30, 4))
    result = intra_cluster_lpips(distances, LITERAL, 1)
    assert result.avg == pytest.approx(distances.sum().item() / (30 * 29)) and result.avg_std == 0
    assert math.isnan(intra_cluster_lpips(distances, replace(LITERAL, unbiased=True), 1).avg_std)


def alternating(distances, k):
    """Medoids by the textbook: from the k most central images, assign and recentre until nothing moves."""
    matrix = distances.numpy()
    medoids = sorted(range(len(matrix)), key=lambda i: matrix[i].sum())[:k]
    while True:
        nearest = matrix[:, medoids].argmin(1)
        inside = [np.flatnonzero(nearest == c) for c in range(k)]
        moved = [int(m[matrix[np.ix_(m, m)].sum(1).argmin()]) for m in inside]
        if moved == medoids:
            return medoids
        medoids = moved


def by_loops(distances, k, statistic, include_centre, ddof, method, given=None):
    """A second implementation, image by image and pair by pair: (avg, avg_std, all, all_std)."""
    n = len(distances)
    if given is None:
        centres = alternating(distances, k) if method == "alternate" else k_medoids(distances, k)[1].tolist()
        given = distances[:, centres]
    else:
        centres = [None] * given.shape[1]
    members = [[] for _ in centres]
    for i in range(n):
        members[min(range(len(centres)), key=lambda c: given[i, c].item())].append(i)
    values = []
    for c, inside in enumerate(members):
        if statistic == "pairwise":
            values.append([distances[i, j].item() for i in inside for j in inside if i < j])
        else:
            values.append([given[i, c].item() for i in inside if include_centre or i != centres[c]])
    values = [v for v in values if v]
    means, pooled = [np.mean(v) for v in values], np.concatenate(values)
    return np.mean(means), np.std(means, ddof=ddof), np.mean(pooled), np.std(pooled, ddof=ddof)


def columns(result):
    return result.avg, result.avg_std, result.all, result.all_std


@pytest.mark.parametrize("method", ["pam", "alternate"])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("include_centre", [False, True])
@pytest.mark.parametrize("statistic", ["to_centre", "pairwise"])
@pytest.mark.parametrize("centres", ["medoid", "given"])
def test_every_definition_against_loops(centres, statistic, include_centre, unbiased, method):
    points, targets = normal(60, 4), normal(6, 4, seed=1)
    distances = squared_distances(points)
    given = (points[:, None] - targets).square().sum(-1) if centres == "given" else None
    definition = Definition(centres, statistic, include_centre, None, unbiased, method)
    result = intra_cluster_lpips(distances, definition, 6, to_given=given)
    expected = by_loops(distances, 6, statistic, include_centre, int(unbiased), method, given)
    assert columns(result) == pytest.approx(expected, rel=1e-12)


def test_the_published_definitions_are_different_numbers():
    points, targets = normal(300, 3), normal(10, 3, seed=1)
    distances, given = squared_distances(points), (points[:, None] - targets).square().sum(-1)
    found = {
        name: intra_cluster_lpips(
            distances, definition, to_given=given, generator=torch.Generator().manual_seed(0)
        )
        for name, definition in DEFINITIONS.items()
    }
    assert list(found) == ["paper", "literal", "ojha", "air"] and len({f.all for f in found.values()}) == 4
    assert columns(found["air"]) == columns(intra_cluster_lpips(distances, AIR))
    assert found["literal"].all > found["paper"].all


@pytest.mark.parametrize("definition", [PAPER, Definition(include_centre=False), LITERAL])
def test_what_each_image_adds(clusters, definition):
    result = intra_cluster_lpips(clusters, definition, 3)
    expected = {
        "to_centre": [1, 0, 1, 1, 0, 1, 2, 1, 0, 1, 2],
        "pairwise": [1.5, 1, 1.5, 1.5, 1, 1.5, 10 / 4, 7 / 4, 6 / 4, 7 / 4, 10 / 4],
    }[definition.statistic]
    if not definition.include_centre:
        expected = [value or math.nan for value in expected]
    assert result.each.tolist() == pytest.approx(expected, nan_ok=True)


def test_at_most_max_members(clusters):
    def run(seed):
        generator = torch.Generator().manual_seed(seed)
        return intra_cluster_lpips(clusters, replace(LITERAL, max_members=2), 3, generator=generator)

    results = [run(seed) for seed in range(8)]
    assert all(
        r.all in [(a + b + c) / 3 for a in (1, 2) for b in (1, 2) for c in (1, 2, 3, 4)] for r in results
    )
    assert len({r.all for r in results}) > 1 and run(0).all == results[0].all


def test_does_not_depend_on_the_order():
    distances = squared_distances(normal(60, 5))
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    a = intra_cluster_lpips(distances, k=5)
    b = intra_cluster_lpips(distances[order][:, order], k=5)
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
        (torch.zeros(4, 4), {"definition": replace(LITERAL, max_members=2)}, "max_members=2 .*generator"),
        (torch.zeros(4, 4), {"definition": Definition("given")}, "N=4 images .*, got None"),
        (torch.zeros(4, 4), {"definition": Definition("given"), "to_given": torch.zeros(3, 4)}, r"\(3, 4\)"),
        (
            1 - torch.eye(4),
            {"k": 4, "definition": LITERAL},
            "two images: take fewer clusters than 4, or more",
        ),
        (
            1 - torch.eye(4),
            {"definition": replace(LITERAL, centres="given"), "to_given": 1 - torch.eye(4)},
            "two images: take more images",
        ),
    ],
)
def test_diversity_errors(distances, arguments, message):
    with pytest.raises(ValueError, match=message):
        intra_cluster_lpips(distances, **arguments)


@pytest.mark.parametrize("distinct", [1, 2, 4])
def test_total_collapse_has_no_diversity(distinct):
    """Fewer different images than clusters: every image is a medoid or equal to one."""
    places = torch.arange(20) % distinct
    distances = (places[:, None] != places[None]).double() * 0.5
    statistic = intra_cluster_lpips(distances, PAPER, 5)
    assert statistic.avg == statistic.all == 0
