"""A method from a file becomes an entry of the bench, which knows the code that it belongs to."""

import json

import pandas as pd
import pytest
import yaml

from zsgan import cli
from zsgan.report.entries import entries, submit

TINY = {
    "extends": "smoke", "summarised": True, "settings": {"optimiser": {"iterations": 2}},
    "rows": {"L_dir": {"terms": {"directional": 1}}}, "seeds": [0, 1], "samples": 12, "clusters": 2,
}  # fmt: skip
METHOD = """
import zsgan

@zsgan.term(row={"terms": {"directional": 1}}, weight=0.5)
def closeness(seen):
    return 1 - (seen.f_trg @ seen.guide.t_trg).mean()
"""


@pytest.fixture(scope="module")
def entry(tmp_path_factory):
    """Profile of a tiny bench, folder of runs, and the entry that the command line made."""
    place = tmp_path_factory.mktemp("bench")
    (place / "tiny.yaml").write_text(yaml.safe_dump(TINY, sort_keys=False))
    (place / "mine.py").write_text(METHOD)
    command = ["bench", "submit", "--quiet", "--method", place / "mine.py", "--out", place / "entries"]
    command += ["--profile", place / "tiny.yaml", "--runs", place / "runs"]
    assert cli.main([*map(str, command)]) == 0
    return place / "tiny.yaml", place / "runs", place / "entries" / "mine"


def test_an_entry_has_the_measurements_the_code_and_the_settings(entry):
    bench, _, place = entry
    finals = pd.read_csv(place / "finals.csv")
    assert set(finals["row"]) == {"closeness"} and sorted(finals["seed"]) == [0, 1]
    assert finals[["fid", "lpips_avg", "evaluator_rate", "step_seconds"]].notna().all(axis=None)
    assert (place / "mine.py").read_text() == METHOD
    rows = json.loads((place / "rows.json").read_text())
    assert rows == {"closeness": {"terms": {"directional": 1, "mine.py:closeness": 0.5}}}
    provenance = json.loads((place / "provenance.json").read_text())
    assert len(provenance["weights"]["generator-dog"]) == 64 and len(provenance["runs"]) == 2
    for file in place.iterdir():
        assert str(bench.with_name("mine.py")) not in file.read_text()
    assert provenance["command"] == "zsgan bench submit --method mine.py"


def test_an_entry_is_found_and_knows_when_its_code_has_changed(entry):
    bench, _, place = entry
    ((name, found),) = entries(place.parent, bench).items()
    assert name == "mine" and found.stale == [] and len(found.finals) == 2
    (place / "mine.py").write_text(METHOD.replace("1 - ", "2 - "))
    ((_, changed),) = entries(place.parent, bench).items()
    reasons = changed.stale
    (place / "mine.py").write_text(METHOD)
    assert reasons == ["2 of 2 runs have other settings or networks"]
    (place / "mine.py").rename(place / "other.py")
    with pytest.raises(ValueError, match=r"mine\.py"):
        entries(place.parent, bench)
    (place / "other.py").rename(place / "mine.py")


def test_an_entry_is_made_again_from_its_own_folder_without_new_runs(entry, monkeypatch):
    bench, runs, place = entry
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    monkeypatch.setattr("zsgan.evaluation.bench.Samples", None)  # nothing can be measured again
    assert submit(place / "mine.py", place.parent, bench=bench, folder=runs, progress=False) == place
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


def test_a_method_that_is_called_like_a_row_or_is_none_is_refused(entry, tmp_path):
    bench, runs, _ = entry
    for text, message in (
        ("def mine(seen): return 0", "declares no method"),
        (METHOD.replace("closeness", "L_dir"), "has a row 'L_dir' already"),
    ):
        (tmp_path / "bad.py").write_text(text)
        with pytest.raises(ValueError, match=message):
            submit(tmp_path / "bad.py", tmp_path / "out", bench=bench, folder=runs)
    assert not (tmp_path / "out").exists()
    assert entries(tmp_path) == {}
