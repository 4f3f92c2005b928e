"""Inversion by optimisation, on small generators with a loss of pixels and small random networks."""

import math

import pytest
import torch
from torch import nn

from zsgan import invert
from zsgan.inversion import optimise
from zsgan.inversion.latents import load_latents, psnr
from zsgan.inversion.networks import Networks
from zsgan.inversion.optimise import InversionSettings, autocorrelation, ramp
from zsgan.inversion.strength import between
from zsgan.metrics.lpips import Lpips

STEPS = {"steps": 100, "pull": 0}


class Seeing(nn.Module):
    """Eyes with one random convolution."""

    weights = labels = None

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 8, 3, padding=1)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer.reset_parameters()
        self.requires_grad_(False)

    def maps(self, images):
        return [self.layer(images)]

    def embed(self, images):
        return self.layer(images).mean((2, 3))


@pytest.fixture(scope="module")
def networks():
    eyes = Seeing()
    return Networks(Lpips.through(eyes), eyes)


@pytest.fixture
def generator(make_generator):
    found = make_generator(resolution=16)
    with torch.no_grad():
        z = torch.randn(500, 16, generator=torch.Generator().manual_seed(1))
        found.mapping.w_avg.copy_(found.mapping(z)[:, 0].mean(0))
        for block in found.synthesis.blocks.values():
            block.torgb.weight.mul_(0.15)  # so that its images lie in [-1, 1]
    return found


@pytest.fixture
def own(generator):
    """Two images of the generator, and their ws."""
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, 16, generator=torch.Generator().manual_seed(2)))
        return generator.synthesis(ws), ws


@pytest.mark.parametrize("space", ["w", "w+"])
def test_the_generators_own_images_are_found(generator, own, networks, space):
    images, _ = own
    found = invert(generator, images, networks=networks, settings={**STEPS, "space": space}, progress=False)
    assert found.psnr.min() > (40 if space == "w" else 30) and found.lpips.max() < 0.02
    assert (found.through(generator) - images.clamp(-1, 1)).square().mean().sqrt() < 0.05
    same = (found.ws == found.ws[:, :1]).all()
    assert bool(same) == (space == "w")
    assert all(parameter.requires_grad for parameter in generator.parameters())


def test_the_start_matters_only_to_the_way(generator, own, networks):
    """From the answer itself, no step is needed; latents in W+ are averaged for W."""
    images, ws = own
    options = {"networks": networks, "progress": False}
    quick = {"steps": 1, "jitter": 0, "lr": 1e-8}
    there = invert(generator, images, start=ws, settings=quick, **options)
    away = invert(generator, images, start="mean", settings=quick, **options)
    assert there.psnr.min() > 60 and away.psnr.max() < 40
    assert torch.allclose(away.ws, generator.mapping.w_avg.expand_as(away.ws), atol=1e-6)


def test_a_picture_does_not_depend_on_its_batch(generator, own, networks, monkeypatch):
    images, _ = own
    options = {"networks": networks, "settings": {"steps": 12, "noise_maps": True}, "progress": False}
    together = invert(generator, images, **options)
    monkeypatch.setenv("ZSGAN_BATCH_SIZE", "1")
    alone = invert(generator, images, **options)
    assert torch.allclose(together.ws, alone.ws, atol=1e-4)
    other = invert(generator, images, seed=1, **options)
    assert not torch.allclose(alone.ws, other.ws, atol=1e-4)


