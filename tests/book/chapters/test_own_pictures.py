"""Pictures of the chapter on people's own: drawn, or the photographs that a profile names, and their runs."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from PIL import Image

from zsgan.book import preconditions
from zsgan.book.chapters import own_pictures as own
from zsgan.inversion.latents import Latents
from zsgan.inversion.networks import Networks, networks_for
from zsgan.metrics.lpips import Lpips
from zsgan.networks.load import load_generator
from zsgan.runs.profiles import load_profile

ROWS = {"directional loss": "L_dir", "full method": "L_dm + L_EWC + L_rel"}


@pytest.fixture
def folder(tmp_path):
    """Eight photographs, of which the first lies on its side."""
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    for i in range(8):
        Image.new("RGB", (12, 9), (20 * i, 0, 0)).save(photographs / f"img{i + 1}.png")
    exif, sides = Image.Exif(), Image.new("RGB", (16, 16), "blue")
    exif[0x0112] = 6  # to be turned by 90 degrees
    sides.paste("red", (0, 0, 8, 16))
    sides.save(photographs / "img1.jpg", exif=exif)
    (photographs / "img1.png").unlink()
    return photographs


def test_the_demo_draws_its_pictures_and_has_a_run_of_each_text_and_row():
    demo = load_profile("demo")
    names, pictures = own.pictures_of(demo, 64)
    assert len(names) == 6 and torch.equal(pictures, own.held_out(6)[:])
    configs = own.configs_of(demo, ROWS)
    assert list(configs) == [(wish.label, name) for wish in own.WISHES for name in ROWS]
    assert configs["cat", "directional loss"] == demo.config("dog-to-cat", "L_dir")
    assert configs["sketch", "full method"].target_text == "sketch of a dog"


def test_photographs_are_the_first_of_the_folder_upright(folder):
    mine = replace(load_profile("paper"), photographs=str(folder))
    names, pictures = own.pictures_of(mine, 8)
    assert names == ["img1", "img2", "img3", "img4", "img5", "img6"] and pictures.shape == (6, 3, 8, 8)
    assert pictures[0, 0, 1, 4] > 0.8 and pictures[0, 2, 6, 4] > 0.8  # red above blue
    assert torch.allclose(pictures[2, 0], torch.tensor(40 / 127.5 - 1))


def test_photographs_become_the_targets_of_all_scenarios_of_their_generator(folder):
    paper = replace(load_profile("paper"), photographs=str(folder), seeds=(3, 4))
    dogs = own.configs_of(paper, ROWS)
    assert dogs == {("Dog → Cat", name): paper.config("dog-to-cat", row, 3) for name, row in ROWS.items()}
    faces = {name: paper.scenarios[name] for name in ("photo-to-pixar", "cat-to-dog", "photo-to-sketch")}
    labels = [label for label, _ in own.configs_of(replace(paper, scenarios=faces), ROWS)]
    assert labels == ["Photo → Pixar"] * 2 + ["Photo → Sketch"] * 2


def test_a_photograph_that_cannot_be_read_is_named_before_the_first_run(folder, tmp_path):
    (folder / "img3.png").write_bytes(b"nothing")

    def check(photographs):
        preconditions.check([], tmp_path / "runs", [], book=False, pdf=False, photographs=photographs)

    check(None)
    with pytest.raises(ValueError, match=r"img3\.png cannot be read"):
        check(str(folder))


class Means:
    """Eyes whose features are the mean colour."""

    name, networks, weights, labels = "means", ("vgg16",), None, None

    def maps(self, images):
        return [images]

    def embed(self, images):
        return images.mean((2, 3))


def test_what_is_kept_is_the_cosine_of_features_between_inversion_and_edit():
    red, green = (torch.tensor(c).view(1, 3, 1, 1).expand(2, 3, 4, 4) for c in ([1.0, 0, 0], [0, 1.0, 0]))
    networks = Networks(Lpips.through(Means()), Means())
    edits = {("cat", "directional loss"): green, ("cat", "full method"): (red + green) / 2}
    cosines = own.kept_of(networks, red, edits)
    assert cosines["cat", "directional loss"].tolist() == [0, 0]
    assert cosines["cat", "full method"].tolist() == pytest.approx([0.5**0.5] * 2)
    found = Latents(torch.zeros(2, 4, 8), None, torch.tensor([0.1, 0.3]), torch.tensor([10.0, 20.0]))
    table = own.kept_table(["a", "b"], {"w": found}, cosines)
    assert table.loc["mean"].to_dict() == {
        "PSNR, w": "15.0", "LPIPS, w": "0.200", "kept, cat, directional loss": "0.00",
        "kept, cat, full method": "0.71",
    }  # fmt: skip
    assert isinstance(table, pd.DataFrame) and list(table.index) == ["a", "b", "mean"]


def test_figures_know_their_pictures_runs_and_networks(full_run, folder):
    demo, networks = load_profile("demo"), networks_for(load_generator("dog"))
    _, pictures = own.pictures_of(demo, 64)
    of_drawn = own.provenance(demo, pictures, [full_run], networks)
    assert of_drawn["seed of the animals"] == own.HELD_OUT_SEED and of_drawn["runs"] == [full_run.folder.name]
    assert {"encoder-dog", "evaluator", full_run.config.generator} < of_drawn["weights"].keys()
    named = {"loss_by": "the demo's encoder", "lpips_by": "its evaluator", "kept_by": "the evaluator"}
    assert own.networks_in_words(networks) == named
    eyes = Namespace(name="photographs")
    assert own.networks_in_words(Namespace(eyes=eyes))["kept_by"] == "Inception-v3"
    mine = replace(demo, photographs=str(folder))
    one, other = (
        own.provenance(mine, own.pictures_of(mine, size)[1], [full_run], networks) for size in (64, 32)
    )
    assert one["photographs"] != other["photographs"] and "seed of the animals" not in one
