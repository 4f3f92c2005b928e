"""A cache on disk for expensive results that a key determines; the first process to ask makes them."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zsgan.base.files import versions, write_json
from zsgan.base.tensors import content_hash, save_tensors

log = logging.getLogger(__name__)

JSON = Any
"""A value that json.dumps accepts: numbers (also nan), text, booleans, null, lists, mappings from text."""

Value = TypeVar("Value")


class Cache:
    """A folder of results. Each file is named by the hash of its key, and holds the key and the result.

    A file whose content does not match its stored hash is set aside, and its result is made again.

    The key must contain everything that determines the result: settings, hashes of weights, a version of
    the code.

    Args:
        folder: the folder of the files; created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def json(self, key: Mapping[str, JSON], make: Callable[[], JSON]) -> JSON:
        """The value of ``key``, after a round trip through JSON (tuples become lists).

        Args:
            key: everything that determines the value; must be JSON.
            make: makes the value; called only if it is not cached, and by one process at a time.

        Returns:
            the result of ``make``, new or cached.
        """

        def write(path: Path) -> None:
            value = make()
            write_json(path, {"key": key, "value": value, "sha256": _json_hash(value)})

        return self._kept(key, ".json", write, _read_json)

    def has_json(self, key: Mapping[str, JSON]) -> bool:
        """Whether there is a file of the value of ``key``, which is not read."""
        return self._path(key, ".json").exists()

    def tensors(self, key: Mapping[str, JSON], make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors of ``key`` by name, of any shape, in their original dtype, on the CPU.

        Args:
            key: everything that determines the tensors; must be JSON.
            make: makes the tensors; called only if they are not cached, and by one process at a time.

        Returns:
            the result of ``make``, new or cached.
        """

        def write(path: Path) -> None:
            tensors = make()
            provenance = {"versions": versions(), "sha256": content_hash(tensors)}
            save_tensors(tensors, path, config=key, provenance=provenance)

        return self._kept(key, ".safetensors", write, _read_tensors)

    def unfinished(self, key: Mapping[str, JSON]) -> Path:
        """Folder for the unfinished work of ``make``, see :func:`zsgan.base.loop.loop`.

        It is deleted once the result is cached.

        Args:
            key: see :meth:`tensors`.

        Returns:
            the folder, which may not exist yet.
        """
        return self._path(key, ".unfinished")

    def _path(self, key: Mapping[str, JSON], ending: str) -> Path:
        return self.folder / f"{hashlib.sha256(_text(key).encode()).hexdigest()[:32]}{ending}"

    def _kept(
        self,
        key: Mapping[str, JSON],
        ending: str,
        write: Callable[[Path], None],
        read: Callable[[Path], tuple[JSON, Value]],
    ) -> Value:
        path = self._path(key, ending)
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if path.exists():
                try:
                    found, value = read(path)
                    if _text(found) == _text(key):
                        return value
                    reason = "it holds another key"
                except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
                    reason = str(error)
                aside = path.rename(f"{path}.damaged")
                log.warning("%s is damaged (%s): set aside as %s and made again", path, reason, aside.name)
            write(path)
            shutil.rmtree(self.unfinished(key), ignore_errors=True)
            return read(path)[1]


def _text(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


def _json_hash(value: JSON) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _compare(known: Mapping[str, JSON], now: str) -> None:
    """Raise a ValueError if the stored hash differs from the present one; early entries have no hash."""
    if known.get("sha256", now) != now:
        raise ValueError("its content is not what was written")


def _read_json(path: Path) -> tuple[JSON, JSON]:
    content = json.loads(path.read_text(encoding="utf-8"))
    if unknown := content.keys() - {"key", "value", "sha256"}:
        raise ValueError(f"it holds {', '.join(map(repr, unknown))}")
    _compare(content, _json_hash(content["value"]))
    return content["key"], content["value"]


def _read_tensors(path: Path) -> tuple[JSON, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        header = file.metadata() or {}
    known = json.loads(header["provenance"])
    if unknown := known.keys() - {"versions", "sha256"}:
        raise ValueError(f"it holds {', '.join(map(repr, unknown))}")
    _compare(known, content_hash(tensors))
    return json.loads(header["config"]), tensors
