import colorsys
import re
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise
from statistics import NormalDist

import pytest
import torch
import torch.nn.functional as F

from zsgan.menagerie import factors as world
from zsgan.menagerie.captions import SYNONYMS, UNSAID, VOCABULARY, captions, values_of
from zsgan.menagerie.draw import _painting, draw
from zsgan.menagerie.factors import (
    CATEGORIES,
    COAT,
    CONTINUOUS,
    EARS,
    EYES,
    FURS,
    LIMIT,
    PATTERNS,
    SCENE,
    SHAPE,
    SPECIES,
    STYLES,
    Factors,
    appearance,
    from_latent,
    index_of,
    sample_factors,
    with_species,
    with_style,
)
from zsgan.menagerie.species import SHIFTS


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def same(a, b, but=()):
    return all(torch.equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a) if f.name not in but)


def scored(factors, **scores):
    """The same portraits with other scores."""
    continuous = factors.continuous.clone()
    for name, value in scores.items():
        continuous[:, CONTINUOUS.index(name)] = value
    return replace(factors, continuous=continuous)


def average(species, **scores):
    """One photo whose scores are 0 but for some."""
    one = Factors(torch.tensor([SPECIES.index(species)]), torch.tensor([0]), torch.zeros(1, len(CONTINUOUS)))
    return scored(one, **scores)


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


def test_a_chosen_species_or_style_changes_nothing_else():
    free = sample_factors(50, rng(3))
    photos = sample_factors(50, rng(3), style="photo")
    assert same(free, photos, but=("style",)) and (photos.style == index_of("style", "photo")).all()
    foxes = sample_factors(50, rng(3), species="fox")
    assert same(free, foxes, but=("species",)) and (foxes.species == SPECIES.index("fox")).all()


def test_exchanging_a_species_or_style_keeps_the_scores(some):
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
    assert torch.equal(some[2:7].fur, some.fur[2:7])


def test_every_score_is_of_coat_shape_or_scene():
    assert (*COAT, *SHAPE, *SCENE) == CONTINUOUS and len(set(CONTINUOUS)) == len(CONTINUOUS)


def test_the_scores_are_standard_normal_in_every_species_and_style(many):
    """Means, variances and correlations are within 5 standard errors of those of N(0, I)."""
    for kind in ("species", "style"):
        for value in range(len(CATEGORIES[kind])):
            x = many.continuous[getattr(many, kind) == value].double()
            n = len(x)
            assert x.shape == (n, len(CONTINUOUS)) and n > 700
            assert x.mean(0).abs().max() < 5 / n**0.5
            assert (x.var(0) - 1).abs().max() < 5 * (2 / n) ** 0.5
            correlation = torch.corrcoef(x.T) - torch.eye(len(CONTINUOUS))
            assert correlation.abs().max() < 5 / n**0.5
    assert many.continuous.abs().max() > 3.5  # not cut


def test_photos_are_the_commonest_style_and_no_species_is_rare(many):
    style, species = (kind.bincount() / len(many) for kind in (many.style, many.species))
    assert torch.allclose(style, torch.tensor([0.4, 0.15, 0.15, 0.15, 0.15]), atol=0.03)
    assert torch.allclose(species, torch.full((6,), 1 / 6), atol=0.025)


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
        (lambda f: from_latent(torch.ones(2, 64), "horse"), "species='horse'"),
        (lambda f: from_latent(torch.ones(2, 64), "dog", "etching"), "style='etching'"),
        (lambda f: from_latent(torch.ones(2, 36), "dog"), r"D >= 37 scores, got \(2, 36\)"),
        (lambda f: from_latent(torch.ones(64), "dog"), r"must be \(N, D\) .* got \(64,\)"),
        (lambda f: draw(f, 50), "resolution must be a positive multiple of 16, got 50"),
        (lambda f: draw(f, 0), "multiple of 16, got 0"),
        (lambda f: draw(f, -16), "multiple of 16, got -16"),
    ],
)
def test_what_the_world_does_not_have_is_refused(some, call, message):
    with pytest.raises(ValueError, match=message):
        call(some)


# Latents


