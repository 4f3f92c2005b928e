import json
import logging
import math
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep

import pytest
import torch

from zsgan.base.cache import Cache

KEY = {"what": "fisher", "n": 4, "weights": ["a", "b"]}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def once(value):
    """A function that may be called once."""
    calls = []

    def make():
        assert not calls, "made twice"
        calls.append(1)
        return value

    return make


def entry(cache, ending):
    (path,) = Path(cache.folder).glob(f"*{ending}")
    return path


def test_a_value_is_made_once_and_comes_back_as_it_was_first_given(cache):
    make = once({"rate": math.nan, "pair": (1, 2.5)})
    first, second = cache.json(KEY, make), Cache(cache.folder).json(dict(reversed(KEY.items())), make)
    assert math.isnan(first.pop("rate")) and math.isnan(second.pop("rate"))
    assert first == second == {"pair": [1, 2.5]}
    assert json.loads(entry(cache, ".json").read_text())["key"] == KEY


def test_tensors_keep_their_types_and_their_bits(cache):
    made = {
        "matrix": torch.rand(3, 3, dtype=torch.float64),
        "half": torch.rand(5).half(),
        "labels": torch.arange(4),
    }
    make = once(made)
    for found in (cache.tensors(KEY, make), cache.tensors(KEY, make)):
        assert set(found) == set(made)
        assert all(found[k].dtype == made[k].dtype and torch.equal(found[k], made[k]) for k in made)


@pytest.mark.parametrize("change", [{"n": 5}, {"n": "4"}, {"weights": ["b", "a"]}, {"more": None}])
def test_another_key_is_another_value(cache, change):
    assert cache.json(KEY, lambda: 1) == 1
    assert cache.json(KEY | change, lambda: 2) == 2
    assert cache.json(KEY, lambda: 3) == 1


def test_a_key_must_be_json(cache):
    with pytest.raises(TypeError, match="not JSON serializable"):
        cache.json({"weights": torch.zeros(2)}, lambda: 1)


def half(text):
    return text[: len(text) // 2]


@pytest.mark.parametrize(
    "damage",
    [half, lambda _: b"", lambda _: b"[]", lambda _: b"\xff\xfe", lambda b: b.replace(b"fisher", b"other!")],
)
@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_a_damaged_entry_is_set_aside_and_made_again(cache, caplog, ending, damage):
    def get(value):
        if ending == ".json":
            return cache.json(KEY, lambda: value)
        return cache.tensors(KEY, lambda: {"x": torch.tensor(value)})["x"].item()

    assert get(1.0) == 1.0
    path = entry(cache, ending)
    path.write_bytes(damage(path.read_bytes()))
    damaged = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        assert get(2.0) == 2.0
    assert f"{path} is damaged" in caplog.text and "made again" in caplog.text
    assert entry(cache, ".damaged").read_bytes() == damaged
    caplog.clear()
    assert get(3.0) == 2.0 and not caplog.text


@pytest.mark.parametrize("ending", [".json", ".safetensors"])
def test_an_altered_value_is_noticed(cache, caplog, ending):
    """It can be read, and has the key that is asked for."""

    def get(value):
        if ending == ".json":
            return cache.json(KEY, lambda: {"rate": value})["rate"]
        return cache.tensors(KEY, lambda: {"x": torch.tensor(value)})["x"].item()

    assert get(0.75) == 0.75
    path = entry(cache, ending)
    content = path.read_bytes()
    old, new = (b"0.75", b"0.25") if ending == ".json" else (struct.pack("<f", v) for v in (0.75, 0.25))
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with caplog.at_level(logging.WARNING):
        assert get(0.5) == 0.5
    assert f"{path} is damaged (its content is not what was written)" in caplog.text
    path.write_bytes(path.read_bytes().replace(b"sha256", b"sha25x"))  # nor does it pass for an old one
    assert get(2.0) == 2.0


def test_entries_without_a_hash_are_believed(cache):
    """Those that were made before there were any."""
    cache.json(KEY, once({"rate": 0.75}))
    path = entry(cache, ".json")
    content = json.loads(path.read_text())
    del content["sha256"]
    path.write_text(json.dumps(content))
    assert cache.json(KEY, lambda: 1) == {"rate": 0.75}


def test_what_is_unfinished_is_removed_with_the_result(cache):
    unfinished = cache.unfinished(KEY)
    assert unfinished != cache.unfinished(KEY | {"n": 5}) and not unfinished.exists()

    def make(fail):
        unfinished.mkdir(parents=True, exist_ok=True)
        (unfinished / "state.pt").write_bytes(b"half")
        if fail:
            raise RuntimeError("the power failed")
        return {"x": torch.ones(1)}

    with pytest.raises(RuntimeError):
        cache.tensors(KEY, lambda: make(True))
    assert unfinished.exists()
    cache.tensors(KEY, lambda: make(False))
    assert not unfinished.exists()


def test_a_failed_making_leaves_nothing(cache):
    def fail():
        raise RuntimeError("the power failed")

    with pytest.raises(RuntimeError, match="the power failed"):
        cache.json(KEY, fail)
    assert cache.json(KEY, lambda: 1) == 1


def test_who_comes_second_waits_for_the_first(cache):
    calls = []

    def make():
        calls.append(1)
        sleep(0.3)
        return len(calls)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: Cache(cache.folder).json(KEY, make), range(3)))
    assert found == [1, 1, 1]
