"""A chapter where there is nothing but Python, a notebook server and torch: on Colab, for instance."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import nbformat
import pytest
import yaml

from zsgan.assets.manifest import ROOT
from zsgan.book import notebooks


@pytest.fixture
def bare(tmp_path):
    """A new environment that finds all packages of this one but zsgan, and where it installs others."""
    venv.EnvBuilder(with_pip=True).create(tmp_path / "bare")
    python = tmp_path / "bare" / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    for entry in Path(site).glob(
        "*setuptools*"
    ):  # comes with pip in Python 3.11, and is older than torch wants
        shutil.rmtree(entry)
    others = tmp_path / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("zsgan", "_zsgan")):
            (others / entry.name).symlink_to(entry)
    Path(site, "others.pth").write_text(str(others))  # whose own .pth files, zsgan's among them, stay unread
    return python, site


def test_a_chapter_installs_zsgan_and_runs_outside_the_clone(bare, tmp_path):
    python, site = bare
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
    environment |= {"PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "OMP_NUM_THREADS": "1"}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("zsgan-*.whl")
    repository = yaml.safe_load((notebooks.BOOK / "_config.yml").read_text())["repository"]
    chapter = (notebooks.BOOK / "02_variations.ipynb").read_text()
    package = f"zsgan @ git+{repository['url']}@{repository['branch']}"
    assert chapter.count(package) == 1
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "chapter.ipynb").write_text(chapter.replace(package, str(wheel)))

    command = [python, "-m", "papermill", "chapter.ipynb", "executed.ipynb", "-p", "profile", "smoke"]
    command += ["-p", "figures", "figures", "-p", "runs", "runs", "--no-progress-bar"]
    result = subprocess.run(
        command, cwd=tmp_path / "content", env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stderr[-4000:]
    executed = nbformat.read(tmp_path / "content" / "executed.ipynb", as_version=4)
    pictures = [
        o for cell in executed.cells for o in cell.get("outputs", []) if "image/png" in o.get("data", {})
    ]
    assert len(pictures) >= 3
    assert (tmp_path / "content" / "figures" / "variations.png").is_file()
    installed = set(os.listdir(site))
    assert "zsgan" in installed and not {"torch", "numpy", "matplotlib"} & installed