@pytest.mark.parametrize("width", [len(CONTINUOUS), 64])
def test_the_scores_of_a_latent_are_its_first_columns_at_unit_second_moment(width):
    z = torch.randn(9, width, generator=rng(6))
    dogs = from_latent(z, "dog", "cartoon")
    expected = [[x / (sum(y * y for y in row) / width) ** 0.5 for x in row[:37]] for row in z.tolist()]
    assert torch.allclose(dogs.continuous, torch.tensor(expected), atol=1e-5)
    assert (dogs.species == SPECIES.index("dog")).all() and (dogs.style == STYLES.index("cartoon")).all()
    assert len(dogs) == 9 and (from_latent(z, "dog").style == STYLES.index("photo")).all()


@pytest.mark.parametrize("factor", [0.125, 3.0, 100.0])
def test_the_length_of_a_latent_says_nothing(factor):
    z = torch.randn(9, 64, generator=rng(6))
    assert torch.allclose(
        from_latent(factor * z, "cat").continuous, from_latent(z, "cat").continuous, rtol=1e-5, atol=1e-6
    )


def test_latents_may_be_of_several_species():
    z, species = torch.randn(6, 64, generator=rng(6)), torch.tensor([3, 1, 4, 1, 5, 0])
    mixed = from_latent(z, species, "sketch")
    assert torch.equal(mixed.species, species) and (mixed.style == STYLES.index("sketch")).all()
    assert same(with_species(mixed, "fox"), from_latent(z, "fox", "sketch"))


# What is seen


def share_between(low, high, shift):
    """Of a normal score with this mean."""
    normal = NormalDist(shift)
    return normal.cdf(high) - normal.cdf(low)


def shares(factors, kind):
    """(species, values) of a kind."""
    found = [getattr(factors, kind)[factors.species == i] for i in range(len(SPECIES))]
    return torch.stack([x.bincount(minlength=len(CATEGORIES[kind])) / len(x) for x in found])


def test_the_colours_of_fur_and_eyes_overlap_between_species(many):
    for kind in ("fur", "eyes"):
        assert shares(many, kind).min() > 0.02, kind


def test_colours_of_eyes_are_as_common_as_their_places_say(many):
    """Normal quantiles of the middles between neighbouring places 0.3, 1.1, 1.9, 2.7 on a scale of 3."""
    ends = [-9, *(NormalDist().inv_cdf(middle / 3) for middle in (0.7, 1.5, 2.3)), 9]
    expected = [[share_between(a, b, s) for a, b in pairwise(ends)] for s in SHIFTS["iris"]]
    assert (shares(many, "eyes") - torch.tensor(expected)).abs().max() < 0.06


def test_stripes_come_first_then_spots_then_patches(many):
    """Shares by the thresholds of the scores: 0.6 of stripes, 0.9 of spots, 0.9 of patches on either side."""
    expected = []
    for stripes, spots in zip(SHIFTS["stripes"], SHIFTS["spots"], strict=True):
        striped, spotted = share_between(0.6, 9, stripes), share_between(0.9, 9, spots)
        patched = 2 * share_between(0.9, 9, 0)
        rest = (1 - striped) * (1 - spotted)
        expected.append([rest * (1 - patched), striped, (1 - striped) * spotted, rest * patched])
    assert (shares(many, "pattern") - torch.tensor(expected)).abs().max() < 0.06
    assert all(len(many.pattern[many.species == i].unique()) == 4 for i in range(6))


def test_half_of_the_dogs_have_folded_ears_and_some_rabbits(many):
    """An ear is folded above 0.95 rad: of dogs, 1.0 +- 0.7 rad, 53 %; of rabbits, 0.4 +- 0.5, 14 %."""
    folded = shares(many, "ears")[:, EARS.index("folded")]
    for species, mean, deviation in (("dog", 1.0, 0.7), ("rabbit", 0.4, 0.5)):
        share = 1 - NormalDist(mean, deviation).cdf(0.95)
        assert folded[SPECIES.index(species)].item() == pytest.approx(share, abs=0.05)
    others = [SPECIES.index(species) for species in ("cat", "fox", "bear", "mouse")]
    assert folded[others].tolist() == [0] * 4


