"""FD-DINOv2: a file in the published layout, against a second computation of the network from its tensors."""

import math

import pytest
import torch
from public_files import dinov2_pth
from torch.nn import functional as F
from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

from zsgan.assets import manifest
from zsgan.base.images import save_images
from zsgan.evaluation.evaluate import evaluate
from zsgan.metrics import frechet_distance
from zsgan.networks.dinov2 import DINOV2, load_dinov2


@pytest.fixture
def at_hand(monkeypatch, tmp_path):
    """A small file of the published layout, where the manifest would have it; its tensors."""
    file = tmp_path / "dinov2.pth"
    file.write_bytes(dinov2_pth())
    found = manifest.path
    monkeypatch.setattr(manifest, "path", lambda name: file if name == DINOV2 else found(name))
    return torch.load(file, weights_only=True)


def by_hand(tensors, pixels):
    """The class token of DINOv2 for normalised images (N, 3, 224, 224), from the published definition."""

    def linear(x, name):
        return F.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps=1e-6)

    n = len(pixels)
    weight, bias = (tensors[f"patch_embed.proj.{part}"] for part in ("weight", "bias"))
    patches = F.unfold(pixels, 14, stride=14).mT @ weight.flatten(1).T + bias
    positions = tensors["pos_embed"]
    side = math.isqrt(positions.shape[1] - 1)
    grid = positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, scale_factor=(16.1 / side, 16.1 / side), mode="bicubic")
    places = torch.cat([positions[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], 1)
    x = torch.cat([tensors["cls_token"].expand(n, -1, -1), patches], 1) + places
    for i in range(2):
        q, k, v = linear(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv").chunk(3, -1)
        heads = [
            ((a @ b.mT) / 8).softmax(-1) @ c
            for a, b, c in zip(q.split(64, -1), k.split(64, -1), v.split(64, -1), strict=True)
        ]
        x = x + tensors[f"blocks.{i}.ls1.gamma"] * linear(torch.cat(heads, -1), f"blocks.{i}.attn.proj")
        hidden = F.gelu(linear(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1"))
        x = x + tensors[f"blocks.{i}.ls2.gamma"] * linear(hidden, f"blocks.{i}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_features_are_torch_fidelitys_with_the_published_network(at_hand, monkeypatch):
    """Its resize and normalisation, and the network written down a second time from the tensors."""

    class ByHand(torch.nn.Module):
        def forward(self, pixels):
            return by_hand(at_hand, pixels)

    monkeypatch.setattr(torch.hub, "load", lambda *_: ByHand())
    theirs = FeatureExtractorDinoV2("dinov2-vit-l-14", ["dinov2"])
    values = torch.randint(0, 256, (3, 3, 80, 80), generator=torch.Generator().manual_seed(2))
    values[0] //= 4
    (expected,) = theirs(values.to(torch.uint8))
    with torch.no_grad():
        found = load_dinov2()(values / 127.5 - 1)
    assert found.shape == (3, 128) and found.std(0).mean() > 0.01
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_two_folders_are_compared_and_random_numbers_left_as_they_were(at_hand, tmp_path):
    random = torch.Generator().manual_seed(1)
    sets = {name: torch.rand(4, 3, 64, 64, generator=random) - k for k, name in enumerate(("made", "true"))}
    for name, images in sets.items():
        save_images(images, tmp_path / name)
    found = evaluate(
        tmp_path / "made", against=tmp_path / "true", measures="fd_dinov2", folder=tmp_path, progress=False
    )
    assert found["dinov2"] == DINOV2 and "features" not in found and "clip" not in found
    before = torch.get_rng_state()
    network = load_dinov2()
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad():
        features = [network(((x * 127.5 + 127.5).round() / 127.5) - 1) for x in sets.values()]
    assert found["fd_dinov2"] == pytest.approx(frechet_distance(*features), rel=1e-4)
    assert found["fd_dinov2"] > 0.1


def test_without_true_images_it_cannot_be_named(tmp_path):
    save_images(torch.zeros(4, 3, 64, 64), tmp_path / "made")
    with pytest.raises(ValueError, match="measure='fd_dinov2' needs against"):
        evaluate(tmp_path / "made", measures="fd_dinov2", folder=tmp_path, progress=False)


@pytest.mark.parametrize("name", ["register_tokens", "blocks.0.mlp.w12.weight", None])
def test_another_model_is_named(at_hand, monkeypatch, tmp_path, name):
    """With registers, with the other kind of layers of size g, and one that is no DINOv2."""
    other = {"fc.weight": torch.zeros(1)} if name is None else at_hand | {name: torch.zeros(1, 4, 128)}
    torch.save(other, tmp_path / "other.pth")
    monkeypatch.setattr(manifest, "path", lambda _: tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth does not hold the weights of dinov2-vit-l-14"):
        load_dinov2()


def test_the_missing_file_says_what_to_fetch(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path))
    manifest.path.cache_clear()
    with pytest.raises(FileNotFoundError, match="zsgan fetch dinov2-vit-l-14"):
        load_dinov2()
