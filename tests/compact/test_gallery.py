"""The gallery: files beside runs, what a second call keeps, and what ships."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from zsgan import cli
from zsgan.assets import manifest
from zsgan.compact import gallery as module
from zsgan.compact.gallery import FILES, IDEAL, JUDGED, read_gallery
from zsgan.compact.measured import MEASURES
from zsgan.compact.ship import ship
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images

NAME = "dog-to-cat"


@pytest.fixture(scope="module")
def place(smoke, full_run, tmp_path_factory):
    """A folder in which the command has run three times, and the sizes that it has exported."""
    out, made, whole = tmp_path_factory.mktemp("gallery"), [], module.export
    small = replace(smoke, scenarios={NAME: smoke.scenarios[NAME]}, truncation_psi=1.0)

    def export(*given, **settings):
        made.append(settings["max_kb"])
        return whole(*given, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_profile", lambda name: small)
        patch.setattr(module, "export", export)
        for max_kb in ("60", "60", "50"):
            runs = str(full_run.folder.parent)
            arguments = ["--out", str(out), "--max-kb", max_kb, "--n", "12", "--steps", "2"]
            arguments += ["--runs", runs, "--quiet"]
            assert cli.main(["gallery", *arguments]) == 0
    return out, made


def test_a_second_gallery_keeps_files_of_the_same_settings(place):
    assert place[1] == [60, 50]


def test_a_gallery_has_every_measure_of_run_and_file(place):
    out, _ = place
    found = read_gallery(out)
    table = found.table.set_index("measure")
    assert list(table.index) == [*MEASURES, *JUDGED] and set(table["target"]) == {"cat"}
    assert set(table["bytes"]) == {(out / f"{NAME}.safetensors").stat().st_size}
    assert table.loc[[*MEASURES], "error"].gt(0).all() and table.loc[[*JUDGED], "error"].isna().all()
    assert table[["run", "file"]].notna().all(axis=None)
    assert (found.provenance["row"], found.provenance["n"]) == ("L_dm + L_EWC + L_rel", 12)


def test_the_pictures_of_a_gallery_are_those_of_its_files(place):
    out, _ = place
    pictures = read_gallery(out).pictures
    assert list(pictures) == ["source", NAME, f"{IDEAL}{NAME}"]
    for label, name in (("source", "dog"), (NAME, out / f"{NAME}.safetensors")):
        images = sample_images(load_generator(name), 8, seed=SAMPLES_SEED, truncation_psi=1)
        assert (pictures[label] - images).square().mean() < 0.01  # WebP loses a little
    assert (pictures["source"] - pictures[f"{IDEAL}{NAME}"]).square().mean() > 0.02


def test_a_folder_without_a_gallery_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no gallery; make it with: zsgan gallery"):
        read_gallery(tmp_path)


def test_a_gallery_that_ships_is_in_the_manifest(place, tmp_path, monkeypatch):
    out, _ = place
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "data_manifest.yaml")
    (tmp_path / "data_manifest.yaml").write_text("assets: []\n")
    manifest.assets.cache_clear()
    shipped = tmp_path / "shipped"
    try:
        (entry,) = ship(out, [NAME], shipped)
    finally:
        manifest.assets.cache_clear()
    assert (entry.name, entry.path) == (f"smoke-{NAME}", f"shipped/{NAME}.safetensors")
    assert {one.name for one in shipped.iterdir()} == {*FILES, f"{NAME}.safetensors"}
    assert entry.bytes == (shipped / f"{NAME}.safetensors").stat().st_size
    pd.testing.assert_frame_equal(read_gallery(shipped).table, read_gallery(out).table)
    assert torch.equal(*(read_gallery(one).pictures[NAME] for one in (shipped, out)))
