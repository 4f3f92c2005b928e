import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from zsgan import cli
from zsgan.base import images as images_module
from zsgan.base.images import (
    Folder,
    InBytes,
    batch_size,
    batches,
    from_bytes,
    held,
    save_images,
    to_array,
    to_bytes,
)
from zsgan.metrics import Lpips, extract
from zsgan.networks.sampling import Samples, sample_images, sample_latents


@pytest.fixture
def generator(make_generator):
    generator = make_generator()
    generator.mapping.w_avg.copy_(torch.linspace(-1, 1, 16))
    return generator


# Samples


@pytest.mark.parametrize(
    ("n", "seed", "psi", "message"),
    [
        (2.5, 0, 1, "n=2.5: .*fractional part"), (10**9, 0, 1, "n=1000000000: .*less than or equal to"),
        (2, -1, 1, "seed=-1: .*greater than or equal to 0"),
        (2, 2**63, 1, "seed=.*less than"),
        (2, 0, -1, "truncation_psi=-1: .*greater than or equal to 0"),
        (2, 0, float("nan"), "truncation_psi=nan"),
        (True, 0, 1, "n=True: a number expected"),
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(make_generator, n, seed, psi, message):
    with pytest.raises(ValueError, match=message):
        sample_images(make_generator(), n, seed=seed, truncation_psi=psi)


def test_latents_are_seeded_and_begin_alike_for_every_number():
    many = sample_latents(50, 128, seed=3)
    assert torch.equal(sample_latents(7, 128, seed=3), many[:7])
    assert not torch.equal(sample_latents(7, 128, seed=4), many[:7])
    large = sample_latents(2000, 64, seed=0)
    assert abs(large.mean()) < 0.01 and abs(large.std() - 1) < 0.01


def test_more_images_begin_with_the_same(generator):
    many, few = sample_images(generator, 23, seed=1), sample_images(generator, 9, seed=1)
    assert many.shape == (23, 3, 16, 16)
    assert torch.allclose(many[:9], few, atol=1e-5)
    assert not torch.allclose(sample_images(generator, 9, seed=2), few, atol=0.1)


@pytest.mark.parametrize("batch", [1, 4, 23])
def test_the_size_of_the_batches_does_not_matter(generator, monkeypatch, batch):
    expected = sample_images(generator, 23, seed=1)
    monkeypatch.setattr(images_module, "_MEMORY", batch * 16 * 16 * 2**10)
    assert torch.allclose(sample_images(generator, 23, seed=1), expected, atol=1e-5)


def test_samples_do_not_depend_on_the_slices(generator):
    samples, whole = Samples(generator, 9, seed=1), sample_images(generator, 9, seed=1)
    assert len(samples) == 9
    for start, stop in ((0, 9), (4, 5), (7, 9), (2, 6)):
        assert torch.allclose(samples[start:stop], whole[start:stop], atol=1e-5)


def test_samples_are_the_truncated_images_with_fixed_noise(generator):
    samples = sample_images(generator, 5, seed=1, truncation_psi=0.4)
    ws = generator.mapping(sample_latents(5, 16, seed=1))
    truncated = generator.mapping.w_avg + 0.4 * (ws - generator.mapping.w_avg)
    assert torch.allclose(samples, generator.synthesis(truncated, "const").clamp(-1, 1), atol=1e-5)
    assert not samples.requires_grad and samples.abs().max() == 1  # some of them are clamped
    mean = sample_images(generator, 2, seed=1, truncation_psi=0)
    assert torch.allclose(mean[0], mean[1], atol=1e-6)


def test_at_least_one_image(generator):
    with pytest.raises(ValueError, match="n=0: .*greater than or equal to 1"):
        sample_images(generator, 0, seed=1)


@pytest.mark.parametrize("wrong", ["dog", torch.zeros(2, 16)])
def test_a_generator_is_asked_for(wrong):
    with pytest.raises(
        TypeError, match=r"(?s)generator must be a Generator, got .*; load_generator gives one"
    ):
        sample_images(wrong, 2, seed=1)


# Any number of images


def test_batches_shrink_as_images_grow():
    assert [batch_size(side**2) for side in (64, 128, 256, 1024)] == [64, 16, 4, 1]


def test_batches_are_the_images_in_order():
    whole = torch.rand(7, 3, 8, 8)
    parts = list(batches(whole, 3))
    assert [len(part) for part in parts] == [3, 3, 1] and torch.equal(torch.cat(parts), whole)
    assert len(list(batches(whole))) == 1  # they are small


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), TypeError, "got torch.uint8; convert uint8 by"),
        (torch.zeros(3, 8, 8), ValueError, r"\(N, 3, H, W\), got N of shape \(8, 8\)"),
        (torch.zeros(2, 1, 8, 8), ValueError, r"got N of shape \(1, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), ValueError, "at least one, got none"),
        ("cats", TypeError, "images must be a tensor .* got str"),
    ],
)
def test_what_cannot_be_images_is_refused(tmp_path, wrong, error, message):
    with pytest.raises(error, match=message):
        save_images(wrong, tmp_path / "new")
    with pytest.raises(error, match=message):
        extract(lambda x: x.flatten(1), wrong)
    assert not (tmp_path / "new").exists()


