import numpy as np
import pytest
import torch
from PIL import Image

from zsgan import sampling
from zsgan.images import load_images, save_images, to_array
from zsgan.sampling import sample_images, sample_latents


@pytest.fixture
def generator(make_generator):
    generator = make_generator()
    generator.mapping.w_avg.copy_(torch.linspace(-1, 1, 16))
    return generator


# Samples


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
    monkeypatch.setattr(sampling, "BATCH", batch)
    assert torch.allclose(sample_images(generator, 23, seed=1), expected, atol=1e-5)


def test_samples_are_the_truncated_images_with_fixed_noise(generator):
    samples = sample_images(generator, 5, seed=1, truncation_psi=0.4)
    ws = generator.mapping(sample_latents(5, 16, seed=1))
    truncated = generator.mapping.w_avg + 0.4 * (ws - generator.mapping.w_avg)
    assert torch.allclose(samples, generator.synthesis(truncated, "const").clamp(-1, 1), atol=1e-5)
    assert not samples.requires_grad and samples.abs().max() == 1  # some of them are clamped
    mean = sample_images(generator, 2, seed=1, truncation_psi=0)
    assert torch.allclose(mean[0], mean[1], atol=1e-6)


def test_at_least_one_image(generator):
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        sample_images(generator, 0, seed=1)


# Files


def test_images_come_back_within_half_a_step(tmp_path):
    images = torch.rand(12, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    save_images(images, tmp_path / "new" / "folder")
    assert sorted(file.name for file in (tmp_path / "new" / "folder").iterdir())[-1] == "00011.png"
    loaded = load_images(tmp_path / "new" / "folder")
    assert loaded.shape == images.shape and loaded.dtype == torch.float32
    assert (loaded - images).abs().max() <= 1 / 255 + 1e-6
    save_images(loaded, tmp_path / "again")
    assert torch.equal(load_images(tmp_path / "again"), loaded)


def test_the_ends_of_the_range():
    image = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]).expand(3, 1, 5)
    assert to_array(image).tolist()[0] == [[0] * 3, [0] * 3, [128] * 3, [255] * 3, [255] * 3]


def test_other_formats_are_read_in_the_order_of_names(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    Image.fromarray(np.full((4, 6), 255, np.uint8)).save(tmp_path / "b.BMP")  # grey becomes RGB
    Image.fromarray(np.zeros((4, 6, 4), np.uint8)).save(tmp_path / "a.png")
    loaded = load_images(tmp_path)
    assert loaded.shape == (2, 3, 4, 6)
    assert (loaded[0] == -1).all() and (loaded[1] == 1).all()


def test_a_folder_without_images_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=rf"{folder} holds no image \(.bmp, .jpeg, .jpg, .png"):
            load_images(folder)


def test_images_of_different_sizes_are_refused(tmp_path):
    save_images(torch.zeros(2, 3, 8, 8), tmp_path)
    Image.new("RGB", (8, 9)).save(tmp_path / "00001.png")
    with pytest.raises(ValueError, match=r"00001.png has shape \(9, 8, 3\), .*00000.png has \(8, 8, 3\)"):
        load_images(tmp_path)


def test_two_sets_of_images_are_not_mixed(tmp_path):
    save_images(torch.zeros(3, 3, 8, 8), tmp_path)
    with pytest.raises(FileExistsError, match=r"holds other images \(00002.png...\); choose another folder"):
        save_images(torch.ones(2, 3, 8, 8), tmp_path)
    assert (load_images(tmp_path) < 0.1).all()
    save_images(torch.ones(3, 3, 8, 8), tmp_path)  # the same names: the same command again
    assert (load_images(tmp_path) == 1).all()
