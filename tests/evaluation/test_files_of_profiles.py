"""The files that a profile needs, beside what the manifest says of them."""

from dataclasses import replace

import pytest

from zsgan.assets.manifest import assets
from zsgan.evaluation.files import files_of
from zsgan.runs.profiles import load_profile


@pytest.mark.parametrize("profile", ["paper", "colab"])
def test_the_manifest_names_the_files_of_a_profile(profile):
    named = sorted(name for name, entry in assets().items() if profile in entry.profiles)
    assert files_of(load_profile(profile)) == named


def test_the_files_of_the_demo_ship():
    demo = load_profile("demo")
    assert files_of(demo) == ["clip-a", "clip-b", "clip-c", "evaluator", "generator-dog"]
    few = {"terms": {}, "few_shot": {}}
    assert "discriminator-dog" in files_of(replace(demo, rows={**demo.rows, "ten images": few}))


def test_random_networks_need_no_files():
    paper = replace(load_profile("paper"), weights="random", judge="ViT-B-16/random", eyes="evaluator")
    assert files_of(paper) == ["evaluator"]
