"""The 10-shot row: its losses, its every setting against a second implementation, its runs."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from zsgan import api
from zsgan.adaptation.config import AdaptConfig, build, override
from zsgan.adaptation.few_shot import CENTRE_SAMPLES, FewShotAdaptation
from zsgan.adaptation.rival_settings import FewShot
from zsgan.adaptation.targets import targets, targets_key
from zsgan.assets import manifest, names
from zsgan.base.files import read_json, sha256
from zsgan.base.loop import loop
from zsgan.base.settings import names_of
from zsgan.base.streams import stream
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.portraits import Drawing
from zsgan.networks.stylegan2 import Discriminator
from zsgan.rivals.few_shot_losses import distance_consistency_loss, similarities
from zsgan.runs.identity import relevant, resolve
from zsgan.runs.run import run

STEPS = 4
BASE = build(
    AdaptConfig,
    {
        "generator": "0", "source_text": "dog", "target_text": "cat", "terms": {},
        "few_shot": {
            "target": {"species": "cat"}, "images": 3, "lambda_distance": 50, "distance_batch": 3,
            "anchor_every": 3, "anchor_deviation": 0.3, "patch_level": 1, "lambda_r1": 5, "r1_every": 2,
            "lambda_path": 3, "path_every": 2, "mixing": 0.5,
        },
        "optimiser": {"iterations": STEPS, "lr": 0.02, "betas": (0.3, 0.9)},
    },
)  # fmt: skip

OTHER = {
    "generator": "1", "few_shot.target": {"species": "fox", "style": "sketch"}, "few_shot.images": 6,
    "few_shot.discriminator": "1", "few_shot.lambda_distance": 500, "few_shot.distance_batch": 4,
    "few_shot.anchor_every": 2, "few_shot.anchor_deviation": 1, "few_shot.patch_level": 0,
    "few_shot.lambda_r1": 0, "few_shot.r1_every": 3, "few_shot.lambda_path": 0, "few_shot.path_every": 3,
    "few_shot.mixing": 1, "optimiser.iterations": STEPS + 1, "optimiser.batch_size": 3, "optimiser.lr": 0.01,
    "optimiser.betas": (0.6, 0.95), "optimiser.ema": 0.8, "shared_noise": True, "seed": 1,
}  # fmt: skip


def make_discriminator(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Discriminator(16, {4: 6, 8: 5, 16: 4})
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    parameter.normal_(std=0.2)
    return network.eval()


@pytest.fixture
def networks(make_generator):
    """What a configuration of this file calls its networks, and its images."""

    def networks(config, dtype=torch.double):
        parts = (
            make_generator(seed=int(config.generator)),
            make_discriminator(int(config.few_shot.discriminator or 0)),
        )
        return *(part.to(dtype) for part in parts), targets(config.few_shot, 16).to(dtype)

    return networks


def adapted(config, *parts):
    trainer = FewShotAdaptation(config, *parts)
    rows = [trainer.step(i) for i in range(config.optimiser.iterations)]
    return {name: value.detach().clone() for name, value in trainer.result.state_dict().items()}, rows


# Distance consistency


def published(maps, layers):
    """Row after row, pair after pair."""
    rows = []
    for n, layer in enumerate(layers):
        flat = maps[layer].reshape(len(layers), -1)
        others = [m for m in range(len(layers)) if m != n]
        rows.append(torch.stack([flat[n] @ flat[m] / flat[n].norm() / flat[m].norm() for m in others]))
    return torch.stack(rows)


@pytest.fixture
def maps():
    def maps(seed, n=4):
        random = torch.Generator().manual_seed(seed)
        shapes = [(n, 3, 4, 4), (n, 3, 8, 8), (n, 2, 8, 8)]
        return [torch.randn(shape, generator=random, dtype=torch.double).requires_grad_() for shape in shapes]

    return maps


def test_distances_are_compared_as_published(maps):
    ours, source, layers = maps(0), maps(1), [0, 2, 2, 1]
    p, q = (published(x, layers).softmax(1) for x in (source, ours))
    expected = (p * (p.log() - q.log())).mean()  # torch.nn.KLDivLoss() of log q and p
    found = distance_consistency_loss(ours, source, layers)
    assert torch.allclose(similarities(ours, layers), published(ours, layers))
    assert found.item() == pytest.approx(expected.item(), rel=1e-10) and found > 1e-4
    for a, b in zip(torch.autograd.grad(found, ours), torch.autograd.grad(expected, ours), strict=True):
        assert torch.allclose(a, b) and a.abs().max() > 0


def test_gradients_of_the_distance_agree_with_finite_differences(maps):
    ours, source = maps(0, n=3), maps(1, n=3)
    assert torch.autograd.gradcheck(lambda *x: distance_consistency_loss(x, source, [1, 0, 2]), ours)


def test_scaled_activations_keep_every_distance(maps):
    source, layers = maps(0), [0, 1, 2, 2]
    scaled = [3 * x for x in source]
    assert distance_consistency_loss(scaled, source, layers).abs() < 1e-12
    assert distance_consistency_loss([x.roll(1, 0) for x in source], source, layers) > 1e-4


def test_two_images_have_no_distribution_of_distances(maps):
    with pytest.raises(ValueError, match="at least 3 images, got 2"):
        distance_consistency_loss(maps(0, 2), maps(1, 2), [0, 1])


# Every setting


def adam_step(theta, gradient, memory, lr, betas):
    t, m, v = memory
    t, m = t + 1, betas[0] * m + (1 - betas[0]) * gradient
    v = betas[1] * v + (1 - betas[1]) * gradient**2
    step = lr * (m / (1 - betas[0] ** t)) / ((v / (1 - betas[1] ** t)).sqrt() + 1e-8)
    return theta - step, (t, m, v)


class Side:
    """Parameters of one of the two players, and its Adam."""

    def __init__(self, parameters, optimiser, weight, every):
        ratio = every / (every + 1) if weight else 1
        self.values = {name: p.detach().clone() for name, p in parameters.items()}
        self.memory = {name: (0, torch.zeros_like(p), torch.zeros_like(p)) for name, p in parameters.items()}
        self.lr, self.betas = optimiser.lr * ratio, [beta**ratio for beta in optimiser.betas]

    def leaves(self):
        self.taken = {name: p.clone().requires_grad_() for name, p in self.values.items()}
        return self.taken

    def descend(self, loss):
        gradients = torch.autograd.grad(loss, list(self.taken.values()), allow_unused=True)
        for name, gradient in zip(self.taken, gradients, strict=True):
            if gradient is not None:
                self.values[name], self.memory[name] = adam_step(
                    self.values[name], gradient, self.memory[name], self.lr, self.betas
                )
        return torch.cat([g.flatten() for g in gradients if g is not None]).norm().item()


def part(parameters, prefix):
    return {n.removeprefix(prefix): p for n, p in parameters.items() if n.startswith(prefix)}


def reference(config, g_src, judge, images):
    """The adaptation again, one number after the other."""
    s, o, seed = config.few_shot, config.optimiser, config.seed
    batch, rows_of_w, call = o.batch_size, g_src.synthesis.n_ws, torch.func.functional_call
    source = dict(g_src.named_parameters())
    width = judge.config["channels"][16 // 2**s.patch_level]
    with torch.random.fork_rng():
        torch.manual_seed(stream(seed, "patch layer").initial_seed())
        patch = {"patch.weight": torch.randn(1, width, 3, 3).double(), "patch.bias": torch.zeros(1).double()}
    g = Side(source, o, s.lambda_path, s.path_every)
    d = Side(dict(judge.named_parameters()) | patch, o, s.lambda_r1, s.r1_every)
    anchors = torch.randn(len(images), 16, generator=stream(seed, "anchors")).double()
    average, path_mean, rows = dict(g.values), 0.0, []

    def mapped(theta, z):
        return call(g_src.mapping, part(theta, "mapping."), (z.double(),))

    def drawn(theta, ws, purpose, i):
        options = {"noise": "random", "generator": stream(seed, purpose, i), "return_maps": True}
        return call(g_src.synthesis, part(theta, "synthesis."), (ws,), options)

    def styles(theta, purpose, i, whole):
        random = stream(seed, f"{purpose} latents", i)
        if whole:
            index = torch.randint(len(anchors), (batch,), generator=random)
            shift = s.anchor_deviation * torch.randn(batch, 16, generator=random)
            return mapped(theta, anchors[index] + shift)
        one, two = torch.randn(2, batch, 16, generator=random)
        ws = mapped(theta, one)
        if torch.rand((), generator=random) < s.mixing:
            first = int(torch.randint(1, rows_of_w, (), generator=random))
            other = mapped(theta, two)
            ws = torch.stack([(other if row >= first else ws)[:, row] for row in range(rows_of_w)], 1)
        return ws

    def judged(phi, x, whole):
        own = {n: p for n, p in phi.items() if "patch" not in n}
        logits, seen = call(judge, own, (x,), {"return_maps": True})
        if whole:
            return logits
        scaled = phi["patch.weight"] / (9 * width) ** 0.5
        return F.leaky_relu(F.conv2d(seen[s.patch_level], scaled, phi["patch.bias"], padding=1), 0.2) * 2**0.5

    for i in range(o.iterations):
        whole = i % s.anchor_every == 0
        random = stream(seed, "target images", i)
        order = [torch.randperm(len(images), generator=random) for _ in range(-(-batch // len(images)))]
        real = images[torch.cat(order)[:batch]]
        mirrored = torch.rand(batch, generator=random) < 0.5
        real = torch.stack([x.flip(2) if m else x for x, m in zip(real, mirrored, strict=True)])

        theta = {n: p.detach() for n, p in g.values.items()}
        fake = drawn(theta, styles(theta, "discriminator", i, whole), "discriminator noise", i)[0].detach()
        phi = d.leaves()
        loss = (1 + (-judged(phi, real, whole)).exp()).log().mean()
        loss = loss + (1 + judged(phi, fake, whole).exp()).log().mean()
        row = {"discriminator": loss.item()}
        d.descend(loss)
        if s.lambda_r1 and i % s.r1_every == 0:
            phi, x = d.leaves(), real.clone().requires_grad_()
            scores = judged(phi, x, whole).reshape(batch, -1).mean(1)
            (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
            r1 = sum((slope[n] ** 2).sum() for n in range(batch)) / batch / 2
            d.descend(s.lambda_r1 * s.r1_every * r1)
            row["r1"] = r1.item()

        theta = g.leaves()
        fake, _ = drawn(theta, styles(theta, "generator", i, whole), "generator noise", i)
        adversarial = (1 + (-judged(d.values, fake, whole)).exp()).log().mean()
        random = stream(seed, "distance latents", i)
        z = torch.randn(s.distance_batch, 16, generator=random)
        layers = torch.randint(1, rows_of_w - 1, (s.distance_batch,), generator=random).tolist()
        _, before = drawn(source, mapped(source, z), "distance source noise", i)
        whose = "source" if config.shared_noise else "target"
        _, now = drawn(theta, mapped(theta, z), f"distance {whose} noise", i)
        p, q = (published(x, layers).softmax(1) for x in (before, now))
        distance = (p * (p / q).log()).sum() / p.numel()
        loss = adversarial + s.lambda_distance * distance
        row |= {
            "adversarial": adversarial.item(),
            "distance_consistency": distance.item(),
            "loss": loss.item(),
        }
        row["gradient_norm"] = g.descend(loss)
        if s.lambda_path and i % s.path_every == 0:
            theta, n = g.leaves(), max(1, batch // 2)
            ws = styles(theta, "path", i, False)[:n]
            x, _ = drawn(theta, ws, "path noise", i)
            y = torch.randn(x.shape, generator=stream(seed, "path directions", i)).double() / 16
            (slope,) = torch.autograd.grad((x * y).sum(), ws, create_graph=True)
            lengths = torch.stack([(slope[k] ** 2).sum(1).mean().sqrt() for k in range(n)])
            mean = path_mean + 0.01 * (lengths.mean() - path_mean)
            penalty = ((lengths - mean) ** 2).mean()
            g.descend(s.lambda_path * s.path_every * penalty)
            path_mean, row["path_length"] = mean.detach(), penalty.item()
        if o.ema is not None:
            average = {k: o.ema * v + (1 - o.ema) * g.values[k] for k, v in average.items()}
        rows.append(row)
    theta = g.values if o.ema is None else average
    w = mapped(theta, torch.randn(CENTRE_SAMPLES, 16, generator=stream(0, "mean w")))[:, 0].mean(0)
    return dict(g_src.state_dict()) | theta | {"mapping.w_avg": w.detach()}, rows


def test_the_list_of_settings_is_complete():
    """Those of texts, and what depends on texts, are in tests/adaptation/test_every_setting.py."""
    assert {name for name in names_of(AdaptConfig) if name.startswith("few_shot.")} <= set(OTHER)
    kept = {"generator", "shared_noise", "seed"} | {
        n for n in names_of(AdaptConfig) if n.startswith("optimiser.")
    }
    assert kept - {"optimiser.stop_at_plateau"} <= set(OTHER)


@pytest.mark.parametrize("name", ["nothing", *OTHER])
def test_a_setting_changes_the_adaptation_as_the_reference_says(networks, name):
    config = BASE if name == "nothing" else override(BASE, {name: OTHER[name]})
    found, rows = adapted(config, *networks(config))
    expected, expected_rows = reference(config, *networks(config))
    for row, other in zip(rows, expected_rows, strict=True):
        assert row == pytest.approx(other, rel=1e-6, abs=1e-9)
    for key, value in found.items():
        assert torch.allclose(value, expected[key], rtol=1e-5, atol=1e-6), key
    if name != "nothing":
        before, _ = adapted(BASE, *networks(BASE))
        assert any(not torch.allclose(value, before[k], atol=1e-4) for k, value in found.items()), "no effect"


# The trainer


def test_neither_source_is_changed(networks):
    generator, judge, images = networks(BASE, torch.float32)
    copies = deepcopy((generator.state_dict(), judge.state_dict()))
    generator.requires_grad_(False)
    trainer = FewShotAdaptation(BASE, generator, judge, images)
    trainer.step(0)
    for network, before in zip((generator, judge), copies, strict=True):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(p.requires_grad for p in generator.parameters())


def test_what_is_trained_is_what_changes(networks):
    generator, judge, images = networks(BASE, torch.float32)
    trainer = FewShotAdaptation(BASE, generator, judge, images)
    for i in range(2):
        trainer.step(i)
    before, after = generator.state_dict(), trainer.result.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(trainer.trained)


def test_the_global_random_generator_is_left_alone(networks):
    parts = networks(BASE, torch.float32)
    before = torch.random.get_rng_state()
    first, _ = adapted(BASE, *parts)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(5)
    second, _ = adapted(BASE, *parts)
    torch.random.set_rng_state(before)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_stopped_adaptation_resumes_to_the_same_bits(networks, tmp_path, ema):
    config = override(BASE, {"optimiser.ema": ema})
    parts = networks(config, torch.float32)
    whole, _ = adapted(config, *parts)

    def go_on(stop):
        trainer = FewShotAdaptation(config, *parts)

        def step(i):
            if i == stop:
                raise InterruptedError
            return trainer.step(i)

        loop(trainer.state, step, STEPS, tmp_path, save_every=1, progress=False)
        return trainer.result.state_dict()

    for stop in (1, 3):
        with pytest.raises(InterruptedError):
            go_on(stop)
    resumed = go_on(None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_adaptation_moves_images_towards_the_targets(networks):
    """With little to hold on to, the brightness of a few black images is learnt."""
    free = {"few_shot.lambda_distance": 0, "few_shot.lambda_path": 0, "few_shot.lambda_r1": 0.1}
    config = override(BASE, free | {"optimiser.lr": 0.01, "optimiser.betas": (0, 0.99)})
    generator, judge, images = networks(config, torch.float32)
    trainer = FewShotAdaptation(config, generator, judge, torch.full_like(images, -0.9))
    z = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    before = generator(z).mean()
    for i in range(100):
        trainer.step(i)
    after = trainer.result(z).mean()
    assert before > 0 and after < -0.4, (before, after)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"few_shot": None, "terms": {"directional": 1}}, "few_shot is None"),
        ({"few_shot.patch_level": 3}, "patch_level=3 must be below 3"),
        ({"optimiser.batch_size": 6}, "batch_size=6 must be a multiple of the discriminator's group, 4"),
    ],
)
def test_what_does_not_fit_is_refused(networks, changes, message):
    parts = networks(BASE)
    base = BASE if "few_shot" not in changes else replace(BASE, few_shot=None, terms={"directional": 1})
    config = base if "few_shot" in changes else override(base, changes)
    with pytest.raises(ValueError, match=message):
        FewShotAdaptation(config, *parts)


def test_images_of_another_size_are_refused(networks):
    generator, judge, images = networks(BASE)
    with pytest.raises(ValueError, match="one resolution, got 16, 16 and .3, 3, 8, 8"):
        FewShotAdaptation(BASE, generator, judge, images[..., ::2, ::2])


def test_a_gradient_that_is_not_finite_stops_it(networks):
    generator, judge, images = networks(BASE)
    images[0] = float("nan")
    with pytest.raises(FloatingPointError, match="lower optimiser.lr"):
        FewShotAdaptation(BASE, generator, judge, images).step(0)


# Target images


def few(**settings):
    return build(FewShot, {"target": {"species": "cat"}, "images": 3, **settings})


@pytest.fixture
def folder(tmp_path):
    """Four images of 8 px, the i-th of brightness 10 i."""
    for i in range(4):
        Image.new("RGB", (8, 8), (10 * i,) * 3).save(tmp_path / f"{i}.png")
    return tmp_path


def test_drawn_targets_are_of_their_domain_and_none_of_the_truth():
    images = targets(few(target={"species": "cat", "style": "sketch"}), 16)
    assert images.shape == (3, 3, 16, 16) and images.min() >= -1 and images.max() <= 1
    grey = (images - images.mean(1, keepdim=True)).abs().mean()
    assert grey < 0.5 * (targets(few(), 16) - targets(few(), 16).mean(1, keepdim=True)).abs().mean()
    for seed in (8_000_009, 8_000_010):
        assert (
            not torch.isclose(images[:1], Drawing({"species": "cat"}, 20, 16, seed)[:]).all((1, 2, 3)).any()
        )


def test_a_folders_images_are_targets_every_second_one_first(folder):
    images = targets(few(target={"folder": str(folder)}), 16)
    expected = torch.tensor([0.0, 10, 30]) / 127.5 - 1
    assert images.shape == (3, 3, 16, 16)
    assert torch.allclose(images, expected[:, None, None, None].expand_as(images), atol=1e-5)


def test_of_a_larger_folder_no_target_is_compared_with(folder):
    """If it is the truth's, that is: its even places are what runs are measured against."""
    for i in (4, 5):
        Image.new("RGB", (8, 8), (10 * i,) * 3).save(folder / f"{i}.png")
    settings = few(target={"folder": str(folder)})
    level = (targets(settings, 16).mean((1, 2, 3)) + 1) * 127.5
    assert level.tolist() == pytest.approx([10, 30, 50], abs=1e-3)
    truth = truth_of({"folder": str(folder)}).images(6, 16)[:]
    assert ((truth.mean((1, 2, 3)) + 1) * 127.5).tolist() == pytest.approx([0, 20, 40], abs=1e-3)
    files = targets_key(settings)["files"]
    assert files == [sha256(folder / f"{i}.png") for i in (1, 3, 5)]


