"""No switch is dead: every setting changes the adaptation, and changes it as a second implementation says.

The reference below is written from the equations, one number after the other. It shares with the library only
the networks, the streams of random numbers, crops, and Fisher estimators, which tests/test_crops.py and
tests/test_ewc.py hold to theirs.
"""

import itertools
import re
from functools import partial
from typing import get_args

import pytest
import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, Trained, build, override
from zsgan.adaptation.guide import make_guide, source_fisher
from zsgan.adaptation.terms import needs
from zsgan.base.settings import names_of
from zsgan.base.streams import stream
from zsgan.method.ewc import fisher_information
from zsgan.rivals.crops import random_crops

STEPS = 3
BASE = build(
    AdaptConfig,
    {
        "generator": "0", "source_text": "dog", "target_text": "cat", "clips": "0", "templates": "a {}",
        "terms": {
            "directional": 0.5, "moment": 1, "relation": 2, "in_domain_angle": 3, "ewc": 20, "spectral": 2e3,
            "local": 1.5,
        },
        "stage1": {"n_variations": 3, "iterations": 4, "lr": 0.05, "epsilon": 0.7},
        "features": {"direction_floor": 0.4},
        "moment": {"lambda_cov": 0.5, "scale": "sum", "distance": "frobenius"},
        "ewc": {"samples": 3},
        "spectral": {"probes": 2},
        "local": {"parts": ["ears of a {}", "{} with eyes"], "side": 0.5},
        "optimiser": {"iterations": STEPS, "lr": 0.01, "betas": (0.3, 0.9)},
    },
)  # fmt: skip

OTHER = {
    "generator": "1", "source_text": "fox", "target_text": "bear", "clips": ["0", "1"],
    "templates": "{} there",
    "terms": {"moment": 2},
    "stage1.n_variations": 4, "stage1.epsilon": None, "stage1.lambda_div": 3, "stage1.iterations": 6,
    "stage1.lr": 0.02, "stage1.start": "closed_form", "stage1.seed": 5,
    "stage1.attributes": ["the {}", "{} at night", "a wet {}"], "stage1.renormalise": True,
    "features.normalise": False, "features.antialias": False, "features.direction_floor": 1e-8,
    "features.crops": 2,
    "moment.lambda_cov": 2, "moment.centre": True, "moment.scale": "n", "moment.distance": "row",
    "moment.normalise_directions": True,
    "ewc.estimator": "batch", "ewc.granularity": "layer", "ewc.samples": 5,
    "relation.temperature": 0.5, "relation.diagonal": False, "relation.reduction": "mean",
    "spectral.probes": 3, "spectral.delta": 1e-4, "spectral.balanced": True,
    "local.parts": ["a wet {}", "{}", "{} at night"], "local.side": 1,
    "optimiser.iterations": STEPS + 1, "optimiser.batch_size": 3, "optimiser.lr": 0.02,
    "optimiser.betas": (0.6, 0.95), "optimiser.ema": 0.8,
    "selection.k": 4, "selection.iterations": 10, "selection.layer_map": "as_published",
    "selection.batch_size": 1,
    "trained": "convolutions_and_torgb", "shared_noise": True, "seed": 1,
}  # fmt: skip
SELECTING = override(BASE, {"selection": {"k": 2, "batch_size": 3}, "optimiser.iterations": 5})
SAYING = override(BASE, {"stage1": {"start": "captions", "attributes": ["white {}", "old {}", "{} here"]}})


def base_of(name):
    if name == "stage1.attributes":
        return SAYING
    return SELECTING if name.startswith("selection.") else BASE


@pytest.fixture
def networks(make_generator, make_encoder):
    """By name: what a configuration of this file calls its generator and its CLIPs."""

    def networks(config):
        generator = make_generator(seed=int(config.generator)).double()
        with torch.no_grad():  # truncated floats: sums in another order agree to the last bits
            for parameter in generator.parameters():
                parameter.copy_(parameter.float().double())
        return generator, [make_encoder(seed=int(name)).double() for name in config.clips]

    return networks


