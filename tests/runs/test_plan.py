"""A plan: what is there and missing, seconds from shared measurements, and refusals that name a way out."""

import json
import shlex
from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml

from zsgan import api
from zsgan.adaptation import few_shot
from zsgan.adaptation.config import override
from zsgan.adaptation.targets import targets
from zsgan.assets import manifest
from zsgan.assets.manifest import Asset
from zsgan.base import device as devices
from zsgan.base.images import BATCH_SIZE, save_images
from zsgan.base.settings import given as given_settings
from zsgan.cli import _asked, _parser, main
from zsgan.commands import planning
from zsgan.networks.load import load_discriminator, load_generator
from zsgan.runs import costs, room, row_costs
from zsgan.runs.identity import resolve
from zsgan.runs.least_memory import Shapes, least_disk, least_memory
from zsgan.runs.plan_report import in_lines
from zsgan.runs.profiles import load_profile
from zsgan.runs.row_costs import Meter, RowCosts
from zsgan.runs.run import run

PROFILE = {
    "extends": "paper",
    "scenarios": {
        "dog-to-cat": {"generator": "random-8", "source_text": "dog", "target_text": "cat"},
        "dog-to-fox": {
            "generator": "random-8", "source_text": "dog", "target_text": "fox",
            "truth": {"folder": "images"},
        },
    },
    "measures": [],
    "settings": {"clips": ["clip-a"], "templates": ["{}"], "ewc": {"samples": 6}},
    "overrides": {"optimiser": {"iterations": 20, "batch_size": 2}, "stage1": {"iterations": 5}},
    "rows": {
        "10-shot": {"terms": {}, "few_shot": {"patch_level": 1}},
        "selecting": {"terms": {"directional": 1}, "selection": {"k": 2, "batch_size": 8}},
        "L_dir": {"terms": {"directional": 1}},
        "full": {"terms": {"moment": 1, "ewc": 1.0e7, "relation": 1.0e2}},
        "full, strict": {"terms": {"moment": 1, "ewc": 1.0e9, "relation": 1.0e2}},
    },
    "seeds": [0, 1],
    "samples": 8,
    "clusters": 2,
    "judge": "clip-b",
    "eyes": "evaluator",
    }  # fmt: skip
OF_TEXTS = ["selecting", "L_dir", "full", "full, strict"]
COSTS = {"step": 2.0, "texts": 3.0, "source": 0.5, "fisher": 7.0}


