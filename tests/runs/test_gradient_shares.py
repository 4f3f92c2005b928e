"""A term's share of the gradient is that of the gradient which the loop takes with it alone."""

import pytest
import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, build, override
from zsgan.adaptation.guide import make_guide, source_fisher
from zsgan.runs.gradient_shares import gradient_norms, gradient_shares

FULL = build(
    AdaptConfig,
    {
        "generator": "generator-dog", "source_text": "dog", "target_text": "cat", "clips": "toy",
        "templates": "{}", "terms": {"moment": 1, "ewc": 30, "relation": 5},
        "stage1": {"n_variations": 3, "iterations": 20}, "ewc": {"samples": 6},
        "moment": {"lambda_cov": 0.5, "scale": "sum", "distance": "frobenius"},
        "optimiser": {"iterations": 5},
    },
)  # fmt: skip


def adaptation_of(config, g_src, encoder):
    guides = [make_guide(encoder, config)]
    fisher = source_fisher(g_src, guides, config) if "ewc" in config.weights else None
    return Adaptation(config, g_src, guides, fisher)


@pytest.fixture
def moved(make_generator, toy_encoder):
    """An adaptation after three steps: the weights are no longer the source's."""
    adaptation = adaptation_of(FULL, make_generator(), toy_encoder)
    for i in range(3):
        adaptation.step(i)
    adaptation.optimiser.zero_grad()
    return adaptation


def test_the_norm_of_a_term_is_that_of_a_step_with_it_alone(make_generator, toy_encoder):
    g_src = make_generator()
    norms = gradient_norms(adaptation_of(FULL, g_src, toy_encoder), 0)
    assert set(norms) == {"first_moment", "covariance", "relation", "ewc"} and norms["ewc"] == 0
    for name, settings in (
        ("relation", {"terms": {"relation": 5}}),
        ("first_moment", {"terms": {"moment": 1}, "moment.lambda_cov": 0}),
    ):
        alone = adaptation_of(override(FULL, settings), g_src, toy_encoder).step(0)
        assert norms[name] == pytest.approx(alone["gradient_norm"], rel=1e-4), name


def test_the_parts_add_up_to_the_gradient_of_the_loss(moved):
    """Up to the triangle inequality, which bounds the norm of a sum from both sides."""
    norms = gradient_norms(moved, 3)
    loss, _ = moved.objective(moved.batch(3))
    total = torch.autograd.grad(loss, list(moved.params.values()), allow_unused=True)
    whole = torch.stack([g.norm() for g in total if g is not None]).norm().item()
    largest, together = max(norms.values()), sum(norms.values())
    assert min(norms.values()) > 0
    assert 2 * largest - together <= whole * (1 + 1e-5) and whole <= together * (1 + 1e-5)


def test_the_gradient_of_ewc_is_known(moved):
    """2 weight F (theta - theta_src)."""
    parts = [
        2 * FULL.weights["ewc"] * moved.fisher[name] * (p.detach() - moved.source_params[name])
        for name, p in moved.params.items()
    ]
    expected = torch.stack([part.norm() for part in parts]).norm().item()
    assert gradient_norms(moved, 3)["ewc"] == pytest.approx(expected, rel=1e-4)


def test_shares_are_relative_to_the_leading_part_and_nothing_changes(moved):
    before = {name: p.detach().clone() for name, p in moved.params.items()}
    norms, shares = gradient_norms(moved, 3), gradient_shares(moved, 3)
    assert max(shares.values()) == 1 and min(shares.values()) > 0
    ratio = norms["relation"] / norms["covariance"]
    assert shares["relation"] / shares["covariance"] == pytest.approx(ratio, rel=1e-5)
    assert all(p.grad is None and torch.equal(p, before[name]) for name, p in moved.params.items())
    assert gradient_shares(moved, 3) == shares