def test_targets_are_known_by_their_content(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for i, taken in enumerate((0, 1, 3)):
        (other / f"a{i}.png").write_bytes((folder / f"{taken}.png").read_bytes())
    keys = [targets_key(few(target={"folder": str(place)})) for place in (folder, other)]
    assert keys[0] == keys[1]
    Image.new("RGB", (8, 8)).save(other / "a1.png")
    assert targets_key(few(target={"folder": str(other)})) != keys[0]
    assert set(keys[0]) == {"files"}  # as in the id of runs before pictures were turned
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 8), (10,) * 3).save(other / "a1.png", exif=exif)
    assert set(targets_key(few(target={"folder": str(other)}))) == {"files"}  # the same whichever way up
    picture = Image.new("RGB", (8, 8))
    picture.putpixel((0, 0), (255, 255, 255))
    picture.save(other / "a1.png", exif=exif)
    assert set(targets_key(few(target={"folder": str(other)}))) == {"files", "pixels"}
    drawn = [targets_key(few(**x)) for x in ({}, {"images": 4}, {"target": {"species": "dog"}})]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": {"specie": "cat"}}, "must be {species: ..., style: ...}"),
        ({"target": {}}, "must be {species: ..., style: ...}"),
        ({"target": {"species": "unicorn"}}, "species='unicorn' is unknown"),
    ],
)
def test_targets_that_nobody_can_draw_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        targets_key(few(**settings))


