"""Files of StyleGAN2 weights: every public format is read, nothing in them is executed, damage is refused."""

import builtins
import collections
import io
import json
import logging
import os
import pickle
import random
import struct
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from public_files import (
    Reduced,
    equal,
    nvidia_pickle,
    old_numpy,
    rosinality_pt,
    saved,
    tiny_ada,
)
from safetensors.torch import save as save_safetensors
from test_stylegan2 import ROSINALITY, golden, golden_generator, part, small_generator

from zsgan.assets import pickles, torchfiles
from zsgan.networks.load import load_generator
from zsgan.networks.stylegan2.checkpoints import (
    convert,
    convert_discriminator,
    load_discriminator_file,
    load_generator_file,
    save_rosinality,
)
from zsgan.networks.stylegan2.layouts import to_rosinality

LATENT_AVG = torch.linspace(-1, 1, 64)[None]


@pytest.fixture
def file(tmp_path):
    """Writes bytes to a file whose name tells nothing of its format."""

    def write(content: bytes) -> Path:
        path = tmp_path / "weights"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def victim(tmp_path):
    """A command whose effect would be seen."""
    marker = tmp_path / "executed"
    yield f"touch {marker}"
    assert not marker.exists()


def reduced(*call, protocol=4):
    return pickle.dumps(Reduced(*call), protocol=protocol)


# NVIDIA


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "name", ["golden_nv_32", "golden_nv_cond_32", "golden_nv_clamp_32", "golden_nv_resnet_32"]
)
def test_a_pickle_of_nvidia_is_its_averaged_generator(name, protocol, file):
    state, kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    g = load_generator_file(file(nvidia_pickle(state, kwargs, protocol)))
    expected = golden_generator(name)
    assert g.config == expected.config and not g.training
    assert equal(g.state_dict(), expected.state_dict())
    assert g.config["conv_clamp"] == kwargs["synthesis_kwargs"].get("conv_clamp")


def test_a_pickle_of_an_older_numpy(file):
    state, kwargs = tiny_ada()
    g = load_generator(file(old_numpy(nvidia_pickle(state, kwargs, protocol=3))))
    assert equal(g.state_dict(), convert(state, **kwargs).state_dict())


def test_the_discriminator_of_a_pickle(file):
    state, kwargs = tiny_ada()
    name = "golden_nv_disc_cond_32"
    d_state, d_kwargs = part(name, "state_dict/"), golden(name)[1]["init_kwargs"]
    d = load_discriminator_file(file(nvidia_pickle(state, kwargs, discriminator=(d_state, d_kwargs))))
    assert equal(d.state_dict(), convert_discriminator(d_state, **d_kwargs).state_dict())


def test_a_pickle_without_what_is_asked_for(file):
    path = file(nvidia_pickle(*tiny_ada()))
    holds = r"'G' \(a Generator\), 'D' \(None\), 'G_ema' \(a Generator\), 'augment_pipe' \(None\)"
    message = f"{path} does not hold a Discriminator: no discriminator of StyleGAN2 is in it. .*{holds}"
    with pytest.raises(ValueError, match=f"{message}; it looks like only a generator"):
        load_discriminator_file(path)
    path = file(pickle.dumps({"G": 3}, protocol=4))
    with pytest.raises(ValueError, match=r"no generator of StyleGAN2 is in it. It holds 'G' \(a number\)$"):
        load_generator(path)


# rosinality


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "older container"])
@pytest.mark.parametrize("kind", ["converted", "trained"])
@pytest.mark.parametrize("name", ROSINALITY)
def test_a_file_of_rosinality(name, kind, legacy, file):
    state = part(name, "state_dict/")
    latent_avg = LATENT_AVG if kind == "converted" else None
    g = load_generator(file(rosinality_pt(state, kind, latent_avg, legacy=legacy)))
    expected = convert(state, "rosinality", latent_avg=latent_avg)
    assert g.config == expected.config and equal(g.state_dict(), expected.state_dict())


