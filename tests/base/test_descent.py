"""A step of an optimiser, and moving averages."""

import pytest
import torch

from zsgan.base.descent import descend, follow


def test_a_step_goes_down_the_gradient_and_returns_its_norm():
    a, b, unused = (torch.tensor(x, requires_grad=True) for x in ([1.0, 2.0], [3.0], [4.0]))
    optimiser = torch.optim.SGD([{"params": [a, unused]}, {"params": [b]}], lr=0.1)
    for _ in range(2):  # the gradient of the step before is forgotten
        before = a.detach().clone(), b.detach().clone()
        norm = descend(optimiser, 3 * a[0] + 4 * b.sum())
        assert norm.item() == pytest.approx(5)
        torch.testing.assert_close(a, before[0] - torch.tensor([0.3, 0.0]))
        torch.testing.assert_close(b, before[1] - 0.4)
    assert unused.item() == 4


@pytest.mark.parametrize("factor", [float("inf"), float("nan")])
def test_a_gradient_that_is_not_finite_changes_nothing(factor):
    a = torch.ones(2, requires_grad=True)
    with pytest.raises(FloatingPointError, match="not finite .loss (inf|nan).; rest"):
        descend(torch.optim.SGD([a], lr=0.1), factor * a.sum(), "rest")
    assert torch.equal(a, torch.ones(2))


def test_an_average_moves_by_its_weight():
    average, value = torch.zeros(3), torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    follow([average], [value], 0.25)
    follow([average], [value], 0.5)
    torch.testing.assert_close(average, 0.625 * value.detach())
    assert not average.requires_grad
