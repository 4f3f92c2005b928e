import copy

import pytest
import torch
import torch.nn.functional as F

from zsgan.files import load_tensors
from zsgan.menagerie import train_generator as module
from zsgan.menagerie import training
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import sample_factors
from zsgan.menagerie.train_generator import Stage, grow, main, networks, r1_gamma
from zsgan.stylegan2.checkpoints import load_discriminator_file, load_generator_file

NETWORKS = ("generator", "average", "discriminator")


class Stopped(Exception):
    """What kills a training in these tests."""


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two stages, 16 and 32 px, hardly any channels, and a state saved every second step."""
    monkeypatch.setattr(module, "CHANNELS", {4: 8, 8: 8, 16: 8, 32: 6})
    monkeypatch.setattr(module, "W_DIM", 16)
    monkeypatch.setattr(module, "MAPPING_LAYERS", 2)
    loop = training.loop
    monkeypatch.setattr(training, "loop", lambda *args, **options: loop(*args, **options | {"save_every": 2}))


@pytest.fixture(scope="module")
def bank():
    return training.bank(12, 32, torch.Generator().manual_seed(0), species="dog", style="photo")[0]


def stage(bank, resolution=16, batch=4, seed=0, start=None):
    return Stage(resolution, batch, bank, seed, "cpu", start)


def states(of):
    return {name: {k: t.clone() for k, t in of.networks[name].state_dict().items()} for name in NETWORKS}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def train(folder, *options, kimg=("0.012", "0.02"), domain="dog"):
    """Three steps at 16 px and five at 32 px by default."""
    command = [domain, "--bank", "12", "--kimg", *kimg, "--batch", "4", "4", "--quiet"]
    return main([*command, "--device", "cpu", "--state", str(folder), "--out", str(folder / "out"), *options])


# One stage


def test_the_bank_is_made_of_renders(bank):
    factors = sample_factors(12, torch.Generator().manual_seed(0), species="dog", style="photo")
    assert bank.dtype == torch.uint8 and bank.shape == (12, 3, 32, 32)
    assert torch.equal(bank, training.to_bytes(draw(factors, 32)))


def test_reals_are_reduced_and_half_of_them_mirrored(bank):
    reals = stage(bank, batch=200).reals()
    assert reals.shape == (200, 3, 16, 16)
    plain = F.avg_pool2d(training.from_bytes(bank), 2)
    both = torch.cat([plain, plain.flip(3)])
    distance = torch.cdist(reals.flatten(1), both.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.amin(1).max() < 1e-5  # each is a render
    chosen = distance.argmin(1)
    assert 60 < (chosen < 12).sum() < 140 and len(set((chosen % 12).tolist())) == 12
    full = stage(bank, resolution=32).reals()
    assert (full * 127.5).frac().abs().max() <= 0.5 + 1e-4 and full.shape[-1] == 32


def test_a_new_stage_is_seeded_and_leaves_the_global_generator(bank):
    before = torch.random.get_rng_state()
    first, again, other = states(stage(bank)), states(stage(bank)), states(stage(bank, seed=1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(same(first[name], again[name]) for name in NETWORKS)
    assert not same(first["generator"], other["generator"])
    assert same(first["generator"], first["average"])


def test_a_step_trains_both_networks_and_averages_the_generator(bank):
    training_stage = stage(bank)
    before = states(training_stage)
    training_stage.step(0)
    after = states(training_stage)
    for name in ("generator", "discriminator"):
        module_ = training_stage.networks[name]
        assert all(p.requires_grad for p in module_.parameters())
        unchanged = [k for k, _ in module_.named_parameters() if torch.equal(before[name][k], after[name][k])]
        assert unchanged == []
    decay = 0.5 ** (4 / module.EMA_HALF_LIFE)
    for key, _ in training_stage.average.named_parameters():
        expected = decay * before["average"][key] + (1 - decay) * after["generator"][key]
        assert torch.allclose(after["average"][key], expected, atol=1e-6), key
    for key, buffer in training_stage.average.named_buffers():
        assert torch.equal(buffer, dict(training_stage.generator.named_buffers())[key]), key
    assert not torch.equal(after["average"]["mapping.w_avg"], before["average"]["mapping.w_avg"])


def test_the_losses_are_the_logistic_ones_with_lazy_r1(bank):
    """Step 1 has no penalty, step 0 (from the same state) 16 times half gamma times the squared gradient."""
    first, second = stage(bank), stage(bank)
    discriminator, batches, generator = copy.deepcopy(first.discriminator), [], copy.deepcopy(first.generator)
    reals, random = first.reals, torch.Generator()
    random.set_state(first.random.get_state())
    first.reals = lambda: batches.append(reals()) or batches[-1].clone()
    with_penalty, without = first.step(0), second.step(1)

    z = torch.randn(4, 16, generator=random)
    fakes = generator.synthesis(generator.mapping(z), noise="random", generator=random)
    on_reals, on_fakes = discriminator(batches[0]), discriminator(fakes.detach())
    expected = (1 + on_fakes.exp()).log().mean() + (1 + (-on_reals).exp()).log().mean()
    assert without["loss_d"] == pytest.approx(expected.item(), rel=1e-4)
    assert without["real"] == pytest.approx(on_reals.mean().item(), rel=1e-4)

    images = batches[1].requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images)
    penalty = 0.5 * r1_gamma(16) * 16 * gradient.square().flatten(1).sum(1).mean()
    assert with_penalty["loss_d"] - without["loss_d"] == pytest.approx(penalty.item(), rel=1e-3)
    assert penalty > 0.001


# Growing


def test_growing_keeps_the_image(bank):
    small_stage = stage(bank)
    for i in range(2):
        small_stage.step(i)
    large, _ = networks(32)
    grow(small_stage.generator.state_dict(), large)
    ws = large.mapping(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)))
    small_images = small_stage.generator.synthesis(ws[:, :6], noise="const")
    doubled = large.synthesis.blocks["32"].filter.upsample(small_images)
    assert torch.allclose(large.synthesis(ws, noise="const"), doubled, atol=1e-6)
    assert small_images.abs().max() > 0.01


def test_growing_copies_all_that_is_shared(bank):
    start = states(stage(bank, seed=3))
    large = states(stage(bank, resolution=32, start=start))
    for name in NETWORKS:
        shared = {k for k in start[name] if k in large[name] and large[name][k].shape == start[name][k].shape}
        assert all(torch.equal(start[name][k], large[name][k]) for k in shared)
        assert len(shared) > 0.8 * len(start[name])
    new = {k for k in large["generator"] if "blocks.32.torgb" in k and "affine" not in k}
    assert len(new) == 2 and not any(large["generator"][k].any() for k in new)
    again = states(stage(bank, resolution=32, seed=4, start=large))
    assert all(same(again[name], large[name]) for name in NETWORKS)


# The command


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Folder of a finished training; made by the first test that asks, under the small settings."""
    return tmp_path_factory.mktemp("training")


