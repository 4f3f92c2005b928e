"""The package's shape, read from its source: who imports whom, and how long the modules are."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from zsgan.book.architecture import FOLDERS, TOP

PACKAGE = Path(__file__).resolve().parents[1] / "zsgan"

LONGEST = 300
LONGER = {
    "cli": "the options of all commands side by side",
    "networks.stylegan2.generator": "the synthesis network in one file, as its readers know it",
    "menagerie.draw": "the drawing of one animal from nose to tail",
}


def name_of(file: Path) -> str:
    """``stylegan2.generator`` for zsgan/stylegan2/generator.py; the empty name for zsgan/__init__.py."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def imported(module: str) -> set[str]:
    """The package's modules that a module imports, wherever in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: write zsgan. in full"
            # `from zsgan import clip` imports the module clip, `from zsgan.networks.clip import load_clip`
            # too
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            found = {name for name in modules if name.removeprefix("zsgan.") in MODULES}
            names |= found or {str(node.module)}
    return {name.removeprefix("zsgan").removeprefix(".") for name in names if name.split(".")[0] == "zsgan"}


def place(module: str) -> int:
    """How far from the ground a module stands: the place of its folder, or of itself above all folders."""
    return (*FOLDERS, *TOP).index(module.partition(".")[0])


def test_every_folder_has_its_place():
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders == set(FOLDERS)
    assert {file.stem for file in PACKAGE.glob("*.py")} == {*TOP, "__init__"}


@pytest.mark.parametrize("module", [module for module in MODULES if module])
def test_imports_go_one_way(module):
    back = {other for other in imported(module) if other == "" or place(other) > place(module)}
    assert not back, f"zsgan.{module} imports what stands above it: {back}"


def test_no_modules_import_each_other():
    graph = {module: imported(module) - {module} for module in MODULES}
    TopologicalSorter(graph).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_read_in_one_sitting(module):
    lines = len(MODULES[module].read_text(encoding="utf-8").splitlines())
    if module in LONGER:
        assert lines > LONGEST, f"zsgan.{module} is short enough now; take it from LONGER"
    else:
        assert lines <= LONGEST, f"zsgan.{module} has {lines} lines; divide it, or say in LONGER why not"


@pytest.mark.parametrize("module", [module for module in MODULES if module != "cli"])
def test_the_library_does_not_print(module):
    names = ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8")))
    printed = [node.lineno for node in names if isinstance(node, ast.Name) and node.id == "print"]
    assert not printed, f"zsgan.{module} prints in lines {printed}; use the module's logger"
