"""No tensor is left on the CPU: forward passes with tensors that only say that they are on a GPU.

A fake tensor has a shape, a type and a device, and no numbers; operations of two devices are refused as on a
real one. There are neither random generators nor gradients of such tensors, so streams are unseeded here, and
gradients have the shape and the device of what they belong to, which is all there is to know of them.
"""

from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from zsgan.adaptation import by_text as adaptation
from zsgan.adaptation import draws, few_shot
from zsgan.adaptation import guide as guides
from zsgan.adaptation.batches import Guide
from zsgan.adaptation.by_text import Adaptation
from zsgan.adaptation.config import override
from zsgan.adaptation.few_shot import FewShotAdaptation
from zsgan.adaptation.guide import source_fisher, trained_parameters
from zsgan.base import resize
from zsgan.base.streams import stream
from zsgan.evaluation.judges import Judges, truth_hits
from zsgan.menagerie.evaluator import Evaluator
from zsgan.method import ewc
from zsgan.metrics import Lpips, extract
from zsgan.metrics.columns import ALL
from zsgan.networks import vgg_inception
from zsgan.networks.sampling import Samples
from zsgan.networks.stylegan2 import Discriminator
from zsgan.networks.stylegan2.discriminator import minibatch_standard_deviation

GPU = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch):
    """Inside, tensors are fake, and may say that they are on a GPU."""

    def unseeded(seed, purpose, step=0, device="cpu"):
        on_cpu = (
            torch.device(device).type == "cpu" or purpose == "fisher probes"
        )  # drawn where their stream is
        return stream(seed, purpose, step) if on_cpu else None

    for module in (adaptation, guides, few_shot):
        monkeypatch.setattr(module, "stream", unseeded)
        monkeypatch.setattr(module, "deepcopy", lambda network: network)  # which copies no fake device
    monkeypatch.setattr(draws, "stream", unseeded)
    monkeypatch.setattr(resize, "_matrix", resize._matrix.__wrapped__)  # keeps no matrix without numbers
    for module in ("zsgan.base.images", "zsgan.metrics.lpips"):  # 16 GiB free
        monkeypatch.setattr(f"{module}.free_memory", lambda device: 2**34)
    monkeypatch.setattr(nn.Module, "to", moved)
    with FakeTensorMode():
        yield


def moved(module, place=None, **_):
    """As ``Module.to``, which cannot exchange fake parameters."""
    place = place.device if isinstance(place, torch.Tensor) else place
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(parameter.detach().to(place), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(place)
    return module


@pytest.fixture
def learning(gpu, monkeypatch):
    """Gradients of fake tensors, and a function that sets what their comparisons are; their numbers are 1."""

    def leaves(node):
        for other, _ in node.next_functions if node is not None else ():
            if hasattr(other, "variable"):
                yield other.variable
            else:
                yield from leaves(other)

    def backward(loss):
        assert loss.device == GPU
        for leaf in set(leaves(loss.grad_fn)):
            leaf.grad = torch.zeros_like(leaf)

    def gradient(outputs, inputs, create_graph=False, **_):
        inputs = [inputs] if isinstance(inputs, torch.Tensor) else inputs
        more = outputs.sum() if create_graph else 0  # what depends on the outputs has gradients itself
        return tuple(torch.zeros_like(x) + more for x in inputs)

    def gradient_of(function):
        def found(params, *others):
            with torch.enable_grad():
                return dict(zip(params, gradient(function(params, *others), params.values()), strict=True))

        return found

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(torch.autograd, "grad", gradient)
    monkeypatch.setattr(ewc, "grad", gradient_of)
    monkeypatch.setattr(ewc, "_dependent", lambda features: features)  # inside vmap, which does not tell
    for name, value in {"item": 1, "__float__": 1.0, "__index__": 1, "__int__": 1}.items():
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, value=value: value)

    def compare(truth):
        monkeypatch.setattr(torch.Tensor, "__bool__", lambda tensor: truth)

    compare(True)
    return compare


def there(module):
    return module.to(GPU)


def test_two_devices_are_refused(gpu):
    with pytest.raises(RuntimeError, match="same device"):
        torch.zeros(2) + torch.zeros(2, device=GPU)


