"""The shipped demo networks are what their provenance says: trained, and good enough to judge and guide.

The floors are far below what was measured when the networks were made (see each header): they catch a mix-up,
not the spread of a small sample.
"""

import json

import pytest
import torch
from safetensors import safe_open

from zsgan.assets import manifest
from zsgan.compact.gallery import read_gallery
from zsgan.compact.ship import command_of
from zsgan.menagerie.draw import draw
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.factors import CATEGORIES, SPECIES, sample_factors
from zsgan.menagerie.training.generator import measure
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import sample_images

SHIPPED = [name for name, asset in manifest.assets().items() if not asset.urls]
FILES = [name for name in SHIPPED if name.startswith("gallery-")]  # adaptations, not networks


@pytest.fixture(scope="module")
def renders():
    factors = sample_factors(240, torch.Generator().manual_seed(31))
    return factors, torch.cat([draw(factors[i : i + 40]) for i in range(0, 240, 40)])


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - set(FILES)))
def test_every_weight_says_how_it_was_made(name):
    asset = manifest.asset(name)
    with safe_open(manifest.path(name), framework="pt") as file:
        provenance = json.loads(file.metadata()["provenance"])
    # Weights that were trained before the commands moved name them by their old modules.
    made = provenance["command"].replace("zsgan.menagerie.train_", "zsgan.menagerie.training.")
    assert made == asset.command
    assert asset.command.startswith("python -m zsgan.menagerie.training.")
    assert provenance["seed"] == asset.seed
    assert provenance["versions"]["torch"]


@pytest.mark.parametrize("name", FILES)
def test_every_adaptation_says_how_it_was_made(name):
    asset = manifest.asset(name)
    with safe_open(manifest.path(name), framework="pt") as file:
        made = json.loads(file.metadata()["provenance"])
    options = f"--max-kb {made['max_kb']:g} --steps {made['steps']}"
    assert asset.command == f"zsgan gallery --profile gallery {options} --out gallery"
    made_by = read_gallery(manifest.path(name).parent).provenance
    assert command_of(made_by) == asset.command and made["run"] in made_by["runs"]
    assert made["n"] == made_by["n"]
    assert made["seed"] == asset.seed  # both that of the fit; the run's is one of the profile's


def test_all_weights_together_stay_small():
    assert sum(manifest.asset(name).bytes for name in SHIPPED) < 40e6


def test_the_evaluator_reads_renders(renders):
    factors, images = renders
    prediction = load_evaluator()(images)
    # Coats are a continuum, so the nearest word for one is often a close call.
    for kind, floor in {"species": 0.97, "style": 0.97, "fur": 0.75, "ears": 0.95}.items():
        right = prediction.label(kind) == getattr(factors, kind)
        assert right.double().mean() > floor, kind


@pytest.mark.parametrize("name", ["clip-a", "clip-b", "clip-c"])
def test_the_clips_tell_species_and_styles_apart(name, renders):
    factors, images = renders
    encoder = load_clip(name)
    features = encoder.encode_images(images)
    for kind, template, floor in (("species", "a photo of a {}", 0.7), ("style", "a {} of an animal", 0.7)):
        texts = encoder.encode_texts(CATEGORIES[kind], [template])
        right = (features @ texts.T).argmax(1) == getattr(factors, kind)
        assert right.double().mean() > floor, kind


@pytest.mark.parametrize("species", ["dog", "cat"])
def test_the_generators_make_their_species(species):
    images = sample_images(load_generator(species), 100, seed=1)
    prediction = load_evaluator()(images)
    shares = prediction.label("species").bincount(minlength=len(SPECIES)) / 100
    rates = dict(zip(SPECIES, shares.tolist(), strict=True))
    assert max(rates, key=lambda name: rates[name]) == species, rates
    assert rates[species] > 0.9, rates


@pytest.mark.parametrize("species", ["dog", "cat"])
def test_a_latent_is_drawn_as_the_portrait_that_it_stands_for(species):
    assert measure(load_generator(species), species, 60)["PSNR"] > 24
