"""What a machine lacks is said before the first run."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from zsgan import cli
from zsgan.assets.manifest import ROOT
from zsgan.base.files import check_writable
from zsgan.book import preconditions
from zsgan.book import reproduce as reproduce_module


@pytest.fixture
def nothing_computed(monkeypatch, tmp_path):
    """A folder to work in; a run would be an error."""
    monkeypatch.setattr(reproduce_module, "run_all", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize("place", ["file", "file/below/it", "link", "link/below"])
@pytest.mark.parametrize("option", ["--figures", "--build"])
def test_a_folder_that_cannot_be_written_to_is_refused(nothing_computed, option, place):
    before = sorted(nothing_computed.iterdir())
    with pytest.raises(OSError, match=rf"no file can be written to {place} \("):
        reproduce_module.reproduce("smoke", **{option.removeprefix("--"): Path(place)})
    assert sorted(nothing_computed.iterdir()) == before


def test_so_are_other_places_that_are_written_to(nothing_computed, capsys):
    (nothing_computed / "build").mkdir()
    (nothing_computed / "build" / "executed").write_text("a file")
    assert cli.main(["reproduce", "--profile", "smoke"]) == 1
    assert "no file can be written to build/executed (" in capsys.readouterr().err
    (nothing_computed / "runs").write_text("a file")
    assert cli.main(["reproduce", "--profile", "demo-full"]) == 1
    assert "no file can be written to runs (" in capsys.readouterr().err


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def denied(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr("zsgan.base.files.tempfile.TemporaryFile", denied)
    with pytest.raises(OSError, match=rf"to {tmp_path}/new \({tmp_path}: Permission denied\); name"):
        check_writable(tmp_path / "new")


def test_a_folder_that_can_be_made_is_accepted_and_not_made(tmp_path):
    check_writable(tmp_path / "some" / "where")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ("build/staged/figures", "staged must be a folder of its own, not one with the figures in it"),
        ("build/_build", "_build must be a folder of its own, not one with the figures in it"),
        ("build", "figures must not be a folder with .*staged in it, got build; name another"),
        (".", "figures must not be a folder with .*staged in it"),
    ],
)
def test_figures_and_pages_that_would_replace_each_other_are_refused(nothing_computed, figures, message):
    with pytest.raises(ValueError, match=message):
        reproduce_module.reproduce("smoke", figures=Path(figures))


def test_a_full_disk_is_refused_with_what_is_needed(nothing_computed, monkeypatch, capsys):
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 120 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    assert cli.main(["reproduce", "--profile", "smoke"]) == 1
    assert "runs needs at least 142 MiB, and 120 MiB are free on the disk; make" in capsys.readouterr().err


def test_missing_tools_are_named(nothing_computed, monkeypatch, capsys):
    found = preconditions.find_spec
    monkeypatch.setattr(preconditions, "find_spec", lambda name: None if name == "ipykernel" else found(name))
    assert cli.main(["reproduce", "--profile", "smoke"]) == 1
    assert "zsgan reproduce: ipykernel: not installed. The book's tools" in capsys.readouterr().err


def test_the_browser_is_looked_for_before_the_first_run(nothing_computed, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(nothing_computed))
    assert cli.main(["reproduce", "--profile", "smoke", "--pdf"]) == 1
    assert "there is no 'chromium' on PATH: install it" in capsys.readouterr().err


NO_USER = """
import pwd

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
"""

ONE_CHAPTER = """
import sys
from pathlib import Path
from zsgan.book import notebooks, preconditions

here = Path.cwd()
preconditions.check([], here / "runs", [], book=True, pdf=False)
notebooks.execute("01_first", {"out": here}, here / "executed", book=here / "book")
"""


def test_an_unknown_user_without_home_is_told_what_to_set_and_can_then_work(tmp_path):
    from test_notebooks import CHAPTER, make_book

    plot = "import matplotlib.pyplot as plt; plt.plot([1, 2])"
    make_book(tmp_path, CHAPTER.replace("show_source(glue)", plot))
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "sitecustomize.py").write_text(NO_USER)
    modules = os.pathsep.join([str(tmp_path / "unknown"), str(ROOT)])
    bare = {"PATH": os.defpath, "PYTHONPATH": modules}
    options = {"cwd": tmp_path, "capture_output": True, "text": True}
    command = [sys.executable, "-m", "zsgan.cli", "reproduce", "--profile", "smoke"]
    refused = subprocess.run(command, env=bare, **options)
    assert refused.returncode == 1 and not (tmp_path / "runs").exists()
    assert "this user has no home folder (HOME is not set)" in refused.stderr
    assert "set ZSGAN_HOME to a folder that can be written to" in refused.stderr
    home = {**bare, "ZSGAN_HOME": "home"}
    done = subprocess.run([sys.executable, "-c", ONE_CHAPTER], env=home, **options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "executed" / "01_first.ipynb").is_file() and (tmp_path / "home").is_dir()
