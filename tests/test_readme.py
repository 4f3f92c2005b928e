"""The README's commands, code and results are what the project does."""

import re
import shlex
from contextlib import nullcontext

import pandas as pd
import pytest

from zsgan import api, load_profile
from zsgan.assets.manifest import ROOT
from zsgan.book.chapters import stopping
from zsgan.cli import _parser
from zsgan.evaluation.comparisons import changes
from zsgan.menagerie.training import __main__ as train
from zsgan.report.entries import own
from zsgan.report.leaderboard import overall, placed, verdict
from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.shipped import load_summary
from zsgan.runs.profiles import PROFILES

README = (ROOT / "README.md").read_text(encoding="utf-8")
USE = (ROOT / "book" / "use.md").read_text(encoding="utf-8")


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_it_is_a_front_page():
    lines = README.splitlines()
    assert len(lines) <= 150
    (picture,) = (i for i, line in enumerate(lines) if line.startswith("!["))
    assert len(" ".join(lines[:picture]).split()) < 50


def test_two_commands_do_all_the_set_up():
    commands = [block.strip() for block in blocks("sh")]
    assert commands[:2] == [
        "python3 .ci/env.py zsgan reproduce --profile demo",
        "python3 .ci/env.py pytest",
    ]
    assert "env.py pytest" in (ROOT / ".ci" / "run").read_text()


def test_numbers_of_the_grids_are_those_of_their_profiles():
    said = " ".join(USE.split())
    assert f"the {len(load_profile('search').rows)} settings that were tried" in said
    assert f"{len(load_profile('ablations').rows) - 1} settings of switches" in said
    long, short = (load_profile(name).rows for name in ("ablations-long", "ablations"))
    assert (
        f"{len(long) - 1} settings, {len(long.keys() & short) - 1} of them among the {len(short) - 1}" in said
    )
    listed = dict(re.findall(r"^\| `([\w-]+)` \|.*\| (\w+) \| \d+ \|$", USE, flags=re.MULTILINE))
    words = {1: "one", 3: "three", 5: "five"}
    assert listed == {name: words[len(load_profile(name).seeds)] for name in listed}


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


def test_the_claims_of_the_paper_are_judged_by_five_seeds():
    finals, paper = load_summary("demo-full").finals, {row: v[0] for row, v in PAPER_TABLE_1.items()}
    memory = made("table_costs")["memory at least"]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in README.splitlines() if "**:" in line
    ]
    lines = [line for line in lines if len(line) == 4]
    words = {"higher": ("yes",), "undecided": ("undecided",), "lower": ("no",)}
    for (claim, here, beside, price), (before, after) in zip(
        lines, ((L_DIR, FULL), (L_DIR, L_DM), (L_DM, L_DM_EWC), (L_DM_EWC, FULL)), strict=True
    ):
        found, printed = changes(finals, before, after), paper[after] - paper[before]
        lpips, rate, fid = found.values()
        assert lpips.seeds == 5
        assert claim.endswith(f"{printed:+.3f}")
        verdict, _, number = here.removeprefix("**").partition("**: ")
        assert verdict in words[lpips.verdict] and number == f"{lpips:+.3f}"
        if beside:
            assert beside == f"and nearer to true cats: FID {fid:+.1f}, target rate {rate:+.2f}"
            assert (rate.verdict, fid.verdict) == ("higher", "lower")
        same = memory[before] == memory[after]
        assert price == ("the same" if same else f"{memory[after]} in place of {memory[before]}")
    assert (
        changes(finals, L_DM, L_DM_EWC)["lpips_avg"].mean > changes(finals, L_DIR, FULL)["lpips_avg"].mean / 2
    )


def test_early_stopping_is_what_was_measured():
    said, diversity, distance = " ".join(README.split()), made("table_readings"), made("table_readings_fid")

    def read(row: str, reading: str) -> tuple[str, str, str, str]:
        cells = (table.loc[row, reading] for table in (diversity, distance))
        (lpips, rate), (fid, step) = (re.fullmatch(r"(\S+) \((.+)\)", cell).groups() for cell in cells)
        return step, lpips, rate, fid

    step, lpips, rate, fid = read(L_DIR, "best FID")
    assert f"(step {step}), has LPIPS {lpips} at a target rate of {rate} and an FID of {fid};" in said
    first, second = float(lpips), float(fid)
    step, lpips, _, fid = read(L_DIR, "levelled off")
    assert f"stops it at step {step}, with LPIPS {lpips} and an FID of {fid}." in said
    ends = [read(row, "at the end") for row in diversity.index]
    for diversity, distance in ((first, second), (float(lpips), float(fid))):
        assert diversity > max(float(end[1]) for end in ends)
        assert distance < min(float(end[3]) for end in ends)


