"""The walks of the page "Architecture" are those that a call takes."""

import ast
import importlib
import inspect
import sys
from collections.abc import Mapping

import pytest

from zsgan import cli
from zsgan.adaptation import terms
from zsgan.adaptation.config import Moment
from zsgan.book.architecture import WALKS

SETTING, IMAGE = WALKS
NAME, VALUE = "moment.lambda_cov", "1.2345"


class Reached(BaseException):
    """Raised in the place of the loss."""


def modules(walk):
    return list(dict.fromkeys(call.partition(":")[0] for call in WALKS[walk]))


@pytest.mark.parametrize("walk", WALKS)
def test_every_module_of_a_walk_is_imported_by_one_before_it(walk):
    known = {modules(walk)[0]}
    for call in WALKS[walk]:
        module, _, function = call.partition(":")
        place = importlib.import_module(module)
        for part in function.split("."):
            place = getattr(place, part)  # or the walk names what does not exist
        assert module in known, f"nothing before {call} imports its module"
        nodes = ast.walk(ast.parse(inspect.getsource(sys.modules[module])))
        known |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


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

    monkeypatch.setattr(terms, "moment_terms", reached)
    command = ["adapt", "--source", "dog", "--text", "cat", "--profile", "smoke", "--row", "L_dm"]
    command += ["--set", "stage1.iterations=1", "--iterations", "1"]
    sys.settrace(look)
    try:
        with pytest.raises(Reached):
            cli.main([*command, "--set", f"{NAME}={VALUE}", "--runs", str(tmp_path), "--quiet"])
    finally:
        sys.settrace(None)
    found = {*modules(SETTING)}
    assert seen - found == set(), "the walk leaves these out"
    assert found - seen == {"zsgan.runs.identity", "zsgan.method.losses"}  # a job; replaced above
    assert len(found) <= 15
