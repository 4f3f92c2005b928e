"""Where a result was made: the machine and the version of this package."""

import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import distribution, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def origin() -> dict[str, str | None]:
    """The machine's name, the package's version and its commit, for provenance; no result depends on them.

    Returns:
        "host", "zsgan" and "commit". The commit ends in "-dirty" if tracked files had changes, and is
        ``None`` if the package is neither in a clone that git can read nor installed from a repository.
    """
    return {"host": platform.node(), "zsgan": version("zsgan"), "commit": _commit()}


@cache
def _commit() -> str | None:
    if not (_ROOT / ".git").exists():  # a folder, or a file in a second work tree
        installed = json.loads(distribution("zsgan").read_text("direct_url.json") or "{}")
        found: str | None = installed.get("vcs_info", {}).get("commit_id")
        return found
    command = ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=60,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # else parallel runs would each rewrite the index
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None
