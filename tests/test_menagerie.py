import colorsys
import re
from collections import Counter
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from zsgan.menagerie import factors as world
from zsgan.menagerie.captions import BACKGROUNDS, SYNONYMS, VOCABULARY, background_name, captions
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import (
    CATEGORIES,
    CONTINUOUS,
    EARS,
    EYES,
    FURS,
    PATTERNS,
    SCENE,
    SHAPE,
    SPECIES,
    STYLES,
    index_of,
    sample_factors,
    with_species,
    with_style,
)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def same(a, b, but=()):
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name not in but)


@pytest.fixture(scope="module")
def some():
    """Factors of 24 portraits in which every species and style occurs."""
    drawn = sample_factors(24, rng(1))
    return replace(drawn, species=torch.arange(24) % 6, style=torch.arange(24) % 5)


@pytest.fixture(scope="module")
def many():
    return sample_factors(6000, rng(2))


# Factors


def test_same_seed_same_factors():
    assert same(sample_factors(50, rng(3)), sample_factors(50, rng(3)))
    assert not same(sample_factors(50, rng(3)), sample_factors(50, rng(4)))


def test_a_chosen_species_or_style_changes_nothing_that_does_not_depend_on_it():
    free = sample_factors(50, rng(3))
    photos = sample_factors(50, rng(3), style="photo")
    assert same(free, photos, but=("style",)) and (photos.style == index_of("style", "photo")).all()
    dogs, foxes = (sample_factors(50, rng(3), species=name) for name in ("dog", "fox"))
    assert (foxes.species == SPECIES.index("fox")).all() and torch.equal(dogs.continuous, foxes.continuous)


def test_exchanging_a_species_or_style_changes_only_that(some):
    cats, sketches = with_species(some, "cat"), with_style(some, "sketch")
    assert same(some, cats, but=("species",)) and (cats.species == SPECIES.index("cat")).all()
    assert same(some, sketches, but=("style",)) and (sketches.style == STYLES.index("sketch")).all()


def test_factors_are_picked_together(some):
    chosen = some[torch.tensor([5, 2])]
    assert len(chosen) == 2
    assert chosen.species.tolist() == [5, 2] and torch.equal(chosen.continuous, some.continuous[[5, 2]])
    flags = some.style == STYLES.index("painting")
    assert len(some[flags]) == int(flags.sum()) and (some[flags].style == 3).all()
    assert torch.equal(some.column("yaw"), some.continuous[:, CONTINUOUS.index("yaw")])


def test_the_species_overlap(many):
    """No colour, pattern, eye colour or (where a species has both) shape of ears gives a species away."""
    for kind, names in CATEGORIES.items():
        if kind in ("species", "style"):
            continue
        for species in range(len(SPECIES)):
            values = getattr(many, kind)[many.species == species]
            share = values.bincount(minlength=len(names)) / len(values)
            if kind == "ears" and SPECIES[species] in ("bear", "mouse"):
                assert share.tolist() == [1, 0]
            else:
                assert share.min() > 0.02, (kind, SPECIES[species], share)
    folded = {name: many.ears[many.species == i].float().mean().item() for i, name in enumerate(SPECIES)}
    assert 0.3 < folded["dog"] < 0.4 and 0.1 < folded["cat"] < 0.2


def test_the_scene_says_nothing_about_species_and_style(many):
    """Every mean over a group is within 4.5 standard errors of the mean over the others."""
    scene = many.continuous[:, len(SHAPE) :]
    assert scene.shape[1] == len(SCENE)
    for kind in ("species", "style"):
        for value in range(len(CATEGORIES[kind])):
            mine = getattr(many, kind) == value
            here, there = scene[mine], scene[~mine]
            error = (here.var(0) / len(here) + there.var(0) / len(there)).sqrt()
            assert ((here.mean(0) - there.mean(0)).abs() < 4.5 * error).all()


def test_the_shape_is_a_cut_normal_distribution(many):
    shape = many.continuous[:, : len(SHAPE)]
    assert shape.abs().max() == 2
    # of a standard normal clamped to [-2, 2]
    assert torch.allclose(shape.mean(0), torch.zeros(len(SHAPE)), atol=0.06)
    assert torch.allclose(shape.var(0), torch.full((len(SHAPE),), 0.9205), atol=0.07)


def test_photos_are_the_commonest_style(many):
    share = many.style.bincount() / len(many)
    assert torch.allclose(share, torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15]), atol=0.03)