@pytest.mark.parametrize("without", ["noises.", "latent_avg"])
def test_a_file_of_rosinality_without_noises_or_mean(without, file):
    state = {k: v for k, v in part(ROSINALITY[0], "state_dict/").items() if not k.startswith(without)}
    latent_avg = None if without == "latent_avg" else LATENT_AVG
    paths = [file(rosinality_pt(state, "converted", latent_avg)) for _ in range(2)]
    one, other = (load_generator(path) for path in paths)
    assert equal(one.state_dict(), other.state_dict())
    assert (one.mapping.w_avg == LATENT_AVG[0]).all() == (without == "noises.")


def test_a_file_of_rosinality_with_a_foreign_part(file):
    with pytest.raises(ValueError, match=r"is in it. It holds 'state_dict' \(empty\)$"):
        load_generator(file(saved({"state_dict": {}})))
    with pytest.raises(ValueError, match="does not hold a Discriminator: .*looks like only a generator"):
        load_discriminator_file(file(rosinality_pt(part(ROSINALITY[0], "state_dict/"))))


@pytest.mark.parametrize("name", [*ROSINALITY, "golden_nv_32"])
def test_a_generator_is_written_for_rosinality(name, tmp_path):
    g, path = golden_generator(name), tmp_path / "generator.pt"
    save_rosinality(g, path)
    contents = torch.load(path, weights_only=True)
    assert contents.keys() == {"g_ema", "latent_avg"} and torch.equal(contents["latent_avg"], g.mapping.w_avg)
    back = load_generator_file(path)
    assert equal(back.state_dict(), g.state_dict())
    ws = torch.randn(2, g.mapping.n_ws, 64, generator=torch.Generator().manual_seed(0))
    assert (back.synthesis(ws) - g.synthesis(ws)).abs().max() < 1e-4 * g.synthesis(ws).abs().max()


