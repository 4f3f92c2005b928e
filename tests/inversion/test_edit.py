"""A folder of pictures through an adapted generator of the demo, from Python and from the command line."""

import pytest
import torch
from PIL import Image

import zsgan
from zsgan.base.files import read_json
from zsgan.base.images import read_image, to_array
from zsgan.cli import main
from zsgan.inversion.edit import names_of
from zsgan.inversion.latents import load_latents
from zsgan.inversion.networks import networks_for
from zsgan.menagerie.encoder import load_encoder
from zsgan.menagerie.portraits import Drawing
from zsgan.networks.load import demo_source, load_generator

QUICK = {"steps": 3}
UNSEEN = {"species": "dog", "style": "photo"}


@pytest.fixture
def folder(tmp_path):
    """Two dogs, of which one is large and turned by EXIF, and two files that are no pictures."""
    photos, dogs = tmp_path / "photos", Drawing(UNSEEN, 2, seed=5)[:]
    photos.mkdir()
    Image.fromarray(to_array(dogs[0])).save(photos / "rex.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.fromarray(to_array(dogs[1])).resize((256, 256)).transpose(Image.Transpose.ROTATE_90)
    large.save(photos / "bello.jpg", exif=exif, quality=95)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (photos / "empty.png").write_bytes(b"")
    return photos, dogs


def test_a_folder_is_edited_by_the_command(folder, full_run, tmp_path, capsys):
    photos, _ = folder
    out = tmp_path / "out"
    words = [
        "edit",
        "--run",
        full_run.folder,
        "--images",
        photos,
        "--out",
        out,
        "--set",
        "steps=3",
        "--quiet",
    ]
    assert main([str(word) for word in [*words, "--strength", "0", "--strength", "1.5"]]) == 1
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert "2 of 4 files were left out" in said.err
    assert "broken.jpg cannot be read" in said.err and "empty.png cannot be read" in said.err
    names = {"bello.png", "rex.png"}
    for kind in ("inverted", "strength_0", "strength_1.5"):
        assert {file.name for file in (out / kind).iterdir()} == names
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 150 and sheet.height > 300
    written = read_json(out / "edits.json")
    assert set(written["pictures"]) == {"bello", "rex"} and len(written["failed"]) == 2
    measures = written["pictures"]["rex"]
    assert {"lpips", "psnr", "factor error, strength 1.5", "features kept, strength 0"} <= set(measures)
    latents = load_latents(out / "latents.safetensors")
    images = latents.through(full_run.generator(0))
    for i, name in enumerate(("bello", "rex")):
        inverted, still = (read_image(out / kind / f"{name}.png") for kind in ("inverted", "strength_0"))
        assert torch.equal(inverted, still) and (inverted - images[i]).abs().max() < 1.01 / 255
        assert (read_image(out / "strength_1.5" / f"{name}.png") - inverted).abs().max() > 0.01
    assert latents.psnr.min() > 18  # of the encoder, and both dogs are upright


def test_python_gives_the_same(folder, full_run, tmp_path):
    photos, dogs = folder
    found = zsgan.edit(full_run, photos, out=tmp_path / "out", settings=QUICK, progress=False)
    assert list(found.names) == ["bello", "rex"] and list(found.edits) == [0.5, 1.0]
    assert torch.allclose(found.pictures[1], dogs[0], atol=1.01 / 255)
    assert (found.pictures[0] - dogs[1]).abs().mean() < 0.05
    assert torch.equal(found.edits[1.0], found.latents.through(full_run.generator()))
    short = zsgan.edit(full_run, photos, settings=QUICK, strengths=(1,), truncation_psi=0, progress=False)
    assert torch.allclose(short.edits[1.0][0], short.edits[1.0][1], atol=1e-4)
    assert torch.equal(short.latents.ws, found.latents.ws)


def test_names_stay_apart(tmp_path):
    assert names_of([tmp_path / name for name in ("a.png", "a.jpg", "b.png")]) == ["a.png", "a.jpg", "b"]


def test_bad_arguments_are_named(folder, full_run, tmp_path):
    photos, _ = folder
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        zsgan.edit(tmp_path, photos)
    with pytest.raises(FileNotFoundError, match="absent is missing"):
        zsgan.edit(full_run, tmp_path / "absent")
    with pytest.raises(ValueError, match="strengths='full'"):
        zsgan.edit(full_run, photos, strengths=["full"])
    with pytest.raises(ValueError, match="fit must be one of crop, letterbox, face"):
        zsgan.edit(full_run, photos, fit="stretch")


def test_the_demos_encoder_reads_unseen_animals():
    """Its answer alone is closer than the mean, also for drawings."""
    generator, encoder = load_generator("dog"), load_encoder("dog")
    dogs = Drawing(UNSEEN, 8, seed=6)[:]
    with torch.no_grad():
        ws = encoder(dogs)[:, None].expand(-1, generator.mapping.n_ws, -1)
        mean = generator.mapping.w_avg.expand_as(ws)
        errors = [(generator.synthesis(w) - dogs).square().mean((1, 2, 3)) for w in (ws, mean)]
    assert (errors[0] < 0.5 * errors[1]).float().mean() > 0.8


def test_the_demos_generators_are_told_apart(full_run):
    """All have the same noise maps; the encoder is only for its own generator and those adapted from it."""
    assert demo_source(load_generator("cat")) == "generator-cat"
    assert demo_source(full_run.generator()) == demo_source(load_generator("dog")) == "generator-dog"
    assert networks_for(load_generator("cat")).encoder is None
    assert networks_for(full_run.generator()).encoder is not None


def test_an_encoder_is_trained_and_resumed(tmp_path):
    from zsgan.menagerie.training import encoder as training

    generator = load_generator("dog").requires_grad_(False)
    options = {"images": 9, "steps": 2, "progress": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "UNSEEN", 2)
        patch.setattr(training, "BATCH", 4)
        patch.setattr(training, "STATISTICS", 100)
        first, measured = training.train(generator, "dog", 0, tmp_path, **options)
        again, _ = training.train(generator, "dog", 0, tmp_path, **options)
    assert set(measured) == {"R2", "PSNR"}
    states = first.state_dict(), again.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    w = generator.mapping(torch.randn(500, generator.mapping.z_dim))[:, 0]
    assert torch.allclose(first.trunk.mean, w.mean(0), atol=0.5)
