"""The walks of the page "Architecture" are short, complete, and those that a call takes."""

import ast
import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from pkgutil import resolve_name

import pytest

from zsgan import cli
from zsgan.adaptation import terms
from zsgan.adaptation.config import Moment
from zsgan.book.architecture import WALKS

SETTING, IMAGE = WALKS
NAME, VALUE = "moment.lambda_cov", "1.2345"
MOST = {SETTING: 15, IMAGE: 18}
"""Modules to open, at most, in order to follow a setting or an image."""

each_walk = pytest.mark.parametrize("walk", WALKS)


class Reached(BaseException):
    """Raised in the place of the loss."""


def module_of(call):
    return call.partition(":")[0]


def used_by(module):
    """Modules whose names a module imports, also those that a package passes on."""
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(import_module(module)))):
        if not isinstance(node, ast.ImportFrom) or not node.module.startswith("zsgan"):
            continue
        for alias in node.names:
            thing = resolve_name(f"{node.module}.{alias.name}")
            here = thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", None)
            found |= {node.module, here}
    return found


@each_walk
def test_every_step_is_defined_where_the_walk_says(walk):
    for call in WALKS[walk]:
        assert getattr(resolve_name(call), "__module__", module_of(call)) == module_of(call)


@each_walk
def test_every_step_is_used_by_one_before_it(walk):
    used = {module_of(WALKS[walk][0])}
    for call in WALKS[walk]:
        assert module_of(call) in used, f"no step before {call} uses its module"
        used |= used_by(module_of(call))


@each_walk
def test_a_walk_is_short(walk):
    assert len({module_of(call) for call in WALKS[walk]}) <= MOST[walk]


def test_a_name_is_used_from_where_it_is_defined():
    assert "zsgan.metrics.frechet" not in used_by("zsgan.cli")
    assert "zsgan.metrics.frechet" in used_by("zsgan.evaluation.judges")


def holds(value):
    """Whether an argument is the setting itself, rather than a whole configuration."""
    match value:
        case str() | list():
            return value in (VALUE, f"{NAME}={VALUE}") or f"{NAME}={VALUE}" in value
        case Mapping():
            return NAME in value
    return isinstance(value, Moment)


def test_the_walk_of_a_setting_is_complete_and_short(tmp_path, monkeypatch):
    """Modules that are given the setting itself, and those that call each other on the way to the loss."""
    seen = set()

    def look(frame, *_):
        module = frame.f_globals.get("__name__", "")
        if module.startswith("zsgan.") and any(map(holds, frame.f_locals.values())):
            seen.add(module)

    def reached(*_):
        sys.settrace(None)
        frame = sys._getframe()
        while frame := frame.f_back:
            module = frame.f_globals.get("__name__", "")
            if module.startswith("zsgan."):
                seen.add(module)
        raise Reached

    monkeypatch.setattr(terms, "directional_moment_loss", reached)
    command = ["adapt", "--source", "dog", "--text", "cat", "--profile", "smoke", "--row", "L_dm"]
    command += ["--set", "stage1.iterations=1", "--iterations", "1"]
    before = sys.gettrace()
    sys.settrace(look)
    try:
        with pytest.raises(Reached):
            cli.main([*command, "--set", f"{NAME}={VALUE}", "--runs", str(tmp_path), "--quiet"])
    finally:
        sys.settrace(before)
    found = {module_of(call) for call in WALKS[SETTING]}
    assert seen - found == set(), "the walk leaves these out"
    assert found - seen == {"zsgan.runs.identity", "zsgan.method.losses"}  # a job; replaced above
