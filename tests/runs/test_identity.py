"""Ids stay what they were, and tell terms apart that others plug in."""

import sys
from dataclasses import replace
from functools import partial

import pytest

from zsgan.adaptation import terms as objectives
from zsgan.adaptation.config import override
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import load_profile

# Of revision 72ad864, in which runs had no hashes and terms no source.
BEFORE = {
    "55d3aa628087a64e": {},
    "14426fbcdb8666d9": {"terms": {"directional": 1}},
    "9ed746978631bdbf": {"seed": 3},
    "221fe8c3896d4bb9": {"selection": {"k": 3}},
    "b2ba26d989625638": {"optimiser.stop_at_plateau": True},
    "f66c96b5a5955818": {"terms.spectral": 1},
    "356d5d7911c77d40": {"terms.in_domain_angle": 2},
    "fab6cdd73788c209": {"features.crops": 2},
    "215f94dd7673c7f6": {"clips": ["clip-a", "clip-b"], "clip_weights": [1, 2]},
    "d6d048cf7d296d6e": {"generator": "random-128", "clips": ["ViT-B-32/random"]},
}


@pytest.fixture
def config():
    return load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel")


@pytest.mark.parametrize("known", BEFORE)
def test_ids_are_what_they_were(config, known):
    assert resolve(override(config, BEFORE[known])).id == known


def test_the_id_of_a_run_that_images_guide_is_what_it_was(config):
    shots = replace(config, terms={}, few_shot={"target": {"species": "cat"}})
    assert resolve(shots).id == "bb6ca8cc9f748a64"


TERM = """
def helper(x):
    return {factor} * x

def term(seen, config):
    return {{"directional": (1.0, helper(seen.f_trg.mean()))}}
"""


def test_a_change_of_a_term_that_is_plugged_in_is_another_run(config, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    directional = override(config, {"terms": {"directional": 1}})
    own = resolve(directional).id

    def plugged(name, factor):
        (tmp_path / f"{name}.py").write_text(TERM.format(factor=factor))
        term = __import__(name).term
        terms = objectives.TERMS | {"directional": objectives._averaged(term)}
        monkeypatch.setattr(objectives, "TERMS", terms)
        return resolve(directional)

    first, same, other = plugged("first", 1), plugged("same", 1), plugged("other", 2)
    assert len({own, first.id, other.id}) == 3 and same.id == first.id
    assert first.content["sources"].keys() == {"directional"}
    assert resolve(override(config, {"terms": {"moment": 1}})).content.keys() == {
        "generator",
        "clips",
        "numerics",
    }


def test_a_term_of_an_edited_clone_counts_with_its_source(config, monkeypatch):
    """Its function stands in zsgan.adaptation.terms, but its name is none of this project's."""
    monkeypatch.setattr(objectives, "OWN", objectives.OWN - {"directional"})
    directional = override(config, {"terms": {"directional": 1}})
    assert resolve(directional).id != "14426fbcdb8666d9"


@pytest.mark.parametrize("term", [partial(objectives._ewc), eval("lambda batch, config: {}"), abs])
def test_a_term_without_source_is_refused(config, monkeypatch, term):
    monkeypatch.setattr(objectives, "TERMS", objectives.TERMS | {"ewc": term})
    with pytest.raises(
        ValueError, match=r"the source of 'ewc' cannot be read .*define it by def or class in"
    ):
        resolve(config)
