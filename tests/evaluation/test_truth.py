import pytest
import torch

from zsgan.base.images import save_images
from zsgan.base.resize import resize
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import CONTINUOUS, SPECIES, STYLES, from_latent, sample_factors
from zsgan.menagerie.portraits import TRUTH_SEED, Drawing, ideal_answers
from zsgan.networks.sampling import sample_latents

CATS = {"species": "cat", "style": "photo"}


# Drawn


def test_a_drawing_is_seeded():
    assert torch.equal(Drawing(CATS, 6, seed=1)[:], Drawing(CATS, 6, seed=1)[:])
    assert not torch.equal(Drawing(CATS, 6, seed=1)[:], Drawing(CATS, 6, seed=2)[:])


def test_a_drawing_is_what_the_world_draws_whatever_the_slices():
    factors = sample_factors(20, torch.Generator().manual_seed(1), species="fox", style="sketch")
    drawing, expected = Drawing({"species": "fox", "style": "sketch"}, 20, 32, 1), draw(factors, 32)
    assert len(drawing) == 20
    for start, stop in ((0, 20), (3, 4), (11, 20)):
        assert torch.allclose(drawing[start:stop], expected[start:stop], atol=1e-5)


def test_drawn_truth_has_labels_and_fresh_images():
    truth = truth_of(CATS)
    assert truth.labels == truth.key == CATS
    same, fresh = truth.images(5, 48), truth.images(5, 48, fresh=True)
    assert torch.equal(same[:], Drawing(CATS, 5, 48, TRUTH_SEED)[:]) and same[:].shape == (5, 3, 48, 48)
    assert not torch.equal(same[:], fresh[:])
    assert truth_of({"species": "cat"}).key != truth.key


def test_ideal_answers_have_the_scores_of_their_latents():
    z = sample_latents(4, 64, seed=3)
    cats, dogs = ideal_answers(z, "cat"), ideal_answers(z, "dog", "sketch", 32)
    assert torch.equal(cats.factors.continuous, dogs.factors.continuous)
    assert cats.factors.species.unique().item() == SPECIES.index("cat")
    assert dogs.factors.style.unique().item() == STYLES.index("sketch") and dogs[1:3].shape == (2, 3, 32, 32)
    scores = z * (64**0.5 / z.norm(dim=1, keepdim=True))  # unit second moment
    assert torch.allclose(cats.factors.continuous, scores[:, : len(CONTINUOUS)])
    assert torch.allclose(cats[:], draw(from_latent(z, "cat")))
    with pytest.raises(ValueError, match="species='horse' is unknown"):
        ideal_answers(z, "horse")


# Found in a folder


@pytest.fixture
def folder(tmp_path):
    """Seven grey images of 24 px, from dark to bright."""
    images = torch.linspace(-1, 1, 7).view(7, 1, 1, 1).expand(7, 3, 24, 24)
    save_images(images, tmp_path / "cats")
    return tmp_path / "cats"


def levels(images):
    return [round(3 * (value.item() + 1)) for value in images.mean((1, 2, 3))]


def test_a_folder_is_divided_and_resized(folder):
    truth = truth_of({"folder": str(folder)})
    assert truth.labels is None
    images, fresh = truth.images(100, 16), truth.images(100, 16, fresh=True)
    assert len(images) == 4 and len(fresh) == 3 and images[:].shape == (4, 3, 16, 16)
    assert levels(images[:]) == [0, 2, 4, 6] and levels(fresh[:]) == [1, 3, 5]
    assert levels(images[1:3]) == [2, 4] and levels(fresh[2:3]) == [5]
    assert levels(truth.images(2, 16)[:]) == [0, 2]


def test_a_folder_is_resized_without_aliasing_and_stays_in_range(tmp_path):
    noise = (torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) > 0.5).float() * 2 - 1
    save_images(noise, tmp_path)
    images = truth_of({"folder": str(tmp_path)}).images(1, 64)[:]
    expected = resize(noise[:1], 64, "bicubic")
    assert expected.abs().max() > 1.01 and torch.allclose(images, expected.clamp(-1, 1), atol=1e-5)


def test_the_key_of_a_folder_is_its_content(folder, tmp_path):
    before = truth_of({"folder": str(folder)}).key
    moved = folder.rename(tmp_path / "moved")
    assert truth_of({"folder": str(moved)}).key == before
    save_images(torch.zeros(7, 3, 24, 24), moved)
    assert truth_of({"folder": str(moved)}).key != before


def test_a_folder_is_divided_in_natural_order_and_says_what_it_leaves_out(tmp_path, caplog):
    for i in range(12):
        save_images(torch.full((1, 3, 8, 8), i / 3 - 1), tmp_path / "x")
        (tmp_path / "x" / "00000.png").rename(tmp_path / f"cat{i}.png")
    images = truth_of({"folder": str(tmp_path)}).images(3, 16)
    assert levels(images[:]) == [0, 2, 4]
    assert caplog.messages == [
        f"{tmp_path}: 12 images, left out: 1 sub-folders (x); zsgan evaluate --recursive reads sub-folders"
    ]


# Unseen


def test_a_truth_that_nobody_has_seen_has_no_images_and_says_what_to_do():
    truth = truth_of({})
    assert truth.labels is None and truth.key == {} and not truth.seen
    assert truth_of(CATS).seen and truth_of({"folder": "anywhere"}).seen
    with pytest.raises(ValueError, match=r"no images of the target domain; name some .* \{folder: \.\.\.\}"):
        truth.images(4, 16)


# Refused


@pytest.mark.parametrize("truth", [{"fur": "black"}, {"folder": "x", "species": "cat"}])
def test_what_names_no_truth_is_refused(truth):
    with pytest.raises(
        ValueError, match=r"truth=.* must be \{species: ..., style: ...\} .*\{folder: ...\}, or \{\}"
    ):
        truth_of(truth)


def test_what_cannot_be_found_or_drawn_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"folder {tmp_path / 'absent'} is missing"):
        truth_of({"folder": str(tmp_path / "absent")}).images(4, 16)
    save_images(torch.zeros(4, 3, 8, 9), tmp_path)
    with pytest.raises(ValueError, match="must hold 2 or more square images, got 4 of 9 x 8"):
        truth_of({"folder": str(tmp_path)}).images(4, 16)
    with pytest.raises(ValueError, match="species='horse' is unknown"):
        truth_of({"species": "horse"}).images(4, 16)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        truth_of({"species": "cat"}).images(0, 16)
