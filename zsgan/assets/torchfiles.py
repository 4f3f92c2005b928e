"""Safe readers of ``torch.save`` files, zip or the older container, based on ``zsgan.assets.pickles``.

Tensors are loaded on demand, so that unused parts of a checkpoint (optimisers, discriminators) take no
memory.
"""

import io
import math
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import IO, Any

import torch
from torch import Tensor

from zsgan.assets.pickles import Makers, Name, Object, read, set_items

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_HEAD = LEGACY_MAGIC.to_bytes(10, "little")  # among the first bytes of the older container
MAX_ATTRIBUTES, MAX_NAME = 100_000, 500  # in all modules of a network; characters of a name
DTYPES = {
    "torch FloatStorage": torch.float32,
    "torch DoubleStorage": torch.float64,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
    "torch ComplexFloatStorage": torch.complex64,
    "torch ComplexDoubleStorage": torch.complex128,
    "torch.storage UntypedStorage": torch.uint8,
}


@dataclass(eq=False, repr=False)
class Storage:
    """A contiguous array of numbers in the file.

    Attributes:
        dtype: type of a number.
        numel: how many.
        load: reads the bytes.
    """

    dtype: torch.dtype
    numel: int
    load: Callable[[], bytes] | None = None

    @cached_property
    def flat(self) -> Tensor:
        """(numel,) the numbers."""
        if self.load is None:
            raise ValueError("a tensor's numbers are missing")
        data = bytearray(self.load())
        if len(data) != self.numel * self.dtype.itemsize:
            raise ValueError(f"a tensor of {self.numel} numbers ({self.dtype}) has {len(data)} bytes")
        return torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)


@dataclass(eq=False, repr=False)
class Stored:
    """A tensor as a view of a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the tensor in bytes."""
        return math.prod(self.size) * self.storage.dtype.itemsize

    def tensor(self) -> Tensor:
        """The tensor, sharing memory with others of its storage; a ValueError if it exceeds that."""
        steps = [(n - 1) * step for n, step in zip(self.size, self.stride, strict=True)]
        if 0 in self.size or self.offset + sum(steps) >= self.storage.numel:
            raise ValueError(f"a tensor of size {self.size} does not fit its {self.storage.numel} numbers")
        if math.prod(self.size) > self.storage.numel:
            raise ValueError(f"a tensor of size {self.size} repeats its {self.storage.numel} numbers")
        return self.storage.flat.as_strided(self.size, self.stride, self.offset)


