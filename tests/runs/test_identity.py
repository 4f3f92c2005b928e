"""Ids of runs are those of earlier versions."""

from dataclasses import replace

import pytest

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
    "1ad51911884cbea9": {"clips": ["clip-a", "clip-b"]},
    "d6d048cf7d296d6e": {"generator": "random-128", "clips": ["ViT-B-32/random"]},
}


@pytest.fixture
def config():
    full = load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel")
    return override(full, {"optimiser.iterations": 10})  # as many as smoke had then


@pytest.mark.parametrize("known", BEFORE)
def test_ids_are_what_they_were(config, known):
    assert resolve(override(config, BEFORE[known])).id == known


def test_the_id_of_a_run_that_images_guide_is_what_it_was(config):
    shots = replace(config, terms={}, few_shot={"target": {"species": "cat"}})
    assert resolve(shots).id == "bb6ca8cc9f748a64"