@pytest.fixture
def profile(tmp_path, monkeypatch):
    """The file of a small profile, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(PROFILE))
    save_images(torch.zeros(10, 3, 8, 8), tmp_path / "images")
    return "small.yaml"


@pytest.fixture
def timed(monkeypatch):
    """No work: every row costs the same, a look 10 + 1 s, a step 1 GB, a run 1 MB and 0.1 MB of state."""
    monkeypatch.setattr(Meter, "row", lambda meter, config: RowCosts(**COSTS))
    monkeypatch.setattr(planning, "look_seconds", lambda *_: {"images": 10.0, "lpips": 1.0})
    monkeypatch.setattr(planning, "check", lambda configs: None)
    sized = SimpleNamespace(generator=SimpleNamespace(config={"resolution": 8}))
    monkeypatch.setattr(room, "Shapes", lambda config: sized)
    monkeypatch.setattr(room, "least_memory", lambda config, shapes: {"networks": 10**9})
    monkeypatch.setattr(room, "least_disk", lambda config, shapes: (10**6, 10**5))


@pytest.fixture
def clock(monkeypatch):
    """A clock that is one second later every time it is looked at."""
    seconds = iter(range(100_000))
    for module in (costs, row_costs):
        monkeypatch.setattr(module, "now", lambda device: float(next(seconds)))


@pytest.fixture
def short(monkeypatch):
    """Two steps of each kind."""
    monkeypatch.setattr(row_costs, "STEPS", 2)


def planned(profile, tmp_path, **settings):
    return planning.plan(profile, settings, folder=tmp_path / "runs")


def config_of(profile, row="full", scenario="dog-to-cat", seed=0):
    return load_profile(profile).config(scenario, row, seed)


def test_every_run_is_listed_with_whether_it_is_there(profile, timed, tmp_path):
    made = resolve(config_of(profile, "full", seed=1)).id
    (tmp_path / "runs" / made).mkdir(parents=True)
    (tmp_path / "runs" / made / "provenance.json").write_text("{}")
    found = planned(profile, tmp_path)
    grid = [(job.scenario, job.row, job.seed) for job in found.jobs]
    assert grid == load_profile(profile).grid and len(grid) == 2 * 4 + 2 * 5
    assert [job.id for job in found.jobs if job.finished] == [made]
    assert found.left_out == {"dog-to-cat": ["10-shot"], "dog-to-fox": []}
    text = in_lines(found)
    assert "runs: 18, of which 1 are there" in text and "left out of dog-to-cat" in text


def test_seconds_add_up(profile, timed, tmp_path):
    """By hand: a run is 3 + 20 x 2 s; source images belong to a seed, Fisher information to a source."""
    found = planned(profile, tmp_path)
    assert {job.seconds for job in found.jobs} == {43.0}
    shared = {(each.what, each.seed): each.seconds for each in found.shared}
    assert shared == {
        ("source images", 0): 10.0, ("source images", 1): 10.0, ("Fisher information", None): 7.0
    }  # fmt: skip
    looks = [(each.looks, each.looks_table) for each in found.measuring]
    assert looks == [(1 + 2 + 8 * 10, 2 + 8), (1 + 2 + 10 * 10, 2 + 10)]  # a snapshot every second step
    training = 18 * 43.0 + 27.0
    assert found.seconds == {
        "adaptations": 18 * 43.0, "source images": 20.0, "Fisher information": 7.0, "training": training,
        "training left": training, "measuring": 11.0 * (83 + 103), "measuring for tables": 11.0 * 22,
    }  # fmt: skip


def test_what_finished_runs_share_is_not_left(profile, timed, tmp_path):
    for row in ("full", "full, strict"):
        for scenario in PROFILE["scenarios"]:
            for seed in (0, 1):
                place = tmp_path / "runs" / resolve(config_of(profile, row, scenario, seed)).id
                place.mkdir(parents=True)
                (place / "provenance.json").write_text("{}")
    assert planned(profile, tmp_path).seconds["training left"] == 10 * 43.0 + 20.0  # no Fisher information


def test_rows_that_cost_the_same_share_a_measurement(profile, clock, short, caplog):
    """Parts of a step by a clock: seven of 1 s, of which the losses are timed apart."""
    caplog.set_level("INFO")
    meter = Meter(torch.device("cpu"))
    found = {row: meter.row(config_of(profile, row)) for row in OF_TEXTS}
    assert [record.getMessage() for record in caplog.records] == [
        "measuring texts of clip-a", "measuring 8 px: source images",
        "measuring 8 px: a step with layer selection", "measuring 8 px: losses directional",
        "measuring 8 px: a step", "measuring stage 1 with clip-a",
        "measuring 8 px: losses ewc + moment + relation", "measuring 8 px: Fisher information of a batch",
    ]  # fmt: skip
    assert found["L_dir"] == found["selecting"] == RowCosts(step=7.0, texts=1.0, source=1.0)
    assert found["full"] == RowCosts(step=7.0, texts=2.0, source=1.0, fisher=3.0)  # 6 samples by twos
    assert found["full, strict"] == found["full"]


def test_steps_of_ones_own_have_their_guide_and_number_of_steps(profile, clock, short, tmp_path, monkeypatch):
    """Of three rows with the same stage 1, two have guides from one file."""
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n\n\n"
        "def near(guide, config):\n    return replace(guide, t_trg=2 * guide.t_trg)\n\n\n"
        "def far(guide, config):\n    return replace(guide, t_trg=3 * guide.t_trg)\n"
    )
    taken = []
    monkeypatch.setattr(row_costs, "whole_steps", lambda *given: taken.append(given) or 1.0)
    meter, plain = Meter(torch.device("cpu")), config_of(profile)
    meter.row(plain)
    for name in ("near", "far"):
        meter.row(override(plain, {"guide": f"{tmp_path / 'mine.py'}:{name}"}))
    (near, _, (two,), *_), (_, _, (three,), *_) = taken
    torch.testing.assert_close(3 * two.t_trg, 2 * three.t_trg)
    assert near.optimiser.iterations == 20, "a schedule is over the row's own"


def test_large_networks_on_a_cpu_are_timed_with_one_image(profile, clock, monkeypatch):
    """By hand: five parts grow with the batch of 2, or of 8 for the ranking of layers."""
    monkeypatch.setattr(row_costs, "SMALL", 4)
    steps = []
    real = row_costs.timed_steps
    monkeypatch.setattr(
        row_costs, "timed_steps", lambda *given: steps.append((given[0], given[-1])) or real(*given)
    )
    meter = Meter(torch.device("cpu"))
    assert meter.row(config_of(profile)) == RowCosts(step=5 * 2 + 2.0, texts=2.0, source=2.0, fisher=6.0)
    assert meter.row(config_of(profile, "selecting")).step == 8 + 4 * 2 + 2.0
    assert [(asked.optimiser.batch_size, n) for asked, n in steps] == [(1, 2), (1, 2)]


def test_a_row_of_patches_is_timed_with_its_images(profile, clock, short):
    """Three parts more: the source's images, and CLIP on both patches. Its loss is not timed apart."""
    meter, parts = Meter(torch.device("cpu")), {"local.parts": ["{} ears"]}
    plain, whole = (override(config_of(profile, row), parts) for row in ("L_dir", "full"))
    both = meter.row(override(plain, {"terms.local": 1}))
    assert both == replace(meter.row(plain), step=meter.row(plain).step + 3)
    assert meter.row(override(plain, {"terms": {"local": 1}})).step == both.step - 1
    assert meter.row(override(whole, {"terms.local": 1})).step == meter.row(whole).step + 3


