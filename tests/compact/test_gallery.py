"""The gallery: files beside runs, what a second call keeps, and what ships."""

import json
import shlex
import shutil
from dataclasses import replace

import pandas as pd
import pytest
import torch

from zsgan import cli
from zsgan.assets import manifest
from zsgan.compact import gallery as module
from zsgan.compact.gallery import FILES, IDEAL, JUDGED, read_gallery
from zsgan.compact.measured import MEASURES
from zsgan.compact.ship import command_of, ship
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images

NAME = "dog-to-cat"
FILE = f"{NAME}.safetensors"


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
    wanted = {
        label: sample_images(load_generator(name), 8, seed=SAMPLES_SEED, truncation_psi=1)
        for label, name in (("source", "dog"), (NAME, out / f"{NAME}.safetensors"))
    }
    for label, images in wanted.items():
        apart = {other: float((picture - images).square().mean()) for other, picture in pictures.items()}
        assert min(apart, key=apart.__getitem__) == label and apart[label] < 0.01  # WebP loses a little
    assert (pictures["source"] - pictures[f"{IDEAL}{NAME}"]).square().mean() > 0.02


def test_an_interrupted_call_leaves_the_table_of_the_one_before(
    place, smoke, full_run, tmp_path, monkeypatch
):
    """The pictures are written once, and a later call keeps the files that are there."""
    out, written, exported, whole = tmp_path / "gallery", [], [], module.sprites
    shutil.copytree(place[0], out)
    scenarios = dict.fromkeys((NAME, "again"), smoke.scenarios[NAME])
    both = replace(smoke, scenarios=scenarios, truncation_psi=1.0)
    monkeypatch.setattr(module, "load_profile", lambda name: both)
    monkeypatch.setattr(module, "sprites", lambda *given: written.append(1) or whole(*given))
    monkeypatch.setattr(
        module, "export", lambda _, file, **__: exported.append(shutil.copy(out / FILE, file))
    )
    settings = {"max_kb": 50, "n": 12, "steps": 2, "folder": full_run.folder.parent, "progress": False}
    table = module.make_gallery("smoke", out, **settings)
    assert len(written) == len(exported) == 1 and set(table["scenario"]) == {NAME, "again"}

    def stop(*_, **__):
        raise KeyboardInterrupt

    (out / "again.safetensors").unlink()
    monkeypatch.setattr(module, "export", stop)
    with pytest.raises(KeyboardInterrupt):
        module.make_gallery("smoke", out, **settings)
    assert set(read_gallery(out).table["scenario"]) == {NAME, "again"}


def test_a_folder_without_a_gallery_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="holds no gallery: gallery.csv, .*missing; make it with: zsgan gallery"
    ):
        read_gallery(tmp_path)


@pytest.fixture
def project(smoke, tmp_path, monkeypatch):
    """A folder with an empty manifest, in which the profile could not be read."""
    monkeypatch.setattr("zsgan.compact.ship.load_profile", lambda name: smoke)
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "data_manifest.yaml")
    (tmp_path / "data_manifest.yaml").write_text("assets: []\n")
    manifest.assets.cache_clear()
    yield tmp_path
    manifest.assets.cache_clear()


def saying(place, target, **says):
    """A copy of a gallery whose provenance says something else."""
    shutil.copytree(place, target)
    file = target / "gallery.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **says}))
    return target


def test_a_gallery_that_ships_is_in_the_manifest(place, project):
    out, shipped = place[0], project / "shipped"
    (entry,) = ship(out, [NAME], shipped)
    assert entry.command == "zsgan gallery --profile smoke --max-kb 50 --steps 2 --n 12 --out gallery"
    assert (entry.name, entry.path) == (f"smoke-{NAME}", f"shipped/{NAME}.safetensors")
    assert {one.name for one in shipped.iterdir()} == {*FILES, f"{NAME}.safetensors"}
    assert entry.bytes == (shipped / f"{NAME}.safetensors").stat().st_size
    pd.testing.assert_frame_equal(read_gallery(shipped).table, read_gallery(out).table)
    assert torch.equal(*(read_gallery(one).pictures[NAME] for one in (shipped, out)))


def test_the_seed_of_the_manifest_is_that_of_the_fit(place, project):
    """As for all entries, the one that the file itself states; not that of the run."""
    (entry,) = ship(saying(place[0], project / "gallery", seed=7), [NAME], project / "shipped")
    assert entry.seed == 0


def test_nothing_is_copied_of_a_gallery_that_cannot_ship(place, project):
    shipped = project / "shipped"
    known = f"has no file of scenario 'dog-to-fox'; its scenarios: {NAME}$"
    with pytest.raises(FileNotFoundError, match=known):
        ship(place[0], [NAME, "dog-to-fox"], shipped)
    for key, value, what in (("max_kb", 60, "max_kb"), ("steps", 3, "steps"), ("runs", ["other"], "run")):
        other = saying(place[0], project / key, **{key: value})
        with pytest.raises(ValueError, match=f"{FILE} was made with another {what} than gallery.json says"):
            ship(other, [NAME], shipped)
    (other / "gallery.webp").unlink()
    with pytest.raises(FileNotFoundError, match="holds no gallery: gallery.webp missing; make it with"):
        ship(other, [NAME], shipped)
    assert not shipped.exists()


@pytest.mark.parametrize(
    "made_by",
    [
        {"row": "L_dm + L_EWC + L_rel", "max_kb": 100.0, "steps": 60, "n": 200},
        {"row": "L_dir", "max_kb": 62.5, "steps": 7, "n": 50},
    ],
)
def test_the_command_of_the_manifest_asks_for_the_same_gallery(made_by, monkeypatch):
    asked = {}

    def record(profile, out, **settings):
        asked.update(settings, profile=profile)
        return pd.DataFrame()

    command = shlex.split(command_of({"profile": "gallery", **made_by}))
    monkeypatch.setattr(module, "make_gallery", record)
    assert cli.main(command[1:]) == 0
    asked["row"] = asked["row"] or "L_dm + L_EWC + L_rel"  # its last
    assert {key: asked[key] for key in made_by} == made_by and asked["profile"] == "gallery"
