"""The bench has every rival as a row that can be run, in every scenario."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest

from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import make_guide, trained_parameters
from zsgan.adaptation.trainers import trainer_of
from zsgan.networks.load import load_clip, load_generator
from zsgan.report.entries import MORE
from zsgan.report.shipped import load_summary
from zsgan.report.trials import OF_THE_BENCH, tuned
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import load_profile

BENCH = load_profile("bench")
SLOW, LOCAL, SHOTS, TUNED, STOPPED = map(load_profile, MORE)
OF_TEXTS = {row: found for found in (BENCH, SLOW, LOCAL) for row in found.rows}
RIVALS = (
    "HyperDomainNet's angle", "SCR", "StyleDomain, StyleSpace", "StyleDomain, affine", "AIR", "IPL", "DiFa",
    "DiFa, patches",
)  # fmt: skip
LADDER = ("L_dir", "L_dir + L_EWC", "L_dm + L_EWC + L_rel")


def test_each_row_is_a_run_of_its_own():
    grids = [BENCH, *map(load_profile, MORE)]
    places = [(found, *at) for found in grids for at in product(found.scenarios, found.rows)]
    ids = {resolve(found.config(at, row)).id for found, at, row in places}
    assert len(ids) == len(places) and len(BENCH.rows) >= 9
    assert len({row for found in grids for row in found.rows}) == sum(len(found.rows) for found in grids)
    for name in ("scenarios", "seeds", "samples", "snapshots"):
        alike = [found for found in grids if (found, name) != (SHOTS, "snapshots")]
        assert all(getattr(found, name) == getattr(BENCH, name) for found in alike), name
    assert len(BENCH.scenarios) == 3 and len(BENCH.seeds) == 5


def test_every_method_has_as_many_trials_and_one_of_them_is_its_row():
    search = load_profile("bench-search")
    trials = Counter(label.partition(": ")[0] for label in search.rows)
    assert trials == dict.fromkeys(OF_TEXTS, 3) and search.seeds == (0,)
    for row, profile in OF_TEXTS.items():
        own = search.config("dog-to-cat", f"{row}: {OF_THE_BENCH}")
        assert resolve(own).id == resolve(profile.config("dog-to-cat", row)).id


def test_the_tuned_rows_are_what_the_search_found():
    search = load_summary("bench-search")
    assert search.stale == [] and len(search.finals) == 3 * len(OF_TEXTS)
    found = tuned(search.finals)
    assert set(found) == set(TUNED.rows)
    for row, trial in found.items():
        theirs = search.profile.config("dog-to-cat", trial)
        assert resolve(theirs).id == resolve(TUNED.config("dog-to-cat", row)).id


def test_ten_images_have_the_settings_of_table_1():
    """On Dog -> Cat the runs are those of the profile ten-shot."""
    ours = SHOTS.config("dog-to-cat", "Ojha et al., ten images", 2)
    assert (
        resolve(ours).id
        == resolve(load_profile("ten-shot").config("dog-to-cat", "Ojha et al., 10-shot", 2)).id
    )
    for scenario, found in SHOTS.scenarios.items():
        assert SHOTS.config(scenario, "Ojha et al., ten images").few_shot.target == found.truth


def test_the_readings_of_the_authors_code_differ_in_that_alone():
    readings, switches = load_profile("bench-readings"), {"AIR": "air.learned", "IPL": "ipl.activated"}
    for row, switch in switches.items():
        theirs = readings.config("dog-to-cat", f"{row}, as in its code")
        before = {"air.learned": "all", "ipl.activated": False}[switch]
        assert override(theirs, {switch: before}) == OF_TEXTS[row].config("dog-to-cat", row) != theirs
    assert readings.seeds == BENCH.seeds and {*readings.scenarios} == {"dog-to-cat"}


def test_airs_fid_falls_with_its_weight():
    """In the search, as chapter 17 says."""
    fid = load_summary("bench-search").finals.set_index("row")["fid"]
    assert fid["AIR: weight 2"] > fid[f"AIR: {OF_THE_BENCH}"] > fid["AIR: weight 0.5"]


@pytest.mark.parametrize("row", STOPPED.rows)
def test_a_stopped_row_is_the_benchs_at_a_quarter_of_its_rate(row):
    ours = STOPPED.config("dog-to-cat", row)
    theirs = BENCH.config("dog-to-cat", row.removesuffix(", stopped"))
    assert ours.optimiser.lr == theirs.optimiser.lr / 4 and ours.optimiser.stop_at_plateau
    assert replace(ours, optimiser=theirs.optimiser) == theirs
    assert ours.optimiser.iterations == theirs.optimiser.iterations


def test_the_papers_rows_are_the_demos_in_other_templates_and_as_long():
    demo = load_profile("demo")
    lengths = ("optimiser.iterations", "optimiser.lr")
    for row in LADDER:
        theirs = demo.config("dog-to-cat", row)
        ours = BENCH.config("dog-to-cat", row)
        of_demo = {"templates": theirs.templates, **dict(zip(lengths, (800, 0.005), strict=True))}
        assert override(ours, of_demo) == theirs
        assert ours.optimiser.iterations * ours.optimiser.lr == pytest.approx(4)
        assert theirs.optimiser.iterations * theirs.optimiser.lr == pytest.approx(4)


@pytest.mark.parametrize("row", RIVALS)
def test_a_rival_takes_steps(row):
    """It follows the text from the first steps on, and changes what it says and nothing else."""
    changes = {"optimiser.iterations": 4, "clips": "clip-a"}
    config = OF_TEXTS[row].config("dog-to-cat", row, 0, changes)
    if config.air:
        config = override(config, {"air.samples": 4, "air.prompt_steps": 2})
    if config.ipl:
        config = override(config, {"ipl.iterations": 1, "ipl.batch_size": 2})
    g_src = load_generator("generator-dog")
    trainer = trainer_of(config)(config, g_src, [make_guide(load_clip("clip-a"), config, g_src=g_src)])
    assert isinstance(trainer, Adaptation)
    course = [trainer.step(i)["directional"] for i in range(4)]
    assert course[-1] < course[0]
    source = g_src.state_dict()
    changed = {name for name, value in trainer.result.state_dict().items() if not value.equal(source[name])}
    assert changed and changed <= set(trained_parameters(g_src, config.trainable))