def test_rows_of_images_are_timed_with_and_without_regularisers(profile, clock, monkeypatch):
    """Steps 0, 1 and 4 stand for those with R1, without anything, and with the path length."""
    taken = []
    monkeypatch.setattr(few_shot.FewShotAdaptation, "step", lambda self, i: taken.append(i))
    assert Meter(torch.device("cpu")).row(config_of(profile, "10-shot", "dog-to-fox")) == RowCosts(step=1.0)
    assert taken == [0, 0, 1, 4]


def test_the_rows_of_a_real_plan_are_measured(profile, tmp_path, short):
    rows = {"full": PROFILE["rows"]["full"]}
    scenarios = {"dog-to-cat": PROFILE["scenarios"]["dog-to-cat"]}
    (tmp_path / profile).write_text(yaml.safe_dump(PROFILE | {"rows": rows, "scenarios": scenarios}))
    found = planned(profile, tmp_path, seeds=[0])
    assert all(0 < job.step_seconds < 60 for job in found.jobs) and found.seconds["measuring"] > 0
    assert found.jobs[0].memory == sum(least_memory(config_of(profile)).values())
    assert all(each.seconds > 0 for each in found.shared)
    assert not any("random" in note or "timed" in note for note in found.notes)


# Files


def entry(name, size, **fields):
    given = {"sha256": None, "licence": "MIT", "description": "for a test", "urls": ["http://127.0.0.1:9/x"]}
    return Asset(name, f"{name}.pkl", bytes=size, **{**given, **fields})


@pytest.fixture
def published(monkeypatch, tmp_path):
    """A manifest with two generators to download, one of an unknown size and hash."""
    known = manifest.assets()
    new = [entry("generator-otter", None), entry("generator-seal", 5_000, sha256="0" * 64)]
    monkeypatch.setattr(manifest, "assets", lambda: known | {each.name: each for each in new})
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path / "home"))


def test_missing_files_are_counted_and_timed_by_random_networks(profile, timed, published, tmp_path):
    scenarios = {
        name: {"generator": name, "source_text": "dog", "target_text": "cat", "resolution": 8}
        for name in ("generator-otter", "generator-seal")
    }
    (tmp_path / profile).write_text(yaml.safe_dump(PROFILE | {"scenarios": scenarios}))
    found = planned(profile, tmp_path)
    missing = {file.name: file.bytes for file in found.files if not file.there}
    assert missing == {"generator-otter": None, "generator-seal": 5_000}
    assert {file.name for file in found.files if file.there} == {"clip-a", "clip-b", "evaluator"}
    assert found.room.download == 5_000
    assert {job.id is None for job in found.jobs if job.scenario == "generator-otter"} == {True}
    assert all(job.id for job in found.jobs if job.scenario == "generator-seal")
    text = in_lines(found)
    assert "0.0 MB to download, and 1 of a size that nobody published" in text
    assert "zsgan fetch generator-otter generator-seal" in text and "random weights of the same" in text
    scenarios["generator-otter"].pop("resolution")
    (tmp_path / profile).write_text(yaml.safe_dump(PROFILE | {"scenarios": scenarios}))
    with pytest.raises(ValueError, match="generator-otter' is not here.*resolution: 512.*zsgan fetch"):
        planned(profile, tmp_path)


