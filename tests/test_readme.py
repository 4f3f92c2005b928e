"""The README's commands, code and results are what the project does."""

import re
import shlex
from contextlib import nullcontext

import pandas as pd
import pytest

from zsgan import api, load_profile
from zsgan.assets.manifest import ROOT
from zsgan.base.files import read_json
from zsgan.cli import _parser
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.evaluation.comparisons import Change, changes
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.training import __main__ as train
from zsgan.metrics import extract, frechet_distance
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples
from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.shipped import load_summary
from zsgan.runs.profiles import PROFILES

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


@pytest.mark.parametrize(
    ("name", "stem"), [("ladder", "table_ladder"), ("readings", "table_readings"), ("table1", "table1")]
)
def test_the_tables_are_those_that_the_demo_made(name, stem):
    shown = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, flags=re.DOTALL)
    assert shown is not None
    assert shown[1].strip() == (ROOT / "figures" / f"{stem}.md").read_text(encoding="utf-8").strip()


def test_numbers_in_the_text_are_those_that_were_measured():
    said = " ".join(README.split())
    guides = pd.read_csv(ROOT / "figures" / "guides_table.csv", index_col="guide")
    text, mean, own, pixels = (guides.loc[kind] for kind in ("text", "mean image", "own image", "pixels"))
    steps = read_json(ROOT / "figures" / "guides_table.json")["steps"]
    for claim in (
        f"after {steps} steps of the directional loss along the text the FID is {text.FID:.0f} "
        f"({text.lowest:.0f} to {text.highest:.0f}), from {guides.loc['none (source)', 'FID']:.0f};",
        f"drawn dogs and cats {mean.FID:.0f};",
        f"own true answer {own.FID:.0f};",
        f"place {pixels.FID:.0f}, precision {pixels.precision:.2f} and recall {pixels.recall:.2f}.",
        f"the {len(load_profile('search').rows)} settings that were tried",
        f"`ablations` ({len(load_profile('ablations').rows) - 1} settings of switches",
    ):
        assert claim in said


L_DIR, L_DM, L_DM_EWC, FULL = "L_dir", "L_dm", "L_dm + L_EWC", "L_dm + L_EWC + L_rel"


def made(stem: str) -> pd.DataFrame:
    """A table that the demo made."""
    return pd.read_csv(ROOT / "figures" / f"{stem}.csv", index_col=0)


def test_runs_take_the_path_of_the_paper():
    demo, paper = load_profile("demo"), load_profile("paper")
    ours, printed = (profile.config("dog-to-cat", L_DIR).optimiser for profile in (demo, paper))
    assert ours.iterations * ours.lr == pytest.approx(printed.iterations * printed.lr)
    said = " ".join(README.split())
    assert f"{ours.iterations} steps at a learning rate of {ours.lr:g}, whose product is that of its" in said
    assert (demo.seeds, demo.samples) == ((0, 1, 2), 500) and "three seeds of 500 images each" in said


def test_the_verdict_on_the_method_is_what_was_measured():
    said, table = " ".join(README.split()), made("table1")
    lpips = table["demo Avg."].str.split(" ").str[0].astype(float)
    rate, fid = table["target rate, evaluator"].astype(float), table["FID"].astype(float)
    recall = made("table_target").loc[list(load_profile("demo").rows), "recall"].astype(float)
    paper = {row: values[0] for row, values in PAPER_TABLE_1.items()}
    for claim in (
        f"LPIPS rises from {lpips[L_DIR]:.3f} to {lpips[FULL]:.3f}, by {lpips[FULL] / lpips[L_DIR] - 1:.0%} "
        f"(the paper: {paper[FULL] / paper[L_DIR] - 1:.0%}), at a target rate of {rate[FULL]:.2f} against "
        f"{rate[L_DIR]:.2f} and an FID of {fid[FULL]:.1f} against {fid[L_DIR]:.1f}.",
        f"(recall at the end {recall.min():.2f} to {recall.max():.2f})",
    ):
        assert claim in said


def test_ewc_brings_most_of_it():
    ladder = made("table_ladder")
    gain = ladder["diversity"].str.split(" ").str[0].astype(float)
    low = ladder["diversity"].str.extract(r"\((\S+) to")[0].astype(float)
    whole, ewc = f"{FULL} against {L_DIR}", f"{L_DM_EWC} against {L_DM}"
    assert gain[ewc] > gain[whole] / 2 and min(low[whole], low[ewc]) > 0


def test_five_seeds_decide_what_the_text_says():
    said, finals = " ".join(README.split()), load_summary("demo-full").finals
    whole = changes(finals, L_DIR, FULL)
    assert all(change.seeds == 5 and change.verdict != "undecided" for change in whole.values())
    lpips, rate, fid = whole.values()
    assert f"all three are decided: LPIPS {lpips:+.3f}, target rate {rate:+.2f}, FID {fid:+.1f}." in said

    def gain(before: str, after: str) -> Change:
        return changes(finals, before, after)["lpips_avg"]

    ewc, relation, moments = gain(L_DM, L_DM_EWC), gain(L_DM_EWC, FULL), gain(L_DIR, L_DM)
    assert f"(five seeds: LPIPS {ewc:+.3f}); the relation loss adds a little ({relation:+.3f})," in said
    assert f"the moments alone nothing that can be told ({moments:+.3f})." in said
    assert (ewc.verdict, relation.verdict, moments.verdict) == ("higher", "higher", "undecided")
    assert ewc.mean > whole["lpips_avg"].mean / 2