def test_a_folder_that_does_not_do_is_refused(folder):
    with pytest.raises(ValueError, match="few_shot.images=5, but .* holds 4"):
        targets_key(few(target={"folder": str(folder)}, images=5))
    with pytest.raises(FileNotFoundError):
        targets_key(few(target={"folder": str(folder / "nowhere")}))
    for file in folder.iterdir():
        Image.new("RGB", (8, 6)).save(file)
    with pytest.raises(ValueError, match="must be square, got 8 x 6 px"):
        targets(few(target={"folder": str(folder)}), 16)


# Jobs and runs


@pytest.fixture
def files(tmp_path, make_generator):
    """Settings that name networks in files."""
    place = tmp_path / "networks"
    for name, network in (("g", make_generator()), ("d", make_discriminator()), ("e", make_discriminator(1))):
        save_tensors(
            network.state_dict(), place / f"{name}.safetensors", config=network.config, provenance={}
        )
    return override(
        BASE,
        {"generator": str(place / "g.safetensors"), "few_shot.discriminator": str(place / "d.safetensors")},
    )


def test_the_id_hashes_what_counts_and_nothing_else(files, tmp_path):
    job = resolve(files)
    assert set(job.weights) == {files.generator, files.few_shot.discriminator}
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.write_bytes((tmp_path / "networks" / "d.safetensors").read_bytes())
    same = {
        "few_shot.discriminator": str(elsewhere), "target_text": "tiger", "clips": ["clip-b"],
        "stage1.iterations": 7, "trained": "convolutions_and_torgb", "moment.lambda_cov": 3,
    }  # fmt: skip
    for name, value in same.items():
        assert resolve(override(files, {name: value})).id == job.id, name
    other = {name: OTHER[name] for name in OTHER if name not in ("generator", "few_shot.discriminator")}
    other["few_shot.discriminator"] = str(tmp_path / "networks" / "e.safetensors")
    ids = {name: resolve(override(files, {name: value})).id for name, value in other.items()}
    assert len({job.id, *ids.values()}) == 1 + len(other)


