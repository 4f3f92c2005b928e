"""A loss of one's own: a file and a line in a profile, and the package knows it by its code."""

import json
import re
from argparse import Namespace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from zsgan import cli, load_profile
from zsgan.adaptation import plugged as module
from zsgan.adaptation.batches import Batch, Guide, Seen
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import encode, make_guide, source_features
from zsgan.adaptation.objective import Objective
from zsgan.adaptation.plugged import ENTRY_POINTS, held, plugged, rows_of
from zsgan.adaptation.trainers import trainer_of
from zsgan.base.files import sha256
from zsgan.networks.load import load_generator
from zsgan.runs import make as making
from zsgan.runs import method_check
from zsgan.runs.costs import whole_steps
from zsgan.runs.grid import run_all
from zsgan.runs.identity import resolve
from zsgan.runs.run import run

HINGE = """
def hinge(seen, *, margin=0.5):
    return (margin - seen.f_trg @ seen.guide.t_trg).clamp_min(0).mean()
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
    with pytest.raises(RuntimeError, match="the code of a plug-in have changed since this command began"):
        run_all([job], folder=tmp_path / "runs")
    assert not (tmp_path / "runs" / job.id).exists()


def test_a_term_in_an_installed_module():
    assert plugged("torch.nn.functional:mse_loss").thing is torch.nn.functional.mse_loss


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


def test_it_is_a_row_of_a_profile_of_ones_own(term, tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text(PROFILE.format(term=term))
    mine = load_profile(str(profile))
    assert list(mine.rows) == ["L_dir", "mine"]
    assert mine.config("dog-to-cat", "mine").settings_of(term) == {"margin": 0.9}


# A file of methods

METHODS = """
from dataclasses import dataclass, replace

import zsgan
from zsgan.adaptation.by_text import Adaptation


@dataclass
class Nothing:
    one: int = 1


def helper(seen):
    return seen.f_trg.mean()


@zsgan.term(row={"terms": {"directional": 1}}, weight=2, needs=["stage1"])
def spread(seen, *, power=2.0):
    return (seen.f_trg @ seen.guide.text_set.mT).abs().pow(power).mean()


@zsgan.guide(row={"terms": {"directional": 1}})
def farther(guide, config):
    return replace(guide, t_trg=2 * guide.t_trg - guide.t_src)


@zsgan.trainer(row={"terms": {"directional": 1}, "optimiser": {"batch_size": 2}})
class Twice(Adaptation):
    def step(self, i):
        super().step(i)
        return super().step(i)
