"""Fisher information and its penalty, eq. (4), on models whose derivatives are known."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsgan.method.ewc import ewc_penalty, fisher_information

ESTIMATORS = ("empirical", "batch", "hutchinson", "gauss_newton")
ONE = torch.ones(1, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def close(fisher, expected, **tolerances):
    assert fisher.keys() == expected.keys()
    for name, value in fisher.items():
        assert value.dtype == torch.float32
        tolerances = tolerances or {"rtol": 1e-5, "atol": 1e-7}
        torch.testing.assert_close(value.double(), expected[name].detach().double(), **tolerances)


@pytest.fixture
def network():
    """A small network with unit-norm features: parameters, features(params, w), latents, text feature."""
    params = {
        "first": randn(5, 3, seed=1).requires_grad_(),
        "bias": randn(5, seed=2).requires_grad_(),
        "second": randn(4, 5, seed=3).requires_grad_(),
    }

    def features(p, w):
        return F.normalize(torch.tanh(w @ p["first"].T + p["bias"]) @ p["second"].T, dim=-1)

    return params, features, randn(10, 3, seed=4), F.normalize(randn(4, seed=5), dim=0)


def estimate(network, estimator, **options):
    params, features, ws, t_src = network
    return fisher_information(features, params, ws, t_src, estimator=estimator, generator=seeded(), **options)


def gradient_of_mean(network, ws):
    """Gradient of the mean similarity, by functional differentiation."""
    params, features, _, t_src = network
    return torch.func.grad(lambda p: (features(p, ws) @ t_src).mean())(params)


# Estimators against independent routes


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_empirical_is_the_mean_of_squared_per_sample_gradients(network, batch_size):
    params, features, ws, t_src = network
    gradients = [torch.autograd.grad(features(params, w) @ t_src, list(params.values())) for w in ws]
    expected = {
        name: torch.stack(g).square().mean(0)
        for name, g in zip(params, zip(*gradients, strict=True), strict=True)
    }
    close(estimate(network, "empirical", batch_size=batch_size), expected)


@pytest.mark.parametrize("batch_size", [1, 64, 512])
def test_noise_that_the_features_draw_is_new_for_every_sample(batch_size):
    # s = (1, ..., 1) . (noise * theta): a gradient is the noise itself, and F the mean of its square.
    params, random, ws = {"theta": randn(3, seed=1)}, seeded(2), torch.zeros(512, 1).double()

    def features(p, w):
        return torch.randn(len(w), 3, generator=random, dtype=torch.float64) * p["theta"] + 0 * w

    fisher = fisher_information(features, params, ws, torch.ones(3).double(), batch_size=batch_size)["theta"]
    # Were the noise of a batch the same, one of 512 would vary 23 times as much. 5 sigma.
    assert ((fisher - 1).abs() < 5 * math.sqrt(2 / 512)).all()
    if batch_size == 512:  # one batch draws what one call would
        expected = torch.randn(512, 3, generator=seeded(2), dtype=torch.float64).square().mean(0)
        torch.testing.assert_close(fisher.double(), expected, rtol=1e-5, atol=0)


def test_the_parameters_are_left_as_they_were(network):
    params, features, ws, t_src = network
    frozen = {name: p.detach() for name, p in params.items()}
    for estimator in ESTIMATORS:
        same = estimate((frozen, features, ws, t_src), estimator)  # none needs to require gradients
        close(same, {name: f.double() for name, f in estimate(network, estimator).items()})
    assert not any(p.requires_grad for p in frozen.values())
    assert all(p.requires_grad and p.grad is None for p in params.values())


def test_batch_by_hand(network):
    params, _, ws, _ = network
    batches = [gradient_of_mean(network, w) for w in (ws[:4], ws[4:8], ws[8:])]
    expected = {
        name: sum(len_ * g[name] ** 2 for len_, g in zip((4, 4, 2), batches, strict=True)) / 10
        for name in params
    }
    close(estimate(network, "batch", batch_size=4), expected)


def test_batches_of_one_are_empirical(network):
    close(estimate(network, "batch", batch_size=1), estimate(network, "empirical"))


def test_batch_is_too_small_by_the_batch_size_when_gradients_do_not_correlate():
    # s(w) = theta w with w = +-1 at random: a gradient squared is 1, the mean of n of them squared 1 / n.
    theta = {"theta": torch.zeros(1, dtype=torch.float64, requires_grad=True)}
    ws = randn(4096, 1).sign()
    fisher = fisher_information(lambda p, w: w * p["theta"], theta, ws, ONE, estimator="batch", batch_size=8)
    # Its standard deviation is about sqrt(2) times its mean; 512 batches, 5 sigma.
    assert fisher["theta"].item() == pytest.approx(1 / 8, rel=5 * math.sqrt(2 / 512))


def quadratic(curvature, ws):
    """Features whose similarity with (1,) is -theta^T A theta / 2 + w . theta: -H = A, for every w."""
    params = {"theta": randn(len(curvature), seed=8).requires_grad_()}

    def features(p, w):
        theta = p["theta"]
        return (w @ theta - theta @ curvature @ theta / 2)[:, None]

    return features, params, ws


def test_hutchinson_needs_one_probe_for_a_diagonal_hessian_and_clamps_it():
    features, params, ws = quadratic(torch.diag(torch.tensor([3.0, -2.0, 0.5]).double()), randn(5, 3))
    fisher = fisher_information(features, params, ws, ONE, estimator="hutchinson", generator=seeded())
    close(fisher, {"theta": torch.tensor([3.0, 0.0, 0.5])})
    # One scalar per layer: averaged first, clamped then.
    fisher = fisher_information(
        features, params, ws, ONE, estimator="hutchinson", granularity="layer", generator=seeded()
    )
    close(fisher, {"theta": torch.full((3,), 0.5)})


def test_hutchinson_is_unbiased_for_a_full_hessian():
    root = randn(4, 4, seed=6)
    curvature = root @ root.T
    features, params, ws = quadratic(curvature, randn(10, 4))
    fisher = fisher_information(
        features, params, ws, ONE, estimator="hutchinson", batch_size=1, n_probes=200, generator=seeded()
    )
    # One probe's variance is the sum of the squared off-diagonal elements of its row; 2000 probes, 5 sigma.
    deviation = (curvature - curvature.diag().diag()).square().sum(1).sqrt()
    difference = (fisher["theta"] - curvature.diag()).abs()
    assert (difference < 5 * deviation / math.sqrt(2000)).all()
    assert (difference > 0).any()


def test_hutchinson_of_a_network_with_a_parameter_that_is_not_used(network):
    params, features, ws, t_src = network
    flat = torch.cat([p.detach().flatten() for p in params.values()])

    def similarity(theta):
        parts = theta.split([p.numel() for p in params.values()])
        p = {name: part.view_as(params[name]) for name, part in zip(params, parts, strict=True)}
        return (features(p, ws) @ t_src).mean()

    hessian = torch.func.jacrev(torch.func.jacrev(similarity))(flat)
    fisher = fisher_information(
        features,
        params | {"unused": torch.ones(2, 2, requires_grad=True)},
        ws,
        t_src,
        estimator="hutchinson",
        batch_size=10,
        n_probes=1000,
        generator=seeded(),
    )
    assert torch.equal(fisher.pop("unused"), torch.zeros(2, 2))
    found = torch.cat([f.flatten() for f in fisher.values()])
    deviation = (hessian - hessian.diag().diag()).square().sum(1).sqrt()
    assert ((found - (-hessian.diag()).clamp(min=0)).abs() < 5 * deviation / math.sqrt(1000) + 1e-6).all()
    assert (hessian.diag() > 0).any() and (hessian.diag() < 0).any()


def test_gauss_newton_is_the_diagonal_of_the_jacobians_square(network):
    params, features, ws, _ = network
    jacobian = torch.func.vmap(torch.func.jacrev(features), in_dims=(None, 0))(params, ws)  # (M, D, ...)
    per_sample = {name: j.square().sum(1) for name, j in jacobian.items()}  # diagonals of J^T J
    fisher = estimate(network, "gauss_newton", batch_size=5, n_probes=1000)
    for name, expected in per_sample.items():
        # A squared Gaussian varies by sqrt(2) times its mean, the sum of a batch's; 1000 probes, 5 sigma.
        deviation = math.sqrt(2 / 1000) * torch.stack([b.sum(0) for b in expected.split(5)]).norm(dim=0) / 10
        assert ((fisher[name] - expected.mean(0)).abs() < 5 * deviation + 1e-7).all()


def test_gauss_newton_does_not_use_the_text(network):
    params, features, ws, t_src = network
    other = estimate((params, features, ws, -3 * t_src.flip(0)), "gauss_newton")
    close(other, estimate(network, "gauss_newton"))


def test_empirical_fisher_is_the_hessian_where_the_score_is_a_log_likelihood():
    # y = theta . x + noise of variance 1, samples of the model itself, score log p(y | x): both are E[x_i^2].
    theta, scale = {"theta": randn(3, seed=1).requires_grad_()}, torch.tensor([0.5, 1.0, 2.0]).double()
    x = scale * randn(2000, 3, seed=2)
    y = x @ theta["theta"].detach() + randn(2000, seed=3)

    def features(p, xy):
        return -0.5 * (xy[:, 3:] - xy[:, :3] @ p["theta"][:, None]).square()

    xy = torch.cat([x, y[:, None]], dim=1)
    empirical = fisher_information(features, theta, xy, ONE)
    literal = fisher_information(
        features, theta, xy, ONE, estimator="hutchinson", batch_size=1, generator=seeded()
    )
    # Relative standard deviations of one sample: (e x_i)^2 has sqrt(8); -H_ii = x_i^2 has sqrt(2), and its
    # probe adds x_i x_j of the other coordinates. 2000 samples, 5 sigma.
    expected, others = scale.square(), scale.square().sum() - scale.square()
    assert ((empirical["theta"] - expected).abs() < 5 * math.sqrt(8 / 2000) * expected).all()
    deviation = (2 * expected.square() + expected * others).sqrt()
    assert ((literal["theta"] - expected).abs() < 5 * deviation / math.sqrt(2000)).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_attention(estimator):
    # Fused attention kernels have no double backward, and take the gradients of a batch one by one.
    params = {"query": randn(1, 2, 5, 8, seed=1).requires_grad_()}
    assert F.scaled_dot_product_attention(*[params["query"]] * 3).requires_grad

    def features(p, w):
        q = p["query"]
        return F.scaled_dot_product_attention(q, q, q).sin().sum((1, 2)) * w

    fisher = fisher_information(
        features, params, randn(2, 1), randn(8), estimator=estimator, n_probes=3, generator=seeded()
    )
    assert fisher["query"].isfinite().all() and fisher["query"].max() > 0


# What holds for every estimator


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_shapes_and_sign(network, estimator):
    params, *_ = network
    fisher = estimate(network, estimator)
    assert list(fisher) == list(params)
    for name, value in fisher.items():
        assert value.shape == params[name].shape and value.dtype == torch.float32
        assert not value.requires_grad and params[name].grad is None
        assert (value >= 0).all() and value.max() > 0


@pytest.mark.parametrize("estimator", ["empirical", "batch", "gauss_newton"])
def test_layer_granularity_is_the_mean_over_each_tensor(network, estimator):
    expected = {n: f.mean().expand_as(f).double() for n, f in estimate(network, estimator).items()}
    close(estimate(network, estimator, granularity="layer"), expected)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_same_seed_same_bits(network, estimator):
    first, again = estimate(network, estimator), estimate(network, estimator)
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_works_where_gradients_are_off(network, estimator):
    with torch.no_grad():
        without = estimate(network, estimator)
    close(without, {name: value.double() for name, value in estimate(network, estimator).items()})


@pytest.mark.parametrize("estimator", ["empirical", "batch"])
def test_a_hundred_times_the_score_is_ten_thousand_times_the_fisher(network, estimator):
    params, features, ws, t_src = network
    expected = {n: 1e4 * f.double() for n, f in estimate(network, estimator).items()}
    close(estimate((params, features, ws, 100 * t_src), estimator), expected, rtol=1e-5, atol=1e-3)


def test_bad_options(network):
    params, features, ws, t_src = network
    for estimator in ("hutchinson", "gauss_newton"):
        with pytest.raises(ValueError, match=f"generator must be .* '{estimator}', got None"):
            fisher_information(features, params, ws, t_src, estimator=estimator)
    for options, message in (
        ({"estimator": "exact"}, "estimator must be one of .* got 'exact'"),
        ({"granularity": "model"}, "granularity must be one of .* got 'model'"),
        ({"batch_size": 0}, "at least 1, got 10 latents, batch_size=0"),
        ({"n_probes": 0}, "n_probes=0"),
        ({"ws": ws[:0]}, "got 0 latents"),
        ({"params": {}}, "params must name at least one"),
        *(
            ({"features": lambda p, w: w, "estimator": estimator}, "features must depend on params")
            for estimator in ESTIMATORS
        ),
    ):
        arguments = {"features": features, "params": params, "ws": ws, "t_src": t_src, "generator": seeded()}
        with pytest.raises(ValueError, match=message):
            fisher_information(**arguments | options)


# Penalty


def test_penalty_by_hand():
    params = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    source = {"a": torch.tensor([0.0, 4.0]), "b": torch.tensor([[2.5]])}
    fisher = {"a": torch.tensor([10.0, 0.1]), "b": torch.tensor([[2.0]])}
    penalty = ewc_penalty(params, source, fisher)
    assert penalty.shape == ()
    assert penalty.item() == pytest.approx(10 * 1 + 0.1 * 4 + 2 * 0.25)
    assert ewc_penalty(source, source, fisher).item() == 0


def test_gradient_of_the_penalty(network):
    params, *_ = network
    fisher = {name: randn(*p.shape, seed=6).square() for name, p in params.items()}
    source = {name: randn(*p.shape, seed=7) for name, p in params.items()}
    ewc_penalty(params, source, fisher).backward()
    for name, p in params.items():
        torch.testing.assert_close(p.grad, 2 * fisher[name] * (p.detach() - source[name]))


def test_order_of_the_names_does_not_matter():
    params = {name: randn(3, seed=i) for i, name in enumerate("abc")}
    source = {name: randn(3, seed=9) for name in "cab"}
    fisher = {name: randn(3, seed=i).square() for i, name in enumerate("bca")}
    expected = sum((fisher[n] * (params[n] - source[n]) ** 2).sum() for n in "abc")
    torch.testing.assert_close(ewc_penalty(params, source, fisher), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, s, f: s.pop("b"), "params and source_params .* 'b' is only in params"),
        (lambda p, s, f: p.pop("a"), "params and source_params .* 'a' is only in source_params"),
        (lambda p, s, f: f.update(c=torch.ones(1)), "params and fisher .* 'c' is only in fisher"),
        (lambda p, s, f: f.update(b=torch.ones(())), r"fisher\['b'\] .* shape \(2,\), got \(\)"),
        (lambda p, s, f: s.update(a=torch.ones(1, 2)), r"source_params\['a'\] .* shape \(2,\), got \(1, 2\)"),
        (lambda p, s, f: [x.clear() for x in (p, s, f)], "params must name at least one"),
    ],
)
def test_mismatched_parameters(change, message):
    params, source, fisher = ({"a": torch.ones(2), "b": torch.ones(2)} for _ in range(3))
    change(params, source, fisher)
    with pytest.raises(ValueError, match=message):
        ewc_penalty(params, source, fisher)
