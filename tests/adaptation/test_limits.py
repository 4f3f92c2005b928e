"""What can never fit is refused by an estimate, and what cannot be told is not."""

import argparse

import pytest
import torch

from zsgan.adaptation import limits
from zsgan.adaptation.config import override
from zsgan.base import device
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples
from zsgan.runs import costs
from zsgan.runs.least_memory import least_memory
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import run

LARGE = {
    "optimiser.batch_size": {"terms": {"directional": 1}},
    "ewc.samples": {},
    "features.crops": {},
    "selection.batch_size": {"terms": {"directional": 1}, "selection": {"k": 1}},
    "spectral.probes": {"terms": {"spectral": 1}},
    "stage1.n_variations": {},
    "optimiser.iterations": {"terms": {"directional": 1}},
}


@pytest.fixture(scope="module")
def config():
    return load_profile("smoke").config("dog-to-cat", "L_dm + L_EWC + L_rel")


@pytest.fixture
def small_machine(monkeypatch):
    """A machine with an eighth of a GiB of memory."""
    monkeypatch.setattr(device, "memory", lambda device: 2**27)


@pytest.mark.parametrize("name", sorted(LARGE.keys() - {"optimiser.iterations"}))
def test_a_setting_that_cannot_fit_is_refused_before_any_work(config, tmp_path, name, small_machine):
    value = {"optimiser.batch_size": 65_536, "selection.batch_size": 65_536, "features.crops": 1024}.get(
        name, 10**7
    )
    large = override(override(config, LARGE[name]), {name: value})
    with pytest.raises(
        ValueError, match=rf"^{name}={value} needs at least [\d,.]+ GiB of memory, and cpu has"
    ):
        run(large, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["few_shot.images", "few_shot.distance_batch"])
def test_so_are_those_of_images(config, name, small_machine):
    shots = override(config, {"terms": {}, "few_shot": {"target": {"species": "cat"}}})
    with pytest.raises(ValueError, match=f"^{name}=10000000 needs at least"):
        limits.check_size(override(shots, {name: 10**7}), load_generator("dog"))


def test_so_are_images_and_costs(config, small_machine):
    with pytest.raises(ValueError, match=r"^n=10000000 needs at least [\d,.]+ GiB of memory"):
        Samples(load_generator("dog"), 10**7, 0)
    with pytest.raises(ValueError, match="^optimiser.batch_size=65536 needs"):
        costs.measure_costs(override(config, {"optimiser.batch_size": 65_536}), 1)


@pytest.mark.parametrize("value", [10**9, 10**12])
@pytest.mark.parametrize("name", LARGE)
def test_no_machine_is_asked_for_what_none_can_do(config, name, value):
    with pytest.raises(ValueError, match=rf"{name}={value}: Input should be less than or equal to"):
        override(override(config, LARGE[name]), {name: value})


def test_the_estimate_is_below_what_is_needed(config, monkeypatch):
    """A step keeps more than its maps; where the memory is unknown, nothing is refused."""
    large = override(config, {"terms": {"directional": 1}, "optimiser.batch_size": 8, "clips": "clip-a"})
    generator = load_generator(large.generator)
    least = limits._least(large, generator)["optimiser.batch_size=8"]
    needed = least_memory(large)["activations"]
    assert needed / 20 < least < needed
    monkeypatch.setattr(device, "memory", lambda device: least - 1)
    with pytest.raises(ValueError, match="optimiser.batch_size=8 needs"):
        limits.check_size(large, generator)
    for there in (least, None):
        monkeypatch.setattr(device, "memory", lambda device, there=there: there)
        limits.check_size(large, generator)


def test_memory_is_that_of_the_device(monkeypatch):
    assert 2**28 < device.memory("cpu") < 2**50
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1, {0: 10, 1: 20}[device.index]))
    assert device.memory("cuda:1") == 20
    monkeypatch.setattr(device, "os", argparse.Namespace())
    assert device.memory("cpu") is None
