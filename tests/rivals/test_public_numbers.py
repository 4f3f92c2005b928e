"""The rivals' losses against numbers of their authors' public code, see data/public_numbers.json.

Where ours is another reading than the code, the test says which, and states the relation of both.
"""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from zsgan.adaptation.batches import Batch, Guide, Seen
from zsgan.adaptation.objective import Objective
from zsgan.method.losses import directional_loss, image_directions, in_domain_angle_loss
from zsgan.networks.clip import ClipEncoder
from zsgan.rivals.consistency import balance, probe_directions, spectral_loss, squared_stretch
from zsgan.rivals.few_shot_losses import distance_consistency_loss
from zsgan.rivals.image_prompts import PromptMapper, contrastive_loss, domain_loss
from zsgan.rivals.layer_selection import layer_scores, selected
from zsgan.rivals.local_directions import local_directional_loss
from zsgan.rivals.refinement import anchor_prompt
from zsgan.rivals.selective_consistency import kept_coordinates, ramp, selective_loss
from zsgan.runs.profiles import load_profile

NUMBERS = json.loads(Path(__file__).with_name("data").joinpath("public_numbers.json").read_text("utf-8"))
BENCH = load_profile("bench")


class Case:
    """Inputs and results of one case: draws and given settings as items, what the code returned as result."""

    def __init__(self, name):
        case = NUMBERS[name]
        random = torch.Generator().manual_seed(case["seed"])
        self.inputs = {
            key: torch.randn(shape, generator=random, dtype=torch.float64)
            for key, shape in case["draws"].items()
        }
        self.inputs |= case.get("given", {})
        self.result = case["result"]

    def __getitem__(self, key):
        return self.inputs[key]

    def leaf(self, key):
        return self.inputs[key].clone().requires_grad_()

    def check(self, loss, leaf, along="along", factor=1.0):
        """Theirs is ``factor`` times ours, and so is its derivative."""
        (gradient,) = torch.autograd.grad(loss, leaf)
        near(factor * loss, self.result["loss"])
        near(factor * (gradient * self[along]).sum(), self.result["slope"])


def near(ours, theirs, rtol=1e-8):
    theirs = torch.as_tensor(theirs, dtype=torch.float64)
    torch.testing.assert_close(torch.as_tensor(ours).detach().double(), theirs, rtol=rtol, atol=0)


def unit(x):
    return F.normalize(x, dim=-1)


def text_features(case):
    """Our features of the two texts, from raw features of their prompts; templates as many as were drawn."""
    raw = torch.cat([case["source"], case["target"]])
    templates = ["{}"] * len(case["source"])
    encoder = SimpleNamespace(_text_features=lambda prompts: raw)
    return ClipEncoder.encode_texts(encoder, ["source", "target"], templates)


# StyleGAN-NADA


def test_nadas_text_direction_with_one_template():
    case = Case("nada_text_direction_1")
    t_src, t_trg = text_features(case)
    near(unit(t_trg - t_src), case.result["direction"])


def test_nadas_text_direction_with_templates_has_shorter_features():
    """We scale the mean of a text's prompts to unit norm, NADA does not (nor do HyperDomainNet and SCR)."""
    case = Case("nada_text_direction_5")
    t_src, t_trg = text_features(case)
    lengths = [unit(case[text]).mean(0).norm() for text in ("source", "target")]
    near(unit(lengths[1] * t_trg - lengths[0] * t_src), case.result["direction"])
    assert (unit(t_trg - t_src) @ torch.tensor(case.result["direction"], dtype=torch.float64)).item() < 0.999


@pytest.mark.parametrize("floor", [1e-8, 0.05])
def test_nadas_directional_loss(floor):
    """Every direction here is longer than the floor of the bench, which NADA does not have."""
    case = Case("nada_directional")
    f_trg = case.leaf("f_trg")
    directions = image_directions(unit(f_trg), unit(case["f_src"]))
    case.check(directional_loss(directions, case["direction"][0], floor), f_trg)


@pytest.mark.parametrize("iterations", [1, 3])
def test_nadas_layers(iterations):
    case = Case(f"nada_layers_{iterations}")
    rows = len(case["layers"])
    ws = case["w"][:, None].expand(-1, rows, -1)

    def synthesis(ws, noise, generator):
        return torch.tanh(ws.flatten(1) @ case["images"])

    def distance(images):
        return 1 - (unit(images) @ unit(case["text"][0])).mean()

    scores = layer_scores(SimpleNamespace(synthesis=synthesis), ws, distance, iterations)
    near(scores, case.result["scores"])
    # Their modules by our names: convs.i is conv0 or conv1 of 8 px, 16 px...
    ours = {f"convs.{i}": f"{8 << i // 2}.conv{i % 2}" for i in range(rows - 2)}
    ours |= {"conv1": "4.conv1", "to_rgb1": "4.torgb"}
    chosen = [f"synthesis.blocks.{ours[name]}" for name in case.result["chosen"]]
    assert list(selected(scores, case["k"], "as_published")) == chosen


