"""A finished run is believed only if its files are those that were written."""

import logging
import shutil

import pytest

from zsgan.adaptation.config import override
from zsgan.api import open_generator
from zsgan.assets.manifest import path as asset
from zsgan.base import files
from zsgan.base.files import read_json, write_json
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.cli import main
from zsgan.evaluation.subjects import subject_of
from zsgan.runs import run as runs
from zsgan.runs.grid import run_all
from zsgan.runs.identity import resolve
from zsgan.runs.run import finished, open_run, run
from zsgan.runs.verification import DamagedRun, verify


@pytest.fixture
def config(smoke):
    return smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel")


@pytest.fixture
def place(full_run, tmp_path):
    """A copy of the finished run that a test may damage."""
    return shutil.copytree(full_run.folder, tmp_path / full_run.folder.name)


@pytest.fixture
def made(monkeypatch, full_run):
    """The ids that are made; a copy of the finished run stands for making one."""
    ids = []

    def make(job, place, **options):
        ids.append(job.id)
        shutil.copytree(full_run.folder, place, dirs_exist_ok=True)

    monkeypatch.setattr(runs, "make", make)
    return ids


def without_hashes(place):
    """The run as it was made before there were hashes."""
    provenance = read_json(place / "provenance.json")
    for name in ("sha256", "content"):
        del provenance[name]
    write_json(place / "provenance.json", provenance)


def flip(place, name, where=-5):
    data = bytearray((place / name).read_bytes())
    data[where] ^= 1
    (place / name).write_bytes(data)