def test_measuring_networks_that_are_missing_are_named(profile, timed, tmp_path, monkeypatch):
    def missing(*_):
        raise FileNotFoundError("vgg16.pth is missing. Run: zsgan fetch vgg16")

    monkeypatch.setattr(planning, "look_seconds", missing)
    found = planned(profile, tmp_path)
    assert found.measuring == [] and found.content()["seconds"]["measuring"] is None
    assert "note: measuring was not timed: vgg16.pth is missing" in in_lines(found)


# Refusals


def test_too_little_memory_is_refused_with_the_setting_that_fits(profile, timed, tmp_path, monkeypatch):
    """With networks of 1 GB, 0.1 GB an image, and 0.2 GB an image that ranks layers (8 of them)."""

    def least(config, shapes):
        ranked = config.selection.batch_size if config.selection else 0
        return {"networks": 10**9, "activations": 10**8 * (config.optimiser.batch_size + 2 * ranked)}

    def refused(there, **settings):
        monkeypatch.setattr(devices, "memory", lambda device="cpu": there)
        with pytest.raises(ValueError, match="this cannot fit") as error:
            planned(profile, tmp_path, **settings)
        return str(error.value).splitlines()[1:]

    monkeypatch.setattr(room, "least_memory", least)
    text = "memory: a step of {}, selecting, needs at least 2.8 GB, and cpu has 2.2 GB; it fits with"
    assert refused(2_200_000_000) == [
        f"  {text.format(scenario)} selection.batch_size=4 in the row, in a .yaml that extends the profile"
        for scenario in PROFILE["scenarios"]
    ]
    larger = {"optimiser.batch_size": 32}
    lines = [line for line in refused(3_000_000_000, **larger) if "full, needs" in line]
    assert len(lines) == 2 and lines[0].endswith("it fits with --set optimiser.batch_size=16")
    assert {line.rpartition("; ")[2] for line in refused(10**6)} >= {
        "no batch size would make it fit: name a device with more memory, or a smaller generator"
    }


def test_too_little_disk_is_refused_with_fewer_seeds(profile, timed, tmp_path, monkeypatch):
    needed = planned(profile, tmp_path, seeds=[0]).room.disk
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: Usage(0, 0, needed))
    with pytest.raises(
        ValueError, match=r"disk: the runs need .* --runs, or take fewer seeds, --set seeds=\[0\]"
    ):
        planned(profile, tmp_path)
    assert planned(profile, tmp_path, seeds=[0]).room.disk == needed
    monkeypatch.setattr(room.shutil, "disk_usage", lambda place: Usage(0, 0, needed - 1))
    with pytest.raises(ValueError, match="disk: the runs need"):
        planned(profile, tmp_path, seeds=[0])


def test_a_batch_size_of_measuring_that_cannot_fit_is_refused(profile, timed, tmp_path, monkeypatch):
    monkeypatch.setenv(BATCH_SIZE, "1000000000")
    with pytest.raises(ValueError, match=r"8 px are measured at a time.* it fits with --batch-size \d+"):
        planned(profile, tmp_path)


def test_a_device_that_is_not_there_is_refused(profile, capsys):
    assert main(["plan", "--profile", profile, "--device", "cuda:7"]) == 1
    assert "device='cuda:7' is not on this machine" in capsys.readouterr().err


# The command


def test_json_has_every_job_with_a_command_that_makes_it(profile, timed, tmp_path, capsys):
    given = ["--set", "seeds=[1]", "--set", "optimiser.lr=0.01", "--set", 'truth={"species": "cat"}']
    asked = ["plan", "--profile", profile, "--quiet", "--json", "--scenario", "dog-to-cat", *given]
    assert main(asked) == 0
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["jobs"]) == 5 and printed["seconds"]["training"] > 0
    for job in printed["jobs"]:
        words = shlex.split(job["command"])
        config = api.configuration(**_asked(_parser().parse_args(words[1:])))
        assert resolve(config).id == job["id"] and config.optimiser.lr == 0.01
        measured = _parser().parse_args(shlex.split(job["measure"])[1:])
        assert (measured.row, given_settings(measured.set)["seeds"]) == ([job["row"]], ["1"])
    assert [job["seed"] for job in printed["jobs"]] == [1] * 5
    assert printed["measuring"][0]["command"].startswith("zsgan table --profile small.yaml")
    _parser().parse_args(shlex.split(printed["measuring"][0]["command"])[1:])
    assert printed["pages"] == []  # a book has no settings