# HyperDomainNet and StyleDomain


@pytest.mark.parametrize("method", ["hdn", "styledomain"])
def test_the_in_domain_angle_of_both_codes(method):
    case = Case(f"{method}_in_domain")
    f_trg = case.leaf("f_trg")
    case.check(in_domain_angle_loss(unit(f_trg), unit(case["f_src"])), f_trg)


@pytest.mark.parametrize("method", ["hdn", "styledomain"])
def test_their_direction_is_nadas(method):
    """The mean of the prompts' differences, whose length does not matter."""
    case = Case(f"{method}_direction")
    f_trg = case.leaf("f_trg")
    text = (unit(case["t_trg"]) - unit(case["t_src"])).mean(0)
    case.check(directional_loss(image_directions(unit(f_trg), unit(case["f_src"])), text), f_trg)


@pytest.mark.parametrize(
    ("method", "row"),
    [
        ("hdn", "HyperDomainNet's angle"),
        ("styledomain", "StyleDomain, StyleSpace"),
        ("styledomain", "StyleDomain, affine"),
    ],
)
def test_the_benchs_rows_have_half_of_their_total(method, row):
    """With the weights of their configurations; they add the losses of two CLIPs, we average them."""
    case = Case(f"{method}_total")
    config = BENCH.config("dog-to-cat", row)
    assert dict(config.weights) == {"directional": case["direction"], "in_domain_angle": case["indomain"]}
    f_trg = case.leaf("f_trg")
    t_src, t_trg = (unit(case[text])[:, 0] for text in ("t_src", "t_trg"))
    guides = [Guide(None, s, t, None, (t - s)[None]) for s, t in zip(t_src, t_trg, strict=True)]
    features = zip(guides, unit(case["f_src"]), unit(f_trg), strict=True)
    loss, _ = Objective(config)(Batch([Seen(*each) for each in features], {}, {}, {}))
    case.check(loss, f_trg, factor=2)


# IPL


@pytest.mark.parametrize("weight", [0, 1])
def test_ipls_stage_1(weight):
    """Of the same features; theirs are a prompt's plus its text's, neither of unit norm, ours of both."""
    case = Case(f"ipl_stage_1_weight_{weight}")
    p_src, p_trg = case.leaf("p_src"), case.leaf("p_trg")
    of_source, of_target = unit(p_src + case["t_src"]), unit(p_trg + case["t_trg"])
    target = unit(unit(case["templates"]).mean(0))
    loss = contrastive_loss(unit(case["images"]), of_source, case["scale"])
    loss = loss + case["weight"] * domain_loss(of_target, target)
    gradients = torch.autograd.grad(loss, (p_src, p_trg))
    near(loss, case.result["loss"])
    alongs = (case["along_src"], case["along_trg"])
    slope = sum((g * along).sum() for g, along in zip(gradients, alongs, strict=True))
    near(slope, case.result["slope"])


def test_ipls_direction_for_each_image():
    """Of the same features; their code adds that of the prompt without a class to both."""
    case = Case("ipl_stage_2")
    f_trg = case.leaf("f_trg")
    texts = unit(case["p_trg"] + case["text"]) - unit(case["p_src"] + case["text"])
    case.check(directional_loss(image_directions(unit(f_trg), unit(case["f_src"])), texts), f_trg)


def test_ipls_mapper_activates_its_last_layer_too():
    """Ours where it is asked to; else the leaky ReLU of StyleGAN2, with its gain, of our words is theirs."""
    case = Case("ipl_mapper")
    words = []
    for activated in (True, False):
        mapper = PromptMapper(512, case["words"], 3, activated).double()
        with torch.no_grad():
            for i, layer in enumerate(mapper.layers):
                layer.weight.copy_(case["factor"] * case[f"weight {i}"])
                layer.bias.copy_(case["factor"] * case[f"bias {i}"])
            words.append(mapper(case["w"]).flatten(1))
    near(words[0], case.result["words"])
    assert words[1].min() < 0 < words[1].max()
    near(F.leaky_relu(words[1], 0.2) * 2**0.5, case.result["words"])


# AIR


def test_airs_text_direction_with_one_template():
    case = Case("air_text_direction_1")
    t_src, t_trg = text_features(case)
    near(unit(t_trg - t_src), case.result["direction"])


def test_airs_text_direction_averages_unit_differences():
    """Ours is the difference of means, for AIR as for the other methods."""
    case = Case("air_text_direction_5")
    differences = unit(unit(case["target"]) - unit(case["source"]))
    near(unit(differences.mean(0)), case.result["direction"])
    t_src, t_trg = text_features(case)
    cosine = unit(t_trg - t_src) @ torch.tensor(case.result["direction"], dtype=torch.float64)
    assert 0.9 < cosine.item() < 0.999


