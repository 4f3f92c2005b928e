import copy
from dataclasses import replace
from typing import get_args

import pytest
import torch

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, Trained, build, override
from zsgan.adaptation.guide import make_guide, source_features, source_fisher, trained_parameters
from zsgan.adaptation.objective import Objective
from zsgan.adaptation.terms import needs
from zsgan.base.streams import stream

FULL = build(
    AdaptConfig,
    {
        "generator": "generator-dog",
        "source_text": "dog",
        "target_text": "cat",
        "clips": "toy",
        "templates": "{}",
        "terms": {"moment": 1, "ewc": 30, "relation": 5},
        "stage1": {"n_variations": 3, "iterations": 20},
        "moment": {"lambda_cov": 0.5, "scale": "sum", "distance": "frobenius"},
        "ewc": {"samples": 6},
        "optimiser": {"iterations": 30},
    },
)
DIRECTIONAL = override(FULL, {"terms": {"directional": 1}})


def adaptation_of(config, g_src, *encoders):
    guides = [make_guide(encoder, config) for encoder in encoders]
    fisher = source_fisher(g_src, guides, config) if needs(config, "ewc") else None
    return Adaptation(config, g_src, guides, fisher)


def parameters(generator):
    return {name: tensor.clone() for name, tensor in generator.state_dict().items()}


# What is trained


def test_trained_parameters(make_generator):
    generator = make_generator()
    layers = ["4.conv1", "8.conv0", "8.conv1", "16.conv0", "16.conv1"]
    parts = ["weight", "bias", "noise_strength", "affine.weight", "affine.bias"]
    expected = {"synthesis.const"} | {f"synthesis.blocks.{x}.{part}" for x in layers for part in parts}
    assert set(trained_parameters(generator)) == expected
    colour = {
        f"synthesis.blocks.{r}.torgb.{part}"
        for r in (4, 8, 16)
        for part in ("weight", "bias", "affine.weight", "affine.bias")
    }
    assert set(trained_parameters(generator, "convolutions_and_torgb")) == expected | colour
    affine = {f"synthesis.blocks.{x}.affine.{part}" for x in layers for part in ("weight", "bias")}
    assert set(trained_parameters(generator, "affine")) == affine
    assert set(trained_parameters(generator, "convolutions_without_affine")) == expected - affine


@pytest.mark.parametrize("trained", get_args(Trained))
@pytest.mark.parametrize("base", [FULL, DIRECTIONAL], ids=["full", "directional"])
def test_only_the_trained_parameters_change_and_all_of_them_do(make_generator, toy_encoder, base, trained):
    g_src = make_generator()
    before = parameters(g_src)
    adaptation = adaptation_of(override(base, {"trained": trained}), g_src, toy_encoder)
    for i in range(3):
        adaptation.step(i)
    chosen = set(trained_parameters(g_src, trained))
    for name, after in adaptation.g_trg.state_dict().items():
        assert torch.equal(after, before[name]) == (name not in chosen), name
    assert all(torch.equal(after, before[name]) for name, after in g_src.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in g_src.parameters())  # as it was handed in


# The loss


def features_of(config, adaptation, encoder, step):
    """Features of a step's images by the weights as they are, every draw from its own stream."""
    z = torch.randn(config.optimiser.batch_size, 16, generator=stream(config.seed, "latents", step))
    with torch.no_grad():
        ws = adaptation.g_src.mapping(z)
        source = adaptation.g_src.synthesis(ws, "random", stream(config.seed, "source noise", step))
        target = adaptation.g_trg.synthesis(ws, "random", stream(config.seed, "target noise", step))
        return [encoder.encode_images(image) for image in (source, target)]


def cosine(a, b):
    return (a @ b) / (a.norm() * b.norm())