@pytest.mark.parametrize(
    ("kind", "name", "scores"),
    [
        ("fur", "black", {"fur_light": -2, "fur_saturation": -2}),
        ("fur", "black", {"fur_light": -2, "fur_saturation": 2}),
        ("fur", "grey", {"fur_light": 0, "fur_saturation": -2}),
        ("fur", "white", {"fur_light": 2, "fur_saturation": -2}),
        ("fur", "brown", {"fur_light": -0.3, "fur_saturation": 1.5}),
        ("fur", "golden", {"fur_light": 1, "fur_saturation": 2, "fur_warm": 2}),
        ("fur", "ginger", {"fur_light": 1, "fur_saturation": 2, "fur_warm": -2}),
        ("pattern", "plain", {}),
        ("pattern", "striped", {"stripes": 2}),
        ("pattern", "spotted", {"spots": 2}),
        ("pattern", "patched", {"patch": 2}),
        ("pattern", "patched", {"patch": -2}),
        ("pattern", "spotted", {"spots": 2, "patch": 2}),
        ("pattern", "striped", {"stripes": 2, "spots": 2, "patch": 2}),
        ("eyes", "brown", {"iris": -2}),
        ("eyes", "amber", {"iris": 0.1}),
        ("eyes", "green", {"iris": 0.8}),
        ("eyes", "blue", {"iris": 2.4}),
        ("ears", "folded", {}),
        ("ears", "pricked", {"ear_bend": -2}),
    ],
)
def test_words_for_what_a_dog_shows(kind, name, scores):
    assert CATEGORIES[kind][int(getattr(average("dog", **scores), kind)[0])] == name


def test_the_words_for_fur_fit_the_colour(many):
    red, green, blue = appearance(many)["fur"].unbind(1)
    light = (red + green + blue) / 3
    mean = {name: light[many.fur == i].mean().item() for i, name in enumerate(FURS)}
    assert mean["black"] < mean["brown"] < mean["ginger"] < mean["golden"] < mean["white"]
    assert mean["black"] < mean["grey"] < mean["white"]
    greenish = {name: ((green - blue) / (red - blue))[many.fur == i] for i, name in enumerate(FURS)}
    assert greenish["ginger"].max() < 0.4501 and greenish["golden"].min() > 0.4499  # 6 x hue 0.075
    assert (red >= green - 1e-6).all() and (green >= blue - 1e-6).all()


def test_what_is_seen_is_in_its_range(many):
    seen = appearance(many)
    for name in ("hue", "saturation", "value", "fur", "pale", "stripes", "spots", "patch_left", "patch_right",
                 "blaze", "iris", "iris_mix", "background", "mouth_open"):  # fmt: skip
        assert seen[name].min() >= 0 and seen[name].max() <= 1, name
    assert all(len(value) == len(many) and value.isfinite().all() for value in seen.values())
    assert torch.allclose(seen["iris_mix"].sum(1), torch.ones(len(many)))
    for name in ("ear_bend", "eye_size", "pupil_width", "nose_size", "light_strength", "scale"):
        assert seen[name].min() > 0, name
    assert not ((seen["patch_left"] > 0.5) & (seen["patch_right"] > 0.5)).any()  # one eye's only


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
    """Mean absolute difference of 64 px and reduced 128 px; unrelated portraits differ by about 0.57."""
    difference = (F.avg_pool2d(draw(some, 128), 2) - draw(some, 64)).abs().mean((1, 2, 3))
    limits = torch.tensor([0.02, 0.04, 0.045, 0.035, 0.006])[some.style]
    assert (difference < limits).all(), difference


# The painting's flat colours are steps of 1/5: where a colour crosses one, a pixel jumps.
@pytest.mark.parametrize("style", [name for name in STYLES if name != "painting"])
def test_pictures_are_smooth_in_the_scores(some, style):
    """Along random directions: half the step is half the change, and slopes by two steps agree."""
    portraits = with_style(some, style)
    portraits = replace(portraits, continuous=portraits.continuous.clamp(-2.4, 2.4))
    direction = F.normalize(torch.randn(portraits.continuous.shape, generator=rng(5)))

    def moved(step):
        return draw(replace(portraits, continuous=portraits.continuous + step * direction), 64)

    here, size = draw(portraits, 64), 0.01
    far, near = ((moved(step) - here).flatten(1) for step in (size, size / 2))
    assert (far.norm(dim=1) / near.norm(dim=1) - 2).abs().max() < 0.1
    assert far.abs().max() < 5 * size  # no pixel jumps
    wide, narrow = ((moved(h) - moved(-h)).flatten(1) / (2 * h) for h in (size, size / 2))
    assert ((wide - narrow).norm(dim=1) / narrow.norm(dim=1)).max() < 0.1
    assert narrow.norm(dim=1).min() > 1  # and it moves at all


