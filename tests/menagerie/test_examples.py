"""Portraits of two animals at once, and which captions are true of them."""

import re
from dataclasses import replace

import pytest
import torch

from zsgan.base.images import from_bytes
from zsgan.menagerie.captions import NONE, SYNONYMS, UNSAID, captions_of, values_of
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import CATEGORIES, SPECIES, appearance, sample_factors
from zsgan.menagerie.training import examples
from zsgan.menagerie.training.examples import TRAITS, Examples, blend, draw_mixed, masks
from zsgan.menagerie.training.shared import render

KINDS = list(CATEGORIES)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mixed():
    factors = sample_factors(60, rng(3))
    return draw_mixed(render(factors, 32), factors, rng(4))


def test_whole_animals_come_with_true_captions():
    factors = sample_factors(20, rng())
    batch = Examples(render(factors, 32), factors).batch(50, rng(1), late=False)
    index = torch.randint(20, (50,), generator=rng(1))
    torch.testing.assert_close(batch.images, draw(factors[index], 32), atol=0.005, rtol=0)
    assert len(batch.texts) == 50 and batch.true.shape == (50, 50)
    assert (batch.true.diagonal() == 1).all() and set(batch.true.unique().tolist()) == {0.0, 1.0}


def test_partners_are_the_same_animals_in_another_species_or_another_style(mixed):
    one, other = mixed.factors, mixed.partner_factors
    assert torch.equal(one.continuous, other.continuous)
    species, style = one.species != other.species, one.style != other.style
    assert (species ^ style).all() and 0.5 < species.float().mean() < 0.95
    assert torch.equal(mixed.partners, render(other, 32))


def test_every_trait_is_something_seen_and_of_one_group():
    names = [name for group in TRAITS.values() for name in group]
    assert len(names) == len(set(names)) and set(names) <= set(appearance(sample_factors(1, rng())))


@pytest.mark.parametrize("trait", TRAITS)
def test_a_chimera_has_whole_traits_of_one_or_the_other(trait):
    dogs = sample_factors(3, rng(5), species="dog", style="photo")
    cats = replace(dogs, species=torch.full_like(dogs.species, SPECIES.index("cat")))
    nothing = dict.fromkeys(TRAITS, torch.zeros(3, dtype=torch.bool))
    made = examples._draw_chimeras(dogs, cats, nothing, 32, False)
    assert torch.equal(made, render(dogs, 32))
    taken = nothing | {trait: torch.tensor([True, False, True])}
    made = examples._draw_chimeras(dogs, cats, taken, 32, False)
    seen, of_cats = appearance(dogs), appearance(cats)
    expected = from_bytes(render(dogs, 32))
    expected[[0, 2]] = draw(dogs, 32, seen | {name: of_cats[name] for name in TRAITS[trait]})[[0, 2]]
    torch.testing.assert_close(from_bytes(made), expected, atol=0.005, rtol=0)
    assert not torch.equal(made[0], render(dogs, 32)[0])


def test_chimeras_keep_coat_and_style_and_have_no_species(mixed):
    values, own = mixed.chimera_values, values_of(mixed.factors)
    for kind in ("style", "fur", "pattern"):
        assert torch.equal(values[:, KINDS.index(kind)], own[:, KINDS.index(kind)])
    assert (values[:, KINDS.index("species")] == NONE).all()
    assert (values[:, KINDS.index("ears")] != own[:, KINDS.index("ears")]).any()
    assert not (mixed.chimeras == mixed.images).flatten(1).all(1).any()


def test_nobody_names_a_species_that_is_none():
    values = values_of(sample_factors(400, rng()))
    named = captions_of(values, rng(1))
    values[::2, KINDS.index("species")] = NONE
    written = captions_of(values, rng(1))
    assert (written.said[::2, KINDS.index("species")] == UNSAID).all()
    assert written.texts[1::2] == named.texts[1::2]  # the others' captions are what they were
    words = {word for animal in SPECIES for word in SYNONYMS[animal]}
    assert not any(re.search(rf"\b({'|'.join(words)})\b", text) for text in written.texts[::2])
    assert len(set(written.texts[::2])) > 30
    true = written.true_of_values(values)
    assert (true.diagonal() == 1).all()
    naming = written.said[:, KINDS.index("species")] != UNSAID
    assert not true[::2][:, naming].any()


