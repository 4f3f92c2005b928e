"""The notebook for Colab, with Colab's packages, and a session that ends in the middle."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import types
from importlib.metadata import PathDistribution
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.utils import canonicalize_name
from PIL import Image

from zsgan import load_profile
from zsgan.assets.manifest import ROOT
from zsgan.book import notebooks

LISTED = Path(__file__).with_name("colab.txt")
COLAB = dict(re.findall(r"^([a-z0-9-]+)==(\S+)$", LISTED.read_text(), flags=re.MULTILINE))
NOTEBOOK = (notebooks.BOOK / "13_colab.ipynb").read_text()

SCENARIO = {"source_text": "dog", "target_text": "cat"}
DRIVE = """
from pathlib import Path

def mount(place):
    Path(place, "MyDrive").mkdir(parents=True, exist_ok=True)
"""
FILES = """
from pathlib import Path

def upload():
    return {"rex.png": Path("rex.png").read_bytes()}
"""
TERM = """
import os
from pathlib import Path

def ends_once(seen):
    mark = Path("ended")
    if not mark.exists():
        mark.touch()
        os._exit(9)
    return 0 * seen.f_trg.sum()
"""


def uv(*arguments):
    command = [sys.executable, "-m", "uv", *map(str, arguments)]
    subprocess.run(command, check=True, env={"UV_SYSTEM_CERTS": "true", **os.environ}, capture_output=True)


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """Python of an environment that is Colab to pip and to the notebook, and where it installs packages.

    IPython, its kernel and pip are Colab's own. All others of this environment are there but zsgan, and say
    that they have Colab's versions.
    """
    place = tmp_path_factory.mktemp("colab")
    python = place / "bin" / "python"
    uv("venv", place, "--python", sys.executable, "--allow-existing")
    uv("pip", "install", "--python", python, "--constraint", LISTED, "pip", "ipython", "ipykernel")
    site, others = Path(sysconfig.get_path("purelib", vars={"base": str(place)})), place / "others"
    others.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        name = PathDistribution(entry).name if entry.suffix == ".dist-info" else ""
        if version := COLAB.get(canonicalize_name(name)):
            (others / entry.name).mkdir()
            (others / entry.name / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")
        elif not entry.name.startswith(("zsgan", "_zsgan")):
            (others / entry.name).symlink_to(entry)
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    (site / "google" / "colab" / "drive.py").write_text(DRIVE)
    (site / "google" / "colab" / "files.py").write_text(FILES)
    # Colab's kernels import google.colab. The .pth files of the others, zsgan's among them, stay unread.
    (site / "colab.pth").write_text(f"{others}\nimport google.colab\n")
    return python, site


@pytest.fixture
def wheel(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("zsgan-*.whl")
    return wheel


def rehearsal(content):
    """The profile colab with the demo's networks and few steps; its second row ends the first session."""
    rows = {row: dict(settings) for row, settings in load_profile("colab").rows.items()}
    second = list(rows)[1]
    (content / "ends.py").write_text(TERM)
    rows[second] = {"terms": {**rows[second]["terms"], f"{content}/ends.py:ends_once": 1}}
    return {
        "extends": "colab",
        "scenarios": {"dog-to-cat": {**SCENARIO, "generator": "generator-dog"}},
        "settings": {"clips": ["clip-a"], "templates": ["{}"], "ewc": {"samples": 2}},
        "overrides": {"optimiser": {"iterations": 2, "batch_size": 2}, "stage1": {"iterations": 20}},
        "rows": rows, "samples": 8, "clusters": 2, "judge": "clip-b", "eyes": "evaluator",
    }  # fmt: skip


def test_the_notebook_starts_on_colab_and_goes_on_after_a_disconnect(colab, wheel, tmp_path):
    python, site = colab
    content = tmp_path / "content"
    content.mkdir()
    (content / "rehearsal.yaml").write_text(yaml.safe_dump(rehearsal(content), sort_keys=False))
    Image.new("RGB", (90, 70), "tan").save(content / "rex.png")
    repository = yaml.safe_load((notebooks.BOOK / "_config.yml").read_text())["repository"]
    package = f"zsgan @ git+{repository['url']}@{repository['branch']}"
    assert NOTEBOOK.count(package) == 1
    (content / "chapter.ipynb").write_text(NOTEBOOK.replace(package, str(wheel)))
    colabs = set(os.listdir(site))
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MPLBACKEND")}
    environment |= {"PIP_CONSTRAINT": str(LISTED), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    environment |= {"OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path / "ipython")}
    command = [python, "-m", "papermill", "chapter.ipynb", "executed.ipynb", "--no-progress-bar"]
    command += ["-p", "profile", "rehearsal.yaml", "-p", "device", "cpu"]

    def session():
        return subprocess.run(command, cwd=content, env=environment, capture_output=True, text=True)

    assert "DeadKernelError" in session().stderr
    kept = content / "drive" / "MyDrive" / "zsgan"
    (first,) = kept.glob("runs/*/provenance.json")
    run, before = first.parent.name, first.read_bytes()
    shutil.rmtree(content / "runs")  # with the machine

    result = session()
    assert result.returncode == 0, result.stderr[-4000:]
    assert first.read_bytes() == (content / "runs" / run / "provenance.json").read_bytes() == before
    places = [file.parent for file in kept.glob("runs/*/provenance.json")]
    assert len(places) == 4 and all((place / "snapshots" / "1.safetensors").is_file() for place in places)

    table = (kept / "figures" / "table1.md").read_text()
    assert "| L_dm + L_EWC + L_rel | 0.507 ± 0.016 |" in table and "| source, ψ = 1 |" in table
    assert {"fig4.png", "fig3a.svg", "fig3a.json"} <= set(os.listdir(kept / "figures"))
    executed = nbformat.read(content / "executed.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert {"rex.png"} == set(os.listdir(kept / "figures" / "edits" / "strength_1"))
    shown = [output.get("data", {}).get("text/html", "") for output in outputs]
    assert sum("L_dm + L_EWC + L_rel" in text for text in shown) == 1

    installed = {name for name in set(os.listdir(site)) - colabs if not name.startswith("__")}
    assert {name.partition("-")[0] for name in installed} == {"zsgan"}


def test_nothing_is_edited_where_nothing_was_uploaded(tmp_path, monkeypatch):
    """On Colab after *Cancel upload*, and elsewhere with an empty folder."""
    cells = [cell.source for cell in nbformat.reads(NOTEBOOK, as_version=4).cells]
    _, *section = cells[next(i for i, text in enumerate(cells) if text.startswith("### Pictures of")) :]
    code = "\n".join(text for text in section if "uploads" in text)
    assert "edit(" in code and "upload()" in code
    monkeypatch.chdir(tmp_path)
    colab = types.ModuleType("google.colab")
    colab.files = types.SimpleNamespace(upload=dict)
    for modules in ({}, {"google.colab": colab}):
        monkeypatch.setattr(sys, "modules", {**sys.modules, **modules})
        names = {"Path": Path, "sys": sys}  # and no edit, whose call would fail
        exec(code, names)
        assert not names["given"] and (tmp_path / "pictures").is_dir()


def test_the_page_says_what_the_profile_does():
    settings, page = load_profile("colab"), (notebooks.BOOK / "13_colab.md").read_text()
    (scenario,) = settings.scenarios
    steps = {settings.config(scenario, row).optimiser for row in settings.rows}
    (optimiser,) = steps
    assert f"{optimiser.iterations} steps a run at a learning rate of {optimiser.lr:g}" in page
    assert f"{settings.samples} images a row" in page and len(settings.seeds) == 1
