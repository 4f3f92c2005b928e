"""The files that a profile needs."""

from dataclasses import replace

from zsgan.assets.manifest import assets
from zsgan.evaluation.files import files_of
from zsgan.networks.dinov2 import DINOV2
from zsgan.runs.profiles import load_profile


def test_the_paper_needs_every_file_that_is_downloaded_and_colab_some():
    of_people = {"encoder-psp-ffhq", "face-detector"}  # for pictures of one's own
    downloaded = {name for name, entry in assets().items() if entry.urls} - of_people
    paper = load_profile("paper")
    assert set(files_of(paper)) == downloaded - {DINOV2}
    scenarios = {
        name: replace(s, truth={"species": "cat", "style": "photo"}) for name, s in paper.scenarios.items()
    }
    assert set(files_of(replace(paper, scenarios=scenarios))) == downloaded
    assert files_of(load_profile("colab")) == [
        "ViT-B-16/openai", "ViT-B-32/openai", "generator-afhq-dog", "inception", "vgg16"
    ]  # fmt: skip


def test_the_files_of_the_demo_ship():
    demo = load_profile("demo")
    assert files_of(demo) == ["clip-a", "clip-b", "clip-c", "evaluator", "generator-dog"]
    few = {"terms": {}, "few_shot": {}}
    assert "discriminator-dog" in files_of(replace(demo, rows={**demo.rows, "ten images": few}))


def test_random_networks_need_no_files():
    paper = replace(load_profile("paper"), weights="random", judge="ViT-B-16/random", eyes="evaluator")
    assert files_of(paper) == ["evaluator"]
