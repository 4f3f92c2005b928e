"""Eyes for photographs: the packages' own numbers, from files that are read as data."""

import math
import os
from dataclasses import replace

import lpips
import pytest
import torch
from public_files import inception_pth, torchvision_vgg16
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16
from torch_fidelity.metric_prc import prc_features_to_metric

from zsgan.assets import manifest
from zsgan.base.images import save_images
from zsgan.evaluation.bench import Bench
from zsgan.evaluation.evaluate import JUDGES, evaluate
from zsgan.evaluation.files import files_of
from zsgan.evaluation.loading import EYES, load_eyes
from zsgan.evaluation.measurements import Measurements
from zsgan.metrics import Lpips, frechet_distance
from zsgan.networks.vgg_inception import INCEPTION, VGG, Photographs
from zsgan.runs.profiles import load_profile


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The two files in the published formats, with random weights: name -> path."""
    place = tmp_path_factory.mktemp("photographs")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # The published file is of the time before torch's files were zip archives.
        torch.save(torchvision_vgg16(), place / "vgg.pth", _use_new_zipfile_serialization=False)
        (place / "inception.pth").write_bytes(inception_pth())
    return {VGG: place / "vgg.pth", INCEPTION: place / "inception.pth"}


@pytest.fixture
def at_hand(files, monkeypatch):
    """The files, where the manifest would have them."""
    found = manifest.path
    monkeypatch.setattr(manifest, "path", lambda name: files[name] if name in files else found(name))
    identity = manifest.identity
    monkeypatch.setattr(manifest, "identity", lambda name: "0" if name in files else identity(name))
    return files


def pictures(n, size, seed):
    return 2 * torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed)) - 1


def test_likeness_is_the_lpips_packages(at_hand):
    eyes = load_eyes("photographs")
    own = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    tensors = torch.load(at_hand[VGG], weights_only=True)
    own.net.load_state_dict({k: tensors[f"features.{k.split('.', 1)[1]}"] for k in own.net.state_dict()})
    images = pictures(3, 256, 1)
    found = Lpips.through(eyes).distances(images)
    with torch.no_grad():
        expected = torch.cat([own(images[:1], other[None]).flatten() for other in images])
    assert found[0, 1:].min() > 0
    torch.testing.assert_close(found[0], expected.double(), rtol=1e-4, atol=1e-6)


def test_images_of_any_size_are_seen_at_256_pixels(at_hand):
    eyes = Photographs()
    assert [tuple(x.shape) for x in eyes.maps(pictures(1, 64, 1))] == [
        (1, 64, 256, 256), (1, 128, 128, 128), (1, 256, 64, 64), (1, 512, 32, 32), (1, 512, 16, 16)
    ]  # fmt: skip
    assert [len(weight) for weight in eyes.weights] == [64, 128, 256, 512, 512]


def test_features_are_torch_fidelitys(at_hand):
    extractor = FeatureExtractorInceptionV3("", ["2048"], at_hand[INCEPTION])
    values = torch.randint(0, 256, (3, 3, 80, 80), generator=torch.Generator().manual_seed(2))
    (expected,) = extractor(values.to(torch.uint8))
    found = Photographs().embed(values / 127.5 - 1)
    assert found.shape == (3, 2048) and torch.equal(found, expected) and found.std() > 0


def test_folders_are_evaluated_through_them(at_hand, tmp_path):
    """With torch-fidelity's own precision and recall, through its VGG-16 from the same file."""
    made, flat = pictures(3, 64, 1), torch.ones(1, 3, 64, 64)
    sets = {"made": made, "true": torch.cat([0.99 * made[:1], 0.95 * made[:1], flat, 0.9 * flat])}
    for name, images in sets.items():
        save_images(images, tmp_path / name)
    settings = {"against": str(tmp_path / "true"), "clusters": 2, "neighbours": 1, "progress": False}
    with pytest.raises(FileNotFoundError, match="zsgan fetch ViT-B-16/openai"):  # that it is not clip-b
        evaluate(str(tmp_path / "made"), eyes="photographs", folder=tmp_path, **settings)
    settings["clip"] = "clip-b"
    result = evaluate(str(tmp_path / "made"), eyes="photographs", folder=tmp_path, **settings)
    eyes, whole = Photographs(), FeatureExtractorVGG16("vgg16", ["fc2_relu"], at_hand[VGG])
    values = [(x * 127.5 + 127.5).round().to(torch.uint8) for x in sets.values()]
    with torch.no_grad():
        made, true = (eyes.embed(x / 127.5 - 1) for x in values)
        near = [whole(x)[0] for x in values]
    assert result["fid"] == pytest.approx(frechet_distance(made, true), rel=1e-4)
    expected = prc_features_to_metric(
        *near, prc_neighborhood=1, prc_batch_size=10, save_cpu_ram=False, verbose=False
    )
    assert [result["precision"], result["recall"]] == pytest.approx(
        [expected["precision"], expected["recall"]]
    )
    assert (result["precision"], result["recall"]) == (pytest.approx(1 / 3), 0.5)
    assert result["features"] == "photographs, 256 px" and result["lpips_all"] > 0
    assert result["evaluator_rate"] is None
    other = evaluate(str(tmp_path / "made"), folder=tmp_path, **settings)
    assert other["features"].startswith("evaluator") and other["lpips_all"] != result["lpips_all"]