def adapted(config, g_src, encoders):
    """Parameters and logs by the library."""
    guides = [make_guide(encoder, config, g_src=g_src) for encoder in encoders]
    fisher = source_fisher(g_src, guides, config) if needs(config, "ewc") else None
    adaptation = Adaptation(config, g_src, guides, fisher)
    rows = [adaptation.step(i) for i in range(config.optimiser.iterations)]
    return {k: v.detach() for k, v in adaptation.result.state_dict().items()}, [row["loss"] for row in rows]


# The reference


def cosine(a, b, floor=1e-8):
    return (a * b).sum() / max(a.norm(), torch.tensor(floor)) / max(b.norm(), torch.tensor(floor))


def adam_step(theta, gradient, memory, lr, betas):
    t, m, v = memory
    t, m = t + 1, betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    step = lr * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
    return theta - step, (t, m, v)


def stage_1(t, config, captions, gap):
    """The variations."""
    s = config.stage1
    epsilon = t.norm().item() if s.epsilon is None else s.epsilon
    if s.start == "captions":
        unit = t / t.norm()
        rest = gap - (gap @ unit) * unit
        directions = []
        for caption in captions:
            d = caption - t
            d = d - (d @ unit) * unit
            d = d - (d @ rest) / (rest @ rest) * rest
            directions.append(d / d.norm())
        return t + epsilon * torch.stack(directions)
    seed = config.seed if s.seed is None else s.seed
    z = torch.randn(s.n_variations, len(t), generator=stream(seed, "variations"), dtype=t.dtype)
    if s.start == "closed_form":
        unit = t / t.norm()
        rest = z - (z @ unit)[:, None] * unit
        u, _, vh = torch.linalg.svd(rest - rest.mean(0) + unit, full_matrices=False)
        return t + epsilon * u @ vh
    memory = (0, torch.zeros_like(z), torch.zeros_like(z))
    for _ in range(s.iterations):
        z = z.detach().requires_grad_()
        units = [row / row.norm() for row in z]
        l_cons = sum(1 - cosine(t, t + epsilon * unit) for unit in units) / len(units)
        pairs = [abs(a @ b) for a, b in itertools.combinations(units, 2)]
        (gradient,) = torch.autograd.grad(l_cons + s.lambda_div * sum(pairs) / len(pairs), z)
        z, memory = adam_step(z.detach(), gradient, memory, s.lr, (0.0, 0.99))
    return torch.stack([t + epsilon * row / row.norm() for row in z])


def text_directions(t_src, t_trg, config, captions, gap):
    v = stage_1(t_trg, config, captions, gap)
    if config.stage1.renormalise:
        v = torch.stack([row / row.norm() * t_trg.norm() for row in v])
    return torch.stack([t_trg, *v]) - t_src


def sigma(x, moment):
    if moment.centre:
        x = x - sum(x) / len(x)
    return sum(torch.outer(row, row) for row in x) / {"sum": 1, "n": len(x)}[moment.scale]


def shares(config):
    return [1 / len(config.clips)] * len(config.clips)


def squared_stretches(features_of, mapping, z, config, step):
    """Squared lengths of J u, by differentiating a gradient J^T v with respect to v."""
    signs = torch.randint(
        2, (config.spectral.probes, *z.shape), generator=stream(config.seed, "probes", step)
    ).double() * 2 - 1  # fmt: skip
    total = 0.0
    for u in signs:
        rows = [
            torch.autograd.functional.jacobian(lambda x: mapping(x[None])[0, 0], x) @ v
            for x, v in zip(z, u, strict=True)
        ]
        ws = mapping(z).detach().clone().requires_grad_()
        direction = torch.stack(rows)[:, None].expand_as(ws) / ws.shape[1]
        f = features_of(ws)
        v = torch.zeros_like(f, requires_grad=True)
        (gradient,) = torch.autograd.grad(f, ws, v, create_graph=True)
        (product,) = torch.autograd.grad((gradient * direction).sum(), v, create_graph=True)
        total = total + product.pow(2).sum(1) / len(signs)
    return total


def local(f_src, f_trg, parts, floor):
    """Of one guide's patches."""
    cosines = torch.stack([torch.stack([cosine(d, part, floor) for part in parts]) for d in f_trg - f_src])
    return sum((1 - row) @ row.softmax(0) for row in cosines) / cosines.numel()


