import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import matplotlib.pyplot as plt
import pytest
import torch

import zsgan
from zsgan import api, cli
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.assets import manifest
from zsgan.base.files import read_json
from zsgan.base.images import Folder, read_image, save_images
from zsgan.cli import main
from zsgan.menagerie.portraits import Drawing
from zsgan.metrics import Lpips
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import sample_images
from zsgan.report import run_sheet as contact
from zsgan.runs import make as making
from zsgan.runs import run as runs
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import open_run

SETTINGS = {"optimiser.iterations": 4, "ewc.samples": 2, "stage1.iterations": 5}
COMMANDS = (
    "reproduce", "fetch", "convert", "adapt", "table", "list", "completion", "cost", "plan", "sample", "edit",
    "export", "mix", "gallery", "evaluate", "prepare", "measure", "runs list", "runs info", "runs verify",
    "runs merge", "runs prune", "bench submit",
)  # fmt: skip
TINY = (
    "--profile",
    "smoke",
    "--set",
    "ewc.samples=2",
    "--set",
    "stage1.iterations=5",
    "--iterations",
    "4",
)


def zsgan_(capsys, *arguments):
    """Exit code, output and errors of a command."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, *arguments):
    """The message of a command that fails."""
    code, out, err = zsgan_(capsys, *arguments)
    assert code == 1 and out == ""
    assert err.startswith(f"zsgan {arguments[0]}: ") and "Traceback" not in err
    return err


# Help


def test_help_does_not_wait_for_torch():
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "zsgan.cli", "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert all(command in result.stdout for command in COMMANDS) and "examples:" in result.stdout
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert "zsgan" in imported and not {"torch", "numpy", "open_clip"} & imported


def test_only_a_clip_waits_for_open_clip():
    program = "import sys, zsgan.book.reproduce, zsgan.api; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"open_clip", "timm", "torchvision", "seaborn", "scipy"} & set(result.stdout.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_its_options(capsys, command):
    with pytest.raises(SystemExit) as stopped:
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    assert f"usage: zsgan {command}" in text and "--quiet" in text
    assert f"\nexample: zsgan {command}" in text
    options = text.split("options:")[1]
    for line in re.findall(r"^  (-.*)$", options, flags=re.MULTILINE):
        name = re.match(r"(-h, )?--[a-z-]+( [A-Z_=]+)?", line)
        rest = line[name.end() :].strip() or options.split(line)[1].splitlines()[1].strip()
        assert rest, f"{line} has no explanation"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["convert", "dog.pkl"],
        ["sample", "dog"],
        ["adapt", "--text", "cat", "--x"],
        ["adapt", "--text", "cat", "--iterations", "0"],
        ["adapt", "--text", "cat", "--iterations", "automatic"],
        ["sample", "dog", "--n", "0", "--out", "x"],
        ["reproduce", "--workers", "0"],
        ["evaluate", "x", "--clusters", "a"],
        ["evaluate", "x", "--preset", "mine"],
        ["sample", "dog", "--out", ""],
        ["sample", "dog", "--out", __file__],
        ["adapt", "--runs", __file__ + "/runs"],
        ["sample", "dog", "--seed", "-1", "--out", "x"],
        ["adapt", "--seed", "100000000000000000000"],
        ["evaluate", "x", "--psi", "nan"],
        ["evaluate", "x", "--psi", "-1"],
        ["evaluate", "x", "--n", "２"],
        ["evaluate", "~no-user/x"],
    ],
)
def test_wrong_arguments_end_with_code_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: zsgan" in capsys.readouterr().err


def test_the_examples_of_the_help_are_commands():
    """They parse, and the settings in them exist."""
    lines = [re.split(r"\s{3,}", line.strip())[0] for line in cli.EXAMPLES.splitlines()[1:]]
    assert [line.split()[1] for line in lines] == [
        "reproduce",
        "adapt",
        "adapt",
        "table",
        "prepare",
        "measure",
        "sample",
        "edit",
        "export",
        "mix",
        "gallery",
        "evaluate",
        "list",
        "cost",
        "plan",
        "fetch",
        "convert",
        "bench",
        *["runs"] * 5,
        "completion",
    ]
    for line in lines:
        words = [word.strip('"') for word in re.findall(r'"[^"]+"|\S+', line)]
        options = cli._parser().parse_args(words[1:])
        if options.name == "adapt":
            assert options.row in (None, *load_profile(options.profile).rows)


def test_the_version_is_said_by_the_command_and_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    python = ".".join(map(str, sys.version_info[:3]))
    expected = f"zsgan {version('zsgan')}, torch {version('torch')}, Python {python}\n"
    assert capsys.readouterr().out == expected and zsgan.__version__ == version("zsgan")


def test_python_shows_the_public_names():
    """For completion; nothing is imported to list them."""
    program = "import sys, zsgan; print(*dir(zsgan)); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    names, torch_ = result.stdout.splitlines()
    assert {*zsgan.__all__, "__version__", "__doc__"} <= set(names.split()) and torch_ == "False"


# Adapt, sample, evaluate


@pytest.fixture(scope="module")
def adapted(tmp_path_factory):
    """Folder of runs, and what ``zsgan adapt`` printed."""
    folder = tmp_path_factory.mktemp("cli")
    with pytest.MonkeyPatch.context() as patch:
        printed = []
        patch.setattr("builtins.print", lambda text, **options: printed.append(str(text)))
        code = main(["adapt", "--source", "dog", "--text", "cat", "--runs", str(folder), "--quiet", *TINY])
    assert code == 0 and len(printed) == 1
    return folder, printed[0]


def test_adapt_makes_the_run_of_its_settings(adapted, full_run, smoke):
    folder, printed = adapted
    found = open_run(folder / printed.split("/")[-1])
    assert str(found.folder) == printed
    # The same as the notebooks' Dog -> Cat: both find one run.
    assert found.folder.name == full_run.folder.name
    assert found.history == full_run.history


def test_adapt_finds_the_finished_run(adapted, capsys, monkeypatch):
    folder, printed = adapted
    monkeypatch.setattr(making, "trainer_of", None)
    code, out, err = zsgan_(
        capsys, "adapt", "--source", "generator-dog", "--text", "cat", "--runs", folder, "--quiet", *TINY
    )
    assert (code, out, err) == (0, printed + "\n", "")


def test_adapt_takes_every_setting(monkeypatch, capsys, tmp_path):
    asked = []

    def run(config, **options):
        asked.append((config, options))
        return replace(open_run_stub, folder=tmp_path / "a")

    open_run_stub = runs.Run(tmp_path, None, {})
    monkeypatch.setattr(api, "run", run)
    monkeypatch.setattr(api, "check", lambda configs: configs)  # which would look for the files of "paper"
    monkeypatch.setattr(contact, "contact_sheet", lambda found, device: None)
    code, out, _ = zsgan_(
        capsys, "adapt", "--source", "cat", "--source-text", "kitten", "--text", "striped dog",
        "--profile", "smoke", "--row", "L_dir", "--seed", 3, "--set", "optimiser.lr=1e-3",
        "--set", "optimiser.betas=[0.5, 0.9]", "--set", "terms.ewc=5",
        "--iterations", 7, "--runs", tmp_path, "--device", "cpu", "--quiet",
    )  # fmt: skip
    assert (code, out) == (0, f"{tmp_path / 'a'}\n")
    config, options = asked[0]
    base = load_profile("smoke").config("dog-to-cat", "L_dir", 3)
    place = {"generator": "cat", "source_text": "kitten", "target_text": "striped dog"}
    optimiser = {"lr": 1e-3, "betas": (0.5, 0.9), "iterations": 7}
    expected = override(base, {**place, "optimiser": optimiser, "terms.ewc": 5})
    assert config == expected
    assert options == {"folder": tmp_path, "device": "cpu", "progress": False, "wait": False}
    zsgan_(capsys, "adapt", "--text", "cat", "--set", "seed=5", "--set", "source_text=puppy")
    assert asked[1][0].seed == 5 and asked[1][0].source_text == "puppy"
    assert asked[1][1]["progress"] is False  # without a terminal
    full = load_profile("demo").config("dog-to-cat", "L_dm + L_EWC + L_rel", 5)
    assert asked[1][0] == replace(full, source_text="puppy")
    shots = ("adapt", "--profile", "paper", "--row", "Ojha et al., 10-shot")
    for own in ((), ("--set", "optimiser.iterations=5"), ("--iterations", 6)):  # over the row's own number
        zsgan_(capsys, *shots, *own)
    assert [config.optimiser.iterations for config, _ in asked[2:]] == [1000, 5, 6]
    zsgan_(capsys, "adapt", "--iterations", "auto")
    auto = override(
        load_profile("demo").config("dog-to-cat", "L_dm + L_EWC + L_rel"), {"optimiser.stop_at_plateau": True}
    )
    assert asked[5][0] == auto and auto.optimiser.iterations == 800


def test_adapt_leaves_a_sheet_of_the_same_latents_before_and_after(adapted, full_run, tmp_path, caplog):
    """What zsgan sample writes, in two rows; also beside a run that was found; the same bytes each time."""
    folder, printed = adapted
    sheet = folder / printed.split("/")[-1] / "sheet.png"
    first = sheet.read_bytes()
    arguments = ["adapt", "--source", "dog", "--text", "cat", "--runs", str(folder), *TINY]
    sheet.unlink()
    with plt.rc_context({"axes.facecolor": "red", "savefig.dpi": 30}), caplog.at_level("INFO"):
        assert main(arguments) == 0
    assert f"the same 8 latents before and after: {sheet}" in caplog.text
    assert sheet.read_bytes() == first
    shown = read_image(sheet)
    assert shown.shape[2] > 8 * 100 and not torch.equal(*shown[:, :, :1100].chunk(2, dim=1))
    made = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contact, "_png", lambda rows: made.append(rows) or b"")
        sheet.unlink()
        contact.contact_sheet(open_run(sheet.parent))
    assert list(made[0]) == ["dog", "cat"]
    assert torch.equal(made[0]["dog"], sample_images(load_generator("dog"), 8, seed=0))
    assert torch.equal(made[0]["cat"], sample_images(full_run.generator(), 8, seed=0))


def test_a_sheet_that_cannot_be_written_is_no_failure(adapted, monkeypatch, caplog):
    def full(path, data):
        raise OSError(28, "writing failed", str(path))

    found = open_run(adapted[1])
    (found.folder / "sheet.png").unlink(missing_ok=True)
    monkeypatch.setattr(contact, "write_atomically", full)
    assert contact.contact_sheet(found) is None
    assert "no contact sheet: [Errno 28] writing failed" in caplog.text and "sheet.png" in caplog.text


def test_sample_writes_the_generators_images(adapted, full_run, capsys, tmp_path):
    _, place = adapted
    code, out, err = zsgan_(
        capsys, "sample", place, "--n", 5, "--seed", 2, "--psi", 0.5, "--out", tmp_path / "cats", "--quiet"
    )
    assert (code, out, err) == (0, f"{tmp_path / 'cats'}\n", "")
    expected = sample_images(full_run.generator(), 5, seed=2, truncation_psi=0.5)
    assert (Folder(tmp_path / "cats")[:] - expected).abs().max() < 1.01 / 255
    assert (
        zsgan_(capsys, "sample", "dog", "--n", 5, "--seed", 2, "--psi", 0.5, "--out", tmp_path / "dogs")[0]
        == 0
    )
    source = sample_images(load_generator("dog"), 5, seed=2, truncation_psi=0.5)
    assert (Folder(tmp_path / "dogs")[:] - source).abs().max() < 1.01 / 255


def test_evaluate_says_what_its_numbers_rest_on(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cats = Drawing({"species": "cat", "style": "photo"}, 10, seed=0)
    save_images(cats, tmp_path / "cats")
    code, out, err = zsgan_(capsys, "evaluate", tmp_path / "cats", "--clusters", 2, "--quiet")
    alone = json.loads(out)
    assert (code, err) == (0, "") and alone["n"] == 10 and alone["clusters"] == 2
    assert alone["features"] == "evaluator, 64 px" and alone["lpips_avg"] > 0 and "fid" not in alone
    _, out, _ = zsgan_(
        capsys,
        "evaluate",
        tmp_path / "cats",
        "--clusters",
        2,
        "--n",
        10,
        "--seed",
        0,
        "--against",
        "drawn:cat",
        "--quiet",
    )
    drawn = json.loads(out)
    shared = {"inception_species", "inception_style"}  # of which all cats have one
    same = alone.keys() - shared - {"evaluator_rate"}
    assert {key: drawn[key] for key in same} == {key: alone[key] for key in same}
    assert not shared & set(drawn) and shared < set(alone)
    assert drawn["against"] == "drawn:cat" and drawn["n_against"] == 10
    assert drawn["evaluator_rate"] > 0.8 and alone["evaluator_rate"] is None
    assert (
        drawn["fid"] < 0.05 and drawn["precision"] == drawn["recall"] == 1
    )  # but for rounding, the same images
    save_images(Drawing({"species": "bear", "style": "sketch"}, 8), tmp_path / "bears")
    _, out, _ = zsgan_(
        capsys, "evaluate", tmp_path / "cats", "--clusters", 2, "--against", tmp_path / "bears", "--quiet"
    )
    bears = json.loads(out)
    assert bears["n_against"] == 8 and bears["fid"] > 10 * drawn["fid"] and bears["evaluator_rate"] is None


def test_evaluate_computes_distances_once_and_only_when_all_is_well(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_images(Drawing({"species": "cat"}, 6), tmp_path / "cats")
    save_images(Drawing({"species": "dog"}, 5), tmp_path / "dogs")
    true_distances, calls = Lpips.distances, []
    monkeypatch.setattr(
        Lpips, "distances", lambda self, *a, **o: calls.append(1) or true_distances(self, *a, **o)
    )
    for wrong in (
        ["--clusters", "7"], ["--clusters", "6"], ["--against", "drawn:horse"], ["--against", "absent"],
        ["--preset", "ojha"], ["--before", "dogs"], ["--source-text", "dog"], ["--text", "xylophone"],
        ["--centres", "absent"], ["--clip", "clip-z"], ["--against", "drawn:cat", "--neighbours", "6"],
        ["--against", "drawn:cat", "--n", "3"],
    ):  # fmt: skip
        refused(capsys, "evaluate", "cats", "--clusters", "2", *wrong, "--quiet")
    assert not calls
    first = json.loads(zsgan_(capsys, "evaluate", "cats", "--clusters", "2", "--quiet")[1])
    other = json.loads(zsgan_(capsys, "evaluate", "cats", "--clusters", "3", "--quiet")[1])
    again = json.loads(
        zsgan_(
            capsys, "evaluate", "cats", "--clusters", "2", "--against", "drawn:cat", "--n", "6", "--quiet"
        )[1]
    )
    assert len(calls) == 1 and other["lpips_avg"] != first["lpips_avg"] == again["lpips_avg"]
    save_images(Drawing({"species": "dog"}, 6), tmp_path / "cats")  # the same names
    assert json.loads(zsgan_(capsys, "evaluate", "cats", "--clusters", "2", "--quiet")[1]) != first


def test_evaluate_samples_a_run(adapted, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ("evaluate", adapted[1], "--n", 8, "--clusters", 2, "--psi", 0.5, "--quiet")
    code, out, _ = zsgan_(capsys, *arguments)
    assert code == 0 and json.loads(out)["n"] == 8
    assert zsgan_(capsys, *arguments, "--out", tmp_path / "new" / "cats.json")[1] == out
    assert read_json(tmp_path / "new" / "cats.json") == json.loads(out)
    assert zsgan_(capsys, *arguments, "--seed", 1)[1] != out


def test_fetch_verifies_the_shipped_files(capsys):
    code, out, _ = zsgan_(capsys, "fetch", "--quiet")
    names = ("clip-a", "clip-b", "clip-c", "evaluator", "generator-dog")  # of the demo
    assert code == 0 and out.splitlines() == [str(manifest.asset(name).file) for name in names]
    assert zsgan_(capsys, "fetch", "evaluator", "clip-a", "--quiet")[1].splitlines() == [
        str(manifest.path(name)) for name in ("evaluator", "clip-a")
    ]


# Errors: code 1, the input by name, and what to do


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--text", "xylophone"],
            "text='.*xylophone.*' has words .* never trained on: xylophone. It knows .*cat",
        ),
        (["--text", "dog"], "source_text='dog' and target_text='dog' are the same"),
        (["--text", "Dog"], "source_text='dog' and target_text='Dog' are the same"),
        (["--text", "cat", "--set", "terms.ewc=1", "--set", "terms.ewc=2"], "--set gives terms.ewc twice"),
        (
            ["--text", "cat", "--set", "lambda_ewc"],
            "--set takes NAME=VALUE, such as moment.lambda_cov=1; got 'lambda_ewc'",
        ),
        (
            ["--text", "cat", "--set", "lambda_foo=1"],
            "setting 'lambda_foo' is unknown; the closest: .*moment.lambda_cov",
        ),
        (["--text", "cat", "--set", "folder=x"], "setting 'folder' is unknown"),
        (["--text", "cat", "--set", "optimiser.lr=fast"], "optimiser.lr='fast': a number expected"),
        (["--text", "cat", "--set", "clips=["], "is no list or mapping of YAML"),
        (["--text", " "], "target_text=' ': .*at least 1 character"),
        (
            ["--text", "cat", "--row", "L_foo"],
            r"row='L_foo' is unknown; choose one of .*L_dir, L_dm, L_dm \+ L_EWC",
        ),
        (
            ["--text", "cat", "--profile", "tiny"],
            "profile='tiny' is unknown; choose one of .*smoke",
        ),
        (
            ["--text", "cat", "--source", "dgo"],
            "generator='dgo' is neither a file nor one of .*generator-dog",
        ),
        (
            ["--text", "cat", "--source", "x.safetensors"],
            "source_text is needed: .* x.safetensors make, in words",
        ),
    ],
)
def test_adapt_names_what_is_wrong(capsys, tmp_path, arguments, message):
    profile = () if "--profile" in arguments else ("--profile", "smoke")
    err = refused(capsys, "adapt", *profile, *arguments, "--runs", tmp_path, "--quiet")
    assert re.search(message, err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["sample", "runs/absent", "--out", "x"],
            "'runs/absent': there is no such file or run, and it is none of .*generator-dog",
        ),
        (["sample", "{empty}", "--out", "x"], "{empty} holds no finished run .*make it with zsgan adapt"),
        (["evaluate", "{empty}"], "{empty} holds no image"),
        (["evaluate", "{empty}/absent"], "folder .*absent is missing"),
        (
            ["evaluate", "{cats}", "--clusters", "9"],
            "clusters must be at least 1 and below the number of images, 4, got 9",
        ),
        (["evaluate", "{cats}", "--clusters", "2", "--against", "drawn:horse"], "species='horse' is unknown"),
        (
            ["evaluate", "{cats}", "--clusters", "2", "--against", "drawn:cat:etching"],
            "style='etching' is unknown",
        ),
        (["evaluate", "{cats}", "--clusters", "2", "--against", "{empty}"], "{empty} holds no image"),
        (
            ["evaluate", "{cats}", "--clusters", "2", "--n", "3", "--against", "drawn:cat"],
            r"must be more than 3 images each \(neighbours\), got 4 and 3",
        ),
        (
            ["evaluate", "{cats}", "--clusters", "2", "--preset", "ojha"],
            "preset='ojha' needs centres: a folder",
        ),
        (
            ["evaluate", "{cats}", "--clusters", "2", "--source-text", "dog"],
            "source_text='dog' needs the target's text beside it",
        ),
        (
            ["fetch", "--profile", "papers"],
            "profile='papers' is unknown; choose one of .*paper, .*, or the path of a .yaml file",
        ),
        (["sample", "dog", "--device", "gpu", "--out", "x"], "device='gpu' is not on this machine"),
        (["evaluate", "{cats}", "--clusters", "2", "--device", "gpu"], "device='gpu' is not on this machine"),
        (["fetch", "generator-dgo"], "'generator-dgo'; the closest: generator-dog"),
        (["reproduce", "--profile", "tiny"], "profile='tiny' is unknown; choose one of"),
        (["reproduce", "--device", "cpu,cuda:7"], "device='cuda:7' is not on this machine, which has cpu"),
        (["table", "--device", "cpu,cuda:7"], "device='cuda:7' is not on this machine, which has cpu"),
        (
            ["table", "--device", "cpu,cpu:0,cpu", "--workers", "1"],
            "workers=1 would leave cpu:0 without work; take at least 3 workers, or name fewer devices",
        ),
    ],
)
def test_commands_name_what_is_wrong(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    empty, cats = tmp_path / "empty", tmp_path / "cats"
    empty.mkdir()
    save_images(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)), cats)
    err = refused(capsys, *(argument.format(empty=empty, cats=cats) for argument in arguments), "--quiet")
    assert re.search(message.format(empty=empty), err)
    assert not (tmp_path / "x").exists()


def test_a_failure_loses_nothing(adapted, capsys, monkeypatch):
    """Neither the finished run nor the steps of one that was stopped."""
    folder, printed = adapted
    arguments = ["adapt", "--text", "cat", "--runs", folder, "--quiet", *TINY]
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    refused(capsys, *arguments, "--text", "xylophone")
    whole = Adaptation.step

    def step(self, i):
        if i == 2:
            raise RuntimeError("the power failed")
        return whole(self, i)

    with monkeypatch.context() as patch:
        patch.setattr(Adaptation, "step", step)
        assert "the power failed" in refused(capsys, *arguments, "--seed", "1")
    assert all(file.read_bytes() == content for file, content in before.items())
    assert zsgan_(capsys, *arguments)[1] == printed + "\n"
    taken = []
    monkeypatch.setattr(Adaptation, "step", lambda self, i: taken.append(i) or whole(self, i))
    code, out, _ = zsgan_(capsys, *arguments, "--seed", "1")
    assert code == 0 and taken == [2, 3] and open_run(folder / out.strip().split("/")[-1]).config.seed == 1


# The same in Python


def test_the_public_names_are_what_they_say():
    """Also after the modules were imported, whose names they must not share."""
    for name in zsgan.__all__:
        value = getattr(zsgan, name)
        assert callable(value) and value.__module__.startswith("zsgan."), name
        assert getattr(zsgan, name) is value
    assert zsgan.adapt is api.adapt
    with pytest.raises(AttributeError, match="no attribute 'adpat'; it has AdaptConfig, adapt"):
        _ = zsgan.adpat


def test_python_finds_the_run_of_the_command_line(adapted, monkeypatch):
    folder, printed = adapted
    monkeypatch.setattr(making, "trainer_of", None)
    found = zsgan.adapt("dog", "cat", profile="smoke", folder=str(folder), settings=SETTINGS)
    assert str(found.folder) == printed == str(folder / resolve(found.config).id)
    assert zsgan.sample_images(found.generator(), 2, seed=0).shape == (2, 3, 64, 64)


def test_a_generator_opens_by_name_file_or_run(adapted, tmp_path):
    _, place = adapted
    names = ("dog", "generator-dog", str(manifest.path("generator-dog")))
    same = [api.open_generator(name).state_dict()["synthesis.const"] for name in names]
    assert torch.equal(same[0], same[1]) and torch.equal(same[0], same[2])
    assert not torch.equal(same[0], api.open_generator(place).state_dict()["synthesis.const"])


@pytest.fixture
def configuration():
    """A function that gives what ``zsgan adapt`` or ``cost`` would run."""

    def configuration(*arguments):
        return api.configuration(**cli._asked(cli._parser().parse_args(["cost", *map(str, arguments)])))

    return configuration


def test_an_adapted_generator_is_adapted_further(adapted, configuration, monkeypatch):
    place = adapted[1]
    config = configuration("--source", place, "--text", "bear", "--row", "L_dir")
    assert (config.generator, config.source_text, config.target_text) == (place, "cat", "bear")
    of_file = configuration(
        "--source",
        f"{place}/generator.safetensors",
        "--source-text",
        "cat",
        "--text",
        "bear",
        "--row",
        "L_dir",
    )
    assert resolve(config).id == resolve(of_file).id
    assert configuration("--set", f"generator={place}", "--text", "bear", "--row", "L_dir") == config
    monkeypatch.setenv("HOME", str(adapted[0]))
    at_home = "~/" + place.rpartition("/")[2]
    assert (
        resolve(configuration("--source", at_home, "--text", "bear", "--row", "L_dir")).id
        == resolve(config).id
    )
    with pytest.raises(ValueError, match="source_text='cat' and target_text='CAT' are the same"):
        configuration("--source", place, "--text", "CAT")


def test_a_file_without_an_ending_asks_for_its_words(configuration, tmp_path):
    (tmp_path / "g").write_bytes(b"any")
    with pytest.raises(ValueError, match="source_text is needed: what does the generator in .*/g make"):
        configuration("--source", tmp_path / "g", "--text", "cat")


def test_the_words_of_a_published_generator_are_its_scenarios(configuration):
    asked = ("--source", "generator-ffhq", "--text", "Sketch", "--profile", "paper", "--row", "L_dir")
    assert configuration(*asked).source_text == "Photo"


def test_the_default_profile_is_for_the_demos_generators(configuration, tmp_path, make_generator):
    from zsgan.networks.stylegan2.checkpoints import save
    from zsgan.report.table1 import make_table

    own, dog = tmp_path / "own.safetensors", tmp_path / "dog.safetensors"
    save(make_generator(), own, {})
    save(load_generator("dog"), dog, {"other": {"content": "of the file"}})
    said = "is not of the demo world, .*--profile paper for photographs, --profile demo"
    words = ("--source-text", "dog", "--text", "cat")
    for asked in (
        ("--source", own, *words),
        ("--set", f"generator={own}", *words),
        ("--source", "generator-ffhq", *words),
    ):
        with pytest.raises(ValueError, match=said):
            configuration(*asked)
    with pytest.raises(ValueError, match=said):
        zsgan.adapt(own, "cat", source_text="dog", folder=tmp_path)
    with pytest.raises(ValueError, match=said):
        make_table(settings={"generator": str(own)}, folder=tmp_path)
    assert configuration("--source", own, *words, "--profile", "demo").generator == str(own)
    assert configuration("--source", dog, *words).generator == str(dog)


def test_convert_writes_every_format(capsys, tmp_path, make_generator):
    from zsgan.networks.stylegan2.checkpoints import load_generator_file, save

    first = source = tmp_path / "dog.safetensors"
    save(make_generator(), first, {})
    for name in ("dog.pt", "again.safetensors"):
        code, out, _ = zsgan_(capsys, "convert", str(source), str(tmp_path / name), "--quiet")
        assert (code, out.strip()) == (0, str(tmp_path / name))
        source = tmp_path / name
    again, dog = load_generator_file(source), load_generator_file(first)
    state = dog.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())
    code, _, err = zsgan_(capsys, "convert", str(source), str(tmp_path / "dog.onnx"), "--quiet")
    assert code == 1 and "OUT must end in .safetensors or .pt" in err