"""


@pytest.fixture
def methods(tmp_path):
    """A file with a method of each kind."""
    (tmp_path / "methods.py").write_text(METHODS)
    return str(tmp_path / "methods.py")


def test_a_file_declares_rows(methods):
    assert rows_of(methods) == {
        "spread": {"terms": {"directional": 1, f"{methods}:spread": 2}},
        "farther": {"terms": {"directional": 1}, "guide": f"{methods}:farther"},
        "Twice": {
            "terms": {"directional": 1}, "optimiser": {"batch_size": 2}, "trainer": f"{methods}:Twice",
        },
    }  # fmt: skip
    profile = load_profile("smoke", [methods])
    assert list(profile.rows)[-3:] == ["spread", "farther", "Twice"]
    ids = [resolve(profile.config("dog-to-cat", row)).id for row in profile.rows]
    assert len(set(ids)) == len(profile.rows)


def test_a_change_of_the_file_changes_the_id_of_every_kind(methods, tmp_path):
    def jobs():
        profile = load_profile("smoke", [methods])
        return [resolve(profile.config("dog-to-cat", row)) for row in rows_of(methods)]

    before = jobs()
    (tmp_path / "methods.py").write_text(METHODS + "# another version")
    for one, other in zip(before, jobs(), strict=True):
        assert one.id != other.id and one.content["sources"].keys() == other.content["sources"].keys()


def test_an_installed_package_offers_methods_by_an_entry_point(methods, monkeypatch):
    entry = EntryPoint("mine", methods, ENTRY_POINTS)
    monkeypatch.setattr(module, "entry_points", lambda group: [entry] if group == ENTRY_POINTS else [])
    assert rows_of("mine") == rows_of(methods)
    with pytest.raises(ValueError, match="'mina' is unknown; give a Python file, .* or .* installed mine"):
        rows_of("mina")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HINGE, "mine.py declares no method; put @zsgan.term"),
        (
            "import zsgan\n@zsgan.term(needs=['fisher'])\ndef f(seen): ...",
            "choose from stage1 and spectral, not 'fisher'",
        ),
        ("import zsgan\n@zsgan.term()\ndef L_dir(seen): ...", "has a row 'L_dir' already; rename it"),
    ],
)
def test_a_file_without_rows_of_its_own_is_refused(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_profile("smoke", [str(tmp_path / "mine.py")])


def test_guides_and_trainers_are_called(methods, make_generator, toy_encoder):
    profile = load_profile("smoke", [methods])
    plain = override(profile.config("dog-to-cat", "L_dir"), {"optimiser.batch_size": 2})
    farther, twice = (profile.config("dog-to-cat", row) for row in ("farther", "Twice"))
    before, after = make_guide(toy_encoder, plain), make_guide(toy_encoder, farther)
    torch.testing.assert_close(after.t_trg, 2 * before.t_trg - before.t_src)
    one, two = (trainer_of(c)(c, make_generator(), [before]) for c in (plain, twice))
    two.step(0)
    one.step(0)
    one.step(0)
    for value, other in zip(one.params.values(), two.params.values(), strict=True):
        assert torch.equal(value, other)


def test_latents_and_images_are_there(make_generator, toy_encoder, config):
    """Both generators' images of a step, from its latents and noise."""
    one = override(config, {"shared_noise": True})
    adaptation = Adaptation(one, make_generator(), [make_guide(toy_encoder, one)])
    (seen,) = adaptation.batch(3).seen
    torch.testing.assert_close(seen.step.images, seen.step.source_images)  # nothing is adapted yet
    torch.testing.assert_close(encode(toy_encoder, seen.step.source_images, one), seen.f_src)
    assert seen.step.images.requires_grad and not seen.step.source_images.requires_grad
    draws = [torch.rand(2, generator=seen.step.random(name)) for name in ("a", "a", "b")]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_methods_are_rows_of_a_table_and_are_checked_first(tmp_path, methods, capsys, caplog):
    """The whole way, from a file to lines of Table 1."""
    words = ["table", "--profile", "smoke", "--method", methods, "--runs", str(tmp_path / "runs"), "--quiet"]
    words += ["--row", "L_dir", "--row", "spread", "--set", "samples=6", "--set", "clusters=2"]
    words += ["--set", "optimiser.iterations=2"]
    with caplog.at_level("INFO"):
        assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert "| spread |" in printed and "| L_dir |" in printed and "Twice" not in printed
    assert re.search(r"spread is checked: gradients of .*spread reach \d+ of \d+; the same", caplog.text)
    made = [json.loads(file.read_text()) for file in (tmp_path / "runs").glob("*/provenance.json")]
    sources = [one["content"]["sources"] for one in made if "sources" in one["content"]]
    assert sources == [{"spread": sha256(tmp_path / "methods.py")}]
    caplog.clear()
    assert cli.main(words) == 0
    assert "is checked" not in caplog.text, "the runs are finished"


DELETES = """
from pathlib import Path


def gone(guide, config):
    Path(__file__).unlink(missing_ok=True)
    return guide


def mean(seen):
    return 1 - seen.f_trg.mean()
"""


def test_a_run_keeps_its_code_whatever_becomes_of_the_file(config, tmp_path):
    """Its guide deletes it, before the term is bound."""
    file = tmp_path / "mine.py"
    file.write_text(DELETES)
    guide, term = f"{file}:gone", f"{file}:mean"
    settings = {"clips": ["clip-a"], "guide": guide, "terms": {term: 1}, "optimiser.iterations": 3}
    job = resolve(override(config, settings))
    assert job.sources == {guide: sha256(file), term: sha256(file)}
    assert len(run(job, folder=tmp_path / "runs").history) == 3 and not file.exists()
    file.write_text(DELETES.replace("1 -", "2 -"))
    with pytest.raises(ValueError, match=r"mine.py:mean: its file has changed since this command began"):
        run(job, folder=tmp_path / "others")
    file.write_text(DELETES)
    with held(job.sources):
        file.write_text(DELETES.replace("1 -", "2 -"))
        assert plugged(term).source == job.sources[term]
    assert plugged(term).source == sha256(file) != job.sources[term]


