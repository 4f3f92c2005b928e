"""What lies in a folder of runs, read from small files alone, so that a list of runs appears at once."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from zsgan.base.files import read_json
from zsgan.runs.wording import row_in_words

_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Record:
    """What a folder says of its run.

    Attributes:
        place: the folder.
        state: "finished", "not finished", "damaged, set aside", or what else is wrong. Hashes are not
            compared, which takes long; :func:`zsgan.runs.verification.verify` does it.
        bytes: of all its files.
        config: its settings; empty if they cannot be read.
        made: its provenance; empty if it is not finished.
    """

    place: Path
    state: str
    bytes: int
    config: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Name of the folder, which is the run's id."""
        return self.place.name

    @property
    def line(self) -> dict[str, Any]:
        """What the run is, its state, and from where it came, for a list."""
        config, made = self.config, self.made
        written = time.localtime((self.place / "provenance.json").stat().st_mtime) if made else None
        return {
            "id": self.id,
            "texts": f"{config['source_text']} to {config['target_text']}" if config else "",
            "row": row_in_words(config) if config else "",
            "seed": config["seed"] if config else None,
            "steps": config["optimiser"]["iterations"] if config else None,
            "state": self.state,
            "seconds": made.get("seconds"),
            "bytes": self.bytes,
            "written": time.strftime("%Y-%m-%d %H:%M", written) if written else None,
            "host": made.get("host"),
            "device": made.get("device"),
            "torch": made.get("versions", {}).get("torch"),
            "zsgan": made.get("zsgan"),
            "commit": made.get("commit"),
        }


def records(folder: Path) -> list[Record]:
    """The runs in a folder, finished or not.

    Args:
        folder: folder of runs, which need not exist.

    Returns:
        a record for each folder with a configuration, in the order of names.
    """
    places = sorted(folder.iterdir()) if folder.is_dir() else []
    return [_record(place) for place in places if (place / "config.json").is_file()]


def find_run(name: str, runs: Path) -> Path:
    """The folder of a run.

    Args:
        name: the folder, the run's id, or the first characters of the id.
        runs: folder of runs.

    Returns:
        the folder.

    Raises:
        FileNotFoundError: no run has this name.
        ValueError: several ids start with it.
    """
    if name and Path(name).is_dir():
        return Path(name)
    ids = [record.id for record in records(runs)]
    found = [id_ for id_ in ids if id_ == name] or [id_ for id_ in ids if name and id_.startswith(name)]
    if len(found) > 1:
        raise ValueError(
            f"RUN={name!r} begins {len(found)} ids in {runs}: {', '.join(found)}; give more of one"
        )
    if not found:
        close = ", ".join(get_close_matches(name, ids)) or "zsgan runs list shows them"
        raise FileNotFoundError(f"RUN={name!r} is no folder, and no run in {runs} has such an id ({close})")
    return runs / found[0]


def is_id(name: str) -> bool:
    """Whether a name is one that :func:`zsgan.runs.identity.run_id` gives."""
    return _ID.fullmatch(name) is not None


def size(place: Path) -> int:
    """Bytes of all files in a folder; 0 if there is none."""
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file())


def _record(place: Path) -> Record:
    found = Record(place, "damaged, or of another program", size(place))
    try:
        config = read_json(place / "config.json")
        _ = row_in_words(config), config["seed"], config["optimiser"]["iterations"]
        _ = config["source_text"], config["target_text"]
    except (ValueError, KeyError, TypeError):
        return found
    if ".damaged-" in place.name:
        return Record(place, "damaged, set aside", found.bytes, config)
    if not (place / "provenance.json").exists():
        return Record(place, "not finished", found.bytes, config)
    try:
        made = read_json(place / "provenance.json")
        whole = made["id"] == place.name and read_json(place / "history.json")
    except (ValueError, KeyError, TypeError):
        whole = False
    return (
        Record(place, "finished", found.bytes, config, made)
        if whole
        else Record(place, "damaged", found.bytes, config)
    )