def test_the_loss_is_that_of_the_equations(make_generator, toy_encoder):
    g_src, encoder = make_generator().double(), toy_encoder.double()
    adaptation = adaptation_of(FULL, g_src, encoder)
    for i in range(4):
        adaptation.step(i)
    source, target = features_of(FULL, adaptation, encoder, 4)
    now = {name: p.detach().clone() for name, p in adaptation.params.items()}
    row = adaptation.step(4)

    guide = adaptation.guides[0]
    directions = target - source
    texts = torch.stack([guide.t_trg, *guide.variations.v]) - guide.t_src
    first = 1 - cosine(directions.mean(0), texts.mean(0))
    second = sum(((directions.T @ directions - texts.T @ texts) ** 2).flatten()).sqrt()
    rows = [(f @ f.T).exp() / (f @ f.T).exp().sum(1, keepdim=True) for f in (source, target)]
    relation = (rows[0] * (rows[0] / rows[1]).log()).sum() / 4
    ewc = sum((adaptation.fisher[n] * (p - g_src.state_dict()[n]) ** 2).sum() for n, p in now.items())
    expected = {"first_moment": first, "covariance": second, "relation": relation, "ewc": ewc}
    for name, value in expected.items():
        assert row[name] == pytest.approx(value.item(), rel=1e-6), name
        assert row[name] > 0
    assert row["loss"] == pytest.approx((first + 0.5 * second + 5 * relation + 30 * ewc).item(), rel=1e-6)
    assert set(row) == {*expected, "loss", "gradient_norm"}


def test_the_directional_loss_is_that_of_eq_1(make_generator, toy_encoder):
    g_src, encoder = make_generator().double(), toy_encoder.double()
    adaptation = adaptation_of(DIRECTIONAL, g_src, encoder)
    adaptation.step(0)
    source, target = features_of(DIRECTIONAL, adaptation, encoder, 1)
    t_src, t_trg = encoder.encode_texts(["dog", "cat"])
    expected = sum(1 - cosine(d, t_trg - t_src) for d in target - source) / 4
    row = adaptation.step(1)
    assert row["loss"] == row["directional"] == pytest.approx(expected.item(), rel=1e-6)
    assert set(row) == {"directional", "loss", "gradient_norm"}


def test_the_gradient_norm_is_that_of_the_loss(make_generator, toy_encoder):
    """To first order, a step of plain gradient descent lowers the loss by lr times its square."""
    g_src, encoder = make_generator().double(), toy_encoder.double()
    adaptation = adaptation_of(DIRECTIONAL, g_src, encoder)
    adaptation.optimiser = torch.optim.SGD(adaptation.params.values(), lr=1e-7)
    before = adaptation.step(0)
    after = adaptation.step(0)
    expected = 1e-7 * before["gradient_norm"] ** 2
    assert before["loss"] - after["loss"] == pytest.approx(expected, rel=1e-3)


def test_several_guides_are_averaged(make_generator, make_encoder):
    encoders = make_encoder(seed=0), make_encoder(seed=1, dim=9)
    config = override(FULL, {"terms.ewc": 0})
    alone = [adaptation_of(config, make_generator(), encoder).step(0) for encoder in encoders]
    both = override(config, {"clips": ["toy", "other toy"]})
    together = adaptation_of(both, make_generator(), *encoders).step(0)
    for name in ("loss", "first_moment", "covariance", "relation"):
        mean = (alone[0][name] + alone[1][name]) / 2
        assert together[name] == pytest.approx(mean, rel=1e-5), name


def test_the_order_of_a_batch_does_not_matter(make_generator, toy_encoder):
    adaptation = adaptation_of(FULL, make_generator().double(), toy_encoder.double())
    adaptation.step(0)
    batch = adaptation.batch(1)
    order = torch.tensor([2, 0, 3, 1])
    seen = [replace(seen, f_src=seen.f_src[order], f_trg=seen.f_trg[order]) for seen in batch.seen]
    loss, permuted = (Objective(FULL)(b)[0].item() for b in (batch, replace(batch, seen=seen)))
    assert loss == pytest.approx(permuted, rel=1e-12)


def test_the_order_in_which_a_row_names_its_terms_does_not_matter(make_generator, toy_encoder):
    swapped = override(FULL, {"terms": {"relation": 5, "ewc": 30, "moment": 1, "directional": 0}})
    rows = [adaptation_of(config, make_generator(), toy_encoder).step(0) for config in (FULL, swapped)]
    assert rows[0] == rows[1]


# Optimisation


def test_the_directional_loss_decreases(make_generator, toy_encoder):
    adaptation = adaptation_of(DIRECTIONAL, make_generator(), toy_encoder)
    losses = [adaptation.step(i)["directional"] for i in range(30)]
    assert sum(losses[-5:]) / 5 < 0.7 * sum(losses[:3]) / 3


