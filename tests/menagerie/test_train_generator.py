import math
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from zsgan.base.images import from_bytes, to_bytes
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.menagerie import generators
from zsgan.menagerie.draw import draw
from zsgan.menagerie.evaluator import Evaluator
from zsgan.menagerie.factors import SPECIES, from_latent
from zsgan.menagerie.generators import finish, grow, network, specialise
from zsgan.menagerie.training import generator as module
from zsgan.menagerie.training.generator import Stage, main, matching_loss
from zsgan.networks.stylegan2.checkpoints import load_generator_file


class Stopped(Exception):
    """What kills a training in these tests."""


@pytest.fixture(autouse=True, scope="module")
def small():
    """Two stages, 16 and 32 px, hardly any channels, a state saved every second step, 20 images measured."""
    loop, measure = module.loop, module.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RESOLUTIONS", (16, 32))
        patch.setattr(generators, "CHANNELS", {4: 8, 8: 8, 16: 8, 32: 6})
        patch.setattr(generators, "W_DIM", 16)
        patch.setattr(module, "measure", lambda *args: measure(*args, n=20))
        patch.setattr(module, "loop", lambda *args, **options: loop(*args, **options | {"save_every": 2}))
        yield


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data(small):
    return module.bank(24, None, rng(), progress=False)


