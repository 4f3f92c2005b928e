import pytest
import torch
import torch.nn.functional as F

from zsgan.base.images import to_bytes
from zsgan.base.tensors import load_tensors
from zsgan.menagerie.draw import draw
from zsgan.menagerie.evaluator import Evaluator
from zsgan.menagerie.factors import CATEGORIES, CONTINUOUS, STYLES, sample_factors
from zsgan.menagerie.training import evaluator as train_evaluator
from zsgan.metrics.eyes import Prediction


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def evaluator():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Evaluator()
    network(torch.randn(32, 3, 64, 64, generator=generator()))  # statistics of the normalisations
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def portraits():
    factors = sample_factors(12, generator())
    return draw(factors, 64), factors


def test_shapes(evaluator, portraits):
    images, _ = portraits
    prediction = evaluator(images)
    assert isinstance(prediction, Prediction) and len(prediction) == 12
    assert {kind: logits.shape for kind, logits in prediction.logits.items()} == {
        kind: (12, len(names)) for kind, names in CATEGORIES.items()
    }
    assert prediction.continuous.shape == (12, len(CONTINUOUS))
    assert prediction.label("species").shape == (12,)
    maps = evaluator.maps(images)
    assert [m.shape[2:] for m in maps] == [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    assert [m.shape[1] for m in maps] == evaluator.config["widths"]
    assert all((m >= 0).all() for m in maps)
    assert evaluator.embed(images).shape == (12, evaluator.config["widths"][-1])


def test_size():
    assert 0.3e6 < sum(p.numel() for p in Evaluator().parameters()) < 0.6e6


def test_reading_an_embedding_is_reading_the_image(evaluator, portraits):
    images, _ = portraits
    direct, read = evaluator(images), evaluator.read(evaluator.embed(images))
    assert torch.equal(direct.continuous, read.continuous)
    assert all(torch.equal(direct.logits[kind], read.logits[kind]) for kind in CATEGORIES)


def test_each_image_is_read_on_its_own(evaluator, portraits):
    images, _ = portraits
    alone = torch.cat([evaluator.embed(image[None]) for image in images])
    assert torch.allclose(alone, evaluator.embed(images), atol=1e-4)


def test_any_resolution_is_resized_with_antialiasing(evaluator, portraits):
    _, factors = portraits
    large = draw(factors, 128)
    small = F.interpolate(large, (64, 64), mode="bicubic", antialias=True)
    assert torch.allclose(evaluator.embed(large), evaluator.embed(small), atol=1e-4)
    flat = torch.full((1, 3, 64, 64), 0.3)
    assert torch.allclose(
        evaluator.embed(flat),
        evaluator.embed(flat.repeat_interleave(3, 2).repeat_interleave(3, 3)),
        atol=1e-4,
    )


def test_pooling_starts_as_the_mean_over_places():
    network, maps = Evaluator().requires_grad_(False), torch.rand(2, 160, 4, 4, generator=generator())
    assert torch.allclose(network.pool(maps)[..., 0, 0], maps.mean((2, 3)), atol=1e-6)


def test_refuses_other_shapes(evaluator):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), got \(1, 1, 64, 64\)"):
        evaluator(torch.zeros(1, 1, 64, 64))


def test_config_rebuilds_it(evaluator, portraits):
    again = Evaluator(**evaluator.config)
    again.load_state_dict(evaluator.state_dict())
    assert torch.equal(again.eval().embed(portraits[0]), evaluator.embed(portraits[0]))


def test_standardised_units(evaluator):
    network = Evaluator()
    continuous = sample_factors(500, generator()).continuous
    network.mean.copy_(continuous.mean(0))
    network.deviation.copy_(continuous.std(0))
    units = network.standardise(continuous)
    assert torch.allclose(units.mean(0), torch.zeros(len(CONTINUOUS)), atol=1e-5)
    assert torch.allclose(units.std(0), torch.ones(len(CONTINUOUS)), atol=1e-5)


def test_loss_ignores_what_augmentation_disturbs(portraits):
    """The truth of a disturbed factor matters in the clean part only."""
    images, factors = portraits
    network = Evaluator().eval()
    column = CONTINUOUS.index("shift_x")

    def value(rows):
        changed = factors[torch.arange(12)]
        changed.continuous[rows, column] += 1.0
        return train_evaluator.loss(network, images, changed, generator()).item()

    true = train_evaluator.loss(network, images, factors, generator()).item()
    assert value(slice(6, 12)) == true
    assert value(slice(0, 6)) != true


