"""No tensor is left on the CPU: forward passes with tensors that only say that they are on a GPU.

A fake tensor has a shape, a type and a device, and no numbers; operations of two devices are refused as on a
real one. There are neither random generators nor gradients of such tensors, so streams are unseeded here.
"""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from zsgan.adaptation import by_text as adaptation
from zsgan.adaptation import guide as guides
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import trained_parameters
from zsgan.adaptation.terms import Guide
from zsgan.base.streams import stream
from zsgan.metrics import Lpips, extract
from zsgan.networks.sampling import Samples
from zsgan.networks.stylegan2 import Discriminator
from zsgan.networks.stylegan2.discriminator import minibatch_standard_deviation

GPU = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch):
    """Inside, tensors are fake, and may say that they are on a GPU."""

    def unseeded(seed, purpose, step=0, device="cpu"):
        return stream(seed, purpose, step) if torch.device(device).type == "cpu" else None

    for module in (adaptation, guides):
        monkeypatch.setattr(module, "stream", unseeded)
    for module in ("zsgan.base.images", "zsgan.metrics.lpips"):  # 16 GiB free
        monkeypatch.setattr(f"{module}.free_memory", lambda device: 2**34)
    monkeypatch.setattr(adaptation, "deepcopy", lambda module: module)  # which would copy the fake device too
    with FakeTensorMode():
        yield


def there(module):
    """The module on the GPU; ``to`` cannot exchange fake parameters."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().to(GPU))
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(GPU)
    return module


def test_two_devices_are_refused(gpu):
    with pytest.raises(RuntimeError, match="same device"):
        torch.zeros(2) + torch.zeros(2, device=GPU)


@pytest.mark.parametrize("shared", [False, True])
def test_every_term_of_a_step(gpu, smoke, make_generator, make_encoder, shared):
    config = override(
        smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel"),
        {"clips": ["clip-a"], "terms.directional": 1, "terms.in_domain_angle": 1, "shared_noise": shared},
    )
    g_src, encoder = there(make_generator()), there(make_encoder())
    t_src, t_trg = torch.randn(2, 12, device=GPU)
    guide = Guide(encoder, t_src, t_trg, None, torch.randn(7, 12, device=GPU))
    fisher = {name: torch.rand_like(p) for name, p in trained_parameters(g_src).items()}
    encoder.encode_texts = lambda texts: torch.randn(len(texts), 12, device=GPU)
    kept = [torch.randn(config.optimiser.iterations, 4, 12)]  # from the cache, hence on the CPU
    trainer = Adaptation(config, g_src, [guide], fisher, kept)
    loss, values = trainer.objective(trainer.batch(0))
    assert loss.device == GPU and {value.device for value in values.values()} == {GPU}
    assert set(values) == {
        "directional", "first_moment", "covariance", "relation", "in_domain_angle", "ewc"
    }  # fmt: skip
    features = guides.source_features(g_src, [encoder], config)
    assert features[0].device == GPU


def test_samples_and_what_is_seen_in_them(gpu, make_generator, make_encoder):
    generator, encoder = there(make_generator()), there(make_encoder())
    samples = Samples(generator, 5, seed=0)
    assert samples[:2].device == GPU
    assert extract(encoder.encode_images, samples, device=GPU).device == torch.device("cpu")
    eyes = there(nn.Conv2d(3, 4, 3))
    distances = Lpips(lambda images: [eyes(images)]).distances(samples, device=GPU)
    assert distances.device == torch.device("cpu") and distances.shape == (5, 5)


def test_a_discriminator(gpu):
    judge = there(Discriminator(16, {4: 8, 8: 8, 16: 8}, c_dim=3))
    images = torch.randn(4, 3, 16, 16, device=GPU)
    assert judge(images, torch.randn(4, 3, device=GPU)).device == GPU
    assert minibatch_standard_deviation(images, 2).device == GPU