def make(resolution=16, conditional=True, seed=0):
    """A new generator none of whose parameters, but those of the noise, is zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = network(resolution, conditional)
        with torch.no_grad():
            for name, parameter in generator.named_parameters():
                if name.endswith("bias"):
                    parameter.add_(torch.randn_like(parameter) * (30 if "mapping.layers" in name else 0.3))
            for layer in generator.synthesis.convolutions:
                layer.noise_strength.fill_(0.2)
    return generator


@pytest.fixture(scope="module")
def perceptual():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        evaluator = Evaluator(widths=(4, 6, 8))
    evaluator(torch.randn(16, 3, 64, 64, generator=rng()))  # statistics of the normalisations
    return evaluator.eval().requires_grad_(False)


def stage(data, resolution=16, batch=4, steps=1000, seed=0, perceptual=None, conditional=True):
    return Stage(make(resolution, conditional), data, batch, steps, seed, perceptual)


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def labels(species, n):
    return F.one_hot(torch.full((n,), SPECIES.index(species)), len(SPECIES)).float()


# The bank


def test_the_bank_is_of_the_portraits_that_its_latents_stand_for(data):
    z, kind, images = data
    assert z.shape == (24, module.Z_DIM) and images.shape == (24, 3, 32, 32) and images.dtype == torch.uint8
    assert set(kind.tolist()) == set(range(len(SPECIES)))
    expected = to_bytes(draw(from_latent(z, kind), 32))
    assert (images.int() - expected.int()).abs().max() <= 1
    assert (images[:-1].int() - expected[1:].int()).abs().max() > 50  # portraits differ


def test_the_bank_of_a_species_has_no_other():
    z, kind, images = module.bank(3, "fox", rng(), progress=False)
    assert kind.tolist() == [SPECIES.index("fox")] * 3
    expected = to_bytes(draw(from_latent(z, "fox"), 32))
    assert (images.int() - expected.int()).abs().max() <= 1


# Generators


def test_a_specialised_generator_is_the_conditional_one_with_its_label():
    conditional, z = make(32), torch.randn(5, module.Z_DIM, generator=rng(1))
    conditional.mapping.w_avg.normal_(generator=rng(2))
    before, images = copied(conditional), []
    for species in ("dog", "rabbit"):
        special = specialise(conditional, species)
        ws = special.mapping(z)
        assert torch.allclose(ws, conditional.mapping(z, labels(species, 5)), atol=1e-5)
        images.append(special(z))
        assert torch.allclose(images[-1], conditional(z, labels(species, 5)), atol=1e-5)
        assert special.config["c_dim"] == 0 and special.mapping.embed is None
        assert torch.equal(special.mapping.w_avg, conditional.mapping.w_avg)
    assert (images[0] - images[1]).abs().max() > 0.1
    assert same(copied(conditional), before)


@pytest.mark.parametrize("noise", ["none", "const"])
def test_finishing_leaves_the_images(noise):
    generator, z = make(32, conditional=False), torch.randn(4, module.Z_DIM, generator=rng(1))
    with torch.no_grad():
        for i, layer in enumerate(generator.synthesis.convolutions):
            layer.weight.mul_(3.0 ** (i - 1))
            layer.affine.weight.mul_(2.0 + i)
    before = generator(z, noise=noise)
    finish(generator)
    w = generator.mapping(torch.randn(10_000, module.Z_DIM, generator=rng(7)))[:, 0]
    for layer in generator.synthesis.convolutions:
        assert layer.weight.square().mean().item() == pytest.approx(1, abs=1e-5)
        assert layer.affine(w).square().mean().item() == pytest.approx(1, abs=0.05)
    assert torch.allclose(generator(z, noise=noise), before, atol=1e-4)
    assert before.std() > 0.1


def test_finishing_finds_the_mean_w():
    generator, n = make(conditional=False), 20_000
    finish(generator)
    w = generator.mapping(torch.randn(n, module.Z_DIM, generator=rng(5)))[:, 0]
    error = (generator.mapping.w_avg - w.mean(0)).abs() / w.std(0)
    assert error.max() < 5 * math.sqrt(1 / 10_000 + 1 / n)
    assert (w.mean(0).abs() / w.std(0)).max() > 0.5


def test_growing_keeps_the_image():
    small, large = make(16, seed=1), make(32, seed=2)
    z, label = torch.randn(3, module.Z_DIM, generator=rng(1)), labels("cat", 3)
    assert not torch.equal(small.mapping(z, label), large.mapping(z, label)[:, :6])
    grow(small, large)
    images = small(z, label)
    doubled = large.synthesis.blocks["32"].filter.upsample(images)
    assert torch.allclose(large(z, label), doubled, atol=1e-5)
    assert images.std() > 0.1


def test_growing_copies_all_that_is_shared():
    small, large = make(16, seed=1), make(32, seed=2)
    small.mapping.w_avg.normal_(generator=rng())
    start, before = copied(small), copied(large)
    grow(small, large)
    after = copied(large)
    assert start.keys() < after.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in start.items())
    new = after.keys() - start.keys()
    zero = {"synthesis.blocks.32.torgb.weight", "synthesis.blocks.32.torgb.bias"}
    assert zero < new and not any(after[name].any() for name in zero)
    assert all(torch.equal(after[name], before[name]) for name in new - zero)
    assert same(copied(small), start)


# The loss


def expected_loss(made, drawn, perceptual=None):
    n, _, side, _ = made.shape
    error = made - drawn
    means = error.reshape(n, 3, side // 4, 4, side // 4, 4).mean((3, 5))
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    loss = sum(x.abs().mean() for x in (error, means, across, down))
    if perceptual is None:
        return loss
    maps = list(zip(perceptual.maps(made), perceptual.maps(drawn), strict=True))
    for pair in maps[1:]:
        a, b = (x / (x.pow(2).mean(1, keepdim=True) + 1e-3).sqrt() for x in pair)
        loss = loss + 2 * (a - b).abs().mean() / len(maps)
    return loss


@pytest.mark.parametrize("side", [16, 64])
def test_the_loss_is_the_stated_one(side, perceptual):
    made, drawn = torch.randn(2, 3, 3, side, side, generator=rng()).tanh()
    plain, full = matching_loss(made, drawn, None), matching_loss(made, drawn, perceptual)
    assert plain.item() == pytest.approx(expected_loss(made, drawn).item(), rel=1e-5)
    assert full.item() == pytest.approx(expected_loss(made, drawn, perceptual).item(), rel=1e-5)
    assert full > plain + 0.1


def test_the_loss_of_equal_images_is_zero(perceptual):
    images = torch.randn(2, 3, 32, 32, generator=rng()).tanh()
    assert matching_loss(images, images.clone(), None) == 0
    assert matching_loss(images, images.clone(), perceptual) == 0


def test_features_pull_the_made_images_alone(perceptual):
    """The targets are constants: features change the gradient of ``made`` and not that of ``drawn``."""

    def gradients(network):
        pair = [x.clone().requires_grad_() for x in torch.randn(2, 3, 3, 32, 32, generator=rng()).tanh()]
        return torch.autograd.grad(matching_loss(*pair, network), pair)

    (made, drawn), (made_with, drawn_with) = gradients(None), gradients(perceptual)
    assert torch.equal(drawn, drawn_with)
    assert (made_with - made).abs().mean() > 0.01 * made.abs().mean()
    assert all(parameter.grad is None for parameter in perceptual.parameters())


# One stage


@pytest.mark.parametrize("resolution", [16, 32])
@pytest.mark.parametrize("conditional", [True, False])
def test_a_step_compares_images_with_the_portraits_of_their_latents(
    data, resolution, conditional, perceptual
):
    judge = perceptual if resolution == 32 else None
    training_stage = stage(data, resolution, perceptual=judge, conditional=conditional)
    z, kind, images = data
    generator, random = deepcopy(training_stage.generator), rng(resolution)
    row = training_stage.step(0)
    index = torch.randint(24, (4,), generator=random)
    label = F.one_hot(kind[index], len(SPECIES)).float() if conditional else None
    made = generator(z[index], label, noise="random", generator=random)
    side = 32 // resolution
    drawn = images[index].float().reshape(4, 3, resolution, side, resolution, side).mean((3, 5)) / 127.5 - 1
    assert row["L1"] == pytest.approx((made - drawn).abs().mean().item(), rel=1e-4)
    assert row["loss"] == pytest.approx(expected_loss(made, drawn, judge).item(), rel=1e-4)
    assert len(set(index.tolist())) > 1 and training_stage.random.get_state().equal(random.get_state())


def test_a_step_trains_everything_but_the_strength_of_noise(data):
    """Adam's first step is as long as its learning rate: 1, 3 and 20 times that of the convolutions."""
    training_stage = stage(data, resolution=32)
    before = copied(training_stage.generator)
    training_stage.step(0)
    after = copied(training_stage.generator)
    rates = dict.fromkeys((1, 3, 20), 0)
    for name, _ in training_stage.generator.named_parameters():
        change = (after[name] - before[name]).abs().max().item()
        if name.endswith("noise_strength"):
            assert after[name].item() == pytest.approx(module.NOISE_STRENGTH) and change == 0
            continue
        factor = 20 if name.startswith("mapping.") else 3 if ".affine." in name else 1
        assert change == pytest.approx(factor * training_stage.learning_rate(0), rel=0.02), name
        rates[factor] += 1
    assert all(rates.values())
    for name, buffer in training_stage.generator.named_buffers():
        assert name not in before or torch.equal(buffer, before[name]), name


