"""The README's commands, code and results are what the project does."""

import re
import shlex
from contextlib import nullcontext

import pytest

from zsgan import api
from zsgan.cli import _parser
from zsgan.manifest import ROOT
from zsgan.menagerie import train

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_two_commands_do_all_the_set_up():
    commands = [block.strip() for block in blocks("sh")]
    assert commands[:2] == [
        "python3 .ci/env.py zsgan reproduce --profile demo",
        "python3 .ci/env.py pytest",
    ]
    assert "env.py pytest" in (ROOT / ".ci" / "run").read_text()


def test_the_table_is_the_one_that_the_demo_made():
    shown = re.search(r"<!-- table1 -->\n(.*?)<!-- /table1 -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == (ROOT / "figures" / "table1.md").read_text(encoding="utf-8").strip()


def test_pictures_exist_and_have_alternative_texts():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", README, flags=re.DOTALL)
    assert pictures
    for alt, path in pictures:
        assert len(alt) > 20
        assert (ROOT / path).is_file()


def test_links_inside_the_repository_exist():
    for path in re.findall(r"`((?:zsgan|book|figures|tests)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path


def test_the_five_lines_of_python_run(tmp_path, monkeypatch):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 4
    demo = api.load_profile
    monkeypatch.setattr(api, "load_profile", lambda name: demo("smoke"))  # a few steps instead of hundreds
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "cats.png").stat().st_size > 1000


@pytest.mark.parametrize("command", [c for b in blocks("sh")[2:] for c in b.splitlines()])
def test_commands_are_understood(command, monkeypatch):
    words = shlex.split(command, comments=True)
    if words[0] == "zsgan":
        with pytest.raises(SystemExit) if "--help" in words else nullcontext():
            _parser().parse_args([word.replace("<id>", "0") for word in words[1:]])
    else:
        assert words[:2] == ["python", "-m"]
        assert words[2] == train.__name__
        monkeypatch.setattr(train, "train_all", lambda *_: None)
        assert train.main(words[3:]) == 0
