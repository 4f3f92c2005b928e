"""The walks of the page "Architecture": every step exists, and a step before it uses its module."""

import ast
import inspect
from importlib import import_module
from pkgutil import resolve_name

import pytest

from zsgan.book.architecture import WALKS

MOST = 18
"""Modules to open, at most, in order to follow a setting or an image."""

walk = pytest.mark.parametrize("calls", WALKS.values(), ids=list(WALKS))


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


@walk
def test_every_step_is_defined_where_the_walk_says(calls):
    for call in calls:
        assert getattr(resolve_name(call), "__module__", module_of(call)) == module_of(call)


@walk
def test_every_step_is_used_by_one_before_it(calls):
    used = {module_of(calls[0])}
    for call in calls:
        assert module_of(call) in used, f"no step before {call} uses its module"
        used |= used_by(module_of(call))


@walk
def test_a_walk_is_short(calls):
    assert len({module_of(call) for call in calls}) <= MOST


def test_a_name_is_used_from_where_it_is_defined():
    assert "zsgan.metrics.frechet" not in used_by("zsgan.cli")
    assert "zsgan.metrics.frechet" in used_by("zsgan.evaluation.judges")
