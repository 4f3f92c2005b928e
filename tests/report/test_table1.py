"""`zsgan table`: a profile's runs, measured, with what they rest on; without true images or weights, too."""

import io
import json
import os

import pandas as pd
import pytest
import torch
import yaml

from zsgan import cli
from zsgan.base.images import save_images
from zsgan.base.settings import given
from zsgan.evaluation import loading
from zsgan.evaluation.bench import Bench
from zsgan.evaluation.measurements import Measurements
from zsgan.report import table1 as measured
from zsgan.report import tables
from zsgan.report.table1 import chosen, make_table, mixed
from zsgan.runs import make as making
from zsgan.runs.profiles import load_profile

FEW = {"optimiser": {"iterations": 2, "batch_size": 2}, "ewc": {"samples": 2}, "stage1": {"iterations": 2}}
TINY = {
    "extends": "smoke", "settings": FEW, "overrides": {}, "seeds": [0, 1], "samples": 6, "clusters": 2,
    "rows": {"L_dir": {"terms": {"directional": 1}}, "L_dm": {"terms": {"moment": 1}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The file of a small profile."""
    file = tmp_path_factory.mktemp("table") / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


@pytest.fixture(scope="module")
def printed(tiny):
    """What the command prints of it, with its runs and its tables in folders beside it."""
    lines = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda text, **options: lines.append(str(text)))
        code = cli.main(arguments(tiny, "--out", tiny.parent / "out"))
    assert code == 0 and len(lines) == 1
    return lines[0]


@pytest.fixture(scope="module")
def found(printed, tiny):
    """The measurement that is printed."""
    return make_table(str(tiny), folder=tiny.parent / "runs", progress=False)


def arguments(file, *more):
    place = ["--runs", file.parent / "runs", "--quiet", *more]
    return [str(a) for a in ("table", "--profile", file, *place)]


def test_the_layers_of_every_row_are_counted_before_the_first_run(tmp_path, monkeypatch):
    file = tmp_path / "own.yaml"
    rows = "rows: {a: {terms: {directional: 1}}, b: {terms: {directional: 1}, selection: {k: 99}}}"
    file.write_text(f"extends: smoke\n{rows}")
    monkeypatch.setattr(measured, "run_all", None)
    with pytest.raises(ValueError, match="'generator-dog': selection.k must be from 1 to 9, .* got 99"):
        measured.make_table(file, folder=tmp_path)


def test_settings_of_a_table_are_paths_and_words_as_they_stand(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("cats", "cats #2", "cats [1]"):
        (tmp_path / name).mkdir()
    profile = load_profile("smoke")
    for name, expected in (
        ("~/cats", str(tmp_path / "cats")),
        ("cats #2", "cats #2"),
        ("cats [1]", "cats [1]"),
    ):
        settings = given([f"truth.folder={name}", "seeds=[0, 3]"])
        found = measured.chosen(profile, "dog-to-cat", ["L_dir"], settings)
        assert found.scenarios["dog-to-cat"].truth == {"folder": expected} and found.seeds == (0, 3)
    with pytest.raises(ValueError, match="setting 'sample' is unknown; the closest: samples, "):
        measured.chosen(profile, "dog-to-cat", [], {"sample": 3})


def test_the_table_is_printed_with_what_it_rests_on(printed, tiny):
    lines = printed.splitlines()
    assert lines[0].startswith("| dog-to-cat | paper Avg. | paper All | here Avg. | here All |")
    rows = {line.split("|")[1].strip() for line in lines[2:] if line.startswith("|")}
    assert {*tables.PAPER_TABLE_1, "source, not adapted", "source, ψ = 0.7", "true target"} == rows
    assert lines[-1] == (
        "Measured with n = 6 images a run, ψ = 1, seeds 0, 1, 2 iterations. LPIPS through the maps of the "
        "demo's evaluator at 64 px; FID, KID, precision, recall, density, coverage, Vendi and what is kept "
        "through its pooled features; columns with CLIP in their name by clip-b, which guides no row. "
        "LPIPS has 2 clusters, precision, recall, density and coverage 3 neighbours. Reference set: 6 "
        "drawings (cat, photo)."
    )


def test_what_is_saved_is_what_is_printed(printed, tiny):
    out = tiny.parent / "out"
    names = [
        f"{stem}.{kind}" for stem in ("table1", "table_metrics") for kind in ("csv", "json", "md", "tex")
    ]
    assert sorted(os.listdir(out)) == sorted(names)
    assert printed.startswith((out / "table1.md").read_text())
    table = pd.read_csv(out / "table1.csv", index_col=0)
    assert table.loc["L_dir", "here Avg."][0].isdigit() and table.loc["L_dm + L_EWC", "here Avg."] == "–"
    sidecar = json.loads((out / "table1.json").read_text())
    assert sidecar["caption"] == printed.splitlines()[-1]
    assert len(sidecar["runs"]) == 4 and set(sidecar["runs"].values()) == {
        place.name for place in (tiny.parent / "runs").iterdir() if (place / "config.json").exists()
    }


def test_a_second_call_finds_the_runs_and_the_measurements(printed, tiny, monkeypatch, capsys):
    monkeypatch.setattr(making, "trainer_of", None)
    capsys.readouterr()
    assert cli.main(arguments(tiny)) == 0
    assert capsys.readouterr().out == printed + "\n"
    assert cli.main(arguments(tiny, "--row", "L_dm", "--set", "seeds=[1]")) == 0
    out = capsys.readouterr().out
    assert "seed 1, 2 iterations" in out and "| L_dir | 0.402 ± 0.008 | 0.405 ± 0.057 | – |" in out


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii", "cp437", "utf-8"])
def test_a_table_is_printed_in_every_encoding(printed, found, tiny, monkeypatch, encoding):
    """Windows' "> table.txt" is cp1252, which has no ψ: it died there after hours."""
    monkeypatch.setattr(measured, "make_table", lambda *_, **__: found)
    page = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    monkeypatch.setattr("sys.stdout", page)
    assert cli.main(arguments(tiny)) == 0
    text = page.buffer.getvalue().decode(encoding)
    assert text == f"{printed}\n".encode(encoding, "backslashreplace").decode(encoding)
    assert ("\\u03c8 = 1" in text) == (encoding in ("cp1252", "latin-1", "ascii", "cp437"))


def test_a_table_in_json_is_not_rounded(printed, tiny, capsys):
    capsys.readouterr()
    assert cli.main(arguments(tiny, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"basis", "means", "runs", "references", "provenance"}
    assert found["basis"] == printed.splitlines()[-1]
    runs, table = found["runs"], pd.read_csv(tiny.parent / "out" / "table1.csv", index_col=0)
    assert [(line["row"], line["seed"]) for line in runs] == [
        ("L_dir", 0),
        ("L_dir", 1),
        ("L_dm", 0),
        ("L_dm", 1),
    ]
    for mean in found["means"]:
        values = [line["lpips_avg"] for line in runs if line["row"] == mean["row"]]
        assert mean["lpips_avg"] == pytest.approx(sum(values) / 2, rel=1e-12)
        assert table.loc[mean["row"], "here Avg."].startswith(f"{mean['lpips_avg']:.3f}")
        assert len(str(mean["lpips_avg"])) > 8 and "seed" not in mean
    assert next(line["row"] for line in found["references"]) == "source, not adapted"
    assert {line["levelled_off"] for line in runs} == {None}  # two steps do not
    assert found["provenance"]["runs"].keys() == {f"{line['row']}, seed {line['seed']}" for line in runs}


def test_a_table_is_saved_before_it_is_printed(printed, tiny, tmp_path, monkeypatch, capsys):
    def full(text, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.print", lambda *text, file=None: file.write(*text) if file else full(text))
    assert cli.main(arguments(tiny, "--out", tmp_path / "out")) == 1
    assert "zsgan table: standard output cannot be written (No space left" in capsys.readouterr().err
    assert (tmp_path / "out" / "table1.csv").read_bytes() == (tiny.parent / "out/table1.csv").read_bytes()


def test_all_is_looked_up_before_a_run_is_made(tiny, monkeypatch, capsys):
    """Eyes that cannot see would be found out after hours."""
    monkeypatch.setattr(measured, "run_all", None)

    def absent(device):
        raise FileNotFoundError("inception is missing")

    monkeypatch.setitem(loading.EYES, "evaluator", absent)
    assert cli.main(arguments(tiny)) == 1
    assert "zsgan table: inception is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scenario": "cat-to-fox"}, "scenario='cat-to-fox' is unknown; choose one of dog-to-cat"),
        ({"rows": ["L_dri"]}, "row='L_dri' is unknown; choose one of L_dir, L_dm"),
        ({"settings": {"terms.ewc": 1}}, "'terms.ewc' would hold for every row .*extends the profile"),
        ({"settings": {"seed": 1}}, "'seed' would hold for every row of the table; give seeds"),
        ({"settings": {"optimiser.steps": 1}}, "setting 'optimiser.steps' is unknown"),
        ({"settings": {"truth.folder": "nowhere"}}, "there is no folder nowhere"),
        ({"settings": {"samples": 2}}, "clusters=2 must be below samples=2"),
        ({"settings": {"weights": "random"}}, "weights=random needs the scenario's resolution; add it"),
    ],
)
def test_what_cannot_be_asked_is_refused(tiny, tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        make_table(str(tiny), folder=tmp_path, progress=False, **given)
    assert not list(tmp_path.iterdir())


def test_a_truth_that_cannot_be_measured_against_is_refused_before_a_run(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "run_all", None)
    few, wide = tmp_path / "few", tmp_path / "wide"
    save_images(torch.zeros(7, 3, 8, 8), few)
    save_images(torch.zeros(20, 3, 8, 9), wide)
    for folder, message in (
        (few, "gives 3 images to measure .*clusters=2 and neighbours=3 need 4; add images"),
        (wide, "must hold 2 or more square images, got 20 of 9 x 8"),
    ):
        with pytest.raises(ValueError, match=message):
            make_table(
                str(tiny), settings={"truth.folder": str(folder)}, folder=tmp_path / "runs", progress=False
            )


def test_of_the_paper_all_rows_but_that_of_target_images(tmp_path):
    paper = load_profile("paper")
    picked = chosen(paper, "dog-to-cat", [], {"optimiser.iterations": 5, "seeds": [3]})
    assert list(picked.rows) == [row for row in paper.rows if "10-shot" not in row]
    assert picked.seeds == (3,) and list(picked.scenarios) == ["dog-to-cat"]
    assert picked.eyes == "photographs" and picked.judge == "ViT-B-16/openai"
    assert {picked.config("dog-to-cat", row).optimiser.iterations for row in picked.rows} == {5}
    found = chosen(paper, "dog-to-cat", [], {"truth.folder": str(tmp_path)})
    assert list(found.rows) == list(paper.rows)
    config = found.config("dog-to-cat", "Ojha et al., 10-shot")
    assert config.few_shot.target == {"folder": str(tmp_path)} and config.optimiser.iterations == 1000


def test_random_weights_need_no_file_of_the_paper():
    picked = chosen(load_profile("paper"), "church-to-store", [], {"weights": "random", "ewc.samples": 2})
    assert (picked.judge, picked.eyes) == ("ViT-B-16/random", "evaluator")
    config = picked.config("church-to-store", "L_dm + L_EWC")
    assert (config.generator, config.clips, config.ewc.samples) == ("random-256", ("ViT-B-32/random",), 2)
    assert picked.scenarios["church-to-store"].generator == "random-256"
    other = {"weights": "random", "generator": "random-8", "eyes": "photographs"}
    picked = chosen(load_profile("paper"), "dog-to-cat", ["L_dir"], other)
    assert picked.config("dog-to-cat", "L_dir").generator == "random-8" and picked.eyes == "photographs"


def test_the_paper_with_random_weights_and_no_true_image(tmp_path, capsys):
    file = tmp_path / "small.yaml"
    clips = {"clips": ["ViT-S-32-alt/any"], "templates": ["{}"]}
    file.write_text(yaml.safe_dump({"extends": "paper", "settings": clips, "judge": "ViT-M-32-alt/any"}))
    values = {
        "weights": "random", "generator": "random-8", "optimiser.iterations": 1, "optimiser.batch_size": 2,
        "stage1.iterations": 1, "ewc.samples": 2, "samples": 4, "clusters": 2, "seeds": [0],
    }  # fmt: skip
    settings = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    out = ["--out", tmp_path / "out"]
    assert cli.main(arguments(file, *settings, "--row", "L_dm + L_EWC + L_rel", *out)) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("| L_dm + L_EWC + L_rel |")]
    cells = [cell.strip() for cell in line.split("|")[2:-1]]
    assert cells[0] == "0.507 ± 0.016" and cells[2].count("±") == 1 and cells[-4:] == ["–"] * 4
    assert "true target" not in out and "Random weights: the numbers mean nothing." in out
    lines = pd.read_csv(tmp_path / "out" / "table_metrics.csv", index_col=0)
    extra = lines.loc["L_dm + L_EWC + L_rel", ["CLIP quality", "CLIP direction", "CMMD"]]
    assert all(-1 <= float(cell) <= 1 for cell in extra[:2]) and extra["CMMD"] == "–"
    assert lines.loc["source, not adapted", "CLIP direction"] == "–"  # it has not moved


def test_a_table_says_that_its_runs_were_made_on_two_kinds_of_device(found, tiny, monkeypatch):
    assert "draws other noise maps" not in found.basis
    (first, *rest) = Measurements(load_profile(str(tiny)), tiny.parent / "runs").bench(
        next(iter(load_profile(str(tiny)).scenarios))
    ).runs  # fmt: skip
    first[2].provenance["device"] = "NVIDIA H200"
    monkeypatch.setattr(Bench, "runs", [first, *rest])
    again = make_table(str(tiny), folder=tiny.parent / "runs", progress=False)
    assert f"{len(rest)} of the {len(rest) + 1} runs were made on a CPU, the others on a GPU" in again.basis


@pytest.mark.parametrize("made_on", [["cpu (AVX2)", "cpu (AVX512)"], ["Tesla T4", "NVIDIA H200"]])
def test_one_kind_of_device_needs_no_note(made_on):
    assert mixed(made_on) == ""


def test_measured_columns_are_not_headed_like_the_papers():
    with pytest.raises(ValueError, match="label='paper' heads the columns that the paper prints"):
        tables.table_1(pd.DataFrame(), pd.DataFrame(), "paper")