STREAM = """
import resource, sys
from pathlib import Path
import torch
from zsgan.base.images import Folder, save_images
from zsgan.metrics import Lpips, extract
from zsgan.networks.sampling import Samples
from zsgan.networks.stylegan2 import Generator

torch.set_num_threads(1)
channels = {4 * 2**i: 4 for i in range(7)}
generator = Generator(256, z_dim=16, w_dim=16, mapping_layers=2, channels=channels).eval()
means = lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 4)
for n in (8, 64):
    samples, folder = Samples(generator, n, seed=1), Path(sys.argv[1]) / str(n)
    save_images(samples, folder)
    assert extract(lambda x: means(x).flatten(1), samples).shape == (n, 48)
    Lpips(lambda x: [means(x)]).distances(Folder(folder))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    command = [sys.executable, "-c", STREAM, str(tmp_path)]
    # every large block goes back to the system at once, so that the peak is what was in use
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    few, many = map(int, done.stdout.split())
    all_at_once = (64 - 8) * 3 * 256 * 256 * 4
    assert many - few < all_at_once / 4


def test_what_is_looked_at_twice_is_made_once_if_it_is_small(generator, monkeypatch):
    samples = Samples(generator, 3, 1)
    once = held(samples)
    assert torch.equal(once, samples[:]) and held(once) is not samples
    monkeypatch.setattr("zsgan.base.images._MEMORY", 3 * samples[:1].nbytes - 1)
    beyond = held(samples)
    assert isinstance(beyond, InBytes)
    made = []
    monkeypatch.setattr(generator.synthesis, "forward", _counted(generator.synthesis.forward, made))
    some = beyond[torch.tensor([0, 2])]
    assert torch.equal(beyond[:], from_bytes(to_bytes(once)))
    assert torch.equal(some, beyond[:][[0, 2]]) and sum(made) == 2  # the first was made before


def _counted(function, made):
    def counting(ws, **options):
        made.append(len(ws))
        return function(ws, **options)

    return counting


def test_all_pairs_beyond_memory_make_each_image_once(generator, monkeypatch):
    """5 images, features of two in memory: 5 images are made, and 5 + 3 + 1 pass through the network."""
    samples, made, seen = Samples(generator, 5, 1), [], []
    of_one = samples[:1].nbytes
    monkeypatch.setattr("zsgan.base.images._MEMORY", of_one)

    def network(images):
        seen.append(len(images))
        return [images]

    monkeypatch.setattr(generator.synthesis, "forward", _counted(generator.synthesis.forward, made))
    images = held(samples)
    distances = Lpips(network).distances(images, memory=3 * of_one, batch_size=1)
    assert sum(made) == 1 + 5 and sum(seen) == 1 + 5 + 3 + 1  # the first also tells the sizes
    whole = Lpips(lambda x: [x]).distances(images)
    assert torch.allclose(distances, whole, atol=1e-12)


@pytest.mark.parametrize("kept", [True, False])
def test_images_of_files_are_the_same_in_bytes(monkeypatch, kept):
    if not kept:
        monkeypatch.setattr("zsgan.base.images.memory", lambda: 1)
    files = from_bytes(torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8).expand(4, 3, 8, 8))
    assert torch.equal(InBytes(files)[1:], files[1:])
    assert torch.equal(InBytes(files)[torch.tensor([3, 1])], files[[3, 1]])
    assert held(files) is files  # in memory already


@pytest.mark.parametrize(("gib", "sizes"), [(139, [64, 64, 34]), (4, [16, 4, 1]), (0.001, [1, 1, 1])])
def test_batches_on_a_gpu_follow_its_free_memory(monkeypatch, gib, sizes):
    monkeypatch.setattr("zsgan.base.images.free_memory", lambda device: int(gib * 2**30))
    assert [batch_size(side**2, "cuda") for side in (256, 512, 1024)] == sizes


def test_the_users_batch_size_comes_first(monkeypatch):
    monkeypatch.setenv("ZSGAN_BATCH_SIZE", "3")
    assert batch_size(1024**2) == batch_size(8**2, "cuda") == 3
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv("ZSGAN_BATCH_SIZE", wrong)
        with pytest.raises(ValueError, match=f"ZSGAN_BATCH_SIZE must be .* at least 1, got '{wrong}'"):
            batch_size(64)


def test_norms_are_no_sums_in_half_precision():
    images = torch.rand(3, 3, 8, 8)
    found = Lpips(lambda x: [x.bfloat16()]).features(images)
    assert found.dtype == torch.float32
    assert torch.equal(found, Lpips(lambda x: [x]).features(images.bfloat16().float()))


# Files


def test_images_come_back_within_half_a_step(tmp_path):
    images = torch.rand(12, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_images(images, tmp_path / "new" / "folder")
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir())[-1] == "00011.png"
    loaded = Folder(tmp_path / "new" / "folder")[:]
    assert loaded.shape == images.shape and loaded.dtype == torch.float32
    assert (loaded - images).abs().max() <= 1 / 255 + 1e-6
    save_images(loaded, tmp_path / "again")
    assert torch.equal(Folder(tmp_path / "again")[:], loaded)


def test_the_ends_of_the_range():
    image = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5)
    assert to_array(image).tolist()[0] == [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3]


def test_other_formats_are_read_in_the_order_of_names(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    Image.fromarray(np.full((4, 6), 255, np.uint8)).save(tmp_path / "b.BMP")  # grey becomes RGB
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "a.png")
    loaded = Folder(tmp_path)[:]
    assert loaded.shape == (2, 3, 4, 6)
    assert (loaded[0] == -1).all() and (loaded[1] == 1).all()


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} holds no image \(.*, .jpeg, .jpf, .jpg, "):
        Folder(tmp_path)[:]
    with pytest.raises(FileNotFoundError, match=f"folder {tmp_path / 'absent'} is missing"):
        Folder(tmp_path / "absent")[:]
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; give the folder"):
        Folder(tmp_path / "file")[:]


def test_images_of_different_sizes_are_refused(tmp_path):
    save_images(torch.zeros(2, 3, 8, 8), tmp_path)
    Image.new("RGB", (8, 9)).save(tmp_path / "00001.png")
    with pytest.raises(ValueError, match="00001.png is 8 x 9 px, 00000.png is 8 x 8; bring them to one size"):
        Folder(tmp_path)[:]


def test_a_file_that_is_no_image_is_named(tmp_path):
    save_images(torch.rand(2, 3, 32, 32), tmp_path)
    whole = (tmp_path / "00001.png").read_bytes()
    for content in (whole[: len(whole) // 2], b"no image"):
        (tmp_path / "00001.png").write_bytes(content)
        with pytest.raises(ValueError, match="00001.png cannot be read as an image .*; repair or remove it"):
            Folder(tmp_path)[:]


def test_what_8_bits_cannot_hold_is_refused(tmp_path):
    """Converted, every value above 255 would become white."""
    Image.fromarray(np.full((4, 6), 30_000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="deep.png holds more than 8 bits a value .mode I"):
        Folder(tmp_path)


def test_a_name_does_not_choose_what_reads_a_file(tmp_path):
    """Pillow would hand PostScript to another program."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", format="EPS")
    with pytest.raises(ValueError, match="a.png cannot be read as an image"):
        Folder(tmp_path)


