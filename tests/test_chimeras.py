from dataclasses import fields, replace

import pytest
import torch

from zsgan.menagerie.captions import TEMPLATES, captions
from zsgan.menagerie.chimeras import NO_SPECIES, TRAITS, Mixed, sample_mixed
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import CATEGORIES, SPECIES, appearance, sample_factors


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def mixed():
    return sample_mixed(3000, rng(1), 0.4)


def pure(animal, n=4):
    """Portraits of one species, said trait by trait."""
    factors = sample_factors(n, rng(2), species=animal, style="photo")
    lenders = torch.full((n, len(TRAITS)), SPECIES.index(animal))
    return factors, Mixed(factors.species, factors.style, factors.continuous, lenders)


@pytest.mark.parametrize("animal", SPECIES)
def test_all_traits_of_one_species_draw_that_species(animal):
    factors, the_same = pure(animal)
    assert torch.equal(draw(factors), draw(the_same))


@pytest.mark.parametrize("trait", [*TRAITS, None])
def test_a_lent_trait_is_the_only_one_that_changes(trait):
    """Every trait of a cat, lent to a dog, is the cat's; what else is seen stays the dog's."""
    dogs, whole = pure("dog")
    cats = replace(dogs, species=torch.full((4,), SPECIES.index("cat")))
    lenders = whole.lenders.clone()
    if trait:
        lenders[:, TRAITS.index(trait)] = SPECIES.index("cat")
    seen, dog, cat = (appearance(f) for f in (replace(whole, lenders=lenders), dogs, cats))
    changed = {name for name in seen if not torch.equal(seen[name], dog[name])}
    of_both = {name for name in seen if torch.equal(cat[name], dog[name])}  # e.g. the hue: no shift here
    assert all(torch.equal(seen[name], cat[name]) for name in changed & set(TRAITS))
    assert changed & set(TRAITS) == {trait} & (set(dog) - of_both)
    assert len(changed - set(TRAITS)) <= 4  # colours that follow from one score: value, hue, fur, ...


def test_the_part_of_chimeras_is_the_asked_one(mixed):
    share = (mixed.species == NO_SPECIES).float().mean().item()
    assert share == pytest.approx(0.4 * 5 / 6, abs=0.04)
    assert not (sample_mixed(200, rng(), 0.0).species == NO_SPECIES).any()
    assert (sample_mixed(200, rng(), 1.0).species == NO_SPECIES).float().mean() > 0.7


def test_a_chimera_has_traits_of_two_species_and_others_of_one(mixed):
    kinds = torch.tensor([len(row.unique()) for row in mixed.lenders])
    assert torch.equal(kinds, torch.where(mixed.species == NO_SPECIES, 2, 1))
    whole = mixed.species < NO_SPECIES
    assert torch.equal(mixed.lenders[whole][:, 0], mixed.species[whole])


def test_every_share_of_traits_is_lent(mixed):
    chimeras = mixed[mixed.species == NO_SPECIES]
    first = (chimeras.lenders == chimeras.lenders.mode(1, keepdim=True).values).float().mean(1)
    assert first.min() < 0.56 and first.max() > 0.95


def test_scores_are_those_of_the_world():
    assert torch.equal(sample_mixed(50, rng(3), 0.5).continuous, sample_factors(50, rng(3)).continuous)


def test_no_caption_names_the_species_of_a_chimera(mixed):
    written = captions(mixed, rng(4))
    column = list(CATEGORIES).index("species")
    chimeras = mixed.species == NO_SPECIES
    assert (written.said[chimeras, column] == -1).all()
    assert (written.said[~chimeras, column] >= 0).float().mean() > 0.7
    assert len({text for text, is_one in zip(written.texts, chimeras, strict=True) if is_one}) > 300
    assert any("{animal}" in template for template in TEMPLATES)


def test_no_species_is_true_of_a_chimera(mixed):
    written = captions(mixed[:400], rng(5))
    truth = written.true_of(mixed[:400])
    names_one = written.said[:, list(CATEGORIES).index("species")] >= 0
    assert (truth.diag() == 1).all()
    assert truth[mixed.species[:400] == NO_SPECIES][:, names_one].sum() == 0


def test_portraits_are_picked_with_their_traits(mixed):
    part = mixed[torch.tensor([5, 2])]
    assert isinstance(part, Mixed) and {f.name for f in fields(part)} >= {"lenders", "species"}
    assert torch.equal(part.lenders, mixed.lenders[[5, 2]])