def test_a_painting_is_a_photo_like_picture_of_few_tones(some):
    """Flat colours: without the mixed-in picture and the saturation, each channel has five values at most."""
    image = torch.rand(2, 3, 8, 8, generator=rng(6))
    painted = _painting(image)
    mean = painted.mean(1, keepdim=True)
    mixed = (painted + 0.5 * mean) / 1.5
    tones = (mixed - 0.4 * image) / 0.6 * 5 - 0.5
    assert torch.allclose(tones, tones.round(), atol=1e-4)
    assert set(tones.round().flatten().int().tolist()) == {0, 1, 2, 3, 4}


def test_every_score_is_seen_in_every_photo(some):
    """Of 24 portraits, from -2.4 to 2.4: each changes, and half of them plainly."""
    photos = with_style(some, "photo")
    for name in CONTINUOUS:
        low, high = (draw(scored(photos, **{name: value}), 64) for value in (-2.4, 2.4))
        change = (high - low).abs().amax((1, 2, 3))
        assert change.min() > 0.004 and change.median() > 0.1, name


def test_scores_beyond_the_limit_count_as_the_limit(some):
    far = replace(some, continuous=4 * some.continuous)
    cut = replace(some, continuous=(4 * some.continuous).clamp(-LIMIT, LIMIT))
    assert not torch.equal(far.continuous, cut.continuous)
    assert torch.equal(draw(far, 32), draw(cut, 32))


def test_every_species_and_style_is_seen(some):
    before = draw(some, 64)
    for kind in ("species", "style"):
        after = draw(replace(some, **{kind: (getattr(some, kind) + 1) % len(CATEGORIES[kind])}), 64)
        assert ((after - before).abs().amax((1, 2, 3)) > 0.2).all(), kind


def test_another_species_stands_before_the_same_background(some):
    photos = with_style(some, "photo")
    before, after = draw(photos, 64), draw(with_species(photos, "mouse"), 64)
    mice = some.species == SPECIES.index("mouse")
    assert torch.equal(after[mice], before[mice]) and mice.any()
    assert (after == before).all(1).float().mean((1, 2)).min() > 0.15
    assert ((after - before).abs().amax((1, 2, 3)) > 0.2)[~mice].all()


def test_the_background_changes_behind_the_animal_only(some):
    photos = scored(with_style(some, "photo"), ear_bend=-1.0)  # a lop ear may hide a corner
    for name in ("background_warm", "background_green", "background_light"):
        low, high = (draw(scored(photos, **{name: value}), 64) for value in (-1, 1))
        changed = (high - low).abs().amax(1) > 0.02
        assert changed[:, 0, [0, -1]].all(), name  # both upper corners
        assert torch.equal(low[..., 30:50, 24:40], high[..., 30:50, 24:40]), name  # the face
        assert 0.25 < changed.float().mean() < 0.7, name


def test_the_colour_of_the_eyes_changes_the_eyes_only(some):
    photos = with_style(some, "photo")
    low, high = (draw(scored(photos, iris=value), 64) for value in (-2, 2))
    changed = ((high - low).abs().amax(1) > 0.02).float()
    assert changed.mean((1, 2)).min() > 0.005 and changed.mean((1, 2)).max() < 0.08
    assert not changed[:, 44:].any() and not changed[:, :18].any()


def test_pixel_art_is_made_of_16_cells_a_side(some):
    for resolution in (32, 64, 96):
        side = resolution // 16
        images = draw(with_style(some, "pixel art"), resolution)
        cells = images.unfold(2, side, side).unfold(3, side, side).flatten(4)
        assert cells.shape[2:4] == (16, 16)
        assert torch.equal(cells, cells[..., :1].expand_as(cells))
        neighbours = (cells[:, :, :, 1:, 0] - cells[:, :, :, :-1, 0]).abs().amax(1)
        assert (neighbours > 0).float().mean() > 0.9  # not larger ones


def test_a_sketch_is_pencil_on_paper(some):
    """Grey tones on cream paper, of which every sheet shows some."""
    red, green, blue = ((draw(with_style(some, "sketch"), 64) + 1) / 2).unbind(1)
    assert torch.allclose(green, 0.985 * red, atol=1e-5)
    assert torch.allclose(blue, 0.95 * red, atol=1e-5)
    assert torch.allclose(red.amax((1, 2)), torch.tensor(0.97), atol=1e-5)
    assert red.amin((1, 2)).max() < 0.4


# Captions


@pytest.fixture(scope="module")
def written(many):
    return captions(many, rng(7))


@pytest.fixture(scope="module")
def texts(written):
    return written.texts


def words(text):
    return re.findall(r"[a-z0-9]+|[,.-]", text)


