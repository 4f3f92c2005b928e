import math

import lpips
import numpy as np
import pytest
import scipy.linalg
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.factor_report import chance, error, kept, report, spread
from zsgan.menagerie.factors import CATEGORIES, CONTINUOUS, SPECIES
from zsgan.metrics import (
    Lpips,
    extract,
    extract_all,
    frechet_distance,
    lpips_matrix,
    precision_recall,
    sse,
    target_rate,
    variance,
)
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.lpips import _ROWS as ROWS


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


def of_package(module):
    """The same distance as a module of the lpips package."""
    weights = [head.model[-1].weight.flatten() for head in module.lins]
    return Lpips(lambda images: module.net(module.scaling_layer(images)), weights)


def pictures(n, side=64, seed=0):
    return normal(n, 3, side, side, seed=seed).clamp(-1, 1)


def pixels(images):
    """A network of two layers without weights: pixels, and means of 2 x 2 pixels."""
    return [images + 2, torch.nn.functional.avg_pool2d(images, 2) + 2]


def test_lpips_equals_the_package_on_every_pair(package):
    images = pictures(5)
    matrix = of_package(package).distances(images, batch_size=2)
    for i in range(5):
        for j in range(5):
            assert matrix[i, j].item() == pytest.approx(
                package(images[i, None], images[j, None]).item(), abs=1e-12
            )


def test_lpips_of_float32_features_is_accurate(package):
    images = pictures(4)
    exact = of_package(package).distances(images)
    single = of_package(package.float()).distances(images.float())
    package.double()
    assert (single - exact).abs().max() < 1e-6 * exact.max()


def test_lpips_without_heads_is_the_mean_over_layers():
    a, b = pictures(2)
    expected = 0.0
    for x, y in zip(pixels(a[None]), pixels(b[None]), strict=True):
        x, y = (v / v.norm(dim=1, keepdim=True) for v in (x, y))
        expected += (x - y).square().sum(1).mean().item() / 2
    assert Lpips(pixels).distances(torch.stack([a, b]))[0, 1].item() == pytest.approx(expected, rel=1e-9)


def test_all_pairs_of_many_are_those_of_two_sets():
    """Of more vectors than a block of the symmetric product holds."""
    many = torch.rand(2 * ROWS + 3, 7, generator=torch.Generator().manual_seed(3))
    found, expected = lpips_matrix(many), lpips_matrix(many, many)
    assert torch.equal(found, found.T) and not found.diagonal().any()
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


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


def test_copies_have_no_lpips_distance_and_one_level_of_a_pixel_has():
    images = pictures(9, 64).float().repeat(7, 1, 1, 1)
    images = torch.cat([images, images[:1], images[:1]])  # 64 and a rest of one
    images[64, 0, 5, 5] += 1 / 127.5
    metric = Lpips.through(load_evaluator())
    matrix = metric.distances(images)
    places = torch.arange(64) % 9
    places[63] = 0
    assert torch.equal(matrix[:64, :64] == 0, places[:, None] == places)
    assert (matrix[64, :64] > 0).all()
    assert torch.equal(metric.distances(images, images[:9])[:64] == 0, places[:, None] == torch.arange(9))


@pytest.mark.parametrize("memory", [1, 5e4, 1e5])
def test_lpips_says_how_much_is_done(memory):
    images, others, shares = pictures(9, 16), pictures(4, 16, seed=1), []
    Lpips(pixels).distances(images, memory=memory, batch_size=2, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and len(shares) > 4
    shares.clear()
    Lpips(pixels).distances(images, others, memory=memory, batch_size=2, progress=shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)


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


def test_one_image_has_one_feature_whatever_the_rest_of_a_batch():
    image, eyes = pictures(1, 64).float(), load_evaluator()
    features = extract(eyes.embed, image.expand(17, -1, -1, -1), batch_size=4)
    assert torch.equal(features, features[:1].expand(17, -1))


# Factors of the demo


def prediction(species, furs, continuous):
    n = len(species)
    logits = {kind: torch.zeros(n, len(names)) for kind, names in CATEGORIES.items()}
    logits["species"][range(n), [SPECIES.index(name) for name in species]] = 1
    logits["fur"][range(n), furs] = 1
    return Prediction(logits, continuous)


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


def read(species, furs, continuous):
    """A prediction with all columns of the continuous factors equal to one."""
    column = torch.tensor(continuous, dtype=torch.float32)[:, None]
    return prediction(species, furs, column.expand(-1, len(CONTINUOUS)).clone())


def test_error_is_that_of_each_latents_own_answer():
    ideal = read(["cat"] * 4, [0, 1, 2, 3], [0.0, 1, 2, 3])
    found = error(ideal, read(["cat", "cat", "dog", "cat"], [0, 1, 3, 2], [0.0, 1, 2, 5]))
    assert set(found) == {*CATEGORIES, *CONTINUOUS}
    assert found["species"] == 0.25 and found["fur"] == 0.5 and found["style"] == 0
    assert found["yaw"] == pytest.approx(1.0)  # sqrt(2^2 / 4)
    assert set(error(ideal, ideal).values()) == {0.0}
    with pytest.raises(ValueError, match="its ideal answer, got 1 and 4"):
        error(ideal, read(["cat"], [0], [0.0]))


def test_chance_is_the_error_over_all_pairings():
    random = torch.Generator().manual_seed(0)
    sets = []
    for _ in range(2):
        species = [SPECIES[i] for i in torch.randint(3, (5,), generator=random)]
        furs = torch.randint(4, (5,), generator=random).tolist()
        sets.append((species, furs, torch.randn(5, generator=random).tolist()))
    a, b = sets
    found = chance(read(*a), read(*b))
    pairs = [(i, j) for i in range(5) for j in range(5)]
    assert found["species"] == pytest.approx(np.mean([a[0][i] != b[0][j] for i, j in pairs]))
    assert found["fur"] == pytest.approx(np.mean([a[1][i] != b[1][j] for i, j in pairs]))
    squares = np.mean([(a[2][i] - b[2][j]) ** 2 for i, j in pairs])
    assert found["head_width"] == pytest.approx(math.sqrt(squares), rel=1e-5)


def test_a_report_tells_collapse_from_confusion():
    """Half of the spread is left in the first set; the second has all of it, at the wrong latents."""
    truth = ideal = read(["cat"] * 4, [0, 1, 2, 3], [-3.0, -1, 1, 3])
    halved = report(read(["cat"] * 4, [0, 0, 1, 1], [-1.5, -0.5, 0.5, 1.5]), ideal, truth)
    assert halved.loc["yaw", "kept"] == pytest.approx(0.5) and halved.loc["fur", "kept"] == 0.5
    assert halved.loc["yaw", "error"] < halved.loc["yaw", "chance"]
    mixed = report(read(["cat"] * 4, [1, 0, 3, 2], [3.0, 1, -1, -3]), ideal, truth)
    assert mixed.loc["yaw", "kept"] == pytest.approx(1) and mixed.loc["fur", "kept"] == 1
    assert mixed.loc["yaw", "error"] > mixed.loc["yaw", "chance"] and mixed.loc["fur", "error"] == 1
    assert list(mixed.columns) == ["kept", "error", "chance"] and mixed.index.name == "factor"