def test_early_stopping_is_what_was_measured():
    said, table = " ".join(README.split()), made("table_readings")

    def read(row: str, reading: str) -> tuple[str, str, str, str]:
        step, both, fid = (table.loc[row, f"{reading}: {what}"] for what in ("step", "LPIPS (rate)", "FID"))
        return step, *re.fullmatch(r"(\S+) \((\S+)\)", both).groups(), str(fid)

    step, lpips, rate, fid = read(L_DIR, "best FID")
    assert f"(step {step}), has LPIPS {lpips} at a target rate of {rate} and an FID of {fid};" in said
    first, second = float(lpips), float(fid)
    step, lpips, _, fid = read(L_DIR, "levelled off")
    assert f"stops it at step {step}, with LPIPS {lpips} and an FID of {fid}." in said
    ends = [read(row, "at the end") for row in table.index]
    for diversity, distance in ((first, second), (float(lpips), float(fid))):
        assert diversity > max(float(end[1]) for end in ends)
        assert distance < min(float(end[3]) for end in ends)


def _at_nine_in_ten(differences: pd.DataFrame, row: str) -> str:
    there = _matched(differences, row, "lpips_all")
    assert there.low < 0 < there.high
    return f"{there.difference:+.3f} at a target rate of 0.9, {there.low:.3f} to {there.high:.3f}"


def _spread_at_nine_in_ten(differences: pd.DataFrame, row: str) -> str:
    there = _matched(differences, row, "clip_variance")
    return f"{there.difference:+.3f}, {there.low:.3f} to {there.high:.3f}"


def _matched(differences: pd.DataFrame, row: str, measure: str):
    chosen = (differences["row"] == row) & (differences["target"] == 0.9)
    (there,) = differences[chosen & (differences["measure"] == measure)].itertuples()
    return there


def test_scenarios_in_the_text_are_those_that_were_measured():
    said, grid = " ".join(README.split()), load_summary("scenarios")
    full = list(grid.profile.rows)[-1]

    def measured(scenario: str) -> tuple[pd.DataFrame, dict[str, Change]]:
        finals = grid.of(scenario).finals
        ends = (
            finals.groupby("row")[["evaluator_rate", "fid", "precision", "recall"]]
            .mean()
            .loc[[grid.profile.baseline, full]]
        )
        return ends, changes(finals, grid.profile.baseline, full)

    def before(scenario: str) -> float:
        place = grid.profile.scenarios[scenario]
        n, psi = grid.profile.samples, grid.profile.truncation_psi
        made = Samples(load_generator(place.generator), n, SAMPLES_SEED, psi)
        embed = load_evaluator().embed
        return frechet_distance(extract(embed, made), extract(embed, truth_of(place.truth).images(n, 64)))

    ends, change = measured("cat-to-dog")
    lpips, fid = change["lpips_avg"], ends["fid"]
    assert f"(LPIPS {lpips.mean:+.3f}, {lpips.low:.3f} to {lpips.high:.3f};" in said
    assert lpips.seeds == 5 and (lpips.verdict, change["fid"].verdict) == ("higher", "lower")
    every_row = grid.of("cat-to-dog").finals.groupby("row")[["evaluator_rate", "fid"]].mean()
    assert f"in every row (target rate {every_row['evaluator_rate'].min():.2f} and more)" in said
    assert f"(FID {every_row.loc['L_dm + L_EWC', 'fid']:.0f} without the relation loss)" in said
    assert f"FID {fid[full]:.0f} against {fid.iloc[0]:.0f}, lower, from {before('cat-to-dog'):.0f});" in said
    differences = grid.of("cat-to-dog").differences
    assert f"LPIPS is undecided ({_at_nine_in_ten(differences, full)})" in said
    assert f"judging CLIP's space larger ({_spread_at_nine_in_ten(differences, full)})" in said
    ends, change = measured("dog-to-cartoon")
    rate, fid, recall = ends["evaluator_rate"], ends["fid"], ends["recall"]
    assert (
        f"(target rate {rate.iloc[0]:.2f} and {rate[full]:.2f}, {change['evaluator_rate'].verdict}; "
        f"FID {fid.iloc[0]:.0f} and {fid[full]:.0f}, {change['fid'].verdict}, "
        f"from {before('dog-to-cartoon'):.0f}; recall {recall.iloc[0]:.2f} and {recall[full]:.2f})" in said
    )
    ends, change = measured("dog-to-sketch")
    rate = ends["evaluator_rate"]
    assert f"({rate.iloc[0]:.2f} and {rate[full]:.2f}, {change['evaluator_rate'].verdict})" in said
    assert ends["precision"].max() < 0.03
    decided = [
        (scenario, name)
        for scenario in grid.profile.scenarios
        for name, change in measured(scenario)[1].items()
        if change.verdict != "undecided"
    ]
    assert decided == [
        ("cat-to-dog", "lpips_avg"), ("cat-to-dog", "fid"), ("dog-to-cartoon", "evaluator_rate")
    ]  # fmt: skip
    assert len(change) * len(grid.profile.scenarios) == 9
    assert "Of nine such comparisons three are decided" in said


def test_the_larger_grids_are_those_that_ship():
    said = " ".join(README.split())
    grids = [load_summary(file.parent.name) for file in PROFILES.glob("*/provenance.json")]
    assert len(grids) == 6 and "Six larger grids" in said
    assert all(f"`{grid.profile.name}`" in said.replace("--profile ", "") for grid in grids)
    hours = sum(grid.provenance["adaptation_seconds"] for grid in grids) / 3600
    assert f"of all six took {hours:.1f} hours of one process" in said
    assert max(grids, key=lambda grid: len(grid.finals)).profile.name == "ablations"


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
        assert f"{words[2]}.__main__" == train.__name__
        monkeypatch.setattr(train, "train_all", lambda *_: None)
        assert train.main(words[3:]) == 0