def test_the_average_forgets_half_in_a_half_life(data, monkeypatch):
    monkeypatch.setattr(module, "AVERAGE_HALF_LIFE", 8)
    training_stage = stage(data, batch=4)
    start = copied(training_stage.average)
    assert same(start, copied(training_stage.generator))
    history = []
    for i in range(2):
        training_stage.step(i)
        history.append(copied(training_stage.generator))
    kept = 0.5**0.5  # in 4 images
    average = copied(training_stage.average)
    for name, tensor in start.items():
        first, second = (state[name] for state in history)
        expected = 0.5 * tensor + kept * (1 - kept) * first + (1 - kept) * second
        assert torch.allclose(average[name], expected, atol=1e-4 * (1 + tensor.abs().max().item()) / 100), (
            name
        )
    assert not any(parameter.requires_grad for parameter in training_stage.average.parameters())


def test_the_learning_rate_rises_stays_and_falls(data):
    rate = stage(data, steps=1000).learning_rate
    assert rate(0) == pytest.approx(0.0003) and rate(49) == pytest.approx(0.015)
    assert [rate(i) for i in (99, 200, 399)] == pytest.approx([0.03] * 3)
    assert [rate(i) for i in (400, 700, 940)] == pytest.approx([0.03, 0.015, 0.003])
    assert rate(999) == pytest.approx(0.03 * 0.03)


def test_order_and_noise_depend_on_the_seed_and_not_on_the_global_generator(data):
    before = torch.random.get_rng_state()
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(losses))
        losses.append(stage(data, seed=seed).step(0)["loss"])
    torch.random.set_rng_state(before)
    assert losses[0] == losses[1] != losses[2]


def test_matching_learns_the_portraits(data):
    """Also which species to draw: the error of the best picture for all latents is far behind."""
    z, kind, images = (part[:8] for part in data)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = network(16, conditional=True)
    training_stage = Stage(generator, (z, kind, images), 8, 300, seed=0)
    for i in range(300):
        training_stage.step(i)
    drawn = F.avg_pool2d(from_bytes(images), 2)
    label = F.one_hot(kind, len(SPECIES)).float()
    with torch.no_grad():
        right = (training_stage.generator(z, label) - drawn).abs().mean()
        wrong = (training_stage.generator(z, label.roll(1, 1)) - drawn).abs().mean()
    best_constant = (drawn - drawn.median(0).values).abs().mean()
    assert right < 0.6 * best_constant
    assert wrong > 1.2 * right