def test_airs_loss_from_the_anchor():
    case = Case("air_anchored")
    f_trg = case.leaf("f_trg")
    text = (unit(case["t_trg"]) - unit(case["t_anchor"]))[0]
    case.check(directional_loss(image_directions(unit(f_trg), unit(case["f_anchor"])), text), f_trg)


def test_airs_prompt_of_an_anchor():
    """After 200 steps; theirs learns five equal copies, whose smaller gradients Adam's epsilon sees."""
    case = Case("air_prompt")
    moves, before = unit(case["moves"]), unit(case["t_before"])[0]

    def encode(vectors):
        return unit(torch.tanh(vectors.flatten(1) @ case["encoder"] / 4))

    first = directional_loss(encode(case["start"][None]) - before, moves.mean(0))
    near(first, case.result["first"])
    found = anchor_prompt(encode, case["start"], before, moves.mean(0), case["steps"], case["lr"])
    near(found, case.result["feature"], rtol=1e-5)


def test_airs_images_have_moves_of_unit_length():
    """Their direction of images is the mean of each image's unit move; ours, the move of the mean."""
    case = Case("air_image_direction")
    before, now = unit(case["f_before"]), unit(case["f_now"])
    near(unit(unit(now - before).mean(0)), case.result["direction"])
    ours = unit(now.mean(0) - before.mean(0))
    cosine = ours @ torch.tensor(case.result["direction"], dtype=torch.float64)
    assert 0.98 < cosine.item() < 0.9999


# SCR


@pytest.mark.parametrize("layers", [18, 6])
def test_scrs_spectral_term(layers):
    """Their weights of 18 layers are equal at first; of fewer layers they take the first, without scaling."""
    case = Case(f"scr_spectral_{layers}")

    def mapping(z):
        return torch.tanh(z @ case["mapping"])[:, None].expand(-1, layers, -1)

    def stretch(of):
        ws = mapping(case["z"])
        return squared_stretch(lambda ws: unit(torch.sin(case["gain"] * ws.flatten(1) @ of)), ws, probes)

    probes = probe_directions(mapping, case["z"], case["signs"].sign()) * (layers / 18)
    of_target = case.leaf("of_target")
    source, target = stretch(case["of_source"]), stretch(of_target)
    near(source.mean(), case.result["trace_source"])
    near(target.mean(), case.result["trace_target"])
    case.check(spectral_loss(target, source), of_target)


def test_scrs_weight_of_its_term():
    """In one layer; theirs is the norm over every ToRGB but the first, ours that in the last ToRGB."""
    case = Case("scr_balance")
    lever, second = case.leaf("lever"), case.leaf("second")
    text = (case["text"] * lever.flatten()).sum() + second.square().sum()
    term = (case["term"] @ lever.flatten()).square().sum() + second.sum()
    near(balance(text, term, lever), case.result["one"])
    assert abs(balance(text, term, lever).item() / case.result["both"] - 1) > 0.01


# Ojha et al.


def test_ojhas_distance_consistency():
    case = Case("ojha_distance")
    source = [case[f"source {i}"] for i in range(4)]
    target = [case.leaf(f"target {i}") for i in range(4)]
    loss = case["weight"] * distance_consistency_loss(target, source, case["layers"])
    case.check(loss, target[1])


# DiFa


def test_difas_directional_loss_of_patches():
    """Their directions have no floor; each of these is longer than ours."""
    case = Case("difa_patches")
    f_trg = case.leaf("f_trg")
    directions = image_directions(unit(f_trg), unit(case["f_src"]))
    case.check(local_directional_loss(directions, case["parts"], 1e-8), f_trg)


def test_difas_selective_consistency():
    """The means are those of the last steps, with the present one; the weight rises from the window on."""
    case = Case("difa_selective")
    window, steps = case["window"], range(case["steps"])
    losses = []
    for i in steps:
        last = range(max(0, i + 1 - window), i + 1)
        shift = sum(case[f"target {k}"].mean(0) - case[f"source {k}"].mean(0) for k in last) / len(last)
        target = case.leaf(f"target {i}")
        loss = selective_loss(target, case[f"source {i}"], kept_coordinates(shift, case["kept"]))
        losses.append(ramp(i, case["iterations"], window) * loss)
    near(torch.stack(losses), case.result["losses"])
    (gradient,) = torch.autograd.grad(losses[-1], target)
    near((gradient * case["along"]).sum(), case.result["slope"])


def test_every_number_says_where_it_is_from():
    commits = {}
    for name, case in NUMBERS.items():
        if name != "about":
            owner, _, repository = case["repository"].partition("/")
            assert owner and repository and case["function"].partition(".py: ")[2] and case["result"], name
            assert len(case["commit"]) == 40 and int(case["commit"], 16), name
            commits.setdefault(case["repository"], set()).add(case["commit"])
    # AIR's files are known by the commit that each was last changed in.
    assert {name: len(found) for name, found in commits.items() if len(found) > 1} == {
        "Guimeng-Leo-Liu/AIR": 2
    }
    assert len(commits) == 8
