"""The directional loss on patches; what a step makes of it is held to a second implementation elsewhere."""

import pytest
import torch
import torch.nn.functional as F

from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import AdaptConfig, build, override
from zsgan.adaptation.parts import part_directions
from zsgan.rivals.local_directions import local_directional_loss, patches
from zsgan.runs.identity import resolve


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("side", "height"), [(0.5, 8), (0.3, 5), (1, 16), (1e-6, 1)])
def test_a_patch_is_a_part_of_its_image(side, height):
    images = torch.arange(3 * 2 * 16 * 16.0).view(3, 2, 16, 16)
    found = patches(images, side, rng())
    assert found.shape == (3, 2, height, height)
    for patch, image in zip(found, images, strict=True):
        y, x = divmod(int(patch[0, 0, 0] - image[0, 0, 0]), 16)
        assert torch.equal(patch, image[:, y : y + height, x : x + height])


def test_the_same_places_in_both_generators_images_and_other_ones_in_the_next_step():
    images = torch.rand(20, 3, 16, 16, generator=rng())
    assert torch.equal(patches(images, 0.5, rng(1)), patches(images + 0, 0.5, rng(1)))
    assert not torch.equal(patches(images, 0.5, rng(1)), patches(images, 0.5, rng(2)))
    ramp = torch.arange(16.0).expand(200, 1, 16, 16)
    assert patches(ramp, 0.5, rng())[:, 0, 0, 0].unique().tolist() == [*range(9)], "every place can be drawn"


def test_gradients_reach_the_patch_alone():
    images = torch.rand(1, 3, 8, 8, generator=rng(), requires_grad=True)
    patches(images, 0.5, rng()).sum().backward()
    assert images.grad.sum() == 3 * 16 and {*images.grad.unique().tolist()} == {0, 1}


def test_the_loss_is_least_along_a_part_and_most_against_all():
    parts = torch.eye(3)
    along, against = (
        local_directional_loss(parts[:1], parts),
        local_directional_loss(-torch.ones(1, 3), parts),
    )
    weights = torch.tensor([1.0, 0, 0]).softmax(0)
    assert along.item() == pytest.approx((weights[1] + weights[2]).item() / 3)
    assert against.item() == pytest.approx((1 + 3**-0.5) / 3)
    one = torch.tensor([[1.0, 2.0, 2.0]])
    assert local_directional_loss(5 * one, one).item() == pytest.approx(0, abs=1e-6)
    assert local_directional_loss(-one, one).item() == pytest.approx(2)


def test_the_floor_bounds_the_gradient_of_a_short_direction():
    short = torch.full((1, 4), 1e-9, requires_grad=True)
    (gradient,) = torch.autograd.grad(
        local_directional_loss(short, torch.randn(2, 4, generator=rng()), 0.05), short
    )
    assert 0 < gradient.norm() < 2 / 0.05


@pytest.mark.parametrize("shape", [(4,), (2, 5)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"delta_image must be \(N, D\) and delta_parts \(P, D\), got \(3, 4\) and"
    ):
        local_directional_loss(torch.ones(3, 4), torch.ones(shape))


def test_parts_are_those_of_both_texts(toy_encoder):
    settings = {"generator": "dog", "source_text": "dog", "target_text": "cat", "templates": "a {}"}
    config = build(AdaptConfig, settings | {"local": {"parts": ["{} ears", "the {}"]}})
    before, after = (toy_encoder.encode_texts([f"a {x} ears", f"a the {x}"]) for x in ("dog", "cat"))
    assert torch.equal(part_directions(toy_encoder, config), after - before)
    assert not torch.allclose(F.normalize(after - before, dim=1)[0], F.normalize(after - before, dim=1)[1])


def test_a_part_that_names_no_domain_is_refused():
    with pytest.raises(ValueError, match=r"local.parts: 'ears' has no \{\} where the domain goes; add it"):
        build(
            AdaptConfig,
            {"generator": "dog", "source_text": "a", "target_text": "b", "local": {"parts": "ears"}},
        )


def test_the_parts_are_part_of_a_runs_identity_where_they_are_used(smoke):
    config = smoke.config("dog-to-cat", "L_dir")
    used = override(config, {"terms": {"directional": 1, "local": 1}})
    other = {"local.side": 0.4}
    assert resolve(override(config, other)).id == resolve(config).id
    assert resolve(override(used, other)).id != resolve(used).id != resolve(config).id


def test_a_guide_without_parts_is_told_what_to_keep(smoke, toy_encoder, make_generator):
    config = override(smoke.config("dog-to-cat", "L_dir"), {"terms.local": 1})
    t_src, t_trg = toy_encoder.encode_texts(["dog", "cat"])
    bare = Guide(toy_encoder, t_src, t_trg, None, (t_trg - t_src)[None])
    with pytest.raises(
        ValueError, match=r"no directions of parts for the term 'local'; .*replace\(guide, ...\)"
    ):
        Adaptation(config, make_generator(), [bare]).step(0)