def test_a_lost_clamp_is_told(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        save_rosinality(small_generator(conv_clamp=256.0, z_dim=5).float(), tmp_path / "generator.pt")
    assert "not clamped to 256.0" in caplog.text


# Python 2, whose bytes are written by hand here


def by_python_2(contents: bytes) -> bytes:
    """A file of torch.save's older container with this object and without a tensor."""
    return nested(b"\x80\x02" + contents + b".")


PAIRS = b"ccollections\nOrderedDict\nq\x00]q\x01(]q\x02(U\x01aK\x01e]q\x03(U\x01bK\x02ee\x85q\x04Rq\x05"
METADATA = b"}q\x06U\x09_metadataq\x07h\x00]\x85Rsb"
NAMESPACE = b"ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR"


def read_old(content: bytes) -> Any:
    data = by_python_2(content)
    return torchfiles.read_legacy(io.BytesIO(data), len(data))


@pytest.mark.parametrize("state", [PAIRS, PAIRS + METADATA], ids=["plain", "of a module"])
def test_an_ordered_dictionary_of_python_2(state):
    """A call with a list of [key, value], its attributes after it."""
    assert pickle.loads(b"\x80\x02" + state + b".") == {"a": 1, "b": 2}  # what Python makes of these bytes
    found = read_old(state)
    assert type(found) is dict and found == {"a": 1, "b": 2} and list(found) == ["a", "b"]
    assert read_old(b"ccollections\nOrderedDict\n]\x85R") == {}
    reused = b"ccollections\nOrderedDict\nq\x00](]q\x02(K\x01K\x02eeq\x01\x85R0h\x00"
    assert read_old(reused + b"](h\x02e\x85R") == {1: 2}  # a pair may be shared, the list of them may not
    with pytest.raises(ValueError, match="the pickle is damaged .*not made of one list of pairs"):
        read_old(reused + b"h\x01\x85R")


def test_a_namespace_of_protocol_0_is_held_and_not_made():
    state = NAMESPACE + b"(dS'lr'\nF0.002\nsb"
    assert pickle.loads(state + b".").lr == 0.002
    found = read_old(state)
    assert type(found) is pickles.Object and found.name == "copy_reg _reconstructor"
    assert (found.args[0], found.state) == (pickles.Name("argparse Namespace"), {"lr": 0.002})


def test_a_generator_whose_dictionaries_are_those_of_python_2(file):
    """The same file, every OrderedDict() and its SETITEMS replaced by a call with a list of pairs."""
    state = part(ROSINALITY[0], "state_dict/")
    data = rosinality_pt(OrderedDictOfPython2(state), "converted", LATENT_AVG, legacy=True)
    assert data.count(b"ccollections\nOrderedDict") >= 1
    g = load_generator(file(data))
    assert equal(g.state_dict(), convert(state, "rosinality", latent_avg=LATENT_AVG).state_dict())


class OrderedDictOfPython2(dict):
    """Pickles as one."""

    def __reduce__(self):
        return collections.OrderedDict, ([[key, value] for key, value in self.items()],)


@pytest.mark.parametrize(
    "content",
    [
        b"ccollections\nOrderedDict\nU\x02ab\x85R",  # neither a list nor pairs
        b"ccollections\nOrderedDict\n](U\x03abce\x85R",
        b"ccollections\nOrderedDict\n](]K\x01ae\x85R",
        b"ccollections\nOrderedDict\nK\x01\x85R",
        b"ccollections\nOrderedDict\n]]\x86R",
        b"ccopy_reg\n_reconstructor\nK\x01R",
        b"(K\x01o",
    ],
)
def test_what_only_looks_like_python_2_is_damaged(content):
    with pytest.raises(ValueError, match="the pickle is damaged"):
        read_old(content)


@pytest.mark.parametrize("name", ["eval", "getattr", "apply", "__import__", "set", "object.__subclasses__"])
def test_what_python_2_names_is_held_and_not_called(name, victim):
    call = f"U\x01x{chr(0x85)}R".encode("latin-1")
    for module in ("__builtin__", "builtins", "copy_reg", "copyreg"):
        if (module, name) == ("builtins", "set"):
            continue  # a list
        found = read_old(f"c{module}\n{name}\n".encode() + call)
        assert (found.name, found.args) == (f"{module} {name}", ("x",))
        assert f"names '{module}.{name}'" in found.refusal and "not executed" in found.refusal
    state = f"ccopy_reg\n_reconstructor\n(cos\nsystem\nU{chr(len(victim))}{victim}NtR".encode("latin-1")
    assert read_old(state).args == (pickles.Name("os system"), victim, None)
    for operations in (
        f"(U{chr(len(victim))}{victim}ios\nsystem\n",
        f"(cos\nsystem\nU{chr(len(victim))}{victim}o",
    ):
        found = read_old(operations.encode("latin-1"))
        assert (found.name, found.args) == ("os system", (victim,))


# Attacks


def nested(payload: bytes) -> bytes:
    """A storage's stream of `torch.save` whose object is a hostile pickle."""
    parts = [
        pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    ]
    return b"".join(parts) + payload + pickle.dumps([], protocol=2)


def load_from_bytes(content: bytes, protocol: int) -> bytes:
    return pickle.dumps({"G_ema": Reduced(torch.storage._load_from_bytes, content)}, protocol=protocol)


def dotted(module: str, name: str, command: str) -> bytes:
    """Protocol 4 finds nested names by walking attributes."""

    def text(s: str) -> bytes:
        return b"\x8c" + bytes([len(s)]) + s.encode()

    return b"\x80\x04" + text(module) + text(name) + b"\x93" + text(command) + b"\x85R."


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_calls_are_refused_wherever_they_hide(protocol, file, victim):
    call = reduced(os.system, victim, protocol=protocol)
    name = f"'{os.system.__module__}.system'"
    state = part(ROSINALITY[0], "state_dict/")
    inner = load_from_bytes(nested(call), max(protocol, 3))  # bytes are no bytes in protocol 2
    for hostile in (call, inner, nested(call)):
        with pytest.raises(ValueError, match=f"weights does not hold a Generator: the pickle names {name}"):
            load_generator(file(hostile))
    for legacy in (False, True):
        harmless = saved(
            {"g_ema": state, "latent_avg": LATENT_AVG, "args": Reduced(os.system, victim)}, legacy
        )
        expected = convert(state, "rosinality", latent_avg=LATENT_AVG)
        assert equal(load_generator(file(harmless)).state_dict(), expected.state_dict())
        for contents in (
            {"g_ema": Reduced(os.system, victim)},
            {"g_ema": Reduced(os.system, victim), "g": state},
            {"g_ema": {**state, "input.input": Reduced(os.system, victim)}},
            {"g_ema": {**state, "convs.0.conv.weight": Reduced(os.system, victim)}},
            {"g_ema": state, "latent_avg": Reduced(os.system, victim)},
        ):
            with pytest.raises(ValueError, match=f"the pickle names {name}"):
                load_generator(file(saved(contents, legacy)))


def test_other_names_are_refused(file, victim):
    hostile = [
        dotted("torch._utils", "torch.os.system", victim),
        dotted("collections", "OrderedDict.__class__", victim),
        reduced(eval, f"__import__('os').system('{victim}')"),
        reduced(builtins.getattr, "os", "system"),
        b"\x80\x03ctorch._utils\ntorch.os.system\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02(X\x02\x00\x00\x00idios\nsystem\n.",  # INST
        b"\x80\x02\x82\x01)R.",  # a registered extension
        b"\x80\x05\x97.",  # a buffer out of the file
        reduced(torch.load, "other.pt"),
        reduced(torch.storage._load_from_bytes, reduced(os.system, victim)),
    ]  # fmt: skip
    for content in hostile:
        with pytest.raises(ValueError, match="not executed|damaged|does not hold a Generator: not a file"):
            load_generator(file(content))


def test_nothing_is_imported(file):
    assert "this" not in sys.modules
    with pytest.raises(ValueError, match="It is a this.s"):
        load_generator(file(b"\x80\x03cthis\ns\n."))
    assert "this" not in sys.modules


def test_a_network_of_tensorflow_is_told_apart(file):
    with pytest.raises(ValueError, match=r"of TensorFlow; convert it once with legacy\.py"):
        load_generator(file(b"\x80\x03cdnnlib.tflib.network\nNetwork\n)\x81."))


# Files of the wrong kind, damaged, or larger than they are


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"\x80", b"<!DOCTYPE html>" * 9, b"\x89HDF\r\n" * 9, bytes(100)]
)
def test_files_of_other_kinds(content, file):
    with pytest.raises(ValueError, match="weights does not hold a Generator: "):
        load_generator(file(content))