def test_a_large_lambda_ewc_keeps_the_parameters_that_matter(make_generator, toy_encoder):
    def drift(lambda_ewc):
        """Squared drift weighted by Fisher information, and without it, after 25 steps."""
        g_src = make_generator()
        adaptation = adaptation_of(override(FULL, {"terms.ewc": lambda_ewc}), g_src, toy_encoder)
        for i in range(25):
            adaptation.step(i)
        moved = {n: (p - adaptation.source_params[n]).square() for n, p in adaptation.params.items()}
        weighted = sum((adaptation.fisher[n] * m).sum() for n, m in moved.items())
        return weighted.item(), sum(m.sum() for m in moved.values()).item()

    free, held = drift(1e-9), drift(1e9)
    assert held[0] < 0.05 * free[0] and held[1] < 0.5 * free[1]


def test_same_seed_same_bits(make_generator, toy_encoder):
    def adapted(seed):
        adaptation = adaptation_of(override(FULL, {"seed": seed}), make_generator(), toy_encoder)
        rows = [adaptation.step(i) for i in range(3)]
        return rows, adaptation.g_trg.state_dict()

    (rows, first), (again_rows, again), (other_rows, other) = adapted(0), adapted(0), adapted(1)
    assert rows == again_rows and all(torch.equal(first[name], again[name]) for name in first)
    assert other_rows[0] != rows[0]
    assert not torch.equal(first["synthesis.const"], other["synthesis.const"])


def test_the_state_carries_everything_over(make_generator, toy_encoder):
    whole = adaptation_of(FULL, make_generator(), toy_encoder)
    rows = [whole.step(i) for i in range(5)]
    first = adaptation_of(FULL, make_generator(), toy_encoder)
    for i in range(2):
        first.step(i)
    saved = {
        name: part.get_state() if isinstance(part, torch.Generator) else copy.deepcopy(part.state_dict())
        for name, part in first.state.items()
    }
    second = adaptation_of(FULL, make_generator(), toy_encoder)
    for name, part in second.state.items():
        (part.set_state if isinstance(part, torch.Generator) else part.load_state_dict)(saved[name])
    assert [second.step(i) for i in range(2, 5)] == rows[2:]
    finished = second.g_trg.state_dict()
    assert all(torch.equal(t, finished[name]) for name, t in whole.g_trg.state_dict().items())


def test_a_gradient_that_is_not_finite_stops_before_the_step(make_generator, toy_encoder):
    adaptation = adaptation_of(DIRECTIONAL, make_generator(), toy_encoder)
    broken = toy_encoder.encode_images
    toy_encoder.encode_images = lambda *args, **kwargs: broken(*args, **kwargs) * torch.nan
    before = parameters(adaptation.g_trg)
    with pytest.raises(FloatingPointError, match="the gradient is not finite .*lower optimiser.lr=0.002"):
        adaptation.step(0)
    after = adaptation.g_trg.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_elastic_weight_consolidation_needs_fisher_information(make_generator, toy_encoder):
    with pytest.raises(ValueError, match="fisher is needed for the term 'ewc'"):
        Adaptation(FULL, make_generator(), [make_guide(toy_encoder, FULL)])


def test_a_step_is_the_same_whatever_was_drawn_before(make_generator, toy_encoder):
    """Source images depend on their own stream: layer selection shifts nothing, nor does a step left out."""
    plain = adaptation_of(DIRECTIONAL, make_generator(), toy_encoder)
    chosen = override(DIRECTIONAL, {"selection": {"k": 2, "batch_size": 3}})
    selecting = adaptation_of(chosen, make_generator(), toy_encoder)
    assert torch.equal(plain.f_src[0], selecting.f_src[0])
    late = plain.batch(7).seen[0].f_trg
    plain.batch(2)
    selecting._select_layers(3)
    assert torch.equal(plain.batch(7).seen[0].f_trg, late)
    assert torch.equal(selecting.batch(7).seen[0].f_trg.detach(), late.detach())


def test_source_features_are_those_of_the_step(make_generator, toy_encoder):
    g_src = make_generator()
    features = source_features(g_src, [toy_encoder], FULL)
    adaptation = adaptation_of(FULL, g_src, toy_encoder)
    assert len(features) == 1 and features[0].shape == (30, 4, 12)
    for step in (0, 11):
        assert torch.equal(features[0][step], features_of(FULL, adaptation, toy_encoder, step)[0])


