import pytest

from zsgan.adaptation.targets import targets_key
from zsgan.assets import manifest, names
from zsgan.base.places import folder_path, local_path
from zsgan.commands.arguments import place
from zsgan.runs.profiles import load_profile
from zsgan.runs.scenario import Scenario


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with an image folder and two files of weights."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZSGAN_HOME", raising=False)
    (tmp_path / "cats [1] #2").mkdir()
    for name in ("g", "d.pt"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def test_a_tilde_is_the_home_in_every_path(home, monkeypatch):
    assert local_path("~") == home and local_path("~/a/b") == home / "a/b" == folder_path("~/a/b")
    assert place("~/cats") == str(home / "cats")
    monkeypatch.setenv("ZSGAN_HOME", "~/cache")
    assert manifest.cache_folder() == home / "cache"
    assert names.generator("~/g").file == home / "g"
    assert names.discriminator("~/d.pt", names.generator("dog")).file == home / "d.pt"
    assert names.clip("ViT-B-32/~/d.pt").file == home / "d.pt"
    scenario = {"source_text": "dog", "target_text": "cat", "generator": "~/g", "discriminator": "~/d.pt"}
    assert Scenario(**scenario, truth={"folder": "~/cats [1] #2"}).truth == {
        "folder": str(home / "cats [1] #2")
    }


def test_a_profile_is_found_at_home(home):
    (home / "mine.yaml").write_text(
        "extends: smoke\nrows: {few: {terms: {}, few_shot: {target: {folder: ~/x}}}}"
    )
    few = load_profile("~/mine.yaml").config("dog-to-cat", "few").few_shot
    assert few.target == {"folder": str(home / "x")}
    with pytest.raises(FileNotFoundError, match=str(home / "x")):
        targets_key(few)


@pytest.mark.parametrize("name", ["drawn:cat", "a~b", "cats~", "[a]*", "./~x", "ViT-B-32/openai"])
def test_other_names_are_untouched(name):
    assert place(name) == name


def test_a_user_who_is_unknown_is_named():
    for read in (local_path, folder_path, names.generator):
        with pytest.raises(ValueError, match="'~no-user/x': ~no-user is no user's home .*, or ./~no-user"):
            read("~no-user/x")


@pytest.mark.parametrize("name", ["", " ", "a\0b"])
def test_what_is_no_path_is_refused(name):
    with pytest.raises(ValueError, match="a path expected, got"):
        local_path(name)


def test_no_folder_can_be_where_a_file_is(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    for path in (tmp_path / "a.png", tmp_path / "a.png" / "out"):
        with pytest.raises(NotADirectoryError, match=r"cannot be a folder, since .*a\.png is a file; name"):
            folder_path(path)
    assert folder_path(str(tmp_path / "new" / "out")) == tmp_path / "new" / "out"


@pytest.mark.parametrize("name", ["~/x/y", "./x/y", "/x/y", "../x"])
def test_a_path_alone_is_no_clip(name):
    with pytest.raises(ValueError, match="names no weights of open_clip; write .*architecture/FILE"):
        names.clip(name)


def test_the_folder_of_a_run_is_its_adapted_generator(tmp_path):
    with pytest.raises(ValueError, match="is a folder without generator.safetensors: it is no finished run"):
        names.generator(tmp_path)
    (tmp_path / "generator.safetensors").write_bytes(b"any")
    found = names.generator(tmp_path)
    assert (found.name, found.file) == (str(tmp_path), tmp_path / "generator.safetensors")
    assert found.identity == names.generator(tmp_path / "generator.safetensors").identity