def valid_files() -> dict[str, bytes]:
    """A small generator in every format."""
    state, kwargs = tiny_ada()
    g = convert(state, **kwargs)
    config, ros = {"config": json.dumps(g.config)}, to_rosinality(g)
    return {
        "nvidia 3": nvidia_pickle(state, kwargs, 3, G=None),
        "nvidia 4": nvidia_pickle(state, kwargs, 4, G=None),
        "rosinality": rosinality_pt(ros, latent_avg=torch.zeros(1, 4)),
        "rosinality, older": rosinality_pt(ros, latent_avg=torch.zeros(1, 4), legacy=True),
        "ours": save_safetensors(g.state_dict(), config),
    }


def test_files_cut_short(file):
    for name, content in valid_files().items():
        load_generator(file(content))
        for length in [*range(0, len(content) - 1, len(content) // 25), len(content) - 1]:
            with pytest.raises(ValueError, match="weights"):
                load_generator(file(content[:length]))
                raise AssertionError(f"{name}, cut to {length} bytes, was read")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, cut out, repeated, or replaced by extreme numbers."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at, length = rng.randrange(len(data)), rng.choice((1, 4, 8, 64))
        match rng.randrange(5):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length]
            case 3:
                data[at : at + length] = rng.randbytes(length)
            case _:
                data[at : at + 8] = struct.pack("<Q", rng.choice((0, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1)))
        if not data:
            break
    return bytes(data)


def test_five_hundred_mutated_files(file, capfd):
    """Each is read after all, or refused with an error that has its name; fast, in little memory."""
    resource = pytest.importorskip("resource")
    rng, contents = random.Random(0), list(valid_files().values())
    load_generator(file(contents[0]))
    modules, before = set(sys.modules), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    state, slowest, refused = torch.get_rng_state(), 0.0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(500):
            path, started = file(mutated(contents[i % len(contents)], rng)), time.perf_counter()
            try:
                load_generator(path)
            except ValueError as error:
                assert str(path) in str(error)
                refused += 1
            slowest = max(slowest, time.perf_counter() - started)
    assert refused > 250  # numbers may change without anybody noticing; names and shapes may not
    assert slowest < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
    new = {name for name in set(sys.modules) - modules if not name.startswith("encodings.")}
    assert not new and torch.equal(torch.get_rng_state(), state)
    assert capfd.readouterr() == ("", "")


# A tuple of a tuple of..., twice each: 2 to the 60 leaves.
TOWER = b"N" + b"q\xffh\xff\x86" * 60


def text(value: str) -> bytes:
    """The opcode of a text."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def legacy_tensor(pid: bytes | None = None, size: bytes = b"K\x01\x85", keys: bytes = b"") -> bytes:
    """A file in the older container of one tensor, made of these opcodes."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    pid = pid or b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x01tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\x00" + size + b"K\x01\x85\x89)tR"
    body = b"\x80\x02}" + text("g_ema") + b"}" + text("input.input") + tensor + b"ss."
    keys = keys or pickle.dumps(["0"], protocol=2)
    return head + body + keys + struct.pack("<Q", 1) + bytes(4)


def nvidia_module(modules: bytes = b"}", kind: bytes = text("Generator")) -> bytes:
    """A pickle of NVIDIA's of a generator without tensors, made of these opcodes."""
    state = b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + modules
    state += text("_init_kwargs") + b"}u"
    meta = b"}(" + text("class_name") + kind + text("state") + state + b"u"
    call = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85R"
    return b"\x80\x03}" + text("G_ema") + call + b"s."


def deep_modules() -> bytes:
    """Opcodes of modules: 60 names for the same one, which has 60 names for the same one, and so on."""
    inside = b"}"
    for level in range(7):
        state = (
            b"}(" + text("_parameters") + b"}" + text("_buffers") + b"}" + text("_modules") + inside + b"u"
        )
        meta = b"}" + text("state") + state + b"s"
        module = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n" + meta + b"\x85R"
        names = b"".join(text(f"m{i}") + b"h" + bytes([level]) for i in range(1, 60))
        inside = b"}(" + text("m0") + module + b"q" + bytes([level]) + names + b"u"
    return inside


def legacy_storage(numel: int, tail: bytes = b"") -> bytes:
    """A tensor of one storage in the older container, which says that it has so many numbers."""
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    head = b"".join(pickle.dumps(part, protocol=2) for part in parts)
    size = pickle.dumps(numel, protocol=2)[2:-1]
    pid = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
        + size
        + b"tQ"
    )
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + pid + b"K\x00" + size + b"\x85K\x01\x85\x89)tR"
    body = b"\x80\x02}X\x05\x00\x00\x00g_ema}X\x0b\x00\x00\x00input.input" + tensor + b"ss."
    return head + body + pickle.dumps(["0"], protocol=2) + struct.pack("<Q", numel) + tail