def cut(place, name):
    data = (place / name).read_bytes()
    (place / name).write_bytes(data[: len(data) // 2])


def exchange(place):
    shutil.copy(asset("generator-dog"), place / "generator.safetensors")


def edit(place, name, **changes):
    write_json(place / name, read_json(place / name) | changes)


def other_rate(place, name):
    value = read_json(place / name)
    (value["config"] if name == "provenance.json" else value)["optimiser"]["lr"] = 0.5
    write_json(place / name, value)


def rows(place, n, **changes):
    history = read_json(place / "history.json")
    write_json(place / "history.json", [row | changes for row in history[:n]])


DAMAGE = {
    "generator.safetensors flipped": lambda place: flip(place, "generator.safetensors"),
    "generator.safetensors exchanged": exchange,
    "generator.safetensors cut": lambda place: cut(place, "generator.safetensors"),
    "generator.safetensors gone": lambda place: (place / "generator.safetensors").unlink(),
    "config.json edited": lambda place: other_rate(place, "config.json"),
    "config.json list": lambda place: (place / "config.json").write_text("[]"),
    "config.json empty mapping": lambda place: (place / "config.json").write_text("{}"),
    "config.json wrong type": lambda place: edit(place, "config.json", optimiser=3),
    "history.json emptied": lambda place: (place / "history.json").write_text("[]"),
    "history.json mapping": lambda place: (place / "history.json").write_text("{}"),
    "history.json edited": lambda place: rows(place, 4, loss=0.0),
    "history.json shortened": lambda place: rows(place, 3),
    "history.json words": lambda place: rows(place, 4, loss="low"),
    "snapshots flipped": lambda place: flip(place, "snapshots/2.safetensors"),
    "snapshots gone": lambda place: (place / "snapshots/2.safetensors").unlink(),
    "snapshots strange": lambda place: shutil.copy(
        place / "snapshots/2.safetensors", place / "snapshots/9.safetensors"
    ),
    "provenance.json list": lambda place: (place / "provenance.json").write_text("[]"),
    "provenance.json empty mapping": lambda place: (place / "provenance.json").write_text("{}"),
    "provenance.json number": lambda place: (place / "provenance.json").write_text("1"),
    "provenance.json cut": lambda place: cut(place, "provenance.json"),
    "provenance.json edited": lambda place: other_rate(place, "provenance.json"),
    "provenance.json wrong type": lambda place: edit(place, "provenance.json", weights=["a"]),
    "provenance.json weights": lambda place: edit(place, "provenance.json", weights={"generator-dog": "0"}),
    "provenance.json hashes": lambda place: edit(place, "provenance.json", sha256={}),
}
FOUND_WITHOUT_HASHES = [
    what
    for what in DAMAGE
    if what.split()[1] not in ("flipped", "edited", "strange", "gone", "hashes")
    or what == "config.json edited"
]


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_refused_set_aside_and_made_again(
    full_run, config, place, made, caplog, capsys, what
):
    DAMAGE[what](place)
    file = what.split()[0]
    for measuring in (
        open_run,
        lambda place: open_generator(str(place)),
        lambda place: subject_of(place, None, 4, 0, 0.7, "cpu"),
    ):
        with pytest.raises(DamagedRun, match=f"{place} is damaged: .*{file}.*zsgan adapt"):
            measuring(place)
    with pytest.raises(DamagedRun):
        finished(config, place.parent)
    assert main(["runs", "verify", "--runs", str(place.parent)]) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith(f"{place.name}  damaged: ") and file in printed.out
    assert "1 damaged" in printed.err
    with caplog.at_level(logging.WARNING):
        found = run_all([config], folder=place.parent)
    assert made == [place.name] and found[0].history == full_run.history
    aside = place.with_name(f"{place.name}.damaged-1")
    assert aside.is_dir() and f"it is kept as {aside}, and the run is made again" in caplog.text
    assert main(["runs", "verify", "--runs", str(place.parent)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"{place.name}  ok" and printed[1].startswith(f"{aside.name}  set aside: ")
    assert run(config, folder=place.parent) == found[0] and len(made) == 1


@pytest.mark.parametrize("what", FOUND_WITHOUT_HASHES)
def test_of_a_run_without_hashes_much_is_found_all_the_same(place, what):
    without_hashes(place)
    DAMAGE[what](place)
    with pytest.raises(DamagedRun, match=what.split()[0]):
        open_run(place)


def test_a_run_without_hashes_is_believed_and_keeps_its_id(full_run, config, place, made):
    without_hashes(place)
    assert open_run(place).config == full_run.config
    assert run(config, folder=place.parent).folder == place and not made
    assert [state.text for state in verify(place.parent)] == ["made before hashes were kept"]


def test_a_setting_that_earlier_versions_wrote_is_no_damage(place):
    without_hashes(place)
    tensors, config, header = load_tensors(place / "generator.safetensors")
    header["config"]["clip_weights"] = None
    save_tensors(tensors, place / "generator.safetensors", config=config, provenance=header)
    write_json(place / "config.json", header["config"])
    write_json(place / "provenance.json", read_json(place / "provenance.json") | {"config": header["config"]})
    assert open_run(place).config.clips == ("clip-a", "clip-c")


def test_settings_that_were_edited_everywhere_belong_to_another_id(place):
    """A run whose settings and hashes are both edited cannot keep its id."""
    for name in ("config.json", "provenance.json"):
        other_rate(place, name)
    provenance = read_json(place / "provenance.json")
    provenance["sha256"]["config.json"] = files.sha256(place / "config.json")
    write_json(place / "provenance.json", provenance)
    with pytest.raises(DamagedRun, match="differ in config"):
        open_run(place)
    tensors, config, header = load_tensors(place / "generator.safetensors")
    header["config"]["optimiser"]["lr"] = 0.5
    save_tensors(tensors, place / "generator.safetensors", config=config, provenance=header)
    provenance["sha256"]["generator.safetensors"] = files.sha256(place / "generator.safetensors")
    write_json(place / "provenance.json", provenance)
    with pytest.raises(
        DamagedRun, match=f"config.json belongs to the run [0-9a-f]{{16}}, not to {place.name}"
    ):
        open_run(place)


def test_a_folder_opens_by_its_content_under_any_name(full_run, config, place, made):
    other = place.rename(place.with_name("my cat"))
    assert open_run(other).provenance["id"] == full_run.provenance["id"]
    assert [state.text for state in verify(other.parent)] == ["ok"]
    seed = override(config, {"seed": 1})
    stranger = other.rename(other.with_name(resolve(seed).id))  # a run of other settings under this id
    with pytest.raises(
        DamagedRun, match=f"it holds the run {full_run.provenance['id']}, not {stranger.name}"
    ):
        finished(seed, stranger.parent)


def test_files_are_read_once_in_a_process(full_run, place, monkeypatch):
    read, sha256 = [], files.sha256
    monkeypatch.setattr(files, "sha256", lambda path: read.append(path.name) or sha256(path))
    for _ in range(3):
        open_run(place)
    snapshots = [f"{step}.safetensors" for step in (1, 2, 3)]
    assert sorted(read) == sorted([*snapshots, "generator.safetensors", "config.json", "history.json"])


def test_verify_says_what_it_cannot_check(place, tmp_path, capsys):
    (place / "provenance.json").unlink()
    (tmp_path / "cache").mkdir()
    assert main(["runs", "verify", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{place.name}  unfinished\n"
    for arguments, said in (
        (["--runs", str(tmp_path / "no")], f"there is no folder {tmp_path / 'no'}"),
        (["--runs", str(tmp_path), "absent"], f"{tmp_path} holds no run absent"),
    ):
        assert main(["runs", "verify", *arguments]) == 1
        assert said in capsys.readouterr().err