def test_hsv_is_that_of_the_standard_library():
    hsv = torch.rand(20, 3, generator=rng(5))
    expected = torch.tensor([colorsys.hsv_to_rgb(*row) for row in hsv.tolist()])
    assert torch.allclose(world._hsv(*hsv.T), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda f: sample_factors(3, rng(), species="horse"),
            "species='horse' is unknown; choose one of dog, cat",
        ),
        (
            lambda f: sample_factors(3, rng(), style="etching"),
            "style='etching' is unknown; choose one of photo",
        ),
        (lambda f: sample_factors(0, rng()), "n must be at least 1, got 0"),
        (lambda f: with_species(f, "horse"), "species='horse'"),
        (lambda f: with_style(f, "etching"), "style='etching'"),
        (lambda f: draw(f, 50), "resolution must be a positive multiple of 16, got 50"),
        (lambda f: draw(f, 0), "multiple of 16, got 0"),
    ],
)
def test_what_the_world_does_not_have_is_refused(some, call, message):
    with pytest.raises(ValueError, match=message):
        call(some)


# Pictures


@pytest.mark.parametrize("resolution", [16, 64, 96])
def test_pictures_have_their_size_and_range(some, resolution):
    images = draw(some, resolution)
    assert images.shape == (24, 3, resolution, resolution) and images.dtype == torch.float32
    assert images.min() >= -1 and images.max() <= 1 and images.isfinite().all()
    assert images.flatten(1).std(1).min() > 0.1  # every one shows something


def test_same_factors_same_bits(some):
    assert torch.equal(draw(some, 32), draw(some, 32))


def test_a_portrait_is_the_same_alone_and_in_a_batch(some):
    together = draw(some, 64)
    for i in (0, 7, 13, 23):
        assert torch.allclose(draw(some[i : i + 1], 64)[0], together[i], atol=1e-5)
    backwards = torch.arange(23, -1, -1)
    assert torch.allclose(draw(some[backwards], 64), together[backwards], atol=1e-5)


def test_a_portrait_is_the_same_at_every_resolution(some):
    """Mean absolute difference of 64 px and reduced 128 px; unrelated portraits differ by about 0.46."""
    difference = (F.avg_pool2d(draw(some, 128), 2) - draw(some, 64)).abs().mean((1, 2, 3))
    limits = torch.tensor([0.03, 0.05, 0.05, 0.06, 0.02])[some.style]
    assert (difference < limits).all(), difference


def test_every_factor_is_seen(some):
    before = draw(some, 64)
    for kind, names in CATEGORIES.items():
        after = draw(replace(some, **{kind: (getattr(some, kind) + 1) % len(names)}), 64)
        changed = (after - before).abs().amax((1, 2, 3)) > 0.05
        assert changed.all(), kind
    texture = replace(some, texture=(some.texture + 1) % 4096)
    assert ((draw(texture, 64) - before).abs().amax((1, 2, 3)) > 0.01)[some.style == 0].all()


def test_another_species_stands_before_the_same_background(some):
    photos = with_style(some, "photo")
    before, after = draw(photos, 64), draw(with_species(photos, "mouse"), 64)
    mice = some.species == SPECIES.index("mouse")
    assert torch.equal(after[mice], before[mice]) and mice.any()
    assert (after == before).all(1).float().mean((1, 2)).min() > 0.2
    assert ((after - before).abs().amax((1, 2, 3)) > 0.2)[~mice].all()


def test_the_colour_of_the_eyes_changes_the_eyes_only(some):
    photos = with_style(some, "photo")
    other = replace(photos, eyes=(photos.eyes + 1) % len(EYES))
    changed = ((draw(other, 64) - draw(photos, 64)).abs().amax(1) > 0.02).float()
    assert 0.001 < changed.mean() < 0.06
    assert not changed[:, 48:].any() and not changed[:, :8].any()


def test_pixel_art_is_made_of_cells_of_six_tones(some):
    images = (draw(with_style(some, "pixel art"), 64) + 1) / 2
    cells = images.unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)
    assert torch.equal(cells, cells[..., :1].expand_as(cells))
    tones = images[images < 1] * 6 - 0.5  # and white, where the picture is
    assert torch.allclose(tones, tones.round(), atol=1e-4) and len(tones.round().unique()) == 6


def test_a_sketch_is_pencil_on_paper(some):
    red, green, blue = ((draw(with_style(some, "sketch"), 64) + 1) / 2).unbind(1)
    inside = red < 1
    assert torch.allclose(green[inside], 0.985 * red[inside], atol=1e-5)
    assert torch.allclose(blue[inside], 0.95 * red[inside], atol=1e-5)


# Captions


