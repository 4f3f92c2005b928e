"""No sum is rounded to half precision: what halves add up to is what the same numbers in double do."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zsgan.adaptation import guide
from zsgan.adaptation.config import AdaptConfig
from zsgan.base.descent import descend
from zsgan.base.precision import at_least_float32, autocast, tf32
from zsgan.menagerie.factor_report import spread
from zsgan.menagerie.factors import CONTINUOUS
from zsgan.method import losses, variations
from zsgan.method.ewc import ewc_penalty, fisher_information
from zsgan.metrics import (
    clip_space,
    cmmd,
    directions,
    frechet_distance,
    identity_kept,
    kernel_distance,
    structure_kept,
)
from zsgan.metrics.eyes import Prediction
from zsgan.metrics.inception import inception_score
from zsgan.metrics.lpips import Lpips, lpips_matrix
from zsgan.metrics.vendi import vendi_score
from zsgan.networks.load import load_clip
from zsgan.networks.stylegan2 import adversarial
from zsgan.networks.stylegan2.discriminator import minibatch_standard_deviation
from zsgan.rivals import consistency, few_shot_losses
from zsgan.rivals.layer_selection import layer_scores

N, D = 6, 96
SUM = losses.CovarianceReading()
ROW = losses.CovarianceReading(centre=True, scale="n", distance="row")
HALVES = (torch.float16, torch.bfloat16)


def norm_of(gradient):
    parameter = nn.Parameter(torch.zeros_like(gradient))
    product = at_least_float32(parameter) * gradient
    return descend(torch.optim.SGD([parameter], lr=0.0), product.sum())


def r1(images, weights):
    images = images.clone().requires_grad_()
    return adversarial.r1_penalty((images * weights).flatten(1).sum(1), images)


def path_length(ws, noise):
    ws = ws.clone().requires_grad_()
    regulariser = adversarial.PathLength().to(torch.promote_types(ws.dtype, torch.float32))
    return regulariser(ws.unflatten(2, (4, 8)), ws, noise.unflatten(2, (4, 8)))


def scores(ws, weights):
    stub = SimpleNamespace(synthesis=lambda ws, **_: ws)
    return layer_scores(stub, ws, lambda images: (images * weights).sum(), iterations=3)


def stretch(ws, directions):
    return consistency.squared_stretch(lambda ws: 2 * ws.flatten(1), ws, directions)


def prediction(logits, continuous):
    return spread(Prediction({"fur": logits[:, :4]}, continuous))


# Name -> a function and the shapes of what it takes; the values are those of N(0, 1).
CASES = {
    "image directions": (losses.image_directions, (N, D), (N, D)),
    "text set": (lambda *x: losses.text_set(*x, renormalise=True), (D,), (D,), (N, D)),
    "eq. (1)": (losses.directional_loss, (N, D), (D,)),
    "eq. (2)": (lambda t, z: variations.variation_losses(t, z, 0.7), (D,), (N, D)),
    "eq. (2), captions": (lambda t, c: variations.caption_variations(t, c).v, (D,), (N, D)),
    "eq. (3), first": (losses.first_moment_loss, (N, D), (N, D)),
    "eq. (3), printed": (lambda a, b: losses.directional_moment_loss(a, b, SUM, True), (N, D), (N, D)),
    "eq. (3), rows": (lambda a, b: losses.covariance_distance(a, b, ROW), (N, D), (N, D)),
    "eq. (4)": (lambda *p: ewc_penalty(*({"w": x.abs()} for x in p)), (N, D), (N, D), (N, D)),
    "eq. (5)": (lambda a, b: losses.relation_loss(a, b, temperature=9.0), (N, D), (N, D)),
    "in-domain angle": (losses.in_domain_angle_loss, (N, D), (N, D)),
    "stretch": (stretch, (N, 2, D), (3, N, 2, D)),
    "spectral": (consistency.spectral_loss, (N * D,), (N * D,)),
    "distance consistency": (
        lambda a, b: few_shot_losses.distance_consistency_loss([a], [b], [0] * N), (N, 3, 8, 8), (N, 3, 8, 8)
    ),
    "discriminator": (adversarial.discriminator_loss, (N * D, 1), (N * D, 1)),
    "adversarial": (adversarial.generator_loss, (N * D, 1)),
    "R1": (r1, (N, 3, 8, 8), (N, 3, 8, 8)),
    "path length": (path_length, (N, 3, 32), (N, 3, 32)),
    "layer scores": (scores, (N, 4, D), (N, 4, D)),
    "gradient norm": (norm_of, (D,)),
    "SSE": (clip_space.sse, (N, D)),
    "variance": (clip_space.variance, (N, D)),
    "target rate": (clip_space.target_rate, (500, D), (D,), (D,)),
    "CLIP score": (clip_space.clip_score, (N, D), (D,)),
    "CLIP quality": (clip_space.clip_quality, (N, D), (5, D)),
    "CLIP direction": (clip_space.clip_direction, (N, D), (N, D), (D,), (D,)),
    "aim": (directions.aim, (D,), (N, D), (N, D), (N, D)),
    "CMMD": (cmmd, (N, D), (N, D)),
    "FID": (frechet_distance, (N, D), (N, D)),
    "KID": (kernel_distance, (N, D), (N, D)),
    "Vendi": (vendi_score, (N, D)),
    "Inception score": (inception_score, (N, D)),
    "LPIPS": (lambda x: lpips_matrix(Lpips(lambda images: [images]).features(x)), (N, 8, 4, 4)),
    "identity": (identity_kept, (N, D), (N, D)),
    "structure": (structure_kept, (N, D), (N, D)),
    "spread of factors": (prediction, (N * D, D), (N * D, len(CONTINUOUS))),
}  # fmt: skip


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_sums_of_halves_are_exact(name, dtype):
    function, *shapes = CASES[name]
    random = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=random).to(dtype) for shape in shapes]
    if name == "target rate":  # decided by the twelfth bit of a cosine
        given[2] = (given[1].double() * (1 + 1e-3)).to(dtype)
    found, expected = function(*given), function(*(x.double() for x in given))
    for one, other in zip(parts(found), parts(expected), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-5, atol=1e-6)


def parts(value):
    if isinstance(value, dict):
        value = tuple(value.values())
    values = value if isinstance(value, tuple) else (value,)
    return [x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in values]


def test_a_sum_of_squares_may_exceed_the_range_of_float16():
    features = torch.full((100, D), 200.0).half()
    features[::2] *= -1
    assert clip_space.sse(features) == 100 * D * 200**2 > torch.finfo(torch.float16).max


@pytest.mark.parametrize("estimator", ["empirical", "batch", "gauss_newton"])
def test_fisher_information_does_not_vanish_in_squares(estimator):
    """Squares of gradients of 1e-4 are 0 in float16."""
    random = torch.Generator().manual_seed(0)
    weight, ws, t_src = (torch.randn(*shape, generator=random) for shape in ((4, 8), (6, 4), (8,)))

    def fisher(dtype):
        return fisher_information(
            lambda params, ws: 1e-4 * (ws @ params["w"]), {"w": weight.to(dtype)}, ws.to(dtype),
            t_src.to(dtype), estimator=estimator, batch_size=3, generator=torch.Generator().manual_seed(0),
        )["w"]  # fmt: skip

    found, expected = fisher(torch.float16), fisher(torch.float32)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * expected.max().item())


def test_fisher_information_of_several_guides_is_added_in_float32(make_generator, monkeypatch):
    generator = make_generator().half()
    config = AdaptConfig(generator="0", source_text="dog", target_text="cat")
    monkeypatch.setattr(
        guide,
        "_fisher_of",
        lambda g, one, params, *_: {k: torch.full(p.shape, 1e-9) for k, p in params.items()},
    )
    found = guide.source_fisher(generator, [None, None], config)
    assert all(torch.equal(f, torch.full(f.shape, 1e-9)) for f in found.values())


def test_the_deviation_over_a_batch_is_exact():
    x = torch.randn(4, 8, 4, 4, generator=torch.Generator().manual_seed(0)).half()
    found = minibatch_standard_deviation(x, 4)[0, -1, 0, 0]
    assert found == minibatch_standard_deviation(x.double(), 4)[0, -1, 0, 0].half()


def test_features_of_a_clip_in_half_precision_are_averaged_in_float32():
    encoder = load_clip("clip-a").bfloat16()
    images = torch.rand(2, 3, 64, 64)
    for features in (encoder.encode_images(images), encoder.encode_texts(["dog", "cat"], ["a {}", "the {}"])):
        assert features.dtype == torch.float32
        torch.testing.assert_close(features.norm(dim=1), torch.ones(2), rtol=1e-6, atol=0)


def test_only_halves_are_converted():
    for dtype in (torch.float32, torch.float64):
        x = torch.ones(2, dtype=dtype)
        assert at_least_float32(x) is x
    x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    at_least_float32(x).sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_autocast_goes_by_name():
    x = torch.ones(2, 2)
    types = {}
    for name in ("bfloat16", "float32", None):
        with autocast(name, "cpu"):
            types[name] = F.linear(x, x).dtype
    assert types == {"bfloat16": torch.bfloat16, "float32": torch.float32, None: torch.float32}


def test_tf32_is_allowed_inside_a_block_only():
    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    for allowed in (True, False):
        with pytest.raises(KeyError), tf32(allowed):
            assert [place.allow_tf32 for place in places] == [allowed, allowed]
            raise KeyError
        assert [place.allow_tf32 for place in places] == before