def test_without_true_images_no_whole_vgg_is_read(at_hand, monkeypatch, tmp_path):
    layers = {k: v for k, v in torchvision_vgg16().items() if k.startswith("features")}
    torch.save(layers, tmp_path / "cut.pth")
    monkeypatch.setitem(at_hand, VGG, tmp_path / "cut.pth")
    eyes = Photographs()
    monkeypatch.setitem(EYES, "photographs", lambda device: eyes)
    save_images(pictures(3, 64, 1), tmp_path / "made")
    settings = {"measures": "diversity", "clusters": 2, "clip": "clip-b", "eyes": "photographs"}
    assert evaluate(str(tmp_path / "made"), folder=tmp_path, progress=False, **settings)["vendi"] > 1
    with pytest.raises(ValueError, match="(?s)cut.pth does not hold the weights of vgg16.*classifier"):
        eyes.near(pictures(1, 64, 1))


def test_a_labelled_truth_is_seen_but_not_read(at_hand, smoke, full_run, runs_folder, monkeypatch):
    """Though the evaluator would hold every factor against its ideal answer."""
    monkeypatch.setattr(Photographs, "near", None)  # the large network takes its time
    rows = {"L_dm + L_EWC + L_rel": smoke.rows["L_dm + L_EWC + L_rel"]}
    profile = replace(smoke, rows=rows, eyes="photographs", samples=5)
    bench = Bench(profile, "dog-to-cat", runs_folder)
    assert bench.judges.truth.labels == {"species": "cat", "style": "photo"}
    point = bench.at(full_run)
    unknown = ("evaluator_rate", "factors_kept", "ideal_distance")
    assert all(math.isnan(point.columns[name]) for name in unknown)
    assert {"fid", "sse", "lpips_all"} <= {k for k, v in point.columns.items() if v >= 0}
    assert set(point.each) == {"clip_rate", "clip_score", "clip_variance", "lpips_all"}
    with pytest.raises(ValueError, match="eyes='photographs' read no factors; only the evaluator"):
        Measurements(profile, runs_folder).factors()


def test_they_read_nothing(at_hand):
    with pytest.raises(TypeError, match="read no factors"):
        Photographs().read(torch.zeros(1, 2048))


def test_a_file_is_never_run(at_hand, monkeypatch, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    bomb = tmp_path / "bomb.pth"
    torch.save({"fc.weight": Bomb()}, bomb)
    monkeypatch.setitem(at_hand, INCEPTION, bomb)
    with pytest.raises(ValueError, match="bomb.pth does not hold the weights of inception"):
        Photographs()
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", [VGG, INCEPTION])
def test_a_foreign_file_is_named(at_hand, monkeypatch, tmp_path, name):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    monkeypatch.setitem(at_hand, name, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=f"other.pth does not hold the weights of {name}"):
        Photographs()


def test_random_numbers_are_left_as_they_were(at_hand):
    before = torch.get_rng_state()
    Photographs()
    assert torch.equal(torch.get_rng_state(), before)


def test_missing_inception_says_what_to_fetch(files, monkeypatch, tmp_path):
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path))
    manifest.path.cache_clear()
    found = manifest.path
    monkeypatch.setattr(manifest, "path", lambda name: files[VGG] if name == VGG else found(name))
    with pytest.raises(FileNotFoundError, match=r"inception.*\.pth is missing.*zsgan fetch inception"):
        Photographs()


def test_missing_weights_and_packages_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path))
    manifest.path.cache_clear()
    with pytest.raises(FileNotFoundError, match="zsgan fetch vgg16"):
        Photographs()

    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"lpips; .* pip install 'zsgan\[photographs\]'"):
        Photographs()
    with pytest.raises(ValueError, match="eyes='owl' are unknown; choose one of evaluator, photographs"):
        load_eyes("owl")


def test_the_papers_profile_looks_through_them():
    profiles = {name: load_profile(name) for name in ("paper", "demo")}
    assert profiles["paper"].eyes == "photographs" and profiles["demo"].eyes == "evaluator"
    assert {profile.eyes: profile.judge for profile in profiles.values()} == JUDGES
    assert set(Photographs.networks) <= set(files_of(profiles["paper"]))
