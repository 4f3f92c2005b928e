"""IPL: its losses against sums written out, and directions that differ from image to image."""

import math

import pytest
import torch
import torch.nn.functional as F

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import make_guide
from zsgan.adaptation.image_prompts import learn_prompts
from zsgan.base.streams import stream
from zsgan.method.losses import directional_loss
from zsgan.networks.load import load_clip, load_generator
from zsgan.rivals.image_prompts import PromptMapper, contrastive_loss, domain_loss


@pytest.fixture(scope="module")
def clip():
    return load_clip("clip-a")


@pytest.fixture
def config(smoke):
    changes = {"clips": "clip-a", "ipl": {"iterations": 3, "batch_size": 5}}
    return override(smoke.config("dog-to-cat", "L_dir"), changes)


def units(*shape, seed):
    random = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=random, dtype=torch.float64), dim=-1)


def test_each_image_finds_its_text_and_each_text_its_image():
    f, t, scale = units(4, 6, seed=0), units(4, 6, seed=1), 7.0
    total = 0.0
    for n in range(4):
        by_image = [math.exp(scale * float(f[n] @ t[m])) for m in range(4)]
        by_text = [math.exp(scale * float(f[m] @ t[n])) for m in range(4)]
        total -= math.log(by_image[n] / sum(by_image)) / 8 + math.log(by_text[n] / sum(by_text)) / 8
    assert contrastive_loss(f, t, scale).item() == pytest.approx(total)
    assert contrastive_loss(f, f, 1e3) < 1e-6 < contrastive_loss(f, f.flip(0), 1e3)
    with pytest.raises(ValueError, match=r"must both be \(N, D\), got \(4, 6\) and \(3, 6\)"):
        contrastive_loss(f, t[:3], scale)


def test_the_targets_prompts_stay_in_the_target():
    t, target = units(3, 6, seed=0), units(6, seed=1)
    assert domain_loss(t, target).item() == pytest.approx(sum(1 - float(row @ target) for row in t) / 3)


def test_the_mapper_gives_words_that_depend_on_the_direction_of_w():
    mapper, w = PromptMapper(8, 4, 16), torch.randn(2, 8, generator=torch.manual_seed(0))
    words = mapper(w)
    assert words.shape == (2, 4, 16) and not torch.allclose(words[0], words[1])
    torch.testing.assert_close(mapper(3 * w), words)


def test_a_direction_for_each_image_is_that_of_its_row():
    d, t = units(4, 6, seed=2), units(4, 6, seed=3)
    each = [directional_loss(d[n : n + 1], t[n]) for n in range(4)]
    torch.testing.assert_close(directional_loss(d, t), torch.stack(each).mean())
    for wrong in (t[:3], t[:, :5], t[None]):
        with pytest.raises(ValueError, match="one direction of shape .* or one for each image"):
            directional_loss(d, wrong)


def test_each_image_has_a_direction_of_its_own(config, clip):
    """One for each image, the same with the same seed."""
    g_src, ends = load_generator("generator-dog"), clip.encode_texts(["dog", "cat"])
    z = torch.randn(16, g_src.mapping.z_dim, generator=stream(5, "test"))
    with torch.no_grad():
        ws = g_src.mapping(z)

    def directions(steps, seed=0):
        asked = override(config, {"ipl.iterations": steps, "seed": seed})
        return learn_prompts(clip, *ends, asked, g_src)(ws)

    first = directions(2)
    assert torch.equal(first, directions(2)) and not torch.equal(first, directions(2, seed=1))
    assert first.shape == (16, 128) and not first.requires_grad
    assert not torch.allclose(first[0], first[1], atol=1e-4)


def test_the_directional_loss_follows_them(config, clip):
    g_src = load_generator("generator-dog")
    guide = make_guide(clip, config, g_src=g_src)
    (seen,) = Adaptation(config, g_src, [guide]).batch(1).seen
    assert guide.directions is not None
    own = guide.directions(seen.step.ws)
    cosines, floor = [], config.features.direction_floor
    for d, t in zip((seen.f_trg - seen.f_src).detach(), own, strict=True):
        cosines.append(float(d @ t) / max(float(d.norm()), floor) / max(float(t.norm()), floor))
    row = Adaptation(config, g_src, [guide]).step(1)
    assert row["directional"] == pytest.approx(1 - sum(cosines) / len(cosines), abs=1e-5)
    with pytest.raises(ValueError, match="g_src is needed for ipl"):
        make_guide(clip, config)
    with pytest.raises(ValueError, match="ipl is for the term 'directional'"):
        override(config, {"terms": {"moment": 1}})
