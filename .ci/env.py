#!/usr/bin/env python3
"""Run a command in the project's own environment, and make that environment first where it is missing.

    python3 .ci/env.py zsgan reproduce --profile demo
    python3 .ci/env.py pytest

The environment is the folder .venv beside pyproject.toml, filled from requirements.lock, where every package
has its hash. It is made once, updated when the lock or pyproject.toml changes, and made anew when an
installation was cut short or the folder was moved. Needs nothing but Python's standard library.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 (this file is what tells the reader so)
    sys.exit(
        f"zsgan needs Python 3.11 or newer, and {sys.executable} is {sys.version.split()[0]}. "
        "Name a newer one in the command, for example: python3.12 .ci/env.py ..."
    )

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = "Scripts" if os.name == "nt" else "bin"


class Environment:
    """The folder ``root/.venv`` and the file in it that says whether it is complete."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / ".venv"
        self.scripts = self.folder / SCRIPTS
        self.marker = self.folder / "complete"

    @property
    def expected(self) -> str:
        """What the marker says when all is well: the place (scripts hold their path) and the inputs' hash."""
        inputs = [(self.root / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
        digest = hashlib.sha256(b"\0".join(inputs)).hexdigest()
        return f"{self.root}\n{digest}\n"

    @property
    def found(self) -> str:
        """What the marker says; empty when an installation is missing, unfinished or has lost its Python."""
        usable = shutil.which("python", path=str(self.scripts)) is not None and self.marker.is_file()
        return self.marker.read_text(encoding="utf-8") if usable else ""

    def update(self) -> None:
        """Make the environment what the lock says. The marker goes first and comes back last."""
        if not self.found.startswith(f"{self.root}\n"):
            if importlib.util.find_spec("ensurepip") is None:
                sys.exit("This Python cannot make environments. On Debian, Ubuntu: apt install python3-venv")
            venv.EnvBuilder(clear=True, symlinks=os.name != "nt", with_pip=True).create(self.folder)
        self.marker.unlink(missing_ok=True)
        lock = self.root / "requirements.lock"
        with tempfile.TemporaryDirectory() as scratch:
            uv_only = Path(scratch, "uv.lock")
            uv_only.write_text(locked("uv", lock.read_text(encoding="utf-8")), encoding="utf-8")
            self.run("pip", "install", "-q", "--disable-pip-version-check", "--require-hashes", "-r", uv_only)
        # Compiled once here, with all cores: no process has to do it while it imports torch and the rest.
        self.run("uv", "pip", "sync", "--compile-bytecode", "--require-hashes", lock)
        self.run("uv", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", self.root)
        self.marker.write_text(self.expected, encoding="utf-8")

    def run(self, module: str, *arguments: object) -> None:
        """Run a module of the environment; all it says goes to stderr, as stdout is the user's command's."""
        command = [str(self.scripts / "python"), "-m", module, *map(str, arguments)]
        variables = {"UV_SYSTEM_CERTS": "true", **self.variables}  # trust what pip and git trust
        if subprocess.run(command, env=variables, stdout=sys.stderr).returncode != 0:
            sys.exit("The installation into .venv failed, as said above. The next call begins it anew.")

    @property
    def variables(self) -> dict[str, str]:
        """The variables of an activated environment."""
        path = os.pathsep.join([str(self.scripts), os.environ.get("PATH", os.defpath)])
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        return {**inherited, "VIRTUAL_ENV": str(self.folder), "PATH": path}


def locked(package: str, lock: str) -> str:
    """The lines of ``lock`` that pin ``package``: its version and hashes."""
    entry = re.search(rf"^{re.escape(package)}==.*\n(?:[ \t]+--hash=.*\n)+", lock, flags=re.MULTILINE)
    if entry is None:
        sys.exit(f"requirements.lock does not pin {package!r}. Make it with the command in its header.")
    return entry.group()


def main(arguments: list[str], root: Path = ROOT) -> None:
    """Run ``arguments`` in the environment of ``root``; the process ends with their exit code."""
    if not arguments:
        sys.exit(__doc__)
    environment = Environment(root)
    if environment.found != environment.expected:
        sys.stderr.write("Installing the locked packages into .venv (some GB, mostly torch) ...\n")
        environment.update()
    variables = environment.variables
    program = shutil.which(arguments[0], path=variables["PATH"])
    if program is None:
        sys.exit(f"There is no command {arguments[0]!r} in .venv. Try zsgan, pytest or python.")
    if os.name == "nt":
        sys.exit(subprocess.run([program, *arguments[1:]], env=variables).returncode)
    os.execve(program, [program, *arguments[1:]], variables)  # becomes the command: signals reach it directly


if __name__ == "__main__":
    main(sys.argv[1:])
