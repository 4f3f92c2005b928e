import pytest
import torch
import torch.nn.functional as F

from zsgan.resize import resize

SIZES = [((64, 64), 32), ((64, 64), 224), ((50, 37), 24), ((7, 9), 16), ((256, 256), 64), ((5, 16), 16)]


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("mode", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("shape", "size"), SIZES)
def test_it_is_torchs_interpolation_with_its_gradient(shape, size, mode, antialias):
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, 3, *shape, generator=random, dtype=torch.float64).requires_grad_()
    ours = resize(x, size, mode, antialias)
    theirs = F.interpolate(x, (size, size), mode=mode, antialias=antialias)
    assert torch.allclose(ours, theirs, atol=1e-12)
    direction = torch.randn(ours.shape, generator=random, dtype=torch.float64)
    gradients = [torch.autograd.grad((y * direction).sum(), x)[0] for y in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12)
    single = resize(x.float(), size, mode, antialias)
    assert single.dtype == torch.float32 and torch.allclose(single, theirs.float(), atol=1e-5)


def test_an_image_of_that_size_is_left_alone():
    x = torch.rand(1, 3, 8, 8)
    assert resize(x, 8) is x


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.rand(3, 8, 8), 4), r"images must be \(N, C, H, W\), got \(3, 8, 8\)"),
        ((torch.rand(1, 3, 8, 8), 0), "size must be at least 1, got 0"),
        ((torch.rand(1, 3, 8, 8), 4, "nearest"), "mode must be one of .*'bicubic'.*, got 'nearest'"),
    ],
)
def test_what_it_cannot_resize_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        resize(*arguments)