@pytest.fixture
def trained(finished):
    if not (finished / "out").exists():
        assert train(finished) == 0
    return finished


def test_a_training_ships_what_it_made(trained):
    place = trained / "generator_dog"
    average, shipped = (
        load_generator_file(file)
        for file in (place / "average.safetensors", trained / "out/generator_dog.safetensors")
    )
    ws = average.mapping(torch.randn(3, 16, generator=torch.Generator().manual_seed(1)))
    images = average.synthesis(ws)
    assert images.shape == (3, 3, 32, 32) and not shipped.training
    assert torch.allclose(shipped.synthesis(ws), images, atol=0.02)  # stored in float16
    discriminator = load_discriminator_file(trained / "out/discriminator_dog.safetensors")
    kept = load_discriminator_file(place / "discriminator.safetensors")
    assert torch.allclose(discriminator(images), kept(images), atol=0.05)
    _, config, provenance = load_tensors(trained / "out/generator_dog.safetensors")
    assert config["resolution"] == 32 and provenance["seed"] == 0 and "command" in provenance
    assert 0 < provenance["measured"]["image_std"] < 10


def test_a_stopped_training_resumes_to_the_same_bits(trained, tmp_path, monkeypatch):
    whole, taken, stops = Stage.step, [], [(16, 2), (32, 3)]

    def step(self, i):
        if (self.resolution, i) in stops:
            stops.remove((self.resolution, i))
            raise Stopped
        taken.append((self.resolution, i))
        return whole(self, i)

    monkeypatch.setattr(Stage, "step", step)
    for _ in range(2):
        with pytest.raises(Stopped):
            train(tmp_path)
        taken.clear()
    train(tmp_path)
    assert taken == [(32, i) for i in (2, 3, 4)]
    for name in NETWORKS:
        file = f"generator_dog/{name}.safetensors"
        assert same(load_tensors(trained / file)[0], load_tensors(tmp_path / file)[0]), name


def test_a_species_starts_from_all_species(trained, tmp_path, monkeypatch):
    assert train(tmp_path, domain="photos", kimg=("0.008", "0.008")) == 0
    assert not (tmp_path / "out").exists()  # only a start for the others
    photos = tmp_path / "generator_photos"
    started = []
    monkeypatch.setattr(training, "loop", lambda state, *args, **options: started.append(state))
    train(tmp_path, "--init", str(photos), domain="cat", kimg=("0", "0.008"))
    (state,) = started
    for name in NETWORKS:
        assert same(dict(state[name].state_dict()), load_tensors(photos / f"{name}.safetensors")[0]), name
    assert (tmp_path / "out" / "generator_cat.safetensors").exists()


def test_a_training_without_images_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="--kimg must give at least one stage some images"):
        train(tmp_path, kimg=("0", "0"))


def test_images_that_are_not_finite_are_not_shipped(bank):
    broken = stage(bank)
    assert set(module.measure(broken)) == {"image_mean", "image_std"}
    with torch.no_grad():
        broken.average.synthesis.const.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="not finite; lower the learning rate"):
        module.measure(broken)