def test_a_row_of_texts_keeps_its_id(smoke):
    """few_shot is no part of what determines it."""
    config = smoke.config("dog-to-cat", "L_dir")
    assert "few_shot" not in relevant(config)


def test_a_run_is_made_found_and_opened_at_any_step(files, tmp_path):
    config = override(files, {"optimiser.iterations": 10, "optimiser.ema": 0.9})
    made = run(config, folder=tmp_path / "runs")
    assert len(made.history) == 10
    assert {"loss", "gradient_norm", "adversarial", "distance_consistency", "discriminator"} <= set(
        made.history[3]
    )
    assert "r1" in made.history[0] and "r1" not in made.history[1]
    result, _, _ = load_tensors(made.folder / "generator.safetensors")
    last = made.generator().state_dict()
    assert all(torch.equal(last[name], result[name]) for name in result)
    expected, _ = adapted(config, made.generator(0), make_discriminator(), targets(config.few_shot, 16))
    assert all(torch.allclose(expected[name], last[name], atol=1e-6) for name in last)
    fifth, _ = adapted(
        override(config, {"optimiser.iterations": 5}), made.generator(0), make_discriminator(),
        targets(config.few_shot, 16),
    )  # fmt: skip
    kept = made.generator(5).state_dict()
    assert all(torch.allclose(fifth[name], kept[name], rtol=1e-3, atol=5e-3) for name in kept)  # float16
    assert not torch.allclose(kept["mapping.w_avg"], last["mapping.w_avg"])
    assert run(config, folder=tmp_path / "runs").provenance == made.provenance
    assert read_json(made.folder / "config.json")["few_shot"]["images"] == 3