def test_the_measure_is_the_mean_ratio_of_signal_to_noise_over_unseen_latents():
    seen = []

    def synthesis(z):  # off by 0.2 and 0.02, alternating: 20 and 40 dB
        seen.append(z)
        drawn = draw(from_latent(z, "bear"), 32)
        error = torch.tensor([0.2, 0.02]).repeat(len(z) // 2)[:, None, None, None]
        made = drawn - error * drawn.sign()
        return torch.where(drawn.abs() < error, drawn + error, made)

    synthesis.const = torch.zeros(())
    fake = SimpleNamespace(mapping=lambda z: z, synthesis=synthesis)
    assert module.measure(fake, "bear") == {"PSNR": pytest.approx(30, abs=0.011)}
    assert len(torch.cat(seen).unique(dim=0)) == 20
    assert module.measure(fake, "mouse")["PSNR"] < 20


def test_the_measure_clamps_images():
    def measured(change):
        def synthesis(z):
            return change(draw(from_latent(z, "dog"), 32))

        synthesis.const = torch.zeros(())
        return module.measure(SimpleNamespace(mapping=lambda z: z, synthesis=synthesis), "dog")

    assert measured(lambda x: 3 * x) == measured(lambda x: (3 * x).clamp(-1, 1))
    assert measured(lambda x: 3 * x)["PSNR"] < measured(lambda x: 0.9 * x)["PSNR"]


# The command


def train(folder, domain, *options, kimg=("0.012", "0.02"), batch=("4", "4")):
    """Three steps at 16 px and five at 32 px by default."""
    command = [domain, "--bank", "12", "--kimg", *kimg, "--batch", *batch, "--quiet"]
    command += ["--device", "cpu", "--precision", "float32"]
    return main([*command, "--state", str(folder), "--out", str(folder / "out"), *options])


@pytest.fixture(scope="module")
def world(small, tmp_path_factory):
    """File of a finished world."""
    folder = tmp_path_factory.mktemp("world")
    assert train(folder, "world") == 0
    assert not (folder / "out").exists()  # only a start for the species
    return folder / "generator_world" / "generator.safetensors"


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    """Folder of a finished training of dogs."""
    folder = tmp_path_factory.mktemp("dog")
    assert train(folder, "dog", "--init", str(world)) == 0
    return folder


@pytest.fixture
def stop(monkeypatch):
    """A function that makes the training stop once before a given step, and lists the steps that it takes."""
    step, stops, taken = Stage.step, [], []

    def stopping(self, i):
        if (self.resolution, i) in stops:
            stops.remove((self.resolution, i))
            raise Stopped
        taken.append((self.resolution, i))
        return step(self, i)

    monkeypatch.setattr(Stage, "step", stopping)

    def at(*places):
        stops.extend(places)
        return taken

    return at


@pytest.fixture
def stages(monkeypatch):
    """The stages that the command makes; none of them is trained."""
    made = []
    monkeypatch.setattr(module, "loop", lambda state, step, *args, **options: made.append(step.__self__))
    return made


def test_a_training_ships_what_it_made(trained):
    kept = load_generator_file(trained / "generator_dog/generator.safetensors")
    shipped = load_generator_file(trained / "out/generator_dog.safetensors")
    z = torch.randn(3, module.Z_DIM, generator=rng(1))
    images = kept(z)
    assert images.shape == (3, 3, 32, 32) and images.std() > 0.05
    assert torch.allclose(shipped(z), images, atol=0.02)  # stored in float16
    assert [file.name for file in (trained / "out").iterdir()] == ["generator_dog.safetensors"]
    for layer in kept.synthesis.convolutions:
        assert layer.weight.square().mean().item() == pytest.approx(1, abs=1e-4)
        assert layer.noise_strength.item() == pytest.approx(module.NOISE_STRENGTH)
    assert kept.mapping.w_avg.abs().max() > 0.01
    _, config, provenance = load_tensors(trained / "out/generator_dog.safetensors")
    assert (config["resolution"], config["c_dim"], config["w_dim"]) == (32, 0, 16)
    assert provenance["seed"] == 0 and provenance["command"] and "torch" in provenance["versions"]
    assert provenance["measured"] == module.measure(kept, "dog") | {"precision": "float32"}
    assert 0 < provenance["measured"]["PSNR"] < 40


def test_a_stopped_training_resumes_to_the_same_bits(world, trained, tmp_path, stop):
    taken = stop((16, 2), (32, 3))
    for _ in range(2):
        with pytest.raises(Stopped):
            train(tmp_path, "dog", "--init", str(world))
        taken.clear()
    assert train(tmp_path, "dog", "--init", str(world)) == 0
    assert taken == [(32, i) for i in (2, 3, 4)]
    for file in ("generator_dog/generator.safetensors", "out/generator_dog.safetensors"):
        assert same(load_tensors(trained / file)[0], load_tensors(tmp_path / file)[0]), file


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (("--seed", "1"), {}),
        ((), {"kimg": ("0.012", "0.024")}),
        ((), {"batch": ("4", "2")}),
        (("--bank", "13"), {}),
    ],
    ids=["seed", "kimg", "batch", "bank"],
)
def test_a_training_resumed_with_other_arguments_is_refused(world, tmp_path, stop, options, settings):
    taken = stop((16, 2))
    with pytest.raises(Stopped):
        train(tmp_path, "dog", "--init", str(world))
    taken.clear()
    with pytest.raises(ValueError, match="belongs to a training with other arguments"):
        train(tmp_path, "dog", "--init", str(world), *options, **settings)
    assert taken == [] and not (tmp_path / "out").exists()
    assert not (tmp_path / "generator_dog" / "generator.safetensors").exists()


