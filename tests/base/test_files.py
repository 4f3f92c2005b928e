import json
import os
import platform
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from zsgan.base.files import WriteError, naming, read_json, write_atomically, write_json
from zsgan.base.images import save_images
from zsgan.base.tensors import load_tensors, save_tensors

TENSORS = {"b": torch.arange(600.0).view(3, 200), "a": torch.tensor(3), "c": torch.ones(2, dtype=torch.half)}


def save(path, **options):
    save_tensors(TENSORS, path, **{"config": {"width": 3}, "provenance": {"seed": 1, "é": "ü"}} | options)


def names(folder):
    return {file.name for file in folder.iterdir()}


# Writing


@pytest.mark.parametrize("write", [lambda path: write_atomically(path, b"x" * 1000), save])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, full_disk, write):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with full_disk(), pytest.raises(OSError, match=r"writing failed .*disk full.* intact.*/file'") as raised:
        write(path)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == b"old" and names(tmp_path) == {"file"}


def test_a_full_disk_is_named_where_pillow_writes(tmp_path, full_disk):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with full_disk(), pytest.raises(WriteError, match=r"writing failed .*00000.png") as raised:
        save_images(images, tmp_path / "images")
    assert raised.value.filename == str(tmp_path / "images" / "00000.png")
    assert not list((tmp_path / "images").iterdir())


def test_what_is_no_error_of_a_file_is_not_named_after_it(tmp_path):
    for error in (ConnectionResetError(104, "reset"), OSError("of a format")):
        with pytest.raises(type(error)) as raised, naming(tmp_path / "x"):
            raise error
        assert raised.value is error


@pytest.mark.parametrize("write", [lambda path: write_json(path, {"a": 1}), save])
def test_the_bytes_are_on_the_disk_before_the_name(tmp_path, monkeypatch, write):
    path, order = tmp_path / "new" / "file", []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor):
        order.append(("sync", os.fstat(descriptor).st_size))
        sync(descriptor)

    def replaced(source, target):
        order.append(("replace", source.stat().st_size))
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    write(path)
    assert order == [("sync", path.stat().st_size), ("replace", path.stat().st_size)]
    assert names(path.parent) == {"file"}


def test_temporary_names_differ_even_where_process_ids_do_not(tmp_path, monkeypatch):
    seen, replace = [], Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda source, target: (seen.append(source), replace(source, target))
    )
    for _ in range(2):
        write_atomically(tmp_path / "file", b"x")
    assert len(set(seen)) == 2


def test_orphans_are_swept_after_a_day(tmp_path):
    ages = {".a.1.partial": 25, ".b.2.partial": 23, ".hidden": 99, "b.partial": 99}  # hours
    for name, hours in ages.items():
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, times=(time.time() - hours * 3600,) * 2)
    write_atomically(tmp_path / "file", b"x")
    assert names(tmp_path) == {"file", ".b.2.partial", ".hidden", "b.partial"}


def test_files_are_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").write_bytes(b"x")
    save(tmp_path / "file")
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


# JSON


def test_json_is_read_as_written(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"é": True}}
    write_json(tmp_path / "file.json", value)
    assert read_json(tmp_path / "file.json") == value


@pytest.mark.parametrize(
    "content", [None, b"", b'{"a": 1', b"a: 1", b"\xff\xfe{}", b"[" * 10**6], ids=lambda c: repr(c)[:12]
)
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path)) + " cannot be read as JSON"):
        read_json(path)


# Tensors


def test_tensors_are_read_as_saved(tmp_path):
    save(tmp_path / "file")
    tensors, config, provenance = load_tensors(tmp_path / "file")
    assert config == {"width": 3} and provenance == {"seed": 1, "é": "ü"}
    assert tensors.keys() == TENSORS.keys() and tensors["c"].dtype == torch.float32
    assert all(torch.equal(tensors[name], TENSORS[name].to(tensors[name].dtype)) for name in TENSORS)
    save(tmp_path / "file", dtype=torch.float16)
    assert torch.equal(load_tensors(tmp_path / "file")[0]["b"], TENSORS["b"])  # integers of up to 600


def test_the_same_content_makes_the_same_bytes(tmp_path):
    written = set()
    for _ in range(20):  # the library orders the two keys of the header by chance
        save(tmp_path / "file")
        written.add((tmp_path / "file").read_bytes())
    assert len(written) == 1
    (size,) = struct.unpack("<Q", written.pop()[:8])
    assert size % 8 == 0  # so that tensors are aligned


def crafted(path, tensors, header, body=b""):
    """A file of the format whose header says what it likes."""
    text = json.dumps({"__metadata__": header, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("shape", [[10**12], [10**9, 10**9, 10**9]])
def test_declared_sizes_are_compared_with_the_file_before_memory_is_taken(tmp_path, shape):
    path = tmp_path / "file"
    size = 4 * shape[0]
    crafted(path, {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}, {"config": "{}"})
    assert path.stat().st_size < 200
    script = "import sys, resource; from zsgan.base.tensors import load_tensors; from pathlib import Path\n"
    script += "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
    script += "try: load_tensors(Path(sys.argv[1]))\n"
    script += "except ValueError as error: print(error)\n"
    script += "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    message, grown = done.stdout.splitlines()
    assert re.match(re.escape(str(path)) + " is damaged or no safetensors file", message)
    assert platform.system() == "Darwin" or int(grown) < 10_000  # kB


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_damaged_tensors_are_refused_by_name(tmp_path, content):
    path = tmp_path / "file"
    save(path)
    path.write_bytes(path.read_bytes()[:-10] if content is None else content)
    with pytest.raises(ValueError, match=re.escape(str(path)) + " is damaged or no safetensors file"):
        load_tensors(path)


def test_a_file_of_others_is_refused(tmp_path):
    path = tmp_path / "file"
    crafted(path, {}, {"made by": "somebody"})
    with pytest.raises(ValueError, match="without a 'config' header"):
        load_tensors(path)
    crafted(path, {}, {"config": "{"})
    with pytest.raises(ValueError, match="is damaged"):
        load_tensors(path)