def test_no_step_reads_the_file(term, tmp_path, make_generator, toy_encoder, config):
    own = override(config, {"terms": {term: 1}})
    adaptation = Adaptation(own, make_generator(), [make_guide(toy_encoder, own)])
    (tmp_path / "mine.py").unlink()
    assert adaptation.step(0)["hinge"] > 0


def test_what_runs_share_depends_on_the_guide(methods, tmp_path, monkeypatch):
    """Features of source images are others by another encoder, which a guide may have."""
    monkeypatch.setattr(making, "source_features", lambda *given: [torch.rand(2)])
    monkeypatch.setattr(making, "source_fisher", lambda *given: {"synthesis.const": torch.rand(2)})
    g_src, guide = load_generator("dog"), Namespace(encoder=None)

    def kept():
        profile = load_profile("smoke", [methods])
        configs = [profile.config("dog-to-cat", row) for row in ("L_dir", "Twice", "farther")]
        jobs = [resolve(override(c, {"optimiser.batch_size": 2})) for c in configs]
        return [
            (
                making.source_features_of(job, g_src, [guide], tmp_path)[0].tolist(),
                making.fisher_of(job, g_src, [guide], tmp_path)["synthesis.const"].tolist(),
            )
            for job in jobs
        ]

    plain, trainer, first = kept()
    assert plain == trainer and not (set(map(tuple, plain)) & set(map(tuple, first)))
    assert kept() == [plain, trainer, first]
    Path(methods).write_text(METHODS + "# another version")
    *same, other = kept()
    assert same == [plain, trainer] and not set(map(tuple, first)) & set(map(tuple, other))


def test_a_schedule_over_all_steps_is_timed(tmp_path, make_generator, toy_encoder, config):
    """zsgan plan takes a few steps of any loop."""
    (tmp_path / "mine.py").write_text(
        "from zsgan.adaptation.by_text import Adaptation\n\n\n"
        "class Cooling(Adaptation):\n"
        "    def step(self, i):\n"
        "        assert i < self.config.optimiser.iterations\n"
        "        return super().step(i)\n"
    )
    short = override(config, {"trainer": f"{tmp_path / 'mine.py'}:Cooling", "optimiser.iterations": 1})
    g_src, guide = make_generator(), make_guide(toy_encoder, config)
    f_src = source_features(g_src, [toy_encoder], short)
    assert whole_steps(short, g_src, [guide], f_src, 3) > 0


@pytest.mark.parametrize("given", ["null", "3", "[1]", "{mine.py: 1}"])
def test_the_entry_methods_of_a_profile_is_a_list(tmp_path, given):
    (tmp_path / "mine.yaml").write_text(f"extends: smoke\nmethods: {given}\n")
    with pytest.raises(ValueError, match=r"mine\.yaml: methods=.* must be a list of Python files, such as"):
        load_profile(str(tmp_path / "mine.yaml"))


def test_the_methods_of_a_profile_are_rows_and_are_checked(tmp_path, methods, monkeypatch, capsys):
    """Wherever they come from, and in every command that makes runs."""
    asked = []

    def refuse(job, device):
        asked.append(job.config.plugs)
        raise ValueError("does not pass")

    monkeypatch.setattr(method_check, "check_method", refuse)
    for given in (methods, f"[{methods}]"):
        (tmp_path / "mine.yaml").write_text(f"extends: smoke\nmethods: {given}\n")
        assert list(load_profile(str(tmp_path / "mine.yaml")).rows)[-1] == "Twice"
    words = ["--profile", str(tmp_path / "mine.yaml"), "--runs", str(tmp_path / "runs")]
    small = ["--row", "Twice", "--set", "samples=6", "--set", "clusters=2", "--quiet"]
    for command in (["table", *words, *small], ["measure", *words, *small]):
        assert cli.main(command) != 0
        assert "does not pass" in capsys.readouterr().err
    with pytest.raises(ValueError, match="does not pass"):
        method_check.check_methods(load_profile(str(tmp_path / "mine.yaml")), tmp_path / "runs")
    assert asked == [(f"{methods}:Twice",)] * 2 + [(f"{methods}:spread",)]