def test_a_folder_is_read_in_slices(tmp_path, monkeypatch):
    images = torch.rand(5, 3, 8, 8)
    save_images(images, tmp_path)
    folder, read = Folder(tmp_path), []
    true_read = images_module.read_image
    monkeypatch.setattr(images_module, "read_image", lambda file: read.append(file.name) or true_read(file))
    assert (folder[1:3] - images[1:3]).abs().max() < 1.01 / 255 and len(folder) == 5
    assert read == ["00001.png", "00002.png"]


def test_two_sets_of_images_are_not_mixed(tmp_path):
    save_images(torch.zeros(3, 3, 8, 8), tmp_path)
    with pytest.raises(FileExistsError, match=r"holds other images \(00002.png...\); choose another folder"):
        save_images(torch.ones(2, 3, 8, 8), tmp_path)
    assert (Folder(tmp_path)[:] < 0.1).all()
    save_images(torch.ones(3, 3, 8, 8), tmp_path)  # the same names: the same command again
    assert (Folder(tmp_path)[:] == 1).all()


def test_a_full_disk_is_said_with_the_file(tmp_path, full_disk):
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with full_disk(), pytest.raises(OSError, match="writing failed .*disk full.*00000.png"):
        save_images(noise, tmp_path)
    save_images(noise, tmp_path)  # again, with room
    assert len(Folder(tmp_path)) == 2


def test_the_command_line_sets_the_batch_size(monkeypatch, tmp_path, generator):
    monkeypatch.setenv("ZSGAN_BATCH_SIZE", "2")  # restored after the test
    made, synthesis = [], type(generator.synthesis)
    forward = synthesis.forward

    def counting(self, ws, **options):
        made.append(len(ws))
        return forward(self, ws, **options)

    monkeypatch.setattr(synthesis, "forward", counting)
    command = ["sample", "dog", "--n", "5", "--out", str(tmp_path / "dogs"), "--batch-size", "3", "--quiet"]
    assert cli.main(command) == 0
    assert made == [1, 3, 2]  # the first tells the size
