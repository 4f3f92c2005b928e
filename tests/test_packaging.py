import ast
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
# name==1.2 ; marker \
#     --hash=sha256:...
PINNED = dict(re.findall(r"^([a-z0-9-]+)==([^ \n]+)", LOCK, flags=re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(requirement).name) for requirement in requirements}


# The lock and its relatives


def test_the_lock_satisfies_the_project_with_every_extra():
    for line in PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra]:
        requirement = Requirement(line)
        pinned = PINNED.get(canonicalize_name(requirement.name))
        assert pinned is not None, (
            f"{line} is not in requirements.lock; make the lock with the command in its header"
        )
        assert pinned in requirement.specifier, (
            f"requirements.lock pins {requirement.name} {pinned}, not {line}"
        )


def test_every_locked_package_has_hashes_and_none_has_an_address():
    entries = [
        entry for entry in re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE) if entry.strip() and entry[0] != "#"
    ]
    assert len(entries) == len(PINNED) > 100
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ (; .+)?\\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n)+", entry), entry
    assert "://" not in LOCK
    assert " @ " not in LOCK


def test_the_lock_was_made_for_the_oldest_python_and_every_platform():
    command = LOCK.splitlines()[1]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    for option in ("--universal", f"--python-version {oldest}", "--generate-hashes", "--all-extras"):
        assert option in command


def test_the_library_never_pins_a_version():
    for line in PROJECT["dependencies"]:
        assert {clause.operator for clause in Requirement(line).specifier} == {">="}, line


def test_the_conda_environment_is_the_locked_one():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, locked = environment["dependencies"]
    assert environment["name"] == PROJECT["name"]
    assert python == f"python{PROJECT['requires-python']}"
    assert pip == "pip"
    assert locked == {"pip": ["-r requirements.lock"]}


def test_every_import_of_the_package_is_declared():
    """What is imported comes from a declared package, not from one that another happens to bring along."""
    distributions = packages_distributions()
    for file in (ROOT / "zsgan").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
        tops = {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) - {"zsgan"}
        allowed = names(PROJECT["dependencies"] + (EXTRAS["book"] if "book" in file.parts else []))
        for top in tops:
            owners = {canonicalize_name(owner) for owner in distributions[top]}
            assert owners & allowed, f"{file.name} imports {top}, which is not declared"


# What the project says of itself


def test_the_citation_names_this_work_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    (paper,) = citation["references"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Jeon",
        "Liu",
        "Lee",
        "Hong",
        "Fu",
        "Byun",
    ]
    assert (paper["year"], paper["start"], paper["end"]) == (2023, 7258, 7267)
    assert paper["identifiers"][0]["value"] == "arXiv:2308.10554"