def test_shared_noise_makes_the_first_images_alike(make_generator, toy_encoder):
    for shared in (False, True):
        adaptation = adaptation_of(
            override(DIRECTIONAL, {"shared_noise": shared}), make_generator(), toy_encoder
        )
        seen = adaptation.batch(0).seen[0]
        assert torch.allclose(seen.f_src, seen.f_trg, atol=1e-6) == shared


# Layer selection and the moving average


def test_layer_selection_trains_k_layers_a_step(make_generator, toy_encoder):
    config = override(DIRECTIONAL, {"selection": {"k": 2, "batch_size": 3}})
    adaptation = adaptation_of(config, make_generator(), toy_encoder)
    before = parameters(adaptation.g_trg)
    adaptation.step(0)
    after = adaptation.g_trg.state_dict()
    changed = {
        name.rsplit(".", 1)[0].removesuffix(".affine")
        for name in before
        if not torch.equal(before[name], after[name])
    }
    assert len(changed) == 2 and all(".conv" in name for name in changed)
    published = adaptation_of(
        override(config, {"selection.layer_map": "as_published"}), make_generator(), toy_encoder
    )
    published.step(0)
    assert any(not torch.equal(after[n], p) for n, p in published.g_trg.state_dict().items())


def test_the_moving_average_is_the_result(make_generator, toy_encoder):
    adaptation = adaptation_of(override(DIRECTIONAL, {"optimiser.ema": 0.75}), make_generator(), toy_encoder)
    plain = adaptation_of(DIRECTIONAL, make_generator(), toy_encoder)
    name = "synthesis.blocks.8.conv1.weight"
    average = make_generator().state_dict()[name].clone()
    for i in range(3):
        adaptation.step(i)
        plain.step(i)
        average = 0.75 * average + 0.25 * plain.g_trg.state_dict()[name]
    assert torch.allclose(adaptation.result.state_dict()[name], average, atol=1e-7)
    assert not torch.equal(adaptation.result.state_dict()[name], adaptation.g_trg.state_dict()[name])
    assert plain.result is plain.g_trg and "g_ema" in adaptation.state and "g_ema" not in plain.state


# Guides


def test_the_directional_guide_follows_the_text_direction(toy_encoder):
    guide = make_guide(toy_encoder, DIRECTIONAL)
    t_src, t_trg = toy_encoder.encode_texts(["dog", "cat"])
    assert guide.variations is None
    assert torch.equal(guide.text_set, (t_trg - t_src)[None])


def test_the_moment_guide_has_the_variations_of_stage_1(toy_encoder):
    guide = make_guide(toy_encoder, FULL)
    t_src, t_trg = toy_encoder.encode_texts(["dog", "cat"])
    assert guide.text_set.shape == (4, 12) and len(guide.variations.l_cons) == 21
    assert torch.equal(guide.text_set, torch.cat([t_trg[None], guide.variations.v]) - t_src)
    assert torch.allclose((guide.variations.v - t_trg).norm(dim=1), torch.ones(3))  # epsilon = |t_trg| = 1
    assert not torch.equal(guide.text_set, make_guide(toy_encoder, override(FULL, {"seed": 1})).text_set)
    short = make_guide(toy_encoder, override(FULL, {"stage1.epsilon": 0.25}))
    assert torch.allclose((short.variations.v - t_trg).norm(dim=1), torch.full((3,), 0.25))


def test_stage_1_can_start_at_its_optimum(toy_encoder):
    guide = make_guide(toy_encoder, override(FULL, {"stage1.start": "closed_form"}))  # epsilon = 1
    z = guide.variations.z
    assert torch.allclose(z @ z.T, torch.eye(3), atol=1e-5)
    assert torch.allclose(z @ guide.t_trg, torch.full((3,), 3**-0.5), atol=1e-5)
    assert torch.allclose(guide.variations.v, guide.t_trg + z, atol=1e-6)
    assert len(guide.variations.l_cons) == 1  # no iterations


def test_stage_1_has_a_seed_of_its_own(toy_encoder):
    seeded = make_guide(toy_encoder, override(FULL, {"stage1.seed": 0}))
    assert torch.equal(seeded.text_set, make_guide(toy_encoder, override(FULL, {"seed": 0})).text_set)
    other = make_guide(toy_encoder, override(FULL, {"stage1.seed": 0, "seed": 1}))
    assert torch.equal(seeded.text_set, other.text_set)


