import pytest
import torch
from torch import nn

from zsgan.base.unfilled import Unfilled


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.free = nn.Parameter(torch.randn(3, 4) / 2)
        layers = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(5, 2), nn.Embedding(7, 2)
        self.layers = nn.Sequential(*layers)
        nn.init.kaiming_normal_(self.layers[0].weight)
        nn.init.trunc_normal_(self.layers[2].weight)
        self.register_buffer("mask", torch.full((2, 2), 3.0), persistent=False)


def test_a_network_with_the_weights_of_a_file_is_the_same_and_nothing_is_drawn():
    known = Network()
    before = torch.get_rng_state()
    with Unfilled():
        network = Network()
    assert torch.equal(torch.get_rng_state(), before)
    network.load_state_dict(known.state_dict())
    first, second = (dict(part.named_parameters()) | dict(part.named_buffers()) for part in (known, network))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(second[name], tensor), name
        assert second[name].requires_grad == tensor.requires_grad, name


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_it_goes_with_a_device(device):
    with torch.device(device), Unfilled():
        network = Network()
    assert {tensor.device.type for tensor in network.state_dict().values()} == {device}
    assert network.free.shape == (3, 4)


def test_outside_of_it_weights_are_drawn():
    torch.manual_seed(0)
    with Unfilled():
        Network()
    first = Network().free.detach()
    torch.manual_seed(0)
    assert torch.equal(Network().free, first)