def bombs() -> dict[str, bytes]:
    """Files of at most some megabytes that ask for far more memory or time."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000_000))
    stored = saved({"g_ema": {"input.input": torch.zeros(1, 1).expand(50_000, 50_000)}})
    lists = b"]" + b"".join(b"q" + bytes([i % 250]) for i in range(250))
    state, kwargs = tiny_ada()
    config = convert(state, **kwargs).config
    tower: Any = None
    for _ in range(60):
        tower = (tower, tower)
    wide = save_safetensors(
        {"synthesis.const": torch.zeros(2, 4, 4)}, {"config": json.dumps(config | {"w_dim": 10**9})}
    )
    return {
        "bytes of 2^62": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"abc",
        "bytes of 2^33": b"\x80\x04\x8e" + struct.pack("<Q", 2**33) + b"abc",
        "text of 2^31": b"\x80\x04X" + struct.pack("<I", 2**31) + b"abc",
        "memo of 2^32": b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b".",
        "frame of 2^62": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        "number of 2^31 bytes": b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b"1",
        "marks": b"\x80\x04" + b"(" * 3_000_000,
        "dictionaries": b"\x80\x04" + b"}" * 3_000_000,
        "nested lists": b"\x80\x04" + lists + b"]" * 200_000 + b"a" * 200_000 + b".",
        "a tower as a key": b"\x80\x04}" + TOWER + b"Ns.",
        "a tower as a name": b"\x80\x04" + TOWER + text("x") + b"\x93.",
        "a tower as a storage": legacy_tensor(TOWER + b"Q"),
        "a tower as a size": legacy_tensor(size=TOWER),
        "a text as a size": legacy_tensor(size=text("x") + pickle.dumps(2**35, protocol=2)[2:-1] + b"\x86"),
        "a tower as a key of storages": legacy_tensor(keys=b"\x80\x02]" + TOWER + b"a."),
        "a tower as a class": nvidia_module(kind=TOWER),
        "a tower as a clamp": nvidia_pickle(state, kwargs | {"synthesis_kwargs": {"conv_clamp": tower}}),
        "modules in modules": nvidia_module(modules=deep_modules()),
        "noise of 2^(2^40)": saved({"g_ema": {f"noises.noise_{2**41}": torch.zeros(1, 1, 4, 4)}}),
        "storage of 2^40": legacy_storage(2**40),
        "storage of 2^62": legacy_storage(2**62, b"abcd"),
        "compressed": zipped.getvalue(),
        "expanded": stored,
        "wide": wide,
    }


def test_bombs_take_no_memory_or_time(tmp_path):
    folder = tmp_path / "bombs"
    folder.mkdir()
    for name, content in bombs().items():
        (folder / name.replace(" ", "_")).write_bytes(content)
    script = """
