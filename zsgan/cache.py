"""What is expensive to make and determined by its key, kept in a folder: made once, by whoever asks first."""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zsgan.files import versions, write_json
from zsgan.tensors import save_tensors

log = logging.getLogger(__name__)

JSON = Any
"""What json.dumps takes: numbers (nan too), text, booleans, null, lists, and mappings from text."""

Value = TypeVar("Value")


class Cache:
    """A folder of results, each in a file that is named by the hash of its key and holds the key.

    The key must name all that determines the result: settings, hashes of weights, a version of the code.

    Args:
        folder: where the files lie; made when the first is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, key: Mapping[str, JSON], make: Callable[[], JSON]) -> JSON:
        """The value of ``key``, as JSON gives it back (a tuple comes as a list).

        Args:
            key: what determines the value; must be JSON.
            make: called only when the value is not there; no other process makes it meanwhile.

        Returns:
            what ``make`` gave, now or when the value was made.
        """
        return self._kept(
            key, ".json", lambda path: write_json(path, {"key": key, "value": make()}), _read_json
        )

    def tensors(self, key: Mapping[str, JSON], make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of ``key`` by name, of any shapes, with the types that they were made in, on the CPU.

        Args:
            key: what determines the tensors; must be JSON.
            make: called only when they are not there; no other process makes them meanwhile.

        Returns:
            what ``make`` gave, now or when the tensors were made.
        """

        def write(path: Path) -> None:
            save_tensors(make(), path, config=key, provenance={"versions": versions()})

        return self._kept(key, ".safetensors", write, _read_tensors)

    def _kept(
        self,
        key: Mapping[str, JSON],
        ending: str,
        write: Callable[[Path], None],
        read: Callable[[Path], tuple[JSON, Value]],
    ) -> Value:
        text = json.dumps(key, sort_keys=True)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}{ending}"
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if path.exists():
                try:
                    found, value = read(path)
                    if json.dumps(found, sort_keys=True) == text:
                        return value
                    reason = "it holds another key"
                except (ValueError, KeyError, TypeError, SafetensorError) as error:
                    reason = str(error)
                aside = path.rename(f"{path}.damaged")
                log.warning("%s is damaged (%s): set aside as %s and made again", path, reason, aside.name)
            write(path)
            return read(path)[1]


def _read_json(path: Path) -> tuple[JSON, JSON]:
    content = json.loads(path.read_text(encoding="utf-8"))
    return content["key"], content["value"]


def _read_tensors(path: Path) -> tuple[JSON, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        return json.loads((file.metadata() or {})["config"]), tensors
