from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F

from zsgan.base.images import from_bytes
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.menagerie import generators
from zsgan.menagerie.generators import Z_DIM, finish
from zsgan.menagerie.training import discriminator as module
from zsgan.menagerie.training import generator as matching
from zsgan.menagerie.training.discriminator import Finish, main, told_apart
from zsgan.menagerie.training.generator import matching_loss
from zsgan.networks.stylegan2.checkpoints import load_discriminator_file, load_generator_file


class Stopped(Exception):
    """What kills a training in these tests."""


@pytest.fixture(autouse=True, scope="module")
def small():
    """Networks of 16 px with hardly any channels, a state saved every second step, 20 images measured."""
    loop, measure, told = module.loop, matching.measure, module.told_apart
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "RESOLUTIONS", (16,))
        patch.setattr(generators, "CHANNELS", {4: 8, 8: 8, 16: 6})
        patch.setattr(generators, "W_DIM", 16)
        patch.setattr(module, "measure", lambda *args: measure(*args, n=20))
        patch.setattr(module, "told_apart", lambda *args: told(*args, n=20))
        patch.setattr(module, "loop", lambda *args, **options: loop(*args, **options | {"save_every": 2}))
        yield


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data(small):
    z, _, images = matching.bank(24, "fox", rng(), progress=False)
    return z, images