def test_a_species_starts_from_the_world(world, tmp_path, stages):
    assert train(tmp_path, "cat", "--init", str(world), kimg=("0", "0.008")) == 0
    (stage_,) = stages
    source, z = load_generator_file(world), torch.randn(4, module.Z_DIM, generator=rng(1))
    assert source.mapping.c_dim == len(SPECIES)
    expected = source(z, labels("cat", 4))
    assert torch.allclose(stage_.generator(z), expected, atol=1e-4)
    assert (expected - source(z, labels("dog", 4))).abs().max() > 0.01
    assert set(stage_.data[1].tolist()) == {SPECIES.index("cat")}
    assert (tmp_path / "out" / "generator_cat.safetensors").exists()


def test_a_stage_starts_from_the_average_of_the_one_before(tmp_path, monkeypatch):
    starts, averages = [], []

    def loop(state, step, total, *args, **options):
        starts.append((total, copied(state["generator"])))
        averages.append(state["average"].state_dict())
        for name, value in (("generator", 1.0), ("average", 2.0)):
            state[name].synthesis.const.data.fill_(value)

    monkeypatch.setattr(module, "loop", loop)
    assert train(tmp_path, "world") == 0
    (first_steps, _), (steps, start) = starts
    assert (first_steps, steps) == (3, 5)
    assert (start["synthesis.const"] == 2).all()
    assert all(torch.equal(start[name], tensor) for name, tensor in averages[0].items())
    kept = load_generator_file(tmp_path / "generator_world" / "generator.safetensors")
    assert (kept.synthesis.const == 2).all() and kept.config["resolution"] == 32


def test_a_species_that_stops_below_the_full_size_is_not_shipped(world, tmp_path):
    assert train(tmp_path, "dog", "--init", str(world), kimg=("0.008", "0")) == 0
    _, config, _ = load_tensors(tmp_path / "generator_dog" / "generator.safetensors")
    assert config["resolution"] == 16 and not (tmp_path / "out").exists()


def test_the_perceptual_network_helps_at_full_size(world, tmp_path, stages, perceptual):
    file = tmp_path / "perceptual.safetensors"
    save_tensors(perceptual.state_dict(), file, config=perceptual.config, provenance={})
    train(tmp_path, "dog", "--init", str(world), "--perceptual", str(file))
    first, second = stages
    assert first.perceptual is None
    assert same(copied(second.perceptual), copied(perceptual)) and not second.perceptual.training
    assert not any(parameter.requires_grad for parameter in second.perceptual.parameters())


@pytest.mark.parametrize(
    ("domain", "options", "settings", "message"),
    [
        ("world", (), {"kimg": ("1",)}, "--kimg needs a value for each of (16, 32) px, got [1.0]"),
        ("world", (), {"kimg": ("1", "1", "1")}, "--kimg needs a value for each of (16, 32) px"),
        ("world", (), {"batch": ("4",)}, "--batch needs a value for each of (16, 32) px, got [4]"),
        ("dog", (), {}, "--init must be given for a species"),
        ("world", ("--init", "world.safetensors"), {}, "--init must be given for a species, and only then"),
        ("world", (), {"kimg": ("0", "0")}, "--kimg must be positive for at least one stage"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(tmp_path, capsys, domain, options, settings, message):
    with pytest.raises(SystemExit) as error:
        train(tmp_path / "state", domain, *options, **settings)
    assert error.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
