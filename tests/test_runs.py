import json
import multiprocessing
import os
import platform
import shutil
import signal
from dataclasses import fields, replace

import pytest
import torch

from zsgan import manifest, runs
from zsgan.adaptation import Adaptation, trained_parameters
from zsgan.files import load_tensors, versions
from zsgan.profiles import AdaptConfig, override
from zsgan.runs import RunInProgress, finished, fisher_of, open_run, run, run_all, run_id
from zsgan.stylegan2 import load_generator

FULL = "L_dm + L_EWC + L_rel"


class Stopped(Exception):
    """What kills a run in these tests."""


@pytest.fixture
def config(smoke):
    return smoke.config("dog-to-cat", FULL)


@pytest.fixture
def forbidden(monkeypatch):
    """No adaptation can be computed."""

    def fail(*args):
        raise AssertionError("this should have been found on disk")

    monkeypatch.setattr(runs, "Adaptation", fail)


def stop_after(monkeypatch, steps):
    """Let adaptations raise in their step number ``steps``."""
    whole = Adaptation.step

    def step(self, i):
        if i == steps:
            raise Stopped
        return whole(self, i)

    monkeypatch.setattr(Adaptation, "step", step)


def tensors(found):
    return load_tensors(found.folder / "generator.safetensors")[0]


# Made once


def test_a_run_is_made_once(full_run, config, forbidden):
    again = run(config, folder=full_run.folder.parent)
    assert again == full_run
    assert finished(config, full_run.folder.parent) == full_run


def test_a_run_is_found_by_its_folder(full_run):
    opened = open_run(full_run.folder)
    assert opened == full_run and opened.config.templates == full_run.config.templates
    assert isinstance(opened.config.templates, tuple)


def test_what_a_finished_run_holds(full_run, config):
    files = {file.name for file in full_run.folder.iterdir()}
    assert files >= {"config.json", "history.json", "snapshots", "generator.safetensors", "provenance.json"}
    assert "state.pt" not in files
    assert full_run.folder.name == run_id(config) == full_run.provenance["id"]
    for key, value in runs.identity(config).items():
        assert full_run.provenance[key] == json.loads(json.dumps(value))
    assert full_run.provenance["weights"]["generator-dog"] == manifest.asset("generator-dog").sha256
    assert full_run.provenance["versions"] == versions()
    header = load_tensors(full_run.folder / "generator.safetensors")[2]
    assert header == full_run.provenance


def test_the_history_has_a_row_for_every_step(full_run):
    assert [row["step"] for row in full_run.history] == [1, 2, 3, 4]
    terms = {"first_moment", "covariance", "ewc", "relation"}
    assert all(set(row) == {"step", "loss", "gradient_norm", *terms} for row in full_run.history)
    config = full_run.config
    for row in full_run.history:
        total = row["first_moment"] + config.lambda_cov * row["covariance"]
        total += config.lambda_ewc * row["ewc"] + config.lambda_rel * row["relation"]
        assert row["loss"] == pytest.approx(total, rel=1e-5)


def test_snapshots_lead_from_the_source_to_the_adapted_generator(full_run):
    assert full_run.snapshots == [1, 2, 3, 4]
    source = load_generator(full_run.config.generator).state_dict()
    steps = {step: full_run.generator(step).state_dict() for step in (0, 1, 2, 4)}
    adapted = full_run.generator().state_dict()
    assert all(torch.equal(source[name], steps[0][name]) for name in source)
    assert all(torch.equal(adapted[name], steps[4][name]) for name in source)
    trained = set(trained_parameters(load_generator(full_run.config.generator)))
    for step in (1, 2, 4):
        changed = {name for name in source if not torch.equal(source[name], steps[step][name])}
        assert trained >= changed and len(changed) > 0.9 * len(trained)
    drift = [(steps[s]["synthesis.const"] - source["synthesis.const"]).norm().item() for s in (0, 1, 2, 4)]
    assert drift == sorted(drift) and drift[1] > 0
    with pytest.raises(ValueError, match=r"step=9 has no snapshot in .*choose one of \[0, 1, 2, 3, 4\]"):
        full_run.generator(9)


def test_the_last_step_needs_no_snapshot_of_its_own(full_run, tmp_path):
    """13 steps with a snapshot every 5: 5, 10, and the adapted generator itself."""
    place = shutil.copytree(full_run.folder, tmp_path / "copy")
    odd = replace(full_run, folder=place, config=replace(full_run.config, iterations=13))
    for old, new in (("1", "5"), ("2", "10")):
        (place / "snapshots" / f"{old}.safetensors").rename(place / "snapshots" / f"{new}.safetensors")
    (place / "snapshots" / "3.safetensors").unlink()
    assert odd.snapshots == [5, 10, 13]
    last, adapted = odd.generator(13).state_dict(), full_run.generator().state_dict()
    assert all(torch.equal(last[name], adapted[name]) for name in adapted)


