"""Snakemake in a folder with a plan."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zsgan.assets.manifest import ROOT
from zsgan.commands import planning
from zsgan.runs.row_costs import Meter, RowCosts

SCRIPTS = Path(sys.executable).parent
WORKFLOW = ROOT / "book" / "workflow"
PATIENCE = 900
"""Seconds after which something hangs; a machine may be slow, and have other work."""


def planned(place: Path, profile: str) -> dict:
    """Write ``plan.json``; no time is measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(
            Meter, "row", lambda meter, config: RowCosts(step=0.1, texts=1.0, source=0.1, fisher=1.0)
        )
        patch.setattr(planning, "look_seconds", lambda *_: {"images": 1.0, "lpips": 1.0})
        found = planning.plan(profile, {}, folder=Path("runs")).content()
        Path("plan.json").write_text(json.dumps(found))
    return found


def engine(place: Path, profile: str, *options: object, commands: Path | None = None) -> subprocess.Popen:
    """Start Snakemake with a profile of ours; what it says goes to engine.log.

    Commands in the folder ``commands`` come before any others.
    """
    command = [
        sys.executable, "-m", "snakemake", "-s", WORKFLOW / "Snakefile",
        "--workflow-profile", WORKFLOW / "profiles" / profile, *options,
    ]  # fmt: skip
    path = os.pathsep.join([*([str(commands)] if commands else []), str(SCRIPTS), os.environ["PATH"]])
    given = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}
    with (place / "engine.log").open("ab") as log:
        return subprocess.Popen(
            list(map(str, command)), cwd=place, env=given, stdout=log, stderr=log, start_new_session=True
        )


def ended(process: subprocess.Popen, place: Path) -> None:
    """Wait until an engine has succeeded."""
    try:
        process.wait(PATIENCE)
    finally:
        process.kill()
    assert process.returncode == 0, (place / "engine.log").read_text()[-6000:]