def patches(images, side, step, seed):
    h = round(side * images.shape[-1])
    corners = torch.randint(
        images.shape[-1] - h + 1, (len(images), 2), generator=stream(seed, "plugged patches", step)
    )
    return torch.cat([x[None, :, a : a + h, b : b + h] for x, (a, b) in zip(images, corners, strict=True)])


def huber(differences, delta):
    parts = [d**2 / 2 if abs(d) <= delta else delta * (abs(d) - delta / 2) for d in differences]
    return sum(parts) / len(parts)


def loss_of(seen, texts, drift, fisher, config):
    """Eq. (6) for [(f_src, f_trg, s_src, s_trg, L_local)] of every guide, s squared stretches."""
    total = 0.0
    for (f_src, f_trg, s_src, s_trg, of_patches), (t_src, t_trg, directions), share in zip(
        seen, texts, shares(config), strict=True
    ):
        d, n, floor = f_trg - f_src, len(f_src), config.features.direction_floor
        part = {"directional": sum(1 - cosine(row, t_trg - t_src, floor) for row in d) / n}
        if config.moment.normalise_directions:
            d, directions = (torch.stack([row / row.norm() for row in x]) for x in (d, directions))
        difference = sigma(d, config.moment) - sigma(directions, config.moment)
        norm = {
            "frobenius": lambda m: m.pow(2).sum().sqrt(),
            "row": lambda m: sum(row.pow(2).sum().sqrt() for row in m) / len(m),
        }[config.moment.distance](difference)
        first = 1 - cosine(sum(d) / n, sum(directions) / len(directions), floor)
        part["moment"] = first + config.moment.lambda_cov * norm
        divergence = 0.0
        for i in range(n):
            others = [j for j in range(n) if config.relation.diagonal or j != i]
            p, q = (
                torch.stack([f[i] @ f[j] / config.relation.temperature for j in others]).log_softmax(0)
                for f in (f_src, f_trg)
            )
            divergence = divergence + (p.exp() * (p - q)).sum()
        if config.relation.reduction == "mean":
            divergence = divergence / len(others)
        part["relation"] = divergence / n
        pairs = list(itertools.combinations(range(n), 2))
        part["in_domain_angle"] = sum(
            (cosine(f_src[i], f_src[j]) - cosine(f_trg[i], f_trg[j])) ** 2 for i, j in pairs
        ) / len(pairs)
        part["local"] = of_patches
        if config.terms.get("spectral"):
            part["spectral"] = huber(s_trg - s_src, config.spectral.delta)
        total = total + sum(config.terms.get(name, 0) * value for name, value in part.items()) * share
    if config.terms.get("ewc"):
        total = total + config.terms["ewc"] * sum((fisher[n] * d**2).sum() for n, d in drift.items())
    return total


LAST = "synthesis.blocks.16.torgb.weight"


def more_of_spectral(seen, texts, config, lever):
    """What the balanced term adds to the term with its constant weight."""

    def part(**terms):
        of_terms = override(config, {"terms": terms, "spectral.balanced": False})
        return loss_of(seen, texts, {}, {}, of_terms)

    text = part(directional=config.terms["directional"], moment=config.terms["moment"])
    term = part(spectral=1)
    norms = [torch.autograd.grad(x, lever, retain_graph=True)[0].pow(2).sum().sqrt() for x in (text, term)]
    scale = min(norms[0] / (norms[1] + 1e-4), 1e4)
    return config.terms["spectral"] * (scale - 1) * term


