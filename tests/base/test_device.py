import pytest
import torch

from zsgan.base.device import numerics, peak_memory, set_up, threads


@pytest.fixture
def flags():
    """Torch's settings as careless as they can be; set back after the test."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = True, True, True, False
    yield lambda: (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    peaks = {"cuda:0": 10, "cuda:1": 20}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peaks[str(device)])
    initialised = []

    def reset(device):
        if not initialised:
            raise RuntimeError(f"Invalid device argument {device}: did you call init?")
        peaks[str(device)] = 5

    monkeypatch.setattr(torch.cuda, "init", lambda: initialised.append(True))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_a_device_is_set_up_for_full_precision_and_the_same_bits(flags):
    assert set_up("cpu") == torch.device("cpu")
    assert flags() == (False, False, False, True)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", torch.device("cuda", 0)])
def test_gpus_that_are_there(flags, two_gpus, device):
    assert set_up(device) == torch.device(device)


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:0", "", "meta", torch.device("cuda")])
def test_devices_that_are_not_there_are_refused(flags, no_gpu, device):
    before = flags()
    with pytest.raises(ValueError, match=f"device='{device}' is not on this machine, which has cpu$"):
        set_up(device)
    assert flags() == before


@pytest.mark.parametrize("device", ["mps", "mps:0", torch.device("mps")])
@pytest.mark.parametrize("there", [True, False])
def test_apples_gpus_are_refused_by_name(monkeypatch, no_gpu, device, there):
    """They have no float64: a run would be made for hours, and its measurement would fail."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there)
    with pytest.raises(ValueError, match=rf"device='{device}' computes no float64.* choose one of cpu$"):
        set_up(device)


def test_the_gpus_that_are_there_are_listed(two_gpus):
    with pytest.raises(ValueError, match="device='cuda:2' .* which has cpu, cuda, cuda:0, cuda:1"):
        set_up("cuda:2")


def test_numerics_say_what_is_set(flags, two_gpus):
    assert numerics("cuda:1") == {
        "device": "GPU 1", "tf32": True, "deterministic": False, "threads": torch.get_num_threads()
    }  # fmt: skip
    set_up("cuda:1")
    assert numerics("cuda:1").items() >= {"tf32": False, "deterministic": True}.items()


def test_peak_memory_is_that_of_a_gpu_since_it_was_set_up(flags, two_gpus):
    assert peak_memory("cpu") is None
    assert peak_memory("cuda:1") == 20
    set_up("cuda:1")
    assert peak_memory("cuda:1") == 5 and peak_memory("cuda:0") == 10


@pytest.mark.parametrize("n", [1, 3])
def test_numerics_of_a_cpu(flags, n):
    with threads(n):
        result = numerics(torch.device("cpu"))
    assert result.pop("device").startswith("cpu (")
    assert result == {"tf32": False, "deterministic": True, "threads": n}


def test_threads_are_set_inside_a_block_only():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), threads(3):
        assert torch.get_num_threads() == 3
        raise KeyError
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before
