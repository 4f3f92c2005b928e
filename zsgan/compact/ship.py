"""A gallery that ships with its profile: table, pictures and some of its files, which the manifest names.

``python -m zsgan.compact.ship FOLDER SCENARIO...`` copies them from a folder of ``zsgan gallery``.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from zsgan.assets.manifest import Asset, record
from zsgan.base.files import write_atomically
from zsgan.compact.gallery import FILES, read_gallery
from zsgan.report.shipped import summary_folder


def ship(folder: Path, scenarios: Sequence[str], place: Path | None = None) -> list[Asset]:
    """Copy a gallery to the folder of its profile's summary, and name its files in the manifest.

    Args:
        folder: a folder of :func:`zsgan.compact.gallery.make_gallery`.
        scenarios: scenarios whose files are copied, too.
        place: where to, inside the project; by default where the profile's measurements ship.

    Returns:
        the manifest's entries of the copied files.

    Raises:
        FileNotFoundError: the folder is no gallery, or has no file of a scenario.
    """
    made_by = read_gallery(folder).provenance
    profile = made_by["profile"]
    place = summary_folder(profile) if place is None else place
    files = {scenario: f"{scenario}.safetensors" for scenario in scenarios}
    for name in (*FILES, *files.values()):
        write_atomically(place / name, (folder / name).read_bytes())
    return [
        record(
            place / file,
            name=f"{profile}-{scenario}",
            seed=made_by["seed"],
            description=f"Adaptation {scenario} of profile {profile}, at low rank, for the page Gallery",
            command=f"zsgan gallery --profile {profile} --max-kb {made_by['max_kb']:g} "
            f"--steps {made_by['steps']} --out gallery",
        )
        for scenario, file in files.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    """Ship a gallery."""
    parser = argparse.ArgumentParser(prog="python -m zsgan.compact.ship", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder of zsgan gallery")
    parser.add_argument("scenarios", nargs="*", help="scenarios whose files ship")
    options = parser.parse_args(arguments)
    ship(options.folder, options.scenarios)


if __name__ == "__main__":
    main()