import resource, sys, time
from pathlib import Path
from zsgan.networks.stylegan2.checkpoints import load_generator_file
for path in sorted(Path(sys.argv[1]).iterdir()):
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    try:
        load_generator_file(path)
        print(path.name, "was read")
    except ValueError as error:
        assert str(path) in str(error)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    seconds = time.perf_counter() - started
    if grown > 300_000 or seconds > 20:
        print(path.name, grown, "kB", seconds, "s")
print("done")
"""
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, timeout=300)
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_numbers_that_are_not_finite(file):
    state, kwargs = tiny_ada()
    state["synthesis.b8.conv1.bias"][1] = torch.nan
    with pytest.raises(ValueError, match="numbers are not finite"):
        load_generator(file(nvidia_pickle(state, kwargs)))


def test_one_storage_for_many_tensors(file):
    """Views of a common storage cannot pretend to be more than the file holds."""
    common = torch.zeros(100)
    state = {f"tensor{i}": common[:99] for i in range(100)} | {"input.input": common[:1]}
    with pytest.raises(ValueError, match="declare more numbers than the file has"):
        load_generator(file(saved({"g_ema": state})))


# The machine


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_values_are_read_as_pickle_reads_them(protocol):
    values = {
        "a": [1, -1, 255, 65536, 2**31, -(2**70), 1.5, True, False, None, "ä\n", (), (1,), (1, 2), (1, 2, 3)]
    }
    values |= {"b": {"c": [[]], "d": (1, 2, 3, 4), "e": {}, 3: "x", 0.5: "y"}, "f": "z" * 300}
    if protocol >= 3:
        values |= {"g": b"abc", "h": b"x" * 300}
    values["again"] = values["a"]
    data = pickle.dumps(values, protocol=protocol)
    stream = io.BytesIO(data + b"tail")
    assert pickles.read(stream, {}) == values
    assert stream.read() == b"tail"


@pytest.mark.parametrize(
    "operations", [b"0.", b"h\x05.", b"N\x85R.", b"Na.", b"N}b.", b"u.", b"1.", b"\x87.", b"}(NNNu.", b"N"]
)
def test_unsound_pickles(operations):
    with pytest.raises(ValueError, match="pickle"):
        pickles.read(io.BytesIO(b"\x80\x04" + operations), {})