def test_every_part_that_runs_share_has_a_command_and_the_runs_that_need_it(profile, timed, tmp_path):
    found = planned(profile, tmp_path)
    for part in found.shared:
        needing = [found.jobs[place] for place in part.jobs]
        with_ewc = {job.row for job in needing} == {"full", "full, strict"}
        assert with_ewc == (part.what == "Fisher information")
        assert {job.seed for job in needing} == ({0, 1} if part.seed is None else {part.seed})
        words = shlex.split(part.command)
        assert words[:3] == ["zsgan", "prepare", "fisher" if with_ewc else "features"]
        config = api.configuration(**_asked(_parser().parse_args(words[1:])))
        assert resolve(config).id in {job.id for job in needing}
    assert sorted(place for part in found.shared if part.seed is not None for place in part.jobs) == [
        place for place, job in enumerate(found.jobs) if job.row != "10-shot"
    ]


def test_the_pages_of_a_whole_profile_have_commands(profile, timed, tmp_path):
    pages = planned(profile, tmp_path).pages
    assert pages[0].name == "01_problem" and pages[-1].name == "book"
    for page in pages:
        asked = _parser().parse_args(shlex.split(page.command)[1:])
        assert (asked.only, asked.profile, asked.runs) == (page.name, profile, tmp_path / "runs")
    (tmp_path / profile).write_text(yaml.safe_dump(PROFILE | {"summarised": True}))
    (summary,) = planned(profile, tmp_path).pages
    assert summary.name == "summary" and "--only" not in summary.command


def test_a_plan_says_that_no_compiled_step_was_timed(timed, profile, tmp_path):
    rows = {"full": PROFILE["rows"]["full"]}
    (tmp_path / profile).write_text(yaml.safe_dump(PROFILE | {"rows": rows}))
    said = "steps of full were timed without torch.compile"
    assert not any(said in note for note in planned(profile, tmp_path).notes)
    assert any(said in note for note in planned(profile, tmp_path, **{"speed.compile": "default"}).notes)


def test_random_weights_are_planned_from_their_names(timed, tmp_path, monkeypatch):
    """Shapes of 512 px are too large for a test; those of the real profile at 8 px."""
    monkeypatch.chdir(tmp_path)
    rows = {"L_dir": {"terms": {"directional": 1}}}
    scenario = load_profile("paper").scenarios["dog-to-cat"]
    small = {"a": {**{k: v for k, v in vars(scenario).items() if isinstance(v, str)}, "resolution": 8}}
    (tmp_path / "p.yaml").write_text(yaml.safe_dump({"extends": "paper", "scenarios": small, "rows": rows}))
    found = planned("p.yaml", tmp_path, weights="random")
    assert "weights=random" in found.notes[0]
    words = shlex.split(found.jobs[0].command)
    config = api.configuration(**_asked(_parser().parse_args(words[1:])))
    assert config.generator == "random-8" and config.clips == ("ViT-B-32/random",)
    assert resolve(config).id == found.jobs[0].id


# Bytes


def test_least_disk_is_that_of_the_files(profile, tmp_path):
    config = override(config_of(profile, "L_dir"), {"optimiser.iterations": 2})
    made, state = least_disk(config, Shapes(config))
    run(config, folder=tmp_path / "runs")
    place = tmp_path / "runs" / resolve(config).id
    written = sum(file.stat().st_size for file in place.rglob("*.safetensors"))
    assert made == pytest.approx(written, rel=0.01)
    assert state > made


def test_least_memory_of_images_is_what_torch_keeps(profile):
    config = config_of(profile, "10-shot", "dog-to-fox")
    g_src = load_generator(config.generator)
    judge = load_discriminator(None, config.generator)
    trainer = few_shot.FewShotAdaptation(config, g_src, judge, targets(config.few_shot, 8))
    trainer._trainable(False)
    weights = {p.data_ptr() for m in (trainer.g_trg, trainer.discriminator) for p in m.parameters()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        trainer._step_generator(0, True)
    activations = sum(storage.nbytes() for address, storage in kept.items() if address not in weights)
    found = least_memory(config)
    assert 0.8 * activations < found["activations"] < 1.01 * activations
    trained = [*g_src.parameters(), *judge.parameters()]
    assert found["adaptation"] == 3 * sum(p.nbytes for p in trained)
    more = replace(config, few_shot=replace(config.few_shot, distance_batch=8))
    assert least_memory(more)["activations"] > found["activations"]