def test_other_scenarios_agree_as_the_text_says():
    said, grid = " ".join(README.split()), load_summary("scenarios")
    gains, rates = [], []
    for scenario in ("cat-to-dog", "dog-to-cartoon", "dog-to-sketch"):
        finals = grid.of(scenario).finals
        found = changes(finals, L_DIR, FULL)
        assert found["lpips_avg"].verdict == "higher" and found["lpips_avg"].seeds == 3
        assert found["evaluator_rate"].verdict == "undecided"
        gains.append(f"{found['lpips_avg'].mean:.3f}")
        rate = finals.groupby("row")["evaluator_rate"].mean()
        rates.append(f"{rate[FULL]:.2f} against {rate[L_DIR]:.2f}")
    assert f"LPIPS is higher by {gains[0]}, {gains[1]} and {gains[2]}, each decided by three seeds" in said
    assert f"(target rate {rates[1]}, and {rates[2]}, undecided)" in said
    by = stopping.rule_against(stopping.stops(grid.finals, grid.course), "fixed", "fid")
    assert by.verdict == "lower"
    assert f"lowers the FID there by {-by.mean:.1f} ({-by.high:.1f} to {-by.low:.1f})" in said


def test_the_verdict_of_the_bench_is_what_was_measured():
    said, grids = " ".join(README.split()), own()
    finals, course = (pd.concat([getattr(grid, name) for grid in grids]) for name in ("finals", "course"))
    compared = overall(placed(finals, course, L_DIR), L_DIR)
    end = compared[compared["place"] == "end"].pivot(index="row", columns="measure", values="mean")
    found, stopped, styles = verdict(compared), "L_dir, stopped", "StyleDomain, StyleSpace"
    methods = {row for row in end.index if not row.endswith((", tuned", ", stopped"))}
    assert len(methods) == 14 and "Fourteen methods" in said
    assert finals["scenario"].nunique() == 3 and finals["seed"].nunique() == 5
    fid, lpips, rate = (end[name] for name in ("fid", "lpips_avg", "evaluator_rate"))
    named = [FULL, "L_dir + L_EWC", "IPL", styles]  # each nearer to the true images than the one before
    assert {*named, stopped} <= {*found.better["fid"]} and fid[named].is_monotonic_decreasing
    assert all(fid[row] > fid[stopped] for row in methods)
    assert (
        f"(FID {fid[FULL]:.1f} against {fid[L_DIR]:.1f}), and so do EWC alone ({fid[named[1]]:.1f})" in said
    )
    average, smaller = fid["L_dir, tuned"], fid[f"{styles}, tuned"]
    assert smaller < fid[f"{styles}, stopped"], "chapter 17 says so"
    assert f"IPL ({fid['IPL']:.1f}; L_dir with its moving average alone {average:.1f})" in said
    assert f"offsets of the styles ({fid[styles]:.1f}; at a smaller rate {smaller:.1f})" in said
    assert f"L_dir ends nearer than all of these ({fid[stopped]:.1f}; the source itself" in said
    zero = course[course["step"] == 0].groupby("scenario")[["fid", "evaluator_rate"]].mean().mean()
    assert f"not adapted, has {zero['fid']:.1f} at a target rate of {zero['evaluator_rate']:.0f})" in said
    ended = f"{FULL}, stopped"
    both = verdict(overall(placed(finals, course, L_DIR).query("row in [@ended, @stopped]"), stopped))
    assert ended not in {*both.better["fid"], *both.worse["fid"]}
    assert both.better["lpips_avg"] == [ended] == both.worse["evaluator_rate"]
    assert f"not decidedly nearer than it ({fid[ended]:.1f})" in said
    assert f"(LPIPS {lpips[ended]:.3f} against {lpips[stopped]:.3f})" in said
    assert f"at a target rate of {rate[ended]:.2f} against {rate[stopped]:.2f}." in said
    of_images = "Ojha et al., ten images"
    ends = f"end at an FID of {fid[of_images]:.1f}, at a target rate of {rate[of_images]:.2f}."
    assert f"(Ojha et al., five times as many steps of a quarter of the size) {ends}" in said


def test_the_larger_grids_are_those_that_ship():
    said = " ".join(USE.split())
    grids = [load_summary(file.parent.name) for file in PROFILES.glob("*/provenance.json")]
    assert len(grids) == 16 and "Sixteen larger grids" in said
    assert all(f"| `{grid.profile.name}` |" in said for grid in grids)
    hours = sum(grid.provenance["adaptation_seconds"] for grid in grids) / 3600
    assert f"of all sixteen took {hours:.1f} hours of one process" in said


def test_pictures_exist_and_have_alternative_texts():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", README, flags=re.DOTALL)
    assert pictures
    for alt, path in pictures:
        assert len(alt) > 20
        assert (ROOT / path).is_file()


def test_links_inside_the_repository_exist():
    places = re.findall(r"[`(]((?:zsgan|book|figures|tests)/[\w/.]*)[`)]", README + USE)
    assert len(places) > 15
    for path in places:
        assert (ROOT / path).exists(), path


def test_the_five_lines_of_python_run(tmp_path, monkeypatch):
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 4
    demo = api.load_profile
    monkeypatch.setattr(api, "load_profile", lambda name: demo("smoke"))  # a few steps instead of hundreds
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "cats.png").stat().st_size > 1000


@pytest.mark.parametrize("command", [c for b in blocks("sh")[2:] + blocks("sh", USE) for c in b.splitlines()])
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
