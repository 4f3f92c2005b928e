"""A loss of one's own: a file and a line in a profile, and the package knows it by its code."""

import pytest
import torch

from zsgan import cli, load_profile
from zsgan.adaptation.config import override
from zsgan.adaptation.objective import Objective
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.terms import Batch, Guide, Seen
from zsgan.runs.grid import run_all
from zsgan.runs.identity import resolve

HINGE = """
def hinge(f_trg, f_src, guide, *, margin=0.5):
    return (margin - f_trg @ guide.t_trg).clamp_min(0).mean()
"""
PROFILE = """
extends: smoke
rows:
  L_dir: {{terms: {{directional: 1}}}}
  mine: {{terms: {{directional: 1, {term}: {{weight: 2, margin: 0.9}}}}}}
seeds: [0]
samples: 8
clusters: 2
"""


@pytest.fixture
def term(tmp_path):
    """The name of a loss with a setting, in a file outside the package."""
    (tmp_path / "mine.py").write_text(HINGE)
    return f"{tmp_path / 'mine.py'}:hinge"


@pytest.fixture
def config(smoke):
    return smoke.config("dog-to-cat", "L_dir")


def batch(guides):
    """Random features of some guides."""
    random = torch.Generator().manual_seed(0)
    seen = []
    for _ in range(guides):
        t_src, t_trg = torch.nn.functional.normalize(torch.randn(2, 5, generator=random), dim=1)
        f_src, f_trg = torch.nn.functional.normalize(torch.randn(2, 3, 5, generator=random), dim=2)
        seen.append(Seen(Guide(None, t_src, t_trg, None, (t_trg - t_src)[None]), f_src, f_trg))
    return Batch(seen, {}, {}, {})


def test_its_value_is_the_mean_over_the_guides(config, term):
    mine = override(config, {"terms": {term: {"weight": 2, "margin": 0.9}}})
    looked_at = batch(len(mine.clips))
    loss, values = Objective(mine)(looked_at)
    means = [(0.9 - seen.f_trg @ seen.guide.t_trg).clamp_min(0).mean() for seen in looked_at.seen]
    expected = sum(means) / len(means)
    assert values.keys() == {"hinge"} and len(means) == len(mine.clips)
    torch.testing.assert_close(values["hinge"], expected)
    torch.testing.assert_close(loss, 2 * expected)


def test_a_run_is_known_by_its_code_and_settings_and_not_by_its_place(config, term, tmp_path):
    def id_of(**settings):
        return resolve(override(config, {"terms": {"directional": 1, **settings}})).id

    plain = resolve(config).id
    first = id_of(**{term: {"weight": 2, "margin": 0.9}})
    assert len({plain, first, id_of(**{term: 2}), id_of(**{term: {"weight": 2, "margin": 0.8}})}) == 4
    (tmp_path / "moved.py").write_text(HINGE)
    assert id_of(**{f"{tmp_path / 'moved.py'}:hinge": {"weight": 2, "margin": 0.9}}) == first
    (tmp_path / "mine.py").write_text(HINGE.replace("mean()", "sum()"))
    assert id_of(**{term: {"weight": 2, "margin": 0.9}}) != first


def test_code_that_changes_while_a_grid_runs_is_refused(config, term, tmp_path):
    job = resolve(override(config, {"terms": {term: 1}}))
    (tmp_path / "mine.py").write_text(HINGE.replace("mean()", "sum()"))
    with pytest.raises(RuntimeError, match="a term's code have changed since this command began"):
        run_all([job], folder=tmp_path / "runs")
    assert not (tmp_path / "runs" / job.id).exists()


def test_a_term_in_an_installed_module():
    assert plugged("torch.nn.functional:mse_loss").function is torch.nn.functional.mse_loss


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("nowhere.py:hinge", 1, "there is no file nowhere.py"),
        ("no_such_module:hinge", 1, "there is no module 'no_such_module'"),
        ("{term}s", 1, "there is no function 'hinges' in"),
        (
            "{term}",
            {"weight": 1, "width": 2},
            "no setting 'width'; its keyword-only arguments are margin",
        ),
        ("{term}", {"margin": 2}, "a number expected"),
        ("{term}", {"weight": -1}, "greater than or equal to 0"),
        ("hinge", 1, "choose one of 'directional'.*or a function of your own, FILE.py:FUNCTION"),
    ],
)
def test_what_cannot_be_found_or_taken_is_refused(config, term, name, settings, message):
    with pytest.raises(ValueError, match=message):
        Objective(override(config, {"terms": {name.format(term=term): settings}}))


def test_it_is_a_row_of_a_table(term, tmp_path, capsys):
    """The whole way, from a line of a profile to a line of Table 1."""
    profile = tmp_path / "mine.yaml"
    profile.write_text(PROFILE.format(term=term))
    assert list(load_profile(str(profile)).rows) == ["L_dir", "mine"]
    words = ["table", "--profile", str(profile), "--runs", str(tmp_path / "runs"), "--quiet"]
    words += ["--set", "samples=6", "--set", "clusters=2"]
    assert cli.main([*words, "--set", "optimiser.iterations=2"]) == 0
    printed = capsys.readouterr().out
    assert "| mine |" in printed and "| L_dir |" in printed