@pytest.fixture(scope="module")
def texts(many):
    return captions(many, rng(7))


def words(text):
    return re.findall(r"[a-z0-9]+|[,.-]", text)


def test_same_seed_same_captions(many):
    few = many[:40]
    assert captions(few, rng(1)) == captions(few, rng(1)) != captions(few, rng(2))


def test_captions_use_the_vocabulary_and_all_of_it(texts):
    assert {word for text in texts for word in words(text)} == set(VOCABULARY)
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


def test_every_synonym_is_used(texts):
    together = "\n".join(texts)
    for options in SYNONYMS.values():
        for option in options:
            assert re.search(rf"\b{option}\b", together), option


# Words that tell a value of a factor, beside its own name.
MEANINGS = {
    "species": {
        "puppy": "dog", "hound": "dog", "kitten": "cat", "kitty": "cat", "vixen": "fox", "cub": "bear",
        "bunny": "rabbit", "rodent": "mouse",
    },
    "pattern": {"tabby": "striped"},
    "fur": {"gray": "grey", "cream": "golden"},
    "ears": {"pointed": "pricked", "floppy": "folded"},
    "eyes": {"dark": "brown"},
}  # fmt: skip
STYLE_WORDS = {
    "photo": "photo", "photograph": "photo", "picture": "photo", "close-up photo": "photo",
    "cartoon drawing": "cartoon", "cartoon": "cartoon", "comic": "cartoon",
    "pencil sketch": "sketch", "pencil drawing": "sketch", "sketch": "sketch",
    "oil painting": "painting", "painting": "painting",
    "8-bit pixel art": "pixel art", "pixel art": "pixel art",
}  # fmt: skip


def told(text, kind, names):
    """The values of a factor that the words of a text tell."""
    meanings = {name: name for name in names} | MEANINGS[kind]
    return {meanings[word] for word in words(text) if word in meanings}


def test_captions_are_true(many, texts):
    told_at_all = Counter()
    for i, text in enumerate(texts):
        place, eyes = re.search(r" on an? (\w+) background", text), re.search(r"(\w+) eyes", text)
        coat = re.sub(r" on an? \w+ background|\w+ eyes|white (muzzle|blaze)", "", text)
        style = next((STYLE_WORDS[w] for w in sorted(STYLE_WORDS, key=len, reverse=True) if w in text), None)
        claims = {
            "species": told(coat, "species", SPECIES),
            "style": {style} - {None},
            "fur": told(coat, "fur", FURS),
            "pattern": told(coat, "pattern", PATTERNS[1:]),
            "eyes": told(eyes[1], "eyes", EYES) if eyes else set(),
            "ears": told(coat, "ears", EARS),
        }
        for kind, claim in claims.items():
            truth = CATEGORIES[kind][int(getattr(many, kind)[i])]
            assert claim in (set(), {truth}), (text, kind, truth)
            told_at_all[kind] += bool(claim)
        column = {name: float(many.column(name)[i]) for name in ("mouth_open", "white_muzzle", "blaze")}
        assert "happy" not in text or column["mouth_open"] > 0.3
        assert "white muzzle" not in text or column["white_muzzle"] > 0
        assert "white blaze" not in text or column["blaze"] > 0
        if place:
            assert place[1] == background_name(many.continuous[i, -3:]) and place[1] in BACKGROUNDS
            told_at_all["background"] += 1
    share = {kind: count / len(texts) for kind, count in told_at_all.items()}
    assert share["species"] > 0.7 and share["style"] > 0.6 and share["fur"] > 0.35
    assert min(share.values()) > 0.1 and max(share.values()) < 0.95  # often, never always


def test_articles_fit_the_word_that_follows(texts):
    found = Counter()
    for text in texts:
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert article == ("an" if word[0] in "aeiou" or word == "8" else "a"), text
            found[article, word] += 1
    assert {("an", "orange"), ("an", "oil"), ("an", "8"), ("an", "animal"), ("a", "cat")} <= set(found)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((0.9, 0.1, 0.1), "red"), ((0.9, 0.5, 0.1), "orange"), ((0.9, 0.9, 0.1), "yellow"),
        ((0.2, 0.8, 0.2), "green"), ((0.1, 0.2, 0.9), "blue"), ((0.5, 0.1, 0.9), "purple"),
        ((0.9, 0.1, 0.5), "pink"), ((0.9, 0.1, 0.15), "red"), ((0.5, 0.55, 0.6), "grey"),
    ],
)  # fmt: skip
def test_names_of_backgrounds(rgb, name):
    assert background_name(torch.tensor(rgb)) == name