def test_an_interrupted_inversion_resumes_to_the_same_bits(generator, own, networks, tmp_path, monkeypatch):
    images, _ = own
    options = {"networks": networks, "settings": {"steps": 8, "noise_maps": True}, "progress": False}
    whole = invert(generator, images, **options)
    step, taken = optimise._Course.step, []

    def stops(self, i):
        taken.append(i)
        if i == 5 and len(taken) == 6:
            raise KeyboardInterrupt
        return step(self, i)

    monkeypatch.setattr(optimise._Course, "step", stops)
    monkeypatch.setattr(optimise, "SAVE_SECONDS", 0)
    with pytest.raises(KeyboardInterrupt):
        invert(generator, images, folder=tmp_path, **options)
    found = invert(generator, images, folder=tmp_path, **options)
    assert taken == [0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert torch.equal(found.ws, whole.ws) and all(map(torch.equal, found.noise, whole.noise))
    with pytest.raises(ValueError, match="belongs to a training with other arguments"):
        invert(generator, images.flip(0), folder=tmp_path, **options)


def test_noise_maps_stay_noise(generator, own, networks):
    images, _ = own
    found = invert(
        generator, images + 0.1, networks=networks, settings={"steps": 20, "noise_maps": True}, progress=False
    )
    for maps, layer in zip(found.noise, generator.synthesis.convolutions, strict=True):
        assert torch.allclose(maps.mean((1, 2, 3)), torch.zeros(2), atol=1e-5)
        assert torch.allclose(maps.square().mean((1, 2, 3)), torch.ones(2), atol=1e-4)
        assert not torch.allclose(maps, layer.noise_const.expand_as(maps))


def test_autocorrelation_sees_structure_at_every_scale():
    random = torch.Generator().manual_seed(0)
    white = torch.randn(1, 1, 64, 64, generator=random)
    coarse = torch.randn(1, 1, 16, 16, generator=random).repeat_interleave(4, 2).repeat_interleave(4, 3)
    checks = (torch.arange(64)[:, None] + torch.arange(64)) % 2 * 2.0 - 1
    assert autocorrelation(white) < 0.01 and autocorrelation(coarse) > 0.5
    # every neighbour is the opposite: -1 in both directions; halving leaves nothing
    assert torch.allclose(autocorrelation(checks[None, None]), torch.tensor([2.0]))


def test_the_learning_rate_rises_and_falls_as_published():
    assert ramp(0, 0.05, 0.25) == 0 and ramp(0.025, 0.05, 0.25) == pytest.approx(0.5)
    assert ramp(0.05, 0.05, 0.25) == ramp(0.75, 0.05, 0.25) == 1
    assert ramp(0.875, 0.05, 0.25) == pytest.approx(0.5) and ramp(1, 0.05, 0.25) == 0
    assert ramp(0, 0, 0) == 1


def test_the_pull_keeps_latents_near_the_mean(generator, own, networks):
    images, _ = own
    settings = {"steps": 30, "jitter": 0}
    free, held = (
        invert(generator, images, networks=networks, settings=settings | {"pull": pull}, progress=False)
        for pull in (0, 10)
    )
    away = [(found.ws - generator.mapping.w_avg).norm() for found in (free, held)]
    assert away[1] < 0.5 * away[0] and (held.psnr < free.psnr).all()


def test_psnr_is_that_of_the_full_range():
    images = torch.zeros(2, 3, 4, 4)
    assert torch.allclose(
        psnr(images, images + torch.tensor([2.0, 0.2]).view(2, 1, 1, 1)), torch.tensor([0.0, 20.0])
    )
    assert math.isinf(psnr(images, images)[0])


def test_latents_are_kept_in_a_file(generator, own, networks, tmp_path):
    images, _ = own
    settings = {"steps": 2, "noise_maps": True}
    found = invert(generator, images, networks=networks, settings=settings, progress=False)
    found.save(tmp_path / "latents.safetensors")
    again = load_latents(tmp_path / "latents.safetensors")
    assert torch.equal(found.through(generator), again.through(generator))
    assert torch.equal(found.psnr, again.psnr) and torch.equal(found.lpips, again.lpips)
    mean = generator.mapping.w_avg.expand_as(found.ws)
    still = found.through(generator, truncation_psi=0)
    with torch.no_grad():
        assert torch.allclose(still, generator.synthesis(mean, found.noise).clamp(-1, 1), atol=1e-5)


def test_strengths_lie_on_the_line_of_the_weights(generator, make_generator):
    other = make_generator(seed=1, resolution=16)
    names = list(generator.state_dict())
    for strength in (0, 0.25, 1, 1.5):
        mixed = between(generator, other, strength).state_dict()
        for name in names:
            a, b = generator.state_dict()[name], other.state_dict()[name]
            assert torch.allclose(mixed[name], a + strength * (b - a), atol=1e-5), name
    with pytest.raises(ValueError, match="same architecture"):
        between(generator, make_generator(width=4), 1)
    with pytest.raises(ValueError, match="strength=nan"):
        between(generator, other, math.nan)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(1, 3, 8, 8)}, r"images must be \(N, 3, 16, 16\), the generator's size"),
        ({"start": "encoder"}, "start='encoder': only the demo's generators have one"),
        ({"start": torch.zeros(2, 3, 16)}, r"start must be latents \(N, 6, 16\), got \(2, 3, 16\)"),
        ({"settings": {"space": "z"}}, "space='z'"),
        ({"settings": {"stpes": 3}}, "stpes"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_bad_arguments_are_named(generator, own, networks, change, message):
    arguments = {"images": own[0], "networks": networks, "progress": False} | change
    with pytest.raises(ValueError, match=message):
        invert(generator, **arguments)


def test_the_default_settings_are_the_published_schedule():
    found = InversionSettings()
    assert (found.steps, found.lr, found.ramp_up, found.ramp_down) == (1000, 0.1, 0.05, 0.25)
    assert (found.jitter, found.jitter_end, found.noise_penalty) == (0.05, 0.75, 1e5)