def _stored(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Stored | Object:
    if isinstance(storage, Object):  # its numbers have an unknown type
        return storage
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise TypeError("a tensor without a storage")
    numbers = (offset, *size, *stride)
    if (
        len(size) != len(stride)
        or len(size) > 8
        or not all(type(n) is int and 0 <= n < 2**63 for n in numbers)
    ):
        raise ValueError("a tensor's size, stride or offset is not made of numbers that fit")
    return Stored(storage, offset, size, stride)


def _ordered_dict(*pairs: Any) -> dict[Any, Any]:
    """Replace OrderedDict: Python 3 calls it empty and fills it later, Python 2 with lists [key, value]."""
    made: dict[Any, Any] = {}
    for listed in pairs:
        if pairs[1:] or type(listed) is not list or any(type(p) is not list or len(p) != 2 for p in listed):
            raise TypeError("an ordered dictionary is not made of one list of pairs")
        set_items(made, [part for pair in listed for part in pair])
        listed[:] = [None] * bool(listed)  # else a short pickle could use one long list a million times
    return made


MAKERS: Makers = {
    "collections OrderedDict": _ordered_dict,
    "torch._utils _rebuild_tensor": _stored,
    "torch._utils _rebuild_tensor_v2": _stored,
    "torch._utils _rebuild_parameter": lambda data, *_: data,
    "torch._utils _rebuild_parameter_with_state": lambda data, *_: data,
    "collections defaultdict": lambda *_: {},
    "easydict EasyDict": lambda *_: {},
}
"""Names in files of ``torch.save``, also from Python 2, and other kinds of dictionaries."""


def read_zip(stream: IO[bytes], size: int, makers: Makers = MAKERS) -> Any:
    """Read a file of ``torch.save`` in the zip format, used since 2020.

    Args:
        stream: the file; must stay open while tensors are loaded.
        size: its length in bytes.
        makers: see :func:`zsgan.assets.pickles.read`.

    Returns:
        plain values, with ``Stored`` for tensors and ``Object`` for unknown objects.

    Raises:
        ValueError: it is damaged, foreign or compressed.
    """
    archive = _Archive(stream, size)
    if "constants.pkl" in archive:
        raise ValueError("this is a program of TorchScript, not a file of torch.save")
    return archive.value(makers)


def read_script(stream: IO[bytes], size: int) -> dict[str, Stored]:
    """Tensors of a program of TorchScript, such as OpenAI's CLIP, by name; arguments as in ``read_zip``."""
    archive = _Archive(stream, size)
    if "constants.pkl" not in archive:
        raise ValueError("this is no program of TorchScript")
    return tensors_of(archive.value(MAKERS), _script_attributes)


def _script_attributes(module: Object) -> Any:
    """Attributes of a module of a program, whose class may be any class of the program."""
    if not module.name.startswith("__torch__"):
        raise ValueError(module.refusal)
    return module.state


def tensors_of(program: Any, attributes: Callable[[Object], Any]) -> dict[str, Stored]:
    """The tensors of a module and of all modules inside it, by their names in a state dict.

    Args:
        program: the module, read from a pickle.
        attributes: gives the attributes of a module by name; those other than tensors and modules are
            ignored.

    Returns:
        tensors by name.

    Raises:
        ValueError: an object is not a module, or there are more modules than a network has, since a pickle
            may nest the same modules many times.
    """
    found: dict[str, Stored] = {}
    modules, seen = [("", program)], 0
    for prefix, module in modules:  # the list grows in the loop
        inside = attributes(module) if isinstance(module, Object) else None
        if not isinstance(inside, Mapping):
            raise ValueError(f"{prefix.rstrip('.') or 'the outermost object'} is no module")
        seen += len(inside)
        if seen > MAX_ATTRIBUTES or any(len(f"{prefix}{name}") > MAX_NAME for name in inside):
            raise ValueError("there are more modules inside modules than a network has")
        for name, value in inside.items():
            if isinstance(value, Stored):
                found[f"{prefix}{name}"] = value
            elif isinstance(value, Object):
                modules.append((f"{prefix}{name}.", value))
    return found


class _Archive:
    """A zip archive of PyTorch: all members are in one folder, and data is not compressed."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        try:
            self.archive = zipfile.ZipFile(stream)
        except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise ValueError(f"the archive is damaged or cut short ({error})") from error
        stored = [
            info.file_size for info in self.archive.infolist() if info.compress_type == zipfile.ZIP_STORED
        ]
        if sum(stored) > size:
            raise ValueError("the archive says that it holds more than its size")
        names = self.archive.namelist()
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1:
            listed = ", ".join(repr(name[:40]) for name in names[:5])
            raise ValueError(
                f"the archive is a zip that was not written by PyTorch; it has {listed or 'nothing'}"
            )
        self.root = roots[0]

    def __contains__(self, name: str) -> bool:
        return f"{self.root}{name}" in self.archive.namelist()

    def content(self, name: str) -> bytes:
        try:
            info = self.archive.getinfo(f"{self.root}{name}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} in the archive is compressed, as PyTorch never does")
            return self.archive.read(info)
        except (KeyError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
            raise ValueError(f"{name} in the archive is missing or damaged ({error})") from error

    def value(self, makers: Makers) -> Any:
        if "byteorder" in self:
            _check_byteorder(self.content("byteorder") == b"little")
        storages: dict[str, Storage] = {}
        value = read(io.BytesIO(self.content("data.pkl")), makers, lambda pid: _storage(pid, storages))
        for key, storage in storages.items():
            storage.load = partial(self.content, f"data/{key}")
        return value


def read_legacy(stream: IO[bytes], size: int, makers: Makers = MAKERS) -> Any:
    """As ``read_zip``, for files of PyTorch before 1.6 and for the bytes of a pickled storage."""
    if read(stream, {}) != LEGACY_MAGIC or read(stream, {}) != 1001:
        raise ValueError("not a file of torch.save, or of a version that is not supported")
    _check_byteorder(read(stream, {})["little_endian"] is True)
    storages: dict[str, Storage] = {}
    value = read(stream, makers, lambda pid: _storage(pid, storages))
    keys = read(stream, {})
    texts = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not texts or sorted(keys) != sorted(storages):
        raise ValueError("the storages are not those of the tensors")
    for key in keys:
        storage, numel, start = storages[key], int.from_bytes(stream.read(8), "little"), stream.tell()
        end = start + numel * storage.dtype.itemsize
        if numel != storage.numel or end > size:
            raise ValueError(f"a storage of {storage.numel} numbers is damaged or cut short")
        storage.load = partial(_part, stream, start, end)
        stream.seek(end)
    return value


def _storage(pid: Any, storages: dict[str, Storage]) -> Storage | Object | Name:
    """The storage of a persistent id, one for each key; in old files also the class of a module."""
    match pid:
        case ("module", Name() as kind, *_):
            return kind
        case ("storage", Name(kind), *_) if kind not in DTYPES:
            return Object(kind, ())
        case ("storage", Name(kind), str(key), str(), int(numel), *view) if kind in DTYPES and numel >= 0:
            storage = storages.setdefault(key, Storage(DTYPES[kind], numel))
            if view in ([], [None]) and (storage.dtype, storage.numel) == (DTYPES[kind], numel):
                return storage
    raise ValueError("a storage is described in a way that torch.save does not, or in two ways")


def _part(stream: IO[bytes], start: int, end: int) -> bytes:
    stream.seek(start)
    return stream.read(end - start)


def _check_byteorder(little: bool) -> None:
    if not (little and sys.byteorder == "little"):
        raise ValueError("the file or this machine is big-endian; convert the file, or use another machine")
