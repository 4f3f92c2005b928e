"""A gallery that ships with its profile: table, pictures and some of its files, which the manifest names.

``python -m zsgan.compact.ship FOLDER SCENARIO...`` copies them from a folder of ``zsgan gallery``.
"""

import argparse
import inspect
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zsgan.assets.manifest import Asset, record
from zsgan.base.files import write_atomically
from zsgan.compact.gallery import FILES, make_gallery, read_gallery
from zsgan.networks.differences import load_differences
from zsgan.report.shipped import summary_folder
from zsgan.runs.profiles import load_profile


def ship(folder: Path, scenarios: Sequence[str], place: Path | None = None) -> list[Asset]:
    """Copy a gallery to the folder of its profile's summary, and name its files in the manifest.

    All files are checked before the first is copied.

    Args:
        folder: a folder of :func:`zsgan.compact.gallery.make_gallery`.
        scenarios: scenarios whose files are copied, too.
        place: where to, inside the project; by default where the profile's measurements ship.

    Returns:
        the manifest's entries of the copied files. Their seed is that of the file's fit, which the file
        states; the run's seed is one of the profile's.

    Raises:
        FileNotFoundError: the folder is no gallery, or lacks one of its files or that of a scenario.
        ValueError: a file was made with other settings than the gallery's table.
    """
    made_by = read_gallery(folder).provenance
    profile = made_by["profile"]
    place = summary_folder(profile) if place is None else place
    files = {scenario: f"{scenario}.safetensors" for scenario in scenarios}
    seeds = {scenario: _seed_of(folder / file, made_by) for scenario, file in files.items()}
    command = command_of(made_by)
    for name in (*FILES, *files.values()):
        write_atomically(place / name, (folder / name).read_bytes())
    return [
        record(
            place / file,
            name=f"{profile}-{scenario}",
            seed=seeds[scenario],
            description=f"Adaptation {scenario} of profile {profile}, at low rank, for the page Gallery",
            command=command,
        )
        for scenario, file in files.items()
    ]


def command_of(made_by: Mapping[str, Any]) -> str:
    """The command that makes a gallery.

    Args:
        made_by: its provenance.

    Returns:
        the command line: profile, size and steps always, row and number of images if they are not the
        command's defaults.
    """
    words = ["zsgan", "gallery", "--profile", made_by["profile"]]
    if made_by["row"] != list(load_profile(made_by["profile"]).rows)[-1]:
        words += ["--row", made_by["row"]]
    words += ["--max-kb", f"{made_by['max_kb']:g}", "--steps", f"{made_by['steps']}"]
    if made_by["n"] != inspect.signature(make_gallery).parameters["n"].default:
        words += ["--n", f"{made_by['n']}"]
    return shlex.join([*words, "--out", "gallery"])


def _seed_of(file: Path, made_by: Mapping[str, Any]) -> int:
    """Seed of a file's fit, if the file belongs to the gallery."""
    stored = load_differences(file) if file.is_file() else None
    if stored is None:
        known = ", ".join(sorted(one.stem for one in file.parent.glob("*.safetensors"))) or "none"
        raise FileNotFoundError(
            f"{file.parent} has no file of scenario {file.stem!r}; its scenarios: {known}"
        )
    other = [key for key in ("max_kb", "steps", "n") if stored.provenance[key] != made_by[key]]
    if other or stored.provenance["run"] not in made_by["runs"]:
        raise ValueError(
            f"{file} was made with another {' and '.join(other) or 'run'} than gallery.json says; run zsgan "
            "gallery to its end first"
        )
    return int(stored.provenance["seed"])


def main(arguments: list[str] | None = None) -> None:
    """Ship a gallery."""
    parser = argparse.ArgumentParser(prog="python -m zsgan.compact.ship", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder of zsgan gallery")
    parser.add_argument("scenarios", nargs="*", help="scenarios whose files ship")
    options = parser.parse_args(arguments)
    ship(options.folder, options.scenarios)


if __name__ == "__main__":
    main()