def test_variations_can_be_those_of_captions(toy_encoder, make_generator):
    attributes = ["white {}", "old {}", "{} here"]
    config = override(FULL, {"stage1": {"start": "captions", "attributes": attributes, "epsilon": 0.5}})
    z = make_guide(toy_encoder, config, g_src=make_generator()).variations.z
    t_trg, *said = toy_encoder.encode_texts(["cat", "white cat", "old cat", "cat here"])
    assert torch.allclose(z @ t_trg, torch.zeros(3), atol=1e-5)
    assert ((z * (torch.stack(said) - t_trg)).sum(1) > 0.1).all()  # each leads to its caption
    with pytest.raises(ValueError, match="g_src is needed for stage1.start='captions'"):
        make_guide(toy_encoder, config)


def test_variations_can_be_brought_back_to_the_length_of_the_target(toy_encoder):
    guide = make_guide(toy_encoder, override(FULL, {"stage1.renormalise": True}))
    assert torch.allclose((guide.text_set + guide.t_src).norm(dim=1), torch.ones(4), atol=1e-6)
    longer = guide.variations.v.norm(dim=1)
    assert (longer > 1.01).all()


@pytest.mark.parametrize("config", [FULL, DIRECTIONAL], ids=["full", "directional"])
def test_texts_that_are_the_same_give_no_direction(toy_encoder, config):
    toy_encoder.encode_texts = lambda texts, *_, **__: torch.ones(len(texts), 12)
    with pytest.raises(ValueError, match="source_text='dog' and target_text='cat' are the same to toy"):
        make_guide(toy_encoder, config)


# Fisher information


def test_fisher_information_belongs_to_the_source(make_generator, toy_encoder):
    g_src = make_generator()

    def fisher(settings=()):
        config = override(FULL, dict(settings))
        return source_fisher(g_src, [make_guide(toy_encoder, config)], config)

    one = fisher()
    assert set(one) == set(trained_parameters(g_src))
    assert all((f >= 0).all() and f.any() and f.shape == g_src.state_dict()[n].shape for n, f in one.items())
    for settings in ({"seed": 5}, {"target_text": "fox"}, {"terms": {"ewc": 1}}, {"optimiser.lr": 1}):
        assert all(torch.equal(f, one[name]) for name, f in fisher(settings).items()), settings
    for settings in ({"source_text": "fox"}, {"ewc.samples": 7}, {"ewc.estimator": "batch"}):
        assert not torch.equal(fisher(settings)["synthesis.const"], one["synthesis.const"]), settings
    assert set(fisher({"trained": "convolutions_and_torgb"})) > set(one)
    assert all(p.requires_grad and p.grad is None for p in g_src.parameters())  # as it was handed in


def test_fisher_information_is_the_mean_squared_gradient_of_the_cosine(make_generator, toy_encoder):
    g_src = make_generator(noise=0.0).double()  # no noise: its random stream is another matter
    encoder = toy_encoder.double()
    guide = make_guide(encoder, FULL)
    fisher = source_fisher(g_src, [guide], FULL)
    ws = g_src.mapping(torch.randn(6, 16, generator=stream(0, "fisher latents"))).detach()
    bias = g_src.synthesis.blocks["8"].conv1.bias.requires_grad_()
    squares = []
    for w in ws:
        similarity = encoder.encode_images(g_src.synthesis(w[None], "none"))[0] @ guide.t_src
        squares.append(torch.autograd.grad(similarity, bias)[0] ** 2)
    expected = torch.stack(squares).mean(0).float()
    assert torch.allclose(fisher["synthesis.blocks.8.conv1.bias"], expected.to(torch.float64), rtol=1e-5)


def test_fisher_information_of_several_guides_is_averaged(make_generator, make_encoder):
    g_src = make_generator(noise=0.0)
    guides = [make_guide(make_encoder(seed=seed), FULL) for seed in (0, 1)]
    alone = [source_fisher(g_src, [guide], FULL) for guide in guides]
    together = source_fisher(g_src, guides, FULL)
    for name in together:
        if not name.endswith("noise_strength"):  # whose gradient depends on the noise that was drawn
            mean = (alone[0][name] + alone[1][name]) / 2
            assert torch.allclose(together[name], mean, rtol=1e-4, atol=1e-12), name


def test_a_guide_is_compared_by_identity(toy_encoder):
    """Tensors have no truth value: two guides must not be compared field by field."""
    guide = make_guide(toy_encoder, FULL)
    assert guide == guide and guide != replace(guide) and isinstance(guide, Guide)