def matched(seed=0):
    """A generator as train_generator leaves one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = generators.network(16, conditional=False)
    with torch.no_grad():
        for layer in generator.synthesis.convolutions:
            layer.noise_strength.fill_(matching.NOISE_STRENGTH)
    finish(generator)
    return generator


def training_of(data, steps=8, seed=0, batch=4):
    return Finish(matched(), module.network(16, 0), data, batch, steps, seed)


def copied(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# The steps


def test_the_discriminator_learns_alone_at_first(data):
    finishing = training_of(data, steps=8)
    generator, rows = copied(finishing.generator), []
    for i in range(5):
        before = copied(finishing.discriminator)
        rows.append(finishing.step(i))
        assert not same(copied(finishing.discriminator), before)
        changed = not same(copied(finishing.generator), generator)
        assert changed == (i >= 4), i
    assert [list(row) for row in rows] == [["discriminator"]] * 4 + [
        ["discriminator", "generator", "matching"]
    ]


def test_a_step_of_the_discriminator_is_adam_on_the_stated_loss(data):
    """The first step of Adam without momentum is the sign of the gradient; here of loss and R1 together."""
    finishing = training_of(data)
    judge, generator, random = deepcopy(finishing.discriminator), deepcopy(finishing.generator), rng(0)
    z, images = data
    index = torch.randint(24, (4,), generator=random)
    real = images[index].float() / 127.5 - 1
    with torch.no_grad():
        fake = generator(z[index], noise="random", generator=random)
    real.requires_grad_()
    logits = judge(real)
    loss = F.softplus(-logits).mean() + F.softplus(judge(fake)).mean()
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    r1 = module.R1_WEIGHT / 2 * slope.pow(2).sum() / 4
    (loss + module.R1_EVERY * r1).backward()
    row = finishing.step(0)
    assert row["discriminator"] == pytest.approx(loss.item(), rel=1e-5)
    for (name, new), old in zip(finishing.discriminator.named_parameters(), judge.parameters(), strict=True):
        # The sign of the others is rounding, or their step is shortened by Adam's eps.
        sure = old.grad.abs() > max(1e-4 * old.grad.abs().max().item(), 1e-5)
        assert sure.any(), name
        expected = old - module.DISCRIMINATOR_RATE * old.grad.sign()
        assert torch.allclose(new[sure], expected[sure], atol=1e-5), name


def test_r1_is_lazy(data, monkeypatch):
    asked, penalty = [], module.r1_penalty
    monkeypatch.setattr(module, "r1_penalty", lambda *args: asked.append(1) or penalty(*args))
    monkeypatch.setattr(module, "R1_EVERY", 3)
    finishing = training_of(data)
    for i in range(7):
        finishing.step(i)
    assert len(asked) == 3


def test_a_step_of_the_generator_is_adam_on_the_stated_loss(data):
    finishing = training_of(data)
    judge, generator, random = deepcopy(finishing.discriminator), deepcopy(finishing.generator), rng(0)
    z, images = data
    index = torch.randint(24, (4,), generator=random)
    made = generator(z[index], noise="random", generator=random)
    drawn = images[index].float() / 127.5 - 1
    adversarial, anchor = F.softplus(-judge(made)).mean(), matching_loss(made, drawn, None)
    (adversarial + module.MATCHING_WEIGHT * anchor).backward()
    before = copied(finishing.discriminator)
    row = finishing._teach_generator()
    assert row == pytest.approx({"generator": adversarial.item(), "matching": anchor.item()}, rel=1e-4)
    assert same(copied(finishing.discriminator), before)
    assert all(parameter.requires_grad for parameter in finishing.discriminator.parameters())
    changed = 0
    for (name, new), old in zip(
        finishing.generator.named_parameters(), generator.named_parameters(), strict=True
    ):
        old = old[1]
        if name.endswith("noise_strength"):
            assert new == old == pytest.approx(matching.NOISE_STRENGTH)
            continue
        sure = old.grad.abs() > 1e-3 * old.grad.abs().max()
        expected = old - module.LEARNING_RATE * old.grad.sign()
        assert torch.allclose(new[sure], expected[sure], atol=1e-5), name
        changed += int(sure.sum())
    assert changed > 1000


def test_the_average_forgets_half_in_a_half_life(data, monkeypatch):
    monkeypatch.setattr(module, "AVERAGE_HALF_LIFE", 4)
    finishing = training_of(data, batch=4)
    start = copied(finishing.average)
    finishing._teach_generator()
    new, average = copied(finishing.generator), copied(finishing.average)
    for name, tensor in start.items():
        assert torch.allclose(average[name], (tensor + new[name]) / 2, atol=1e-6), name


def test_the_measure_counts_who_was_right():
    generator, seen = matched(), []

    def judge(score):
        def judged(x):
            seen.append(x)
            return torch.full((len(x), 1), score(len(seen)))

        return judged

    rates = [lambda i: 1.0, lambda i: 1.0 if i % 2 else -1.0, lambda i: -1.0 if i % 2 else 1.0]
    for score, expected in zip(rates, (0.5, 1.0, 0.0), strict=True):
        assert told_apart(judge(score), generator, "bear", n=40) == {"told apart": expected}
    z, _, drawn = matching.bank(40, "bear", rng(module.UNSEEN_SEED), progress=False)
    assert [len(x) for x in seen] == [20] * 12
    assert torch.equal(seen[0], from_bytes(drawn[:20]))
    assert torch.allclose(seen[1], generator(z.flip(0)[:20]), atol=1e-5)  # other portraits than the drawn


def test_a_discriminator_learns_to_tell_apart_what_differs(data):
    """Against a generator of noise a few steps are enough."""
    finishing = training_of(data, steps=1000, batch=8)
    for i in range(60):
        row = finishing.step(i)
    assert row["discriminator"] < 0.5
    finishing.generator.eval()
    assert told_apart(finishing.discriminator, finishing.generator, "fox", n=40)["told apart"] > 0.9


# The command


@pytest.fixture(scope="module")
def init(small, tmp_path_factory):
    """File of a matched generator."""
    file, generator = tmp_path_factory.mktemp("init") / "generator.safetensors", matched(seed=3)
    save_tensors(generator.state_dict(), file, config=generator.config, provenance={})
    return file


def train(folder, init, *options):
    """Eight steps of four images."""
    command = ["fox", "--init", str(init), "--bank", "12", "--kimg", "0.032", "--batch", "4", "--quiet"]
    command += ["--device", "cpu", "--precision", "float32"]
    return main([*command, "--state", str(folder), "--out", str(folder / "out"), *options])


@pytest.fixture(scope="module")
def trained(init, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, init) == 0
    return folder / "out"


def test_both_networks_ship(trained, init):
    assert sorted(file.name for file in trained.iterdir()) == [
        "discriminator_fox.safetensors", "generator_fox.safetensors",
    ]  # fmt: skip
    generator = load_generator_file(trained / "generator_fox.safetensors")
    discriminator = load_discriminator_file(trained / "discriminator_fox.safetensors")
    assert discriminator.config["resolution"] == generator.config["resolution"] == 16
    z = torch.randn(4, Z_DIM, generator=rng())
    before, after = load_generator_file(init)(z), generator(z)
    assert discriminator(after).shape == (4, 1)
    assert 0 < (after - before).abs().mean() < 0.5
    for layer in generator.synthesis.convolutions:
        assert layer.weight.square().mean().item() == pytest.approx(1, abs=1e-3)
        assert layer.noise_strength.item() == pytest.approx(matching.NOISE_STRENGTH, rel=1e-3)
    for kind in ("generator", "discriminator"):
        _, _, provenance = load_tensors(trained / f"{kind}_fox.safetensors")
        assert provenance["measured"].keys() == {"PSNR", "told apart", "precision"}
        assert provenance["seed"] == 0


def test_a_discriminator_alone_leaves_the_generator_as_it_is(trained, init, tmp_path):
    assert train(tmp_path, init, "--alone") == 0
    file = tmp_path / "out" / "discriminator_fox.safetensors"
    assert list((tmp_path / "out").iterdir()) == [file]
    found, other = (load_tensors(place)[0] for place in (file, trained / file.name))
    assert not same(found, other), "beside a generator that learns, it becomes another one"


def stopping(monkeypatch, at):
    step, taken = Finish.step, []

    def stopped(self, i):
        taken.append(i)
        if i == at and taken.count(at) == 1:
            raise Stopped
        return step(self, i)

    monkeypatch.setattr(Finish, "step", stopped)
    return taken


def test_a_stopped_training_resumes_to_the_same_bits(trained, init, tmp_path, monkeypatch):
    taken = stopping(monkeypatch, 5)
    with pytest.raises(Stopped):
        train(tmp_path, init)
    assert train(tmp_path, init) == 0
    assert taken == [0, 1, 2, 3, 4, 5, 4, 5, 6, 7]
    for file in trained.iterdir():
        assert same(load_tensors(file)[0], load_tensors(tmp_path / "out" / file.name)[0])


@pytest.mark.parametrize(
    "options", [("--seed", "1"), ("--bank", "13"), ("--kimg", "0.04"), ("--batch", "2")], ids=lambda x: x[0]
)
def test_a_training_resumed_with_other_arguments_is_refused(init, tmp_path, monkeypatch, options):
    stopping(monkeypatch, 3)
    with pytest.raises(Stopped):
        train(tmp_path, init)
    with pytest.raises(ValueError, match="belongs to a training with other arguments"):
        train(tmp_path, init, *options)
    assert not (tmp_path / "out").exists()


def test_another_generator_is_another_training(init, tmp_path, monkeypatch):
    stopping(monkeypatch, 3)
    with pytest.raises(Stopped):
        train(tmp_path, init)
    other, generator = tmp_path / "other.safetensors", matched(seed=4)
    save_tensors(generator.state_dict(), other, config=generator.config, provenance={})
    with pytest.raises(ValueError, match="belongs to a training with other arguments"):
        train(tmp_path, other)


def test_a_generator_with_labels_is_refused(tmp_path):
    file, generator = tmp_path / "world.safetensors", generators.network(16, conditional=True)
    save_tensors(generator.state_dict(), file, config=generator.config, provenance={})
    with pytest.raises(ValueError, match="takes labels; give a generator of one species"):
        train(tmp_path, file)


@pytest.mark.parametrize("batch", ["6", "0"])
def test_a_batch_that_does_not_divide_into_groups_is_refused(init, tmp_path, capsys, batch):
    with pytest.raises(SystemExit):
        train(tmp_path / "state", init, "--batch", batch)
    assert "--batch must be" in capsys.readouterr().err and not (tmp_path / "state").exists()