def test_what_cannot_work_leaves_no_folder(files, tmp_path):
    for name, value in {"few_shot.patch_level": 3, "optimiser.batch_size": 6}.items():
        with pytest.raises(ValueError, match=name.split(".")[1]):
            run(override(files, {name: value}), folder=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*"))


def test_images_of_another_target_than_the_text_are_not_taken_silently(monkeypatch, smoke, files):
    asked = []
    shots = {"terms": {}, "few_shot": {"discriminator": files.few_shot.discriminator}}
    monkeypatch.setattr(api, "load_profile", lambda name: replace(smoke, rows={"shots": shots}))
    monkeypatch.setattr(api, "run", lambda job, **options: asked.append(job.config.few_shot.target))
    api.adapt("dog", "cat", profile="smoke")
    with pytest.raises(ValueError, match="those of 'smoke' show 'cat', not 'fox'; .*few_shot.target"):
        api.adapt("dog", "fox", profile="smoke")
    api.adapt("dog", "fox", profile="smoke", settings={"few_shot.target.species": "fox"})
    assert asked == [{"species": "cat", "style": "photo"}, {"species": "fox"}]


def test_a_generator_of_the_demo_brings_its_discriminator(monkeypatch):
    dog = names.generator("dog")
    entries = dict(manifest.assets())
    entries.pop("discriminator-dog", None)
    monkeypatch.setattr(manifest, "assets", lambda: entries)
    with pytest.raises(ValueError, match="generator='generator-dog' comes without a discriminator; name one"):
        names.discriminator(None, dog)
    entries["discriminator-dog"] = replace(entries["generator-dog"], name="discriminator-dog")
    for name in (None, "dog", "discriminator-dog"):
        assert names.discriminator(name, dog).asset == "discriminator-dog"
    with pytest.raises(
        ValueError, match="discriminator='wolf' is neither a file nor one of discriminator-cat, d"
    ):
        names.discriminator("wolf", dog)
