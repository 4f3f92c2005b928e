import pytest
import torch
import torch.nn.functional as F

from zsgan.base import resize as resize_module
from zsgan.base.resize import resize

MODES = ["bicubic", "bilinear"]
SHAPES = [((64, 64), 299), ((256, 256), 224), ((64, 64), 64), ((37, 53), 41), ((20, 90), 32), ((1, 7), 5)]


def images(height, width, dtype=torch.float32):
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 3, height, width, generator=random, dtype=dtype) * 2 - 1


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "size"), SHAPES)
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_values_and_gradients_are_those_of_interpolate(shape, size, mode, antialias, dtype, within):
    x = images(*shape, dtype).requires_grad_()
    weight = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=dtype)
    # interpolate computes positions in the dtype of the images: in float32 it is off by up to 5e-5 itself
    expected = F.interpolate(x.double(), (size, size), mode=mode, antialias=antialias).to(dtype)
    result = resize(x, size, mode, antialias)
    assert result.dtype == dtype
    torch.testing.assert_close(result, expected, atol=within, rtol=0)
    gradients = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (result, expected))
    # a gradient adds up as many terms as there are pixels made of one
    torch.testing.assert_close(*gradients, atol=within * 10, rtol=within)


def test_antialias_is_on_unless_told():
    x = images(64, 64)
    assert torch.equal(resize(x, 16, "bicubic"), resize(x, 16, "bicubic", antialias=True))
    assert not torch.allclose(resize(x, 16, "bicubic"), resize(x, 16, "bicubic", antialias=False), atol=0.1)


def test_the_same_bits_every_time():
    x = images(64, 64).requires_grad_()
    results = []
    for _ in range(3):
        y = resize(x, 48, "bicubic")
        results.append((y.detach(), torch.autograd.grad(y.square().sum(), x)[0]))
    assert all(torch.equal(a, b) for pair in results[1:] for a, b in zip(results[0], pair, strict=True))


def test_autocast_does_not_lower_the_precision():
    x = images(64, 64)
    expected = resize(x, 48, "bicubic")
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(x, 48, "bicubic"), expected)


def test_a_matrix_made_in_inference_mode_serves_gradients_later():
    resize_module._matrix.cache_clear()
    x = images(8, 8, torch.float64)
    with torch.inference_mode():
        resize(x, 5, "bilinear")
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(resize(x, 5, "bilinear").sum(), x)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "nearest"}, r"mode must be one of \('bicubic', 'bilinear'\), got 'nearest'"),
        ({"images": torch.zeros(3, 8, 8)}, r"images must be \(N, C, H, W\), got \(3, 8, 8\)"),
        ({"images": torch.zeros(1, 3, 0, 8)}, r"images must be \(N, C, H, W\), got \(1, 3, 0, 8\)"),
        ({"images": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, "floating point, got torch.uint8"),
        ({"size": 0}, "size must be a positive number of pixels, got 0"),
        ({"size": 8.0}, "size must be a positive number of pixels, got 8.0"),
        ({"size": True}, "size must be a positive number of pixels, got True"),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        resize(**{"images": images(8, 8), "size": 4, "mode": "bicubic"} | change)
