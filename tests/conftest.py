"""What several test files share: one thread, no windows, toy networks, and a finished run of the demo."""

import os
import subprocess
import sys
from zlib import crc32

os.environ["MPLBACKEND"] = "Agg"

from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from xdist.scheduler import LoadFileScheduling

torch.set_num_threads(1)

BOOK = ("test_pages.py", "test_explorer.py", "test_reproduce.py")  # whose tests share one book
FIRST = (
    *BOOK, "test_workflow.py", "test_rehearsal.py", "test_run.py", "test_shipped.py", "test_measurements.py",
    "test_notebooks.py", "test_workers.py", "test_papers_book.py", "test_vgg_inception.py", "test_cli.py",
    "test_checkpoints.py", "test_colab.py", "test_readme.py",
)  # fmt: skip
TINY = {"optimiser": {"iterations": 4}, "ewc": {"samples": 2}, "stage1": {"iterations": 5}}


class ToyEncoder(nn.Module):
    """A linear CLIP: images are pooled to 8 x 8 and projected, every text has a random feature of its own."""

    def __init__(self, name: str = "toy", dim: int = 12, seed: int = 0) -> None:
        super().__init__()
        self.name, self.dim = name, dim
        random = torch.Generator().manual_seed(seed)
        self.register_buffer("projection", torch.randn(3 * 64, dim, generator=random))

    def encode_images(self, images, normalise=True, antialias=True):
        if antialias:
            images = F.avg_pool2d(images, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        features = F.max_pool2d(images, images.shape[-1] // 8).flatten(1) @ self.projection
        return F.normalize(features, dim=1) if normalise else features

    def encode_texts(self, texts, templates=None, normalise=True):
        texts = [(templates or ["{}"])[0].replace("{}", text) for text in texts]
        rows = [torch.Generator().manual_seed(crc32(text.encode())) for text in texts]
        features = torch.stack([torch.randn(self.dim, generator=row) for row in rows])
        features = features.to(self.projection.dtype)
        return F.normalize(features, dim=1) if normalise else features


@pytest.fixture
def toy_encoder():
    return ToyEncoder()


@pytest.fixture
def make_encoder():
    return ToyEncoder


@pytest.fixture
def make_generator():
    """A function that makes small random generators of 16 px whose noise counts."""
    from zsgan.networks.stylegan2 import Generator

    def make(seed=0, resolution=16, noise=0.1, width=8):
        channels = {4 * 2**i: width for i in range(resolution.bit_length() - 2)}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            generator = Generator(resolution, z_dim=16, w_dim=16, mapping_layers=2, channels=channels)
            with torch.no_grad():
                for layer in generator.synthesis.convolutions:
                    layer.noise_strength.fill_(noise)
        return generator.eval()

    return make


@pytest.fixture
def full_disk():
    """A context in which this process can write no file beyond 400 bytes."""
    resource = pytest.importorskip("resource")

    @contextmanager
    def full():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return full


def pytest_collection_modifyitems(items):
    """The files that take longest come first, so that no process waits for another's last one."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


def pytest_xdist_make_scheduler(config, log):
    """Two processes share the tests file by file; one makes the book, and does all that looks at it."""
    return ByFileAndBook(config, log)


class ByFileAndBook(LoadFileScheduling):
    def _split_scope(self, nodeid):
        file = super()._split_scope(nodeid)
        return "book" if file.rpartition("/")[2] in BOOK else file


@pytest.fixture(scope="session")
def smoke():
    """The smoke profile with two rows and hardly any steps or images; its networks are the shipped ones."""
    from zsgan.runs.profiles import load_profile

    profile = load_profile("smoke")
    rows = {name: profile.rows[name] for name in ("L_dir", "L_dm + L_EWC + L_rel")}
    return replace(profile, rows=rows, overrides=TINY, samples=12, clusters=2)


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory):
    """Where the test session keeps runs that no test changes."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def full_run(smoke, runs_folder):
    """A finished run of the full method, Dog -> Cat."""
    from zsgan.runs.run import run

    return run(smoke.config("dog-to-cat", "L_dm + L_EWC + L_rel"), folder=runs_folder)


@pytest.fixture(scope="session")
def reproduce(tmp_path_factory):
    """A function that runs ``zsgan reproduce --profile smoke`` in a folder, in a process of its own."""
    from zsgan.assets.manifest import ROOT

    def call(place, *options):
        command = [sys.executable, "-m", "zsgan.cli", "reproduce", "--profile", "smoke", "--quiet", *options]
        # One thread: two would wait for each other wherever the other process of the tests takes a core.
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, cwd=place, env=environment, capture_output=True, text=True, timeout=900
        )

    return call


@pytest.fixture(scope="session")
def smoke_book(reproduce, tmp_path_factory):
    """A folder in which ``zsgan reproduce --profile smoke`` has run, and what it said."""
    place = tmp_path_factory.mktemp("reproduce")
    result = reproduce(place)
    assert result.returncode == 0, result.stderr[-4000:]
    return place, result
