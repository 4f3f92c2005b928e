import argparse
import contextlib
import json
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial

import pytest
import torch

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, override
from zsgan.adaptation.guide import trained_parameters
from zsgan.adaptation.stopping import alignment, plateau
from zsgan.assets import manifest, names
from zsgan.base.device import set_up
from zsgan.base.files import read_json, versions, write_json
from zsgan.base.settings import names_of
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs import identity as jobs
from zsgan.runs import make as making
from zsgan.runs.grid import run_all
from zsgan.runs.identity import resolve
from zsgan.runs.make import RunInProgress, fisher_of, source_features_of
from zsgan.runs.run import finished, named_run, open_run, run

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

    monkeypatch.setattr(making, "trainer_of", fail)


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


def test_names_of_weights_are_looked_up_once(full_run, config, forbidden, monkeypatch):
    """The networks of a job are those whose hashes make its id."""
    job = resolve(config)
    assert [clip.name for clip in job.clips] == list(config.clips) and job.discriminator is None
    for lookup in ("generator", "clip", "discriminator"):
        monkeypatch.setattr(names, lookup, None)
    assert resolve(job) is job and run(job, folder=full_run.folder.parent) == full_run
    guides = making.guides_of(job)
    assert len(guides) == 2 and load_generator(job.generator).config["resolution"] == 64


def test_a_run_is_found_by_its_folder(full_run):
    opened = open_run(full_run.folder)
    assert named_run(full_run.folder) == opened and named_run("dog") is None
    assert opened == full_run and opened.config.templates == full_run.config.templates
    assert isinstance(opened.config.templates, tuple)


def test_what_a_finished_run_holds(full_run, config):
    files = {file.name for file in full_run.folder.iterdir()}
    assert files >= {"config.json", "history.json", "snapshots", "generator.safetensors", "provenance.json"}
    assert "state.pt" not in files
    job = resolve(config)
    assert full_run.folder.name == job.id == full_run.provenance["id"]
    for key, value in job.identity.items():
        assert full_run.provenance[key] == json.loads(json.dumps(value))
    assert full_run.provenance["weights"]["generator-dog"] == manifest.asset("generator-dog").sha256
    assert full_run.provenance["versions"] == versions()
    assert full_run.provenance["device"].startswith("cpu (") and full_run.provenance["tf32"] is False
    assert full_run.provenance["seconds"] > 4 * full_run.provenance["step_seconds"] > 0
    assert full_run.provenance["peak_memory"] is None  # on a CPU
    assert full_run.provenance["threads"] == 1
    header = load_tensors(full_run.folder / "generator.safetensors")[2]
    assert header == json.loads(json.dumps(job.identity))


def test_two_identical_runs_are_identical_files(full_run, config, tmp_path):
    """But for provenance.json, which holds the time and the machine."""
    again = run(replace(config, generator="dog"), folder=tmp_path)
    contents = [
        {f.relative_to(x.folder).as_posix(): f.read_bytes() for f in x.folder.rglob("*") if f.is_file()}
        for x in (full_run, again)
    ]
    for files in contents:
        assert b"seconds" in files.pop("provenance.json")
    assert contents[0] == contents[1]


def test_the_history_has_a_row_for_every_step(full_run):
    assert [row["step"] for row in full_run.history] == [1, 2, 3, 4]
    terms = {"first_moment", "covariance", "ewc", "relation"}
    assert all(set(row) == {"step", "loss", "gradient_norm", *terms} for row in full_run.history)
    config = full_run.config
    for row in full_run.history:
        total = row["first_moment"] + config.moment.lambda_cov * row["covariance"]
        total += config.terms["ewc"] * row["ewc"] + config.terms["relation"] * row["relation"]
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
    write_json(place / "history.json", full_run.history[:1] * 13)
    odd = replace(full_run, folder=place)
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


# Stopped where it levels off


