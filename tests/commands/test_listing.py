"""`zsgan list`, `zsgan runs list` and `info`, completion: what a user looks for is found, and is right."""

import json
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import version
from typing import get_args

import pytest

from zsgan.adaptation.config import AdaptConfig, Term
from zsgan.adaptation.stopping import alignment, plateau
from zsgan.cli import KINDS, main
from zsgan.commands import info
from zsgan.menagerie.captions import VOCABULARY
from zsgan.runs.profiles import PROFILES, load_profile
from zsgan.runs.records import find_run, records
from zsgan.runs.wording import SYMBOLS, flat, in_columns, row_in_words


def answer(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 0
    return capsys.readouterr().out


def test_a_list_of_runs_does_not_wait_for_torch(full_run):
    folder = full_run.folder.parent
    program = "import sys; from zsgan.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", program, "runs", "list", "--runs", folder, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    printed, torch_ = result.stdout.rstrip().rsplit("\n", 1)
    assert torch_ == "False"
    (line,) = (line for line in json.loads(printed)["runs"] if line["id"] == full_run.folder.name)
    expected = {
        "texts": "dog to cat", "row": "L_dm + L_EWC + L_rel", "seed": 0, "steps": 4, "state": "finished",
        "host": platform.node(), "zsgan": version("zsgan"), "torch": version("torch"),
        "seconds": full_run.provenance["seconds"], "device": full_run.provenance["device"],
        "bytes": sum(file.stat().st_size for file in full_run.folder.rglob("*") if file.is_file()),
    }  # fmt: skip
    assert line.items() >= expected.items()


def test_every_kind_is_listed(capsys):
    demo = load_profile("demo")
    found = {kind: json.loads(answer(capsys, "list", kind, "--json"))[kind] for kind in KINDS}
    assert {line["name"] for line in found["profiles"]} == {file.stem for file in PROFILES.glob("*.yaml")}
    assert [line["name"] for line in found["scenarios"]] == ["dog-to-cat"]
    assert found["scenarios"][0]["true images"] == '{"species": "cat", "style": "photo"}'
    assert [line["name"] for line in found["rows"]] == list(demo.rows)
    assert {line["steps"] for line in found["rows"]} == {800}
    words = {line["CLIP"]: set(line["words"].split(", ")) for line in found["texts"]}
    assert words.keys() == {"clip-a", "clip-c"} and all(
        {"cat", "fox", "striped"} <= w for w in words.values()
    )
    assert all(w <= set(VOCABULARY) for w in words.values())
    settings = {line["name"]: line["value"] for line in found["settings"]}
    assert settings["optimiser.iterations"] == "800" and settings["terms.ewc"] == "3000.0"
    assert {"generator-dog", "generator-ffhq"} <= {line["name"] for line in found["generators"]}
    assert {"clip-a", "ViT-B-32/openai"} <= {line["name"] for line in found["clips"]}
    assert re.findall(r"^\w+$", answer(capsys, "list"), re.MULTILINE) == ["profiles", "generators", "clips"]


def test_a_list_names_what_is_no_run(tmp_path, full_run):
    """Folders of other programs, and runs that were stopped."""
    shutil.copytree(full_run.folder, tmp_path / "stopped")
    (tmp_path / "stopped" / "provenance.json").unlink()
    for name, content in (("list", "[]"), ("empty", "{}"), ("torn", '{"a')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(content)
    (tmp_path / "cache").mkdir()
    states = {record.id: record.state for record in records(tmp_path)}
    other = "damaged, or of another program"
    assert states == {"stopped": "not finished", "list": other, "empty": other, "torn": other}


@pytest.mark.parametrize("name", ["whole", "id", "start"])
def test_info_tells_what_a_run_is(full_run, capsys, name):
    folder, id_ = full_run.folder.parent, full_run.folder.name
    asked = {"whole": full_run.folder, "id": id_, "start": id_[:6]}[name]
    text = answer(capsys, "runs", "info", asked, "--profile", "smoke", "--runs", folder)
    assert text.startswith(f"{full_run.folder}: dog to cat, L_dm + L_EWC + L_rel, seed 0\n")
    assert "'L_dm + L_EWC + L_rel' of scenario dog-to-cat, profile smoke\n" in text
    assert "optimiser.iterations=4 (" in text and "ewc.samples=2 (" in text
    assert "steps         4; ended after the 4 steps asked for\n" in text
    assert "levelled off  not within these steps\n" in text
    assert f"zsgan evaluate {full_run.folder} --against drawn:cat\n" in text


def test_info_in_json_is_the_run(full_run, capsys):
    facts = json.loads(answer(capsys, "runs", "info", full_run.folder, "--json"))
    assert facts["course"] == full_run.history and facts["steps"] == 4
    assert facts["weights"] == full_run.provenance["weights"]
    assert facts["seconds"] == full_run.provenance["seconds"] and facts["levelled off at step"] is None
    assert facts["settings"] == json.loads(json.dumps(flat(asdict(full_run.config))))
    differing = facts["settings that differ from it"]
    assert set(differing) == {"optimiser.iterations", "ewc.samples", "stage1.iterations"}
    assert differing["optimiser.iterations"] == [4, 800] and "profile demo" in facts["nearest row"]


def test_a_run_that_cannot_be_found_is_refused(full_run, tmp_path, capsys):
    shutil.copytree(full_run.folder, tmp_path / "abc1")
    shutil.copytree(full_run.folder, tmp_path / "abc2")
    assert find_run("abc1", tmp_path) == tmp_path / "abc1"
    for name, message in (
        ("abc", "RUN='abc' begins 2 ids in .*: abc1, abc2; give more of one"),
        ("xyz", "RUN='xyz' is no folder, and no run in .* has such an id .zsgan runs list shows them"),
        ("", "RUN='' is no folder"),
        ("*", r"RUN='\*' is no folder"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            find_run(name, tmp_path)
    assert main(["runs", "info", str(tmp_path), "--runs", str(tmp_path)]) == 1
    assert "holds no finished run" in capsys.readouterr().err


def test_info_says_where_a_run_levelled_off_and_why_it_ended(full_run, monkeypatch):
    rising = [{"step": i + 1, "directional": 1 - min(i, 100) / 100} for i in range(200)]
    monkeypatch.setattr(type(full_run), "history", rising)
    facts = info.about(full_run.folder)
    assert facts["levelled off at step"] == plateau(alignment(rising)) > 100 and len(facts["course"]) == 6
    assert [row["step"] for row in facts["course"]] == [1, 40, 80, 120, 160, 200]
    assert facts["levelled off"] == f"at step {facts['levelled off at step']}"


def test_rows_are_called_as_in_table_1():
    """But for layer selection, which their names do not tell."""
    demo = load_profile("demo")
    for row in ("L_dir", "L_dm", "L_dm + L_EWC", "L_dm + L_EWC + L_rel"):
        assert row_in_words(asdict(demo.config("dog-to-cat", row))) == row
    assert row_in_words(asdict(demo.config("dog-to-cat", "StyleGAN-NADA"))) == "L_dir, 6 layers"
    assert set(get_args(Term)) == set(SYMBOLS)
    new = {"few_shot": None, "selection": None, "terms": {"mine": 1.0, "ewc": 2.0, "moment": 0.0}}
    assert row_in_words(new) == "L_EWC + mine"
    shots = AdaptConfig("dog", "dog", "cat", terms={}, few_shot={"target": {"species": "cat"}})
    assert row_in_words(asdict(shots)) == "10-shot"
    assert in_columns([{"a": 1, "bb": None}, {"a": "xyz", "bb": 2.5}]) == "  a    bb\n  1\n  xyz  2.5"


COMPLETED = [
    ("zsgan ev", {"evaluate"}),
    ("zsgan ", {"reproduce", "fetch", "adapt", "list", "runs", "completion", "--version", "--help"}),
    ("zsgan adapt --sou", {"--source", "--source-text"}),
    ("zsgan adapt --source ", {"dog", "cat", "afhq-dog"}),
    ("zsgan table --profile sm", {"smoke"}),
    ("zsgan evaluate x --eyes ", {"evaluator", "photographs"}),
    ("zsgan fetch clip-", {"clip-a", "clip-b", "clip-c"}),
    ("zsgan list ro", {"rows"}),
    ("zsgan evaluate x --out ", set()),
    ("zsgan runs ", {"list", "info", "verify", "merge", "prune"}),
    ("zsgan runs prune --un", {"--unfinished"}),
    ("zsgan runs list --profile sm", {"smoke"}),
]


def test_bash_completes_commands_options_and_values(capsys):
    """In a real bash; where nothing is known, bash's own completion of files takes over."""
    script = answer(capsys, "completion", "bash")
    lines = [script, "complete -p zsgan"]
    for typed, _ in COMPLETED:
        words = typed.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        lines.append(f'COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _zsgan; echo "${{COMPREPLY[@]}}"')
    result = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    first, *replies = result.stdout.splitlines()
    assert first == "complete -o bashdefault -o default -F _zsgan zsgan"
    for (typed, expected), reply in zip(COMPLETED, replies, strict=True):
        assert expected <= set(reply.split()) and (expected or not reply), typed


def test_zsh_takes_the_same_through_its_bridge(capsys):
    text = answer(capsys, "completion", "zsh")
    assert text.endswith(answer(capsys, "completion", "bash"))
    assert text.startswith(
        "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
    )


def test_completion_does_not_wait_for_torch():
    program = (
        "import sys; from zsgan.cli import main; main(['completion', 'bash']); print('torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("\nFalse\n")
