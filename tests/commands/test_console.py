"""What a command prints arrives, whatever standard output is; else the command fails in words."""

import os
import subprocess
import sys

import pytest

from zsgan import cli
from zsgan.assets.manifest import ROOT, path

FETCH = (sys.executable, "-m", "zsgan.cli", "fetch", "--quiet", "clip-a", "evaluator")
BUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


def shell(script, *arguments, **environment):
    """Exit code, output and errors of a script of bash; "$@" are the arguments."""
    result = subprocess.run(
        ["bash", "-c", script, "bash", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True,
    )  # fmt: skip
    return result.returncode, result.stdout, result.stderr.decode(errors="replace")


@BUFFERED
def test_a_full_disk_is_said(unbuffered):
    code, _, err = shell('"$@" > /dev/full', *FETCH, PYTHONUNBUFFERED=unbuffered)
    assert code == 1 and err.splitlines() == [
        "zsgan fetch: standard output cannot be written (No space left on device); give it another place and "
        "repeat the command, which finds the runs and measurements that are finished"
    ]
    assert shell('"$@" > /dev/full 2> /dev/full', *FETCH, PYTHONUNBUFFERED=unbuffered)[0] == 1


@BUFFERED
@pytest.mark.parametrize("arguments", [FETCH, (*FETCH[:3], "--help"), (*FETCH[:3], "evaluate", "--help")])
def test_a_reader_may_leave(arguments, unbuffered):
    """As head does."""
    script = '("$@"; echo "rc=$?" >&2) | true'
    _, _, err = shell(script, *arguments, PYTHONUNBUFFERED=unbuffered)
    assert err in ("rc=141\n", "rc=0\n") and (err == "rc=141\n" or arguments is not FETCH or not unbuffered)


def test_a_closed_output_is_refused_before_any_work(tmp_path):
    code, _, err = shell('"$@" >&-', *FETCH[:3], "sample", "dog", "--out", tmp_path / "x")
    assert (code, err) == (
        1,
        "zsgan: standard output is closed, and the result would be lost; redirect it: > FILE\n",
    )
    assert not list(tmp_path.iterdir())


def test_closed_errors_are_no_failure():
    code, out, _ = shell('"$@" 2>&-', *FETCH)
    assert (code, out.decode().splitlines()) == (0, [str(path(name)) for name in ("clip-a", "evaluator")])


@pytest.mark.parametrize(
    ("environment", "escaped"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"chats_m\xe2les_\u03c8"),
        ({"PYTHONIOENCODING": "cp1252"}, b"chats_m\xe2les_\\u03c8"),
        ({"PYTHONIOENCODING": "latin-1"}, b"chats_m\xe2les_\\u03c8"),
        ({"PYTHONIOENCODING": "utf-8"}, "chats_mâles_ψ".encode()),
        (
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            rb"chats_m\udcc3\udca2les_\udccf\udc88",
        ),
    ],
    ids=["ascii", "cp1252", "latin-1", "utf-8", "C locale"],
)  # fmt: skip
def test_names_are_printed_in_every_encoding(tmp_path, environment, escaped):
    """Of files that the user named; the message of an error, too."""
    place = tmp_path / "chats_mâles_ψ"
    environment = {"PYTHONIOENCODING": "", "LC_ALL": "C.UTF-8"} | environment
    program = "import sys; from zsgan import cli; cli.console.prepare(); cli._say(sys.argv[1])"
    code, out, err = shell('"$@"', sys.executable, "-c", program, place, **environment)
    assert (code, err) == (0, "") and out.endswith(escaped + b"\n")
    code, out, err = shell('"$@"', *FETCH[:4], place.name, **environment)
    assert (code, out) == (1, b"") and "zsgan fetch: no asset in data_manifest.yaml is called 'chats_" in err


@pytest.mark.parametrize(
    ("command", "place", "message"),
    [
        (("evaluate", "x"), "folder", "folder is a folder; name a file in it"),
        (("evaluate", "x"), "link/a.json", "no file can be written to link"),
        (("table",), "link", "no file can be written to link"),
        (("sample", "dog"), "link/below", "no file can be written to link/below"),
    ],
)
def test_a_place_that_takes_no_result_is_refused_before_any_work(
    tmp_path, monkeypatch, capsys, command, place, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SystemExit):
        cli.main([*command, "--out", place])
    assert message in capsys.readouterr().err
