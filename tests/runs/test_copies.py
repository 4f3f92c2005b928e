"""Finished runs are copied to a folder that outlives the machine, and back."""

import pytest

from zsgan.runs import copies

FILES = ("config.json", "history.json", "generator.safetensors", "snapshots/1.safetensors")


def write(folder, contents):
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def made(text, *others):
    """The files of a run, finished if provenance.json is among the others."""
    return dict.fromkeys((*FILES, *others), text)


@pytest.fixture
def runs(tmp_path):
    """A finished run, one in progress, one that was set aside, and results beside them."""
    runs = tmp_path / "runs"
    write(runs / "finished", made("one", "provenance.json", "lock"))
    write(runs / "begun", made("two", "state.pt", "lock", "owner.txt"))
    write(runs / "old.damaged-1", made("three", "provenance.json"))
    write(runs / "cache", {"a.json": "[1]", "b.safetensors": "b", "c.json.lock": "", "d.json.damaged": "["})
    write(runs / "cache", {"e.unfinished/state.pt": "state"})
    return runs


def test_what_is_finished_is_copied_and_nothing_else(runs, tmp_path):
    copies.copy_finished(runs, tmp_path / "drive" / "runs")
    expected = {f"finished/{name}": "one" for name in (*FILES, "provenance.json")}
    assert content(tmp_path / "drive" / "runs") == expected | {
        "cache/a.json": "[1]",
        "cache/b.safetensors": "b",
    }


def test_a_missing_folder_has_nothing_to_copy(tmp_path):
    copies.copy_finished(tmp_path / "runs", tmp_path / "drive")
    assert not (tmp_path / "drive").exists()


def test_a_copy_that_was_interrupted_is_made_again(runs, tmp_path, monkeypatch):
    copy, taken = copies.shutil.copyfile, []

    def interrupted(source, target):
        if len(taken) == 3:
            raise OSError("the drive is gone")
        taken.append(copy(source, target))

    monkeypatch.setattr(copies.shutil, "copyfile", interrupted)
    with pytest.raises(OSError, match="the drive is gone"):
        copies.copy_finished(runs, tmp_path / "drive")
    assert not (tmp_path / "drive" / "finished" / "provenance.json").exists()
    monkeypatch.undo()
    copies.copy_finished(runs, tmp_path / "drive")
    assert content(tmp_path / "drive" / "finished") == made("one", "provenance.json")


def test_a_run_that_was_made_again_replaces_its_copy_which_is_else_left_alone(runs, tmp_path, monkeypatch):
    drive = tmp_path / "drive"
    copies.copy_finished(runs, drive)
    copy, taken = copies.shutil.copyfile, []
    monkeypatch.setattr(copies.shutil, "copyfile", lambda *pair: taken.append(copy(*pair)))
    copies.copy_finished(runs, drive)
    assert taken == []
    write(runs / "finished", made("new", "provenance.json"))
    (drive / "cache" / "a.json").write_text("[")
    copies.copy_finished(runs, drive)
    assert content(drive / "finished") == made("new", "provenance.json")
    assert (drive / "cache" / "a.json").read_text() == "[1]"