@pytest.mark.parametrize("shared", [False, True])
def test_every_term_of_a_step(gpu, smoke, make_generator, make_encoder, monkeypatch, shared):
    monkeypatch.setattr(FakeTensor, "tolist", lambda corners: [[1, 2]] * len(corners))
    config = override(
        smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel"),
        {
            "clips": ["clip-a"],
            "terms.directional": 1,
            "terms.in_domain_angle": 1,
            "terms.local": 1,
            "shared_noise": shared,
        },
    )
    g_src, encoder = there(make_generator()), there(make_encoder())
    t_src, t_trg = torch.randn(2, 12, device=GPU)
    texts, parts = torch.randn(7, 12, device=GPU), torch.randn(2, 12, device=GPU)
    guide = Guide(encoder, t_src, t_trg, None, texts, parts=parts)
    fisher = {name: torch.rand_like(p) for name, p in trained_parameters(g_src).items()}
    encoder.encode_texts = lambda texts: torch.randn(len(texts), 12, device=GPU)
    kept = [torch.randn(config.optimiser.iterations, 4, 12)]  # from the cache, hence on the CPU
    trainer = Adaptation(config, g_src, [guide], fisher, kept)
    loss, values = trainer.objective(trainer.batch(0))
    assert loss.device == GPU and {value.device for value in values.values()} == {GPU}
    assert set(values) == {
        "directional", "first_moment", "covariance", "relation", "in_domain_angle", "ewc", "local"
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


def a_guide(encoder):
    t_src, t_trg = torch.randn(2, 12, device=GPU)
    encoder.encode_texts = lambda texts: torch.randn(len(texts), 12, device=GPU)
    return Guide(encoder, t_src, t_trg, None, torch.randn(7, 12, device=GPU))


@pytest.mark.parametrize("estimator", ["empirical", "batch", "hutchinson", "gauss_newton"])
def test_fisher_information(learning, smoke, make_generator, make_encoder, estimator):
    config = override(
        smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel"), {"ewc": {"samples": 3, "estimator": estimator}}
    )
    g_src = there(make_generator())
    found = source_fisher(g_src, [a_guide(there(make_encoder()))] * 2, config)
    assert found.keys() == trained_parameters(g_src).keys()
    assert {fisher.device for fisher in found.values()} == {GPU}


@pytest.mark.parametrize(
    "settings",
    [
        {"selection": {"k": 2, "batch_size": 3}},
        {"optimiser.ema": 0.9, "features.crops": 2, "terms.spectral": 1},
    ],
    ids=str,
)
def test_whole_steps(learning, smoke, make_generator, make_encoder, settings):
    """Layer selection, the optimiser, moving averages, crops and forward derivatives."""
    config = override(smoke.config("dog-to-cat", "L_dir"), settings)
    trainer = Adaptation(config, there(make_generator()), [a_guide(there(make_encoder()))])
    assert trainer.step(0)["loss"] == 1
    state = trainer.optimiser.state_dict()["state"]
    assert state and {value.device for each in state.values() for value in each.values()} == {GPU}


def test_ten_shots(learning, smoke, make_generator):
    """Whole images near the anchors and patches elsewhere, with both regularisers; mixed styles."""
    shots = {"target": {"species": "cat"}, "patch_level": 1, "distance_batch": 4}
    config = override(
        smoke.config("dog-to-cat", "L_dir"), {"terms": {}, "few_shot": shots, "optimiser.ema": 0.9}
    )
    judge = there(Discriminator(16, {4: 8, 8: 8, 16: 8}))
    trainer = FewShotAdaptation(config, there(make_generator()), judge, torch.randn(10, 3, 16, 16))
    assert trainer.step(0).keys() >= {"r1", "path_length"}
    assert "distance_consistency" in trainer.step(1)
    learning(False)  # now two latents are mixed
    assert trainer._ws(2, "generator", False).device == GPU
    assert trainer.result.mapping.w_avg.device == GPU


def photographs(monkeypatch):
    """VGG-16 and Inception-v3 without numbers."""
    monkeypatch.setattr(vgg_inception, "tensors", lambda name: nullcontext(defaultdict(lambda: None)))
    monkeypatch.setattr(torch, "save", lambda *_: None)
    monkeypatch.setattr(torch, "load", lambda *_, **__: {})
    monkeypatch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
    return vgg_inception.Photographs(GPU)


@pytest.mark.parametrize("eyes", ["evaluator", "photographs"])
def test_both_eyes(learning, monkeypatch, make_generator, make_encoder, eyes):
    learning(False)
    eyes = photographs(monkeypatch) if eyes == "photographs" else there(Evaluator()).eval()
    truth = SimpleNamespace(seen=True, images=lambda n, resolution: torch.rand(n, 3, resolution, resolution))
    clip, texts = there(make_encoder()), torch.randn(2, 12)
    means = {"dinov2": lambda images: images.mean((2, 3))}
    judges = Judges(eyes, truth, 16, 5, clip, texts, device=GPU, measures=ALL, **means)
    samples = Samples(there(make_generator()), 5, seed=0)
    with torch.no_grad():
        seen = judges.look(samples, guide=judges.clip.encode_images)
        assert seen.keys() - {"near"} == {"eyes", "clip", "guide", "distances", "dinov2"}
        assert ("near" in seen) == ("near" in judges.true) == (eyes.near is not None)
        places = {value.device for value in (*seen.values(), *judges.true.values())}
        assert places == {torch.device("cpu")}
        if eyes.labels is not None:
            assert truth_hits(judges.read(seen), {"species": "cat", "style": "photo"}).shape == (5,)
