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
from zsgan.report.shipped import load_summary
from zsgan.report.trials import OF_THE_BENCH, tuned
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import load_profile

BENCH = load_profile("bench")
SLOW = load_profile("bench-slow")
TUNED = load_profile("bench-tuned")
STOPPED = load_profile("bench-stopped")
RIVALS = ("HyperDomainNet's angle", "SCR", "StyleDomain, StyleSpace", "StyleDomain, affine", "AIR", "IPL")
LADDER = ("L_dir", "L_dir + L_EWC", "L_dm + L_EWC + L_rel")


def test_each_row_is_a_run_of_its_own():
    grids = [BENCH, SLOW, TUNED, STOPPED]
    places = [(found, *at) for found in grids for at in product(found.scenarios, found.rows)]
    ids = {resolve(found.config(at, row)).id for found, at, row in places}
    assert len(ids) == len(places) and len(BENCH.rows) >= 9
    assert len({row for found in grids for row in found.rows}) == sum(len(found.rows) for found in grids)
    for name in ("scenarios", "seeds", "samples", "snapshots"):
        assert all(getattr(found, name) == getattr(BENCH, name) for found in grids), name
    assert len(BENCH.scenarios) == 3 and len(BENCH.seeds) == 5


def test_every_method_has_as_many_trials_and_one_of_them_is_its_row():
    search = load_profile("bench-search")
    trials = Counter(label.partition(": ")[0] for label in search.rows)
    assert trials == dict.fromkeys(BENCH.rows, 3) and search.seeds == (0,)
    for row in BENCH.rows:
        own = search.config("dog-to-cat", f"{row}: {OF_THE_BENCH}")
        assert resolve(own).id == resolve(BENCH.config("dog-to-cat", row)).id


def test_the_tuned_rows_are_what_the_search_found():
    search = load_summary("bench-search")
    assert search.stale == [] and len(search.finals) == 3 * len(BENCH.rows)
    found = tuned(search.finals)
    assert set(found) == set(TUNED.rows)
    for row, trial in found.items():
        theirs = search.profile.config("dog-to-cat", trial)
        assert resolve(theirs).id == resolve(TUNED.config("dog-to-cat", row)).id


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
    config = (SLOW if row in SLOW.rows else BENCH).config("dog-to-cat", row, 0, changes)
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