def test_measure_of_known_readers(portraits):
    """One that is right about photos and wrong about all else, and one that knows the means only."""
    images, factors = portraits
    photos = factors.style == STYLES.index("photo")

    class Reader:
        def __init__(self, continuous, shift):
            self.continuous, self.shift = continuous, shift

        def embed(self, part):
            return part.flatten(1)

        def standardise(self, continuous):
            return continuous

        def read(self, _):
            logits = {
                kind: F.one_hot((getattr(factors, kind) + self.shift) % len(names), len(names))
                for kind, names in CATEGORIES.items()
            }
            return Prediction(logits, self.continuous)

    good = train_evaluator.measure(Reader(factors.continuous, (~photos).long()), to_bytes(images), factors)
    assert set(good["accuracy, photos"].values()) == set(good["R2"].values()) == {1.0}
    share = round(photos.double().mean().item(), 4)
    assert set(good["accuracy"].values()) == {share} and 0 < share < 1
    constant = factors.continuous.mean(0).expand_as(factors.continuous)
    useless = train_evaluator.measure(Reader(constant, 1), to_bytes(images), factors)
    assert set(useless["accuracy"].values()) == set(useless["accuracy, photos"].values()) == {0.0}
    assert all(abs(value) < 0.01 for value in useless["R2"].values())


def test_training_resumes_to_the_same_bits(tmp_path, monkeypatch):
    for name, value in {"BATCH": 8, "UNSEEN": 8, "SAVE_EVERY": 2}.items():
        monkeypatch.setattr(train_evaluator, name, value)
    settings = {"portraits": 24, "steps": 4, "progress": False}
    whole, measured = train_evaluator.train(0, tmp_path / "whole", **settings)

    class Stop(Exception):
        pass

    true_loss, calls = train_evaluator.loss, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise Stop
        return true_loss(*arguments)

    monkeypatch.setattr(train_evaluator, "loss", failing)
    with pytest.raises(Stop):
        train_evaluator.train(0, tmp_path / "stopped", **settings)
    monkeypatch.setattr(train_evaluator, "loss", true_loss)
    for seed, other in ((1, {}), (0, {"portraits": 25}), (0, {"steps": 5})):
        with pytest.raises(ValueError, match="belongs to a training with other arguments"):
            train_evaluator.train(seed, tmp_path / "stopped", **settings | other)
    resumed, measured_again = train_evaluator.train(0, tmp_path / "stopped", **settings)

    start = Evaluator().state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert not torch.equal(start["layers.0.0.0.weight"], whole.state_dict()["layers.0.0.0.weight"])
    assert measured == measured_again
    assert not whole.training


@pytest.mark.parametrize("which", ["evaluator", "perceptual"])
def test_command_writes_weights_that_rebuild_the_network(tmp_path, monkeypatch, which):
    """The judge goes to the finished weights; the other network is of use to trainings alone."""
    for name, value in {"BATCH": 8, "UNSEEN": 8}.items():
        monkeypatch.setattr(train_evaluator, name, value)
    true_train = train_evaluator.train
    made = []

    def small(*arguments, **settings):
        made.append(true_train(*arguments, **settings))
        return made[0]

    monkeypatch.setattr(train_evaluator, "train", small)
    words = ["--images", "16", "--steps", "2", "--quiet", "--device", "cpu"]
    state, out = tmp_path / "state", tmp_path / "out"
    out.mkdir()
    train_evaluator.main([which, *words, "--state", str(state), "--out", str(out)])
    (path,) = tmp_path.rglob("*.safetensors")
    assert path == (out if which == "evaluator" else state) / f"{which}.safetensors"
    assert (state / which / "state.pt").exists()
    tensors, config, provenance = load_tensors(path)
    again = Evaluator(**config)
    again.load_state_dict(tensors)
    for name, value in made[0][0].state_dict().items():
        kept = value.half().float() if value.is_floating_point() else value
        assert torch.equal(again.state_dict()[name], kept)
    assert set(provenance["measured"]) == {"accuracy", "accuracy, photos", "R2", "training"}
    assert path.stat().st_size < 2e6
    with pytest.raises(SystemExit):
        train_evaluator.main(["judge", *words])