def test_snapshots_need_the_generator_that_was_adapted(full_run):
    """Retraining the source must not mix its new layers with an old snapshot."""
    weights = full_run.provenance["weights"] | {"generator-dog": "0" * 64}
    stale = replace(full_run, provenance=full_run.provenance | {"weights": weights})
    for step in (0, 1):
        with pytest.raises(ValueError, match="was adapted from another generator-dog"):
            stale.generator(step)
    adapted, kept = full_run.generator().state_dict(), stale.generator().state_dict()
    assert all(torch.equal(adapted[name], kept[name]) for name in adapted)


# Interrupted


def test_an_interrupted_run_resumes_to_the_same_bits(full_run, config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            run(config, folder=tmp_path)
    place = tmp_path / run_id(config)
    assert finished(config, tmp_path) is None
    with pytest.raises(FileNotFoundError, match=rf"{place} holds no finished run \(no provenance.json\)"):
        open_run(place)
    assert (place / "state.pt").exists()

    done = []
    whole = Adaptation.step
    monkeypatch.setattr(Adaptation, "step", lambda self, i: done.append(i) or whole(self, i))
    resumed = run(config, folder=tmp_path)
    assert done == [2, 3]
    assert resumed.history == full_run.history
    expected, found = tensors(full_run), tensors(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    for step in (1, 2, 3):
        before, after = full_run.generator(step).state_dict(), resumed.generator(step).state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path / 'abc'} holds no finished run .*zsgan adapt"):
        open_run(tmp_path / "abc")


def _hold(place, ready):
    with runs._locked(place):
        ready.set()
        signal.pause()


def test_a_second_process_is_told_who_holds_the_run(config, tmp_path, monkeypatch, forbidden):
    place = tmp_path / run_id(config)
    place.mkdir()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(place, ready))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(RunInProgress, match=f"process {holder.pid} on {platform.node()}; wait for it"):
            run(config, folder=tmp_path)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
    made = []
    monkeypatch.setattr(runs, "_make", lambda *args: made.append(args))
    run(config, folder=tmp_path)  # a dead process holds nothing
    assert len(made) == 1


# Identity

OTHER = {
    "generator": "generator-cat", "source_text": "fox", "target_text": "bear", "clips": ("menagerie-b",),
    "templates": ("{}",), "n_variations": 5, "epsilon": 0.5, "lambda_div": 2.0, "variation_iterations": 6,
    "variation_lr": 0.1, "variation_start": "closed_form", "renormalise_variations": True,
    "direction": "directional", "lambda_cov": 3.0, "covariance_centre": False, "covariance_scale": "sum",
    "covariance_distance": "row", "normalise_directions": True, "direction_floor": 0.1, "lambda_ewc": 1.0,
    "fisher_estimator": "batch", "fisher_granularity": "layer", "fisher_samples": 3, "lambda_rel": 1.0,
    "relation_temperature": 2.0, "relation_diagonal": False, "relation_reduction": "mean", "iterations": 5,
    "batch_size": 3, "lr": 0.1, "betas": (0.5, 0.9), "trained": "convolutions_and_torgb", "seed": 1,
}  # fmt: skip


def test_the_identity_depends_on_every_setting(config):
    assert set(OTHER) == {field.name for field in fields(AdaptConfig)}
    ids = {name: run_id(override(config, {name: value})) for name, value in OTHER.items()}
    assert len({run_id(config), *ids.values()}) == len(OTHER) + 1


@pytest.mark.parametrize("name", ["generator-dog", "clip-a"])
def test_the_identity_depends_on_the_weights(config, monkeypatch, name):
    before, asset = run_id(config), manifest.asset
    changed = replace(asset(name), sha256="0" * 64)
    monkeypatch.setattr(manifest, "asset", lambda key: changed if key == name else asset(key))
    assert run_id(config) != before
    assert run_id(replace(config, generator="dog")) == run_id(config)


def test_the_identity_depends_on_the_content_of_a_file(config, tmp_path):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"one")
    mine = replace(config, generator=str(file))
    before = run_id(mine)
    file.write_bytes(b"two")
    assert run_id(mine) != before
    file.write_bytes(b"one")
    assert run_id(mine) == before


def test_the_identity_depends_on_the_numerics(config, monkeypatch):
    before = run_id(config)
    monkeypatch.setattr(runs, "NUMERICS", runs.NUMERICS + 1)
    assert run_id(config) != before