def reference(config, g_src, encoders):
    """The adaptation again: parameters and losses."""
    features = config.features
    device = torch.device("cpu")

    def encode(encoder, images, step=None):
        see = partial(encoder.encode_images, normalise=features.normalise, antialias=features.antialias)
        if step is None or not features.crops:
            return see(images)
        views = random_crops(images, features.crops, stream(config.seed, "crops", step))
        mean = sum(see(view) for view in views) / features.crops
        return mean / mean.norm(dim=1, keepdim=True) if features.normalise else mean

    texts, raw, parts = [], [], []
    for encoder in encoders:
        words = [config.source_text, config.target_text]
        t_src, t_trg = encoder.encode_texts(words, config.templates, normalise=features.normalise)
        said = [a.format(config.target_text) for a in config.stage1.attributes]
        captions = [encoder.encode_texts([text], config.templates)[0] for text in said]
        z = torch.randn(64, 16, generator=stream(0, "gap latents")).double()
        gap = encode(encoder, g_src.synthesis(g_src.mapping(z), noise="const")).mean(0).detach() - t_src
        texts.append((t_src, t_trg, text_directions(t_src, t_trg, config, captions, gap)))
        raw.append(encoder.encode_texts([config.target_text])[0])
        of_parts = [
            [
                encoder.encode_texts([part.format(word)], config.templates, features.normalise)[0]
                for word in words
            ]
            for part in config.local.parts
        ]
        parts.append([target - source for source, target in of_parts])
    state = {name: value.detach().clone() for name, value in g_src.state_dict().items()}
    trainable = config.trained if config.selection is None else "convolutions_and_torgb"
    names = [n for n, _ in g_src.named_parameters() if n.startswith("synthesis.")]
    kept = {
        "convolutions": "^(?!.*torgb)", "convolutions_and_torgb": "", "affine": r"conv[01]\.affine",
        "convolutions_without_affine": "^(?!.*(torgb|affine))", "styles": r"affine\.bias$",
    }  # fmt: skip
    names = [n for n in names if re.search(kept[trainable], n)]
    batch = config.optimiser.batch_size

    def images_of(parameters, ws, purpose, step, seed=config.seed):
        return torch.func.functional_call(
            g_src.synthesis,
            {n.removeprefix("synthesis."): v for n, v in (state | parameters).items() if "synthesis" in n},
            (ws,), {"noise": "random", "generator": stream(seed, purpose, step)},
        )  # fmt: skip

    fisher = {}
    if config.terms.get("ewc"):
        z = torch.randn(config.ewc.samples, 16, generator=stream(0, "fisher latents"))
        ws, total = g_src.mapping(z.double()).detach(), dict.fromkeys(names, 0.0)
        for encoder, (t_src, _, _), share in zip(encoders, texts, shares(config), strict=True):
            noise = stream(0, "fisher noise")
            params = {n: g_src.get_parameter(n).detach().clone().requires_grad_() for n in names}

            def of(params, w, encoder=encoder, noise=noise):
                inner = {n.removeprefix("synthesis."): v for n, v in params.items()}
                images = torch.func.functional_call(
                    g_src.synthesis, inner, (w,), {"noise": "random", "generator": noise}
                )
                return encode(encoder, images)

            if config.ewc.estimator == "empirical":
                found = dict.fromkeys(names, 0.0)
                for part in ws.split(batch):  # noise is drawn for a batch at a time
                    for f in of(params, part):
                        gradients = torch.autograd.grad(
                            (f * t_src).sum(), list(params.values()), retain_graph=True
                        )
                        found = {n: found[n] + g**2 / len(ws) for n, g in zip(names, gradients, strict=True)}
            else:
                found = fisher_information(
                    of, params, ws, t_src, estimator=config.ewc.estimator, batch_size=batch
                )
            total = {n: total[n] + found[n].float().double() * share for n in names}
        if config.ewc.granularity == "layer":
            total = {n: torch.full_like(state[n], f.mean().item()) for n, f in total.items()}
        fisher = total

    theta = {n: state[n].clone() for n in names}
    average = {n: state[n].clone() for n in names}
    memories = {n: (0, torch.zeros_like(p), torch.zeros_like(p)) for n, p in theta.items()}
    losses = []
    for step in range(config.optimiser.iterations):
        z = torch.randn(batch, 16, generator=stream(config.seed, "latents", step))
        ws = g_src.mapping(z.double()).detach()
        source = images_of({}, ws, "source noise", step)
        chosen = set(names)
        if config.selection is not None:
            chosen = chosen_layers(config, theta, g_src, encoders, raw, names, step, state)
        leaves = {n: p.detach().clone().requires_grad_(n in chosen) for n, p in theta.items()}
        if config.spectral.balanced:
            leaves[LAST] = state[LAST].clone().requires_grad_()
        other = "source noise" if config.shared_noise else "target noise"
        target, seen = images_of(leaves, ws, other, step), []
        for e, directions in zip(encoders, parts, strict=True):
            stretches = [
                squared_stretches(
                    lambda ws, p=p, name=name, e=e, i=step: encode(e, images_of(p, ws, name, i), i),
                    g_src.mapping, z.double(), config, step,
                )
                for p, name in (({}, "source noise"), (leaves, other))
            ]  # fmt: skip
            f_src, f_trg = encode(e, source, step).detach(), encode(e, target, step)
            cut = [encode(e, patches(x, config.local.side, step, config.seed)) for x in (source, target)]
            of_patches = local(cut[0].detach(), cut[1], directions, features.direction_floor)
            seen.append((f_src, f_trg, stretches[0].detach(), stretches[1], of_patches))
        drift = {n: leaves[n] - state[n] for n in names}
        loss = loss_of(seen, texts, drift, fisher, config)
        if config.spectral.balanced:
            loss = loss + more_of_spectral(seen, texts, config, leaves[LAST])
        losses.append(loss.item())
        moving = [n for n in names if n in chosen]
        gradients = torch.autograd.grad(loss, [leaves[n] for n in moving], allow_unused=True)
        for n, g in zip(moving, gradients, strict=True):
            if g is not None:
                theta[n], memories[n] = adam_step(
                    theta[n], g, memories[n], config.optimiser.lr, config.optimiser.betas
                )
        if config.optimiser.ema is not None:
            average = {
                n: config.optimiser.ema * average[n] + (1 - config.optimiser.ema) * theta[n] for n in names
            }
    assert device.type == "cpu"
    return state | (theta if config.optimiser.ema is None else average), losses


