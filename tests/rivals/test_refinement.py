"""AIR: prompts on the way, against a step written out, and a run that is resumed."""

import pytest
import torch
import torch.nn.functional as F

from zsgan.adaptation import refined
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import make_guide
from zsgan.adaptation.refined import RefinedAdaptation
from zsgan.adaptation.rival_settings import Air
from zsgan.adaptation.trainers import trainer_of
from zsgan.networks.load import load_clip
from zsgan.networks.prompts import encode_vectors, word_vectors
from zsgan.rivals.refinement import anchor_prompt, between
from zsgan.runs import method_check
from zsgan.runs.method_check import check_on


@pytest.fixture(scope="module")
def clip():
    return load_clip("clip-a")


@pytest.fixture
def config(smoke):
    """L_dir with one CLIP, five steps, and an anchor from the second of them on."""
    air = {"start": 0.2, "every": 0.4, "samples": 6, "prompt_steps": 3, "weight": 0.5, "prompt_lr": 0.01}
    changes = {"clips": "clip-a", "air": air, "optimiser.iterations": 5}
    return override(smoke.config("dog-to-cat", "L_dir"), changes)


def test_the_vectors_of_a_text_have_its_feature(clip):
    texts = ["dog", "a photo of a ginger cat"]
    for text, feature in zip(texts, clip.encode_texts(texts), strict=True):
        vectors = word_vectors(clip, text)
        assert len(vectors) == len(text.split())
        torch.testing.assert_close(encode_vectors(clip, vectors[None])[0], feature)
    both = torch.stack([word_vectors(clip, text) for text in ("a dog", "a cat")])
    torch.testing.assert_close(encode_vectors(clip, both), clip.encode_texts(["a dog", "a cat"]))


def test_vectors_between_two_texts():
    source, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[4.0], [4.0], [6.0]])
    assert between(source, target, 0).flatten().tolist() == [0, 2, 2]
    assert between(source, target, 1).flatten().tolist() == [4, 4, 6]
    assert between(source, target, 0.25).flatten().tolist() == [1, 2.5, 3]
    assert between(target, source, 0.25).flatten().tolist() == [3, 3.5, 5]


def test_a_prompt_turns_towards_the_images(clip):
    """As Adam's steps do, written out; more steps go further."""
    source, direction = clip.encode_texts(["a dog"])[0], torch.randn(128, generator=torch.manual_seed(0))
    start = between(word_vectors(clip, "a dog"), word_vectors(clip, "a cat"), 0.5)

    def encode(vectors):
        return encode_vectors(clip, vectors)

    def cosine(feature):
        return F.cosine_similarity(feature - source, direction, dim=0)

    x, m, v = start.clone(), 0.0, 0.0
    for t in range(1, 4):
        leaf = x.clone().requires_grad_()
        (g,) = torch.autograd.grad(1 - cosine(encode(leaf[None])[0]), leaf)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - 0.01 * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    found = [anchor_prompt(encode, start, source, direction, n, 0.01) for n in (0, 3, 30)]
    torch.testing.assert_close(found[1], encode(x[None])[0].detach(), rtol=1e-4, atol=1e-5)
    assert cosine(found[0]) < cosine(found[1]) < cosine(found[2])


def test_the_name_of_the_domain_can_stay(config, clip, make_generator, monkeypatch):
    """Of "a photo of a dog" the first four words are learnt, as in AIR's code; Adam leaves the last."""
    seen = []

    def see(encode, start, *others):
        seen.append((len(start), others[-1]))
        return anchor_prompt(encode, start, *others)

    monkeypatch.setattr(refined, "anchor_prompt", see)
    for learned in ("all", "context"):
        own = override(config, {"air.learned": learned, "templates": ["a photo of a {}", "{}"]})
        adaptation = RefinedAdaptation(own, make_generator(), [make_guide(clip, own)])
        adaptation.step(1)
    assert seen == [(5, 0), (5, 1)]
    start, found = word_vectors(clip, "a photo of a cat"), []

    def encode(vectors):
        found.append(vectors[0].detach().clone())
        return encode_vectors(clip, vectors)

    direction = torch.randn(128, generator=torch.manual_seed(0))
    anchor_prompt(encode, start, clip.encode_texts(["a dog"])[0], direction, 3, 0.01, 1)
    assert torch.equal(found[-1][-1], start[-1]) and (found[-1][:-1] - start[:-1]).abs().min() > 1e-4


def test_a_template_without_words_to_learn_is_refused(config):
    with pytest.raises(
        ValueError, match=r"air.learned='context' learns the words before \{\} of the first template"
    ):
        override(config, {"air.learned": "context", "templates": "{} in a picture"})


@pytest.mark.parametrize(
    ("steps", "anchors"),
    [(200, range(100, 200, 20)), (300, range(150, 300, 30)), (800, range(400, 800, 80)), (1, range(1))],
)
def test_anchors_come_when_the_code_has_them(steps, anchors):
    assert list(Air().anchors(steps)) == list(anchors)


def test_the_second_direction_is_that_from_the_anchor(config, clip, make_generator):
    guide, generator = make_guide(clip, config), make_generator()
    assert trainer_of(config) is RefinedAdaptation
    adaptation = RefinedAdaptation(config, generator, [guide])
    first = adaptation.step(0)
    assert "anchored" not in first and first["loss"] == pytest.approx(first["directional"])
    anchor = {name: value.clone() for name, value in adaptation.g_trg.state_dict().items()}
    t_before = adaptation.t_anchor[0].clone()
    assert torch.equal(t_before, guide.t_src)
    adaptation.step(1)
    for name, value in adaptation.anchor.state_dict().items():
        assert torch.equal(value, anchor[name]), "the anchor stays until the next one"
    t_anchor = adaptation.t_anchor[0]
    assert not torch.allclose(t_anchor, t_before)
    (seen,) = adaptation.batch(2).seen
    noise = seen.step.noise()
    with torch.no_grad():
        images = adaptation.anchor.synthesis(seen.step.ws, noise="random", generator=noise)
    d, to = seen.f_trg - clip.encode_images(images), guide.t_trg - t_anchor
    floor = config.features.direction_floor
    cosines = (d @ to) / d.norm(dim=1).clamp_min(floor) / to.norm().clamp_min(floor)
    row = adaptation.step(2)
    assert row["anchored"] == pytest.approx(1 - cosines.mean().item(), abs=1e-5)
    assert row["loss"] == pytest.approx(row["directional"] + 0.5 * row["anchored"])


def test_it_is_the_same_again_and_resumes(config, clip, make_generator, monkeypatch):
    """Through an anchor: of the check's five steps the second sets one."""
    compared = []

    def seconds(own, plain, device):
        compared.append(plain.config)
        return 1.0, 1.0

    monkeypatch.setattr(method_check, "_seconds", seconds)
    assert check_on(config, make_generator(), [clip]).seconds == 1
    assert config.air is not None and compared[0].air is None, "the cost is compared with L_dir's"
