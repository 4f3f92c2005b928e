"""Runs made in different places are one set, whose identity is content; what is deleted was asked for."""

import json
import shutil
from dataclasses import replace

import pytest

from zsgan.adaptation.config import override
from zsgan.assets import names
from zsgan.base.files import read_json, write_json
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.cli import main
from zsgan.runs import run as runs
from zsgan.runs.copies import merge
from zsgan.runs.grid import run_all
from zsgan.runs.make import locked
from zsgan.runs.prune import prunable, prune
from zsgan.runs.run import finished, open_run, run
from zsgan.runs.verification import hashes

QUICK = {"optimiser.iterations": 3, "optimiser.batch_size": 1, "clips": ("clip-a",)}


@pytest.fixture(scope="module")
def configs(smoke):
    return [override(smoke.config("dog-to-cat", "L_dir", seed), QUICK) for seed in (0, 1)]


@pytest.fixture(scope="module")
def made(configs, tmp_path_factory):
    """Folder of two finished runs and their cache."""
    folder = tmp_path_factory.mktemp("made")
    run_all(configs, folder=folder)
    return folder


@pytest.fixture
def here(made, tmp_path):
    return shutil.copytree(made, tmp_path / "here")


def content(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith("lock"))
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def told(capsys, *arguments):
    """Exit code, output and errors of a command."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def ids(folder):
    return sorted(place.name for place in folder.iterdir() if place.name != "cache")


def test_copied_folders_are_found_under_other_names_of_the_networks(made, configs, tmp_path, monkeypatch):
    """On the other machine the generator is a file elsewhere: the id does not know its path."""
    for name in ids(made):
        shutil.copytree(made / name, tmp_path / "runs" / name)
    shutil.copy(names.generator("dog").path, tmp_path / "my-dog.safetensors")
    monkeypatch.setattr(runs, "make", None)
    elsewhere = [replace(config, generator=str(tmp_path / "my-dog.safetensors")) for config in configs]
    assert [found.folder.name for found in run_all(elsewhere, folder=tmp_path / "runs")] == [
        finished(config, made).folder.name for config in configs
    ]


def test_merging_takes_what_is_missing_and_then_finds_it(made, configs, tmp_path, capsys):
    first, second = (finished(config, made).folder.name for config in configs)
    target = tmp_path / "target"
    shutil.copytree(made / first, target / first)
    (target / second / "snapshots").mkdir(parents=True)  # of a run that was stopped
    for name in ("config.json", "state.pt", "owner.txt", "snapshots/9.safetensors"):
        (target / second / name).write_text("{}")
    code, out, _ = told(capsys, "runs", "merge", made, "--runs", target)
    assert code == 0 and set(out.splitlines()) == {f"{first}  is here", f"{second}  copied"}
    assert content(target) == content(made)
    assert finished(configs[1], target).history == finished(configs[1], made).history
    assert {found.text for found in merge(made, target)} == {"is here"}


def test_a_run_is_filed_under_its_id_not_its_folder(made, configs, tmp_path):
    place = finished(configs[0], made).folder
    shutil.copytree(place, tmp_path / "other" / "my best run")
    assert [found.text for found in merge(tmp_path / "other", tmp_path / "here")] == ["copied"]
    assert ids(tmp_path / "here") == [place.name]


def test_other_content_under_the_same_id_is_refused(here, configs, tmp_path, capsys, made):
    place = finished(configs[0], here).folder
    file = place / "generator.safetensors"
    tensors, config, provenance = load_tensors(file)
    other = {name: value + 1 for name, value in tensors.items()}
    save_tensors(other, file, config=config, provenance=provenance)
    write_json(place / "provenance.json", read_json(place / "provenance.json") | {"sha256": hashes(place)})
    (here / "cache" / "new.json").write_text("[]")
    target = shutil.copytree(made, tmp_path / "target")
    before = content(target)
    code, out, err = told(capsys, "runs", "merge", here, "--runs", target)
    assert code == 1 and "1 refused, and so are the cached results" in err
    assert f"{place.name}  refused: the run here has another generator.safetensors; it was made on cpu" in out
    assert content(target) == before


def test_a_damaged_run_is_refused_and_the_others_are_merged(here, configs, tmp_path):
    place = finished(configs[0], here).folder
    (place / "history.json").write_text("[]")
    texts = {found.place.name: found.text for found in merge(here, tmp_path / "target")}
    assert "history.json differs from what was written" in texts[place.name]
    assert ids(tmp_path / "target") == [finished(configs[1], here).folder.name]


def test_a_run_that_a_process_computes_is_refused(made, configs, tmp_path):
    place = finished(configs[0], made).folder
    with locked(tmp_path / place.name):
        texts = {found.place.name: found.text for found in merge(made, tmp_path)}
    assert "is being computed by" in texts[place.name]
    assert not (tmp_path / place.name / "config.json").exists()


def test_folders_that_cannot_be_merged_are_named(made, tmp_path):
    with pytest.raises(FileNotFoundError, match="has no finished run; name a folder that has folders of run"):
        list(merge(tmp_path, made))
    with pytest.raises(ValueError, match="is the folder to merge into"):
        list(merge(made, made))


def test_a_profile_knows_what_is_missing_and_what_can_be_deleted(here, configs, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "extends: smoke\nrows: {L_dir: {terms: {directional: 1}}}\nseeds: [0, 5]\n"
        "overrides: {optimiser: {iterations: 3, batch_size: 1}, clips: [clip-a]}\n"
    )
    code, out, err = told(capsys, "runs", "list", "--profile", file, "--runs", here, "--json")
    assert code == 0, err
    found, id_ = json.loads(out), finished(configs[0], here).folder.name
    assert [(line["seed"], line["state"]) for line in found["runs"]] == [(0, "finished"), (5, "missing")]
    assert (found["runs"][0]["id"], found["missing"], found["others"]) == (id_, 1, 1)
    _, out, _ = told(capsys, "runs", "list", "--profile", file, "--runs", here)
    assert f"1 of the 2 runs of {file} are finished; zsgan reproduce --profile {file} makes the others" in out
    assert out.endswith("\nruns here that the profile does not have: 1\n")
    before = content(here)
    code, out, _ = told(capsys, "runs", "prune", "--profile", file, "--runs", here)
    other = finished(configs[1], here).folder.name
    assert code == 0 and f"{other}  of no profile given, " in out and id_ not in out
    assert "nothing is deleted: 1 listed, " in out and content(here) == before
    assert told(capsys, "runs", "prune", "--profile", file, "--runs", here, "--delete")[0] == 0
    assert ids(here) == [id_] and finished(configs[0], here)


def test_pruning_touches_neither_other_folders_nor_runs_that_are_computed(here, configs):
    first, second = (finished(config, here).folder for config in configs)
    for name in ("notes", "0123456789abcdef-old"):
        (here / name).mkdir()
        (here / name / "config.json").write_text((first / "config.json").read_text())
    (here / "0123456789abcdef").symlink_to(second, target_is_directory=True)
    (first / "provenance.json").unlink()
    with locked(first):
        found = prunable(here, wanted=[], unfinished=True)
        assert [each.place for each in found] == [second]
    with locked(second):  # it began meanwhile
        ((_, why),) = prune(found)
        assert "is being computed" in why and finished(configs[1], here)
    found = prunable(here, unfinished=True)
    assert [each.place for each in found] == [first] and [why for _, why in prune(found)] == [""]
    assert not first.exists() and (here / "notes" / "config.json").exists() and second.exists()


def test_a_run_without_its_snapshots_is_whole(here, configs, made):
    place = finished(configs[0], here).folder
    files = list((place / "snapshots").iterdir())
    found = [each for each in prunable(here, snapshots=True) if each.place == place]
    assert files and [each.bytes for each in found] == [sum(file.stat().st_size for file in files)]
    assert [why for _, why in prune(found)] == [""]
    assert open_run(place).snapshots == [3] and not (place / "snapshots").exists()
    assert place not in [each.place for each in prunable(here, snapshots=True)]
    texts = {found.text for pair in ((here, made), (made, here)) for found in merge(*pair)}
    assert texts == {"is here"} and run(configs[0], folder=here).folder == place


def test_pruning_needs_to_know_every_id(capsys, tmp_path):
    code, _, err = told(capsys, "runs", "prune", "--runs", tmp_path)
    assert code == 1 and "say what to look for: --profile, --unfinished or --snapshots" in err
    code, _, err = told(capsys, "runs", "prune", "--profile", "paper", "--runs", tmp_path)
    assert code == 1 and "its weights are missing; get them first: zsgan fetch --profile paper" in err