def test_masks_are_soft_blots_of_all_sizes_and_some_are_flat():
    made = torch.cat([masks(40, 32, rng(seed)) for seed in range(10)])
    assert made.shape == (400, 1, 32, 32) and made.min() >= 0 and made.max() <= 1
    flat = made.flatten(1).std(1) < 1e-6
    assert flat.float().mean().item() == pytest.approx(examples.FLAT, abs=0.06)
    size = made[~flat].mean((1, 2, 3))
    assert size.min() < 0.05 and size.max() > 0.95 and 0.4 < size.mean() < 0.6


def test_a_share_is_that_of_what_differs():
    whole, partner = torch.zeros(3, 3, 4, 4), torch.zeros(3, 3, 4, 4)
    partner[:2, :, :2] = 0.8  # the lower half is the same
    mask = torch.zeros(3, 1, 4, 4)
    mask[0, :, 0] = 1
    mask[1] = 0.25
    mask[:, :, 2:] = 1
    picture, share = blend(whole, partner, mask)
    torch.testing.assert_close(share, torch.tensor([0.5, 0.25, 0.0]))
    torch.testing.assert_close(picture[0], mask[0] * partner[0])
    torch.testing.assert_close(picture[1, :, :2], torch.full((3, 2, 4), 0.2))


def unchanged(batch, mixed, index):
    """Kind -> which images of a batch are whole animals, or chimeras, as they were drawn."""
    return {
        name: (batch.images - from_bytes(bank[index])).abs().flatten(1).amax(1) < 1e-6
        for name, bank in (("whole", mixed.images), ("chimera", mixed.chimeras))
    }


def test_a_mixed_batch_has_whole_animals_two_in_one_and_chimeras(mixed, monkeypatch):
    shares, index = [], torch.randint(60, (1500,), generator=rng(7))

    def spy(*pictures):
        picture, share = blend(*pictures)
        shares.append(share)
        return picture, share

    monkeypatch.setattr(examples, "blend", spy)
    batch = mixed.batch(1500, rng(7), late=True)
    (share,) = shares
    same = unchanged(batch, mixed, index)
    parts = {name: found.float().mean().item() for name, found in same.items()}
    assert parts["chimera"] == pytest.approx(examples.CHIMERAS, abs=0.05)
    assert parts["whole"] == pytest.approx(1 - examples.CHIMERAS - examples.PATCHED, abs=0.05)
    assert not share[same["whole"]].any() and not share[same["chimera"]].any()
    two = ~same["whole"] & ~same["chimera"]

    true, own = batch.true, batch.true.diagonal()
    assert true.min() >= 0 and true.max() <= 1 and own.min() > 0
    assert (own[~two] == 1).all()
    said = torch.isclose(own, share) | torch.isclose(own, 1 - share) | torch.isclose(own, torch.ones(()))
    assert said[two].all() and (own[two] < 0.99).any()
    assert own[two].mean() > 0.7  # a caption is the more likely the larger the part that it is about


def test_chimeras_come_late(mixed):
    """Before, whole animals are in their places."""
    index = torch.randint(60, (1500,), generator=rng(7))
    batch = mixed.batch(1500, rng(7), late=False)
    same = unchanged(batch, mixed, index)
    assert not same["chimera"].any()
    assert same["whole"].float().mean() == pytest.approx(1 - examples.PATCHED, abs=0.05)
    assert (batch.true.diagonal()[same["whole"]] == 1).all()


def test_a_mixed_batch_follows_from_the_seed(mixed):
    one, again, other = (mixed.batch(8, rng(seed), late=True) for seed in (1, 1, 2))
    assert torch.equal(one.images, again.images) and one.texts == again.texts
    assert torch.equal(one.true, again.true) and not torch.equal(one.images, other.images)