def chosen_layers(config, theta, g_src, encoders, raw, names, step, state):
    """The k rows of W+ that move most, and the parameters of their layers at 16 px."""
    s = config.selection
    z = torch.randn(s.batch_size, 16, generator=stream(config.seed, "selection latents", step))
    start = g_src.mapping(z.double()).detach()
    ws, noise = start.clone(), stream(config.seed, "selection noise", step)
    inner = {n.removeprefix("synthesis."): v for n, v in (state | theta).items() if "synthesis" in n}
    for _ in range(s.iterations):
        ws = ws.detach().requires_grad_()
        images = torch.func.functional_call(
            g_src.synthesis, inner, (ws,), {"noise": "random", "generator": noise}
        )
        pairs = [(e.encode_images(images), t) for e, t in zip(encoders, raw, strict=True)]
        loss = sum(1 - sum(f @ t) / len(f) if f.ndim == 1 else 1 - (f @ t).mean() for f, t in pairs) / len(
            pairs
        )
        (gradient,) = torch.autograd.grad(loss, ws)
        ws = ws.detach() - 0.01 * gradient
    rows = ["4.conv1", "8.conv0", "8.conv1", "16.conv0", "16.conv1"]
    if s.layer_map == "as_published":
        rows.insert(1, "4.torgb")
    scores = (ws - start).abs().mean((0, 2))[: len(rows)]
    best = [rows[i] for i in scores.argsort(descending=True)[: s.k]]
    return {n for n in names for row in best if n.startswith(f"synthesis.blocks.{row}.")}


# The tests


def test_the_list_is_complete():
    """Those of images instead of texts are in tests/adaptation/test_few_shot.py."""
    # Of images, the loop, speed, plug-ins, AIR, DiFa, IPL: test_few_shot.py, test_run.py, test_speed.py,
    # test_plugged.py, tests/rivals/test_refinement.py, test_selective_consistency.py, test_image_prompts.py
    others = ("few_shot.", "optimiser.stop_at_plateau", "speed.", "guide", "trainer", "air.", "difa.", "ipl.")
    assert sorted(OTHER) == sorted(name for name in names_of(AdaptConfig) if not name.startswith(others))


@pytest.mark.parametrize(
    "change",
    [{}, *({name: value} for name, value in OTHER.items()), *({"trained": t} for t in get_args(Trained)[2:])],
    ids=str,
)
def test_a_setting_changes_the_adaptation_as_the_reference_says(networks, change):
    base = base_of(next(iter(change), "nothing"))
    config = override(base, change)
    found, losses = adapted(config, *networks(config))
    expected, expected_losses = reference(config, *networks(config))
    assert losses == pytest.approx(expected_losses, rel=5e-6)
    for key, value in found.items():
        assert torch.allclose(value, expected[key], rtol=1e-5, atol=5e-6), key
    if change:
        before, _ = adapted(base, *networks(base))
        assert any(not torch.allclose(value, before[k], atol=1e-4) for k, value in found.items()), "no effect"