def test_a_codechecker_is_told_which_results_to_make_again():
    check = yaml.safe_load((ROOT / "codecheck.yml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    (paper,) = citation["references"]
    assert check["paper"]["title"] == paper["title"]
    assert [author["name"] for author in check["paper"]["authors"]] == [
        f"{author['given-names']} {author['family-names']}" for author in paper["authors"]
    ]
    assert check["paper"]["reference"].endswith(paper["identifiers"][0]["value"].removeprefix("arXiv:"))
    assert all((ROOT / result["file"]).is_file() and result["comment"] for result in check["manifest"])


def test_binder_installs_the_locked_environment():
    at_the_top, binders = (
        yaml.safe_load((ROOT / place / "environment.yml").read_text(encoding="utf-8"))
        for place in (".", ".binder")
    )
    *rest, locked = binders.pop("dependencies")
    assert (binders, rest) == (
        {key: at_the_top[key] for key in ("name", "channels")},
        at_the_top["dependencies"][:-1],
    )
    (line,) = locked["pip"]
    assert (ROOT / ".binder" / line.removeprefix("-r ")).resolve() == ROOT / "requirements.lock"
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)


def test_the_licence_is_there():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith("MIT License\n\nCopyright (c) 2026 The zsgan authors\n")


def test_a_wheel_has_everything_that_the_package_reads(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("zsgan-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    kinds = {".py", ".json", ".yaml", ".safetensors", ".txt", ".typed", ".png"}
    needed = {file for file in (ROOT / "zsgan").rglob("*") if file.suffix in kinds}
    assert {file.relative_to(ROOT).as_posix() for file in needed} <= packed
    assert (tmp_path / "site" / "zsgan" / "data_manifest.yaml").read_bytes() == (
        ROOT / "data_manifest.yaml"
    ).read_bytes()
    verify = "from zsgan.assets import manifest; "
    verify += "print(manifest.ROOT, *(manifest.path(n) for n, a in manifest.assets().items() if not a.urls))"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    result = subprocess.run(
        [sys.executable, "-c", verify], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert all(path.startswith(str((tmp_path / "site").resolve())) for path in result.stdout.split())


# .ci/env.py, which makes the environment


@pytest.fixture
def env():
    spec = importlib.util.spec_from_file_location("env", ROOT / ".ci" / "env.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    (tmp_path / "requirements.lock").write_text(LOCK)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return tmp_path


@pytest.fixture
def steps(env, monkeypatch):
    """The steps that an installation takes; none is carried out, and a new environment is only a Python."""
    taken: list[str] = []

    class Builder:
        def __init__(self, *, clear, symlinks, with_pip):
            assert clear and with_pip

        def create(self, folder):
            taken.append("new")
            (folder / env.SCRIPTS).mkdir(parents=True, exist_ok=True)
            python = folder / env.SCRIPTS / "python"
            python.unlink(missing_ok=True)
            python.symlink_to(sys.executable)

    monkeypatch.setattr(env.venv, "EnvBuilder", Builder)
    monkeypatch.setattr(
        env.Environment, "run", lambda self, module, verb, *rest: taken.append(f"{module} {verb}")
    )
    return taken


INSTALL = ["pip install", "uv pip", "uv pip"]


def test_an_environment_is_made_once(env, project, steps):
    environment = env.Environment(project)
    assert environment.found == ""
    environment.update()
    assert environment.found == environment.expected
    assert steps == ["new", *INSTALL]


@pytest.mark.parametrize("name", ["requirements.lock", "pyproject.toml"])
def test_a_changed_input_updates_the_environment_in_place(env, project, steps, name):
    environment = env.Environment(project)
    environment.update()
    with (project / name).open("a") as file:
        file.write("# another\n")
    assert environment.found != environment.expected
    steps.clear()
    environment.update()
    assert steps == INSTALL
    assert environment.found == environment.expected


def test_an_interrupted_installation_is_begun_anew(env, project, steps, monkeypatch):
    environment = env.Environment(project)
    environment.update()
    (project / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    with monkeypatch.context() as context:
        context.setattr(env.Environment, "run", lambda *_: sys.exit("no network"))
        with pytest.raises(SystemExit, match="no network"):
            environment.update()
    assert environment.found == ""
    steps.clear()
    environment.update()
    assert steps == ["new", *INSTALL]


def test_a_moved_folder_or_a_lost_python_needs_a_new_environment(env, project, steps, tmp_path_factory):
    env.Environment(project).update()
    moved = env.Environment(project.rename(tmp_path_factory.mktemp("elsewhere") / "project"))
    assert moved.found != moved.expected
    steps.clear()
    moved.update()
    assert steps == ["new", *INSTALL]
    python = moved.scripts / "python"
    python.unlink()
    python.symlink_to(project / "removed")
    assert moved.found == ""


def test_the_installer_itself_is_pinned(env):
    entry = env.locked("uv", LOCK)
    assert re.match(rf"uv=={re.escape(PINNED['uv'])} \\\n(    --hash=sha256:\w{{64}}( \\)?\n)+$", entry)
    with pytest.raises(SystemExit, match="does not pin 'nothing'"):
        env.locked("nothing", LOCK)


def test_a_failing_step_is_reported(env, project, capfd):
    environment = env.Environment(project)
    environment.scripts.mkdir(parents=True)
    (environment.scripts / "python").symlink_to(sys.executable)
    with pytest.raises(SystemExit, match="The installation into .venv failed"):
        environment.run("no_such_module", "install")
    assert "no_such_module" in capfd.readouterr().err


def test_an_old_python_is_told_which_one_is_needed(env, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    monkeypatch.setattr(sys, "version", "3.10.4 (main)")
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer, and .* is 3\.10\.4\."):
        env.__spec__.loader.exec_module(env)


def test_a_command_runs_in_a_ready_environment(env, project, steps):
    environment = env.Environment(project)
    environment.update()
    (project / ".ci").mkdir()
    script = project / ".ci" / "env.py"
    script.write_bytes((ROOT / ".ci" / "env.py").read_bytes())
    program = "import os, sys; print(os.environ['VIRTUAL_ENV'], sys.argv[1:]); sys.exit(7)"
    command = [sys.executable, script, "python", "-c", program, "a b", "--flag"]
    result = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert result.stdout == f"{environment.folder} ['a b', '--flag']\n"
    assert (result.returncode, result.stderr) == (7, "")
    result = subprocess.run([sys.executable, script, "no-such-command"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "no command 'no-such-command' in .venv" in result.stderr
    result = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert "python3 .ci/env.py pytest" in result.stderr