def test_a_run_ends_where_it_levels_off(config, tmp_path, monkeypatch):
    rule = partial(plateau, window=2, tolerance=0.9)
    monkeypatch.setattr(making, "plateau", rule)
    most = override(config, {"optimiser": {"iterations": 20, "batch_size": 2}, "clips": ("clip-a",)})
    whole = run(most, folder=tmp_path)
    step = rule(alignment(whole.history))
    assert step is not None and 6 <= step < 20 and whole.iterations == 20
    asked = override(most, {"optimiser.stop_at_plateau": True})
    early = run(asked, folder=tmp_path)
    assert early.iterations == early.snapshots[-1] == step
    assert early.history == whole.history[:step]
    kept = step // 2 * 2  # one in two is kept
    one, two = whole.generator(kept), early.generator(kept)
    for name, value in one.state_dict().items():
        torch.testing.assert_close(two.state_dict()[name], value, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(making, "plateau", lambda curve: None)
    never = run(asked, folder=tmp_path / "never")
    assert never.iterations == 20 and never.folder.name != whole.folder.name
    expected, found = tensors(whole), tensors(never)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_run_that_levels_off_resumes_to_the_same_bits(config, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(making, "plateau", lambda curve: 7 if len(curve) >= 7 else None)
    few = {"iterations": 20, "batch_size": 2, "stop_at_plateau": True}
    asked = override(config, {"optimiser": few, "clips": ("clip-a",)})
    whole = run(asked, folder=tmp_path / "whole")
    assert "no run stops before step 90, so this one takes all its 20 steps" in caplog.text
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(Stopped):
            run(asked, folder=tmp_path)
    resumed = run(asked, folder=tmp_path)
    assert resumed.history == whole.history and len(whole.history) == 7
    expected, found = tensors(whole), tensors(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


# Interrupted


def test_an_interrupted_run_resumes_to_the_same_bits(full_run, config, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stopped):
            run(config, folder=tmp_path)
    place = tmp_path / resolve(config).id
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
    with making.locked(place):
        ready.set()
        signal.pause()


def _enter(place):
    with making.locked(place, wait=True):
        return True


def test_a_second_process_is_told_who_holds_the_run_or_waits(config, tmp_path, monkeypatch):
    place = tmp_path / resolve(config).id
    place.mkdir()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(place, ready))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(RunInProgress, match=f"process {holder.pid} on {platform.node()}; wait for it"):
            run(config, folder=tmp_path)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(_enter, place)
            assert wait([waiting], timeout=0.5).not_done
            holder.kill()
            assert waiting.result(20)
    finally:
        holder.kill()
        holder.join()
    made = []
    monkeypatch.setattr(making, "_adapt", lambda *args: made.append(args))
    with pytest.raises(ValueError, match="config.json cannot be read as JSON"):
        run(config, folder=tmp_path)  # a dead process holds nothing
    assert len(made) == 1


# Identity

OTHER = {
    "generator": "generator-cat", "source_text": "fox", "target_text": "bear", "clips": ("clip-b",),
    "templates": ("{}",), "terms": {"moment": 2}, "stage1.n_variations": 5, "stage1.epsilon": 0.5,
    "stage1.lambda_div": 2.0, "stage1.iterations": 6, "stage1.lr": 0.1, "stage1.start": "closed_form",
    "stage1.seed": 3, "stage1.attributes": ("white {}", "grey {}"),
    "stage1.renormalise": True, "features.normalise": False, "features.antialias": False,
    "features.direction_floor": 0.1, "features.crops": 2,
    "moment.lambda_cov": 3.0, "moment.centre": False, "moment.scale": "sum",
    "moment.distance": "row", "moment.normalise_directions": True, "ewc.estimator": "batch",
    "ewc.granularity": "layer", "ewc.samples": 3, "relation.temperature": 2.0, "relation.diagonal": False,
    "relation.reduction": "mean", "spectral.probes": 2, "spectral.delta": 0.1, "spectral.balanced": True,
    "optimiser.iterations": 5, "optimiser.stop_at_plateau": True, "optimiser.batch_size": 3,
    "optimiser.lr": 0.1, "optimiser.betas": (0.5, 0.9), "optimiser.ema": 0.5,
    "selection.k": 2, "selection.iterations": 2,
    "selection.layer_map": "as_published", "selection.batch_size": 2, "trained": "convolutions_and_torgb",
    "shared_noise": True, "guide": "zsgan.api:configuration", "trainer": "zsgan.api:adapt", "seed": 1,
    "air.start": 0.2, "air.every": 0.2, "air.weight": 2.0, "air.samples": 9, "air.psi": 0.5,
    "air.prompt_steps": 7, "air.prompt_lr": 0.1, "air.learned": "context", "ipl.activated": True,
    "difa.encoder": "encoder-cat", "difa.weight": 2.0, "difa.kept": 0.5, "difa.window": 9, "difa.rows": 3,
    "local.parts": ["{} ears"], "local.side": 0.3, "ipl.words": 3, "ipl.weight": 2.0, "ipl.iterations": 9,
    "ipl.batch_size": 9, "ipl.lr": 0.1,
    "speed.tf32": True, "speed.autocast": "bfloat16",
    "speed.channels_last": True, "speed.compile": "default",
}  # fmt: skip


def run_id(config):
    return resolve(config).id


def test_the_identity_depends_on_every_setting(config):
    """Those of images instead of texts are in tests/adaptation/test_few_shot.py."""
    assert sorted(OTHER) == sorted(name for name in names_of(AdaptConfig) if not name.startswith("few_shot."))
    selecting = override(config, {"selection": {"k": 3}})
    spectral = override(config, {"terms.spectral": 1})
    refined = override(config, {"air": {}})
    prompted = override(config, {"ipl": {}, "terms.directional": 1})
    of_group = {"selection": selecting, "spectral": spectral, "air": refined, "ipl": prompted}
    of_group |= {"difa": override(config, {"difa": {}}), "local": override(config, {"terms.local": 1})}
    bases = {name: of_group.get(name.split(".")[0], config) for name in OTHER}
    saying = {"start": "captions", "n_variations": 2, "attributes": ["black {}", "grey {}"]}
    bases["stage1.attributes"] = override(config, {"stage1": saying})
    ids = {name: run_id(override(bases[name], {name: value})) for name, value in OTHER.items()}
    assert len({*(run_id(base) for base in bases.values()), *ids.values()}) == len(OTHER) + 8


def test_the_identity_does_not_depend_on_settings_that_take_no_part(config):
    """L_dir is one run, whatever the other rows' settings are."""
    directional = override(config, {"terms": {"directional": 1}})
    groups = ("stage1", "moment", "relation", "ewc", "spectral")
    unused = [name for name in OTHER if name.split(".")[0] in groups]
    assert len(unused) == 23
    saying = {"start": "captions", "n_variations": 2, "attributes": ["black {}", "grey {}"]}
    for name in unused:
        base = override(directional, {"stage1": saying}) if name == "stage1.attributes" else directional
        assert run_id(override(base, {name: OTHER[name]})) == run_id(directional), name
    zero = override(config, {"terms": {"directional": 1, "ewc": 0}})
    assert run_id(zero) == run_id(directional)


@pytest.mark.parametrize("name", ["generator-dog", "clip-c"])
def test_the_identity_depends_on_the_weights(config, monkeypatch, name):
    before, asset = run_id(config), manifest.asset
    changed = replace(asset(name), sha256="0" * 64)
    monkeypatch.setattr(manifest, "asset", lambda key: changed if key == name else asset(key))
    assert run_id(config) != before
    assert run_id(replace(config, generator="dog")) == run_id(config)


def test_the_identity_depends_on_the_content_of_a_file(config, tmp_path, monkeypatch):
    file = tmp_path / "mine.safetensors"
    file.write_bytes(b"one")
    before = run_id(replace(config, generator=str(file)))
    monkeypatch.chdir(tmp_path)
    for spelling in (
        "mine.safetensors",
        "./mine.safetensors",
        f"{tmp_path}/../{tmp_path.name}/mine.safetensors",
    ):
        assert run_id(replace(config, generator=spelling)) == before
    shutil.copy(file, tmp_path / "other.safetensors")
    assert run_id(replace(config, generator="other.safetensors")) == before
    file.write_bytes(b"two, longer")
    assert run_id(replace(config, generator=str(file))) != before


def test_a_shipped_generator_is_the_same_by_its_file(config):
    path = str(manifest.path("generator-dog"))
    assert run_id(replace(config, generator=path)) == run_id(config)
    assert names.generator(path).identity == names.generator("dog").identity


def test_the_identity_depends_on_the_numerics(config, monkeypatch):
    before = run_id(config)
    monkeypatch.setattr(jobs, "NUMERICS", jobs.NUMERICS + 1)
    assert run_id(config) != before


def test_the_identity_is_that_of_the_meaning(config):
    """However a number or the name of a generator is written."""
    assert run_id(override(config, {"terms.ewc": 3_000, "generator": "dog"})) == run_id(config)
    assert run_id(override(config, {"terms.ewc": "3e3"})) == run_id(config)
    assert resolve(replace(config, generator="dog")) == resolve(config)
    assert len(run_id(config)) == 16 and run_id(config).isalnum()


# Fisher information


SHARED = (
    "generator", "clips", "guide", "features.normalise", "features.antialias", "optimiser.batch_size",
    "speed.tf32",
)  # fmt: skip


@pytest.mark.parametrize(
    ("what", "matters"),
    [
        (
            "source_fisher",
            {
                *SHARED,
                "source_text",
                "templates",
                "trained",
                "ewc.estimator",
                "ewc.granularity",
                "ewc.samples",
            },
        ),
        ("source_features", {*SHARED, "seed", "optimiser.iterations", "features.crops", "speed.autocast"}),
    ],
)
def test_what_belongs_to_the_source_is_shared_by_the_runs_that_can(
    config, tmp_path, monkeypatch, what, matters
):
    computed = []

    def compute(g_src, guides, config, progress, folder):
        computed.append(config)
        value = torch.full((2,), float(len(computed)))
        return {"synthesis.const": value} if what == "source_fisher" else [value]

    monkeypatch.setattr(making, what, compute)
    g_src = load_generator("dog")
    guide = argparse.Namespace(encoder=None)

    def value(config):
        function = fisher_of if what == "source_fisher" else source_features_of
        found = function(resolve(config), g_src, [guide], tmp_path)
        return (found["synthesis.const"] if what == "source_fisher" else found[0]).tolist()

    assert value(config) == [1.0, 1.0]
    saying = {"stage1": {"start": "captions", "attributes": OTHER["stage1.attributes"], "n_variations": 2}}
    for name, other in OTHER.items():
        changes = saying if name == "stage1.attributes" else {name: other}
        if name in matters:
            count = len(computed) + 1
            assert value(override(config, changes)) == [count, count], name
        elif not name.startswith(("selection.", "ipl.")):
            assert value(override(config, changes)) == [1.0, 1.0], name
    count = len(computed)
    assert value(config) == [1.0, 1.0] and count == 1 + len(matters)
    with monkeypatch.context() as patch:  # noise maps are others there
        patch.setattr(making, "device_of", lambda generator: torch.device("cuda", 1))
        assert value(config) == [count + 1, count + 1]
    (tmp_path / "clip.pt").write_bytes(b"weights")  # of two architectures that differ in what no tensor tells
    for number, architecture in enumerate(("ViT-B-32", "ViT-B-32-quickgelu"), start=count + 2):
        assert value(override(config, {"clips": f"{architecture}/{tmp_path}/clip.pt"})) == [number, number]
    count = len(computed)
    monkeypatch.setattr(making, "NUMERICS", making.NUMERICS + 1)
    assert value(config) == [count + 1, count + 1]


def test_fisher_information_is_kept_to_the_bit(full_run, config, tmp_path):
    g_src, guides = load_generator("dog"), making.guides_of(resolve(config))
    kept = fisher_of(resolve(config), g_src, guides, full_run.folder.parent)
    new = fisher_of(resolve(config), g_src, guides, tmp_path)
    assert set(kept) == set(trained_parameters(g_src))
    assert all(torch.equal(kept[name], new[name]) for name in new)


# Many


def test_two_workers_make_the_same_bits_as_one(smoke, tmp_path):
    quick = {"optimiser.iterations": 1, "optimiser.batch_size": 2, "ewc.samples": 1}
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
    made, adapt = [], making._adapt
    monkeypatch.setattr(making, "_adapt", lambda job, *rest: made.append(job.id) or adapt(job, *rest))
    found = run_all([config, replace(config, generator="dog")], folder=tmp_path)
    assert made == [resolve(config).id] and found[0].folder == found[1].folder


def test_one_run_that_fails_does_not_keep_others_from_being_made(config, full_run, tmp_path, caplog):
    wrong = override(config, {"target_text": "xylophone"})
    later = override(config, {"terms": {"directional": 1}, "optimiser.iterations": 1})
    with pytest.raises(RuntimeError, match=r"(?s)1 of 2 adaptations failed.*never trained on: xylophone"):
        run_all([wrong, later], folder=tmp_path)
    assert finished(later, tmp_path) is not None and finished(wrong, tmp_path) is None
    assert "never trained on: xylophone" in caplog.text  # at once, too
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        run_all([config], folder=full_run.folder.parent, workers=0)


def test_a_conditional_generator_is_refused(config, tmp_path):
    options = {"z_dim": 8, "w_dim": 8, "c_dim": 3, "channels": {4: 8, 8: 8}}
    conditional = Generator(8, **options)
    file = tmp_path / "conditional.safetensors"
    save_tensors(conditional.state_dict(), file, config=conditional.config, provenance={})
    with pytest.raises(ValueError, match="conditional.safetensors' is conditional, on labels of 3 numbers"):
        run(override(config, {"generator": str(file)}), folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "generator-dgo"}, "generator='generator-dgo' is neither a file nor one of generator-"),
        ({"clips": "clip-z"}, "clip 'clip-z' names no weights .*clip-a"),
        ({"clips": "ViT-B-32"}, "clip 'ViT-B-32' names no weights .*such as ViT-B-32/openai"),
        ({"clips": "menagerie-clip"}, "clip 'menagerie-clip' names no weights"),
        ({"clips": "hf-hub:somebody/something"}, "clip 'hf-hub:somebody/something' names no weights"),
        ({"target_text": "xylophone"}, "never trained on: xylophone"),
    ],
)
def test_a_refused_request_leaves_nothing(config, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        run(override(config, changes), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_device_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match="device='gpu' is not on this machine, which has cpu"):
        run(config, folder=tmp_path, device="gpu")
    assert not list(tmp_path.iterdir())
    assert set_up("cpu") == torch.device("cpu")


# Damaged


@pytest.fixture(scope="module")
def quick_run(smoke, tmp_path_factory):
    """A run of one step, which is soon made again."""
    quick = {"optimiser.iterations": 1, "optimiser.batch_size": 1, "clips": ("clip-a",)}
    return run(override(smoke.config("dog-to-cat", "L_dir"), quick), folder=tmp_path_factory.mktemp("quick"))


@pytest.mark.parametrize("name", ["generator.safetensors", "provenance.json", "config.json", "history.json"])
@pytest.mark.parametrize("how", ["missing", "empty"])
def test_a_damaged_run_is_set_aside_and_made_anew(quick_run, tmp_path, caplog, name, how):
    config, place = quick_run.config, shutil.copytree(quick_run.folder, tmp_path / quick_run.folder.name)
    if how == "missing":
        (place / name).unlink()
    else:
        (place / name).write_bytes(b"")
    if (name, how) == ("provenance.json", "missing"):  # then it counts as unfinished, and goes on
        assert finished(config, tmp_path) is None
        return
    with pytest.raises(ValueError, match=name):
        open_run(place)
    again = run(config, folder=tmp_path)
    assert f"{place}.damaged-1" in caplog.text and name in caplog.text
    assert (tmp_path / f"{place.name}.damaged-1").is_dir()
    expected, found = tensors(quick_run), tensors(again)
    assert all(torch.equal(expected[key], found[key]) for key in expected) and read_json(
        place / "config.json"
    )


FOREVER = """
import sys
from zsgan.adaptation.config import override
from zsgan.runs.profiles import load_profile
from zsgan.runs.grid import run_all

if __name__ == "__main__":
    profile = load_profile("smoke")
    changes = {"optimiser.iterations": 1_000_000, "optimiser.batch_size": 1}
    configs = [override(profile.config("dog-to-cat", "L_dir", seed), changes) for seed in range(4)]
    run_all(configs, folder=sys.argv[1], workers=2)
"""


def test_ctrl_c_ends_all_workers(tmp_path):
    """A terminal sends it to every process of the group."""
    (tmp_path / "forever.py").write_text(FOREVER)
    command = [sys.executable, "forever.py", "runs"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while len(list(tmp_path.glob("runs/*/owner.txt"))) < 2 and process.poll() is None:
            assert time.monotonic() < until, "no run has begun"
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert len(list(tmp_path.glob("runs/*/owner.txt"))) == 2  # none of the others has begun