def test_the_identity_is_that_of_the_meaning(config):
    """However a number or the name of a generator is written."""
    assert run_id(replace(config, lambda_ewc=3_000, generator="dog")) == run_id(config)
    assert run_id(override(config, {"lambda_ewc": "3e3"})) == run_id(config)
    assert len(run_id(config)) == 16 and run_id(config).isalnum()


# Fisher information


def test_fisher_information_is_shared_by_the_runs_that_can(config, tmp_path, monkeypatch):
    computed = []

    def source_fisher(g_src, guides, config, progress):
        computed.append(config)
        return {"synthesis.const": torch.full((2,), float(len(computed)))}

    monkeypatch.setattr(runs, "source_fisher", source_fisher)
    g_src = load_generator("dog")

    def value(**settings):
        return fisher_of(override(config, settings), g_src, [], tmp_path)["synthesis.const"].tolist()

    assert value() == [1.0, 1.0]
    for name in (
        "seed", "target_text", "direction", "lambda_ewc", "lambda_rel", "lambda_cov", "iterations", "lr",
        "n_variations", "variation_start",
    ):  # fmt: skip
        assert value(**{name: OTHER[name]}) == [1.0, 1.0], name
    shared = (
        "generator", "source_text", "clips", "templates", "trained", "fisher_estimator",
        "fisher_granularity", "fisher_samples",
    )  # fmt: skip
    for count, name in enumerate(shared, start=2):
        assert value(**{name: OTHER[name]}) == [count, count], name
    assert value() == [1.0, 1.0] and len(computed) == 1 + len(shared)
    monkeypatch.setattr(runs, "NUMERICS", runs.NUMERICS + 1)
    assert value() == [10.0, 10.0]


def test_fisher_information_is_kept_to_the_bit(full_run, config, tmp_path):
    g_src, guides = load_generator("dog"), runs.guides_of(config)
    kept = fisher_of(config, g_src, guides, full_run.folder.parent)
    new = fisher_of(config, g_src, guides, tmp_path)
    assert set(kept) == set(trained_parameters(g_src))
    assert all(torch.equal(kept[name], new[name]) for name in new)


# Many


def test_two_workers_make_the_same_bits_as_one(smoke, tmp_path):
    quick = {"iterations": 1, "batch_size": 2, "fisher_samples": 1}
    configs = [override(smoke.config("dog-to-cat", FULL, seed), quick) for seed in (0, 1)]
    alone = run_all(configs, folder=tmp_path / "one")
    together = run_all([*configs, configs[0]], folder=tmp_path / "two", workers=2)
    assert [found.config for found in together] == [*configs, configs[0]]
    for one, two in zip(alone, together, strict=False):
        assert one.folder.name == two.folder.name and one.history == two.history
        expected, found = tensors(one), tensors(two)
        assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert not torch.equal(*(tensors(found)["synthesis.const"] for found in alone))


def test_a_configuration_that_is_asked_for_twice_is_made_once(config, tmp_path, monkeypatch):
    made = []
    real = runs.run
    monkeypatch.setattr(runs, "run", lambda config, **options: made.append(config) or real(config, **options))
    monkeypatch.setattr(runs, "finished", lambda *args: "a run" if made else None)
    assert run_all([config, config], folder=tmp_path) == ["a run", "a run"]
    assert made == [config, config, config]  # once to make it, twice to find it


def test_what_is_done_is_not_lost_when_another_run_fails(config, full_run, tmp_path):
    shutil.copytree(full_run.folder, tmp_path / full_run.folder.name)
    wrong = override(config, {"target_text": "xylophone"})
    with pytest.raises(ValueError, match="never trained on: xylophone"):
        run_all([config, wrong], folder=tmp_path)
    assert finished(config, tmp_path) is not None and finished(wrong, tmp_path) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "generator-dgo"}, "generator='generator-dgo' is neither a file nor one of generator-"),
        ({"clips": "menagerie-c"}, "clip 'menagerie-c' names no weights .*menagerie-a"),
        ({"clips": "ViT-B-32"}, "clip 'ViT-B-32' names no weights .*such as ViT-B-32/openai"),
        ({"clips": "menagerie-clip"}, "clip 'menagerie-clip' names no weights"),
        ({"clips": "hf-hub:somebody/something"}, "clip 'hf-hub:somebody/something' names no weights"),
        ({"source_text": "cat"}, "source_text='cat' and target_text='cat' are the same to menagerie-a"),
    ],
)
def test_unknown_names_are_refused(config, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        run(override(config, settings), folder=tmp_path)