def test_same_seed_same_captions(many):
    few = many[:40]
    one, again, other = (captions(few, rng(seed)) for seed in (1, 1, 2))
    assert one.texts == again.texts != other.texts
    assert torch.equal(one.said, again.said) and not torch.equal(one.said, other.said)


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


def claims(text):
    """What a text says by its words alone: kind -> name of the value."""
    eyes = re.search(r"(\w+) eyes", text)
    coat = re.sub(r"\w+ eyes", "", text)
    style = next((STYLE_WORDS[w] for w in sorted(STYLE_WORDS, key=len, reverse=True) if w in text), None)
    found = {
        "species": told(coat, "species", SPECIES),
        "style": {style} - {None},
        "fur": told(coat, "fur", FURS),
        "pattern": told(coat, "pattern", PATTERNS[1:]),
        "eyes": told(eyes[1], "eyes", EYES) if eyes else set(),
        "ears": told(coat, "ears", EARS),
    }
    assert max(map(len, found.values())) <= 1, (text, found)  # nothing is said twice, or of two kinds
    return {kind: value for kind, values in found.items() for value in values}


def names(factors, i):
    return {kind: CATEGORIES[kind][int(getattr(factors, kind)[i])] for kind in CATEGORIES}


def test_captions_are_true_and_said_tells_what_their_words_tell(many, written):
    told_at_all = Counter()
    seen = {kind: getattr(many, kind).tolist() for kind in CATEGORIES}
    for i, (text, said) in enumerate(zip(written.texts, written.said.tolist(), strict=True)):
        claim = claims(text)
        for (kind, values), index in zip(CATEGORIES.items(), said, strict=True):
            assert claim.get(kind) == (None if index == UNSAID else values[index]), (text, kind)
            assert index in (UNSAID, seen[kind][i]), (text, kind)
        assert claim, text  # every one says something
        told_at_all.update(claim.keys())
    share = {kind: told_at_all[kind] / len(many) for kind in CATEGORIES}
    assert share["species"] > 0.7 and share["style"] > 0.6 and share["fur"] > 0.35
    assert min(share.values()) > 0.1 and max(share.values()) < 0.95  # often, never always


def test_a_caption_is_true_of_its_own_portrait(many, written):
    part = slice(0, 1000)
    own = captions(many[part], rng(8)).true_of_values(values_of(many[part]))
    assert own.shape == (1000, 1000) and own.dtype == torch.float32
    assert (own.diag() == 1).all()


def test_a_caption_is_true_of_others_exactly_when_all_that_it_names_is_theirs(many):
    """Captions of 200 portraits against 150 others, by the words of the texts alone."""
    tellers, others = many[:200], many[200:350]
    told_of = captions(tellers, rng(9))
    truth = told_of.true_of_values(values_of(others))
    claimed, named = [claims(text) for text in told_of.texts], [names(others, i) for i in range(150)]
    expected = torch.tensor([[float(claim.items() <= name.items()) for claim in claimed] for name in named])
    assert truth.shape == (150, 200) and torch.equal(truth, expected)
    assert 0.02 < truth.mean() < 0.2  # neither all true nor all false


def test_truth_by_hand():
    """What is not named does not matter; what is named must all fit."""
    dogs = [average("dog", fur_saturation=-2), average("dog", fur_saturation=-2, stripes=2), average("cat")]
    portraits = Factors(*(torch.cat([getattr(f, x.name) for f in dogs]) for x in fields(Factors)))
    written = replace(captions(portraits, rng()), said=torch.full((3, len(CATEGORIES)), UNSAID))
    assert written.true_of_values(values_of(portraits)).tolist() == [[1, 1, 1]] * 3
    columns = list(CATEGORIES)
    written.said[1, columns.index("species")] = SPECIES.index("dog")
    written.said[2] = torch.tensor([0, 0, FURS.index("grey"), PATTERNS.index("striped"), UNSAID, UNSAID])
    assert written.true_of_values(values_of(portraits)).tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert written.true_of_values(values_of(portraits[:2])).shape == (2, 3)


def test_articles_fit_the_word_that_follows(texts):
    found = Counter()
    for text in texts:
        for article, word in re.findall(r"\b(an?) (\w+)", text):
            assert article == ("an" if word[0] in "aeiou" or word == "8" else "a"), text
            found[article, word] += 1
    assert {("an", "oil"), ("an", "8"), ("an", "animal"), ("a", "cat"), ("a", "photo")} <= set(found)
