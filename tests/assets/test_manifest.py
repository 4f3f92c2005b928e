import hashlib
import logging
from pathlib import Path

import pytest
import yaml

from zsgan.assets import manifest

CONTENT = b"weights"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def forget():
    """What one test read, the next must not see."""
    yield
    manifest.assets.cache_clear()
    manifest.path.cache_clear()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project with a manifest of its own."""
    monkeypatch.setattr(manifest, "ROOT", tmp_path)
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "data_manifest.yaml")
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path / "cache"))
    write_manifest(tmp_path, [])
    return tmp_path


def write_manifest(project: Path, entries: list[dict]) -> None:
    text = "# says what\n# assets: are\n" + yaml.safe_dump({"assets": entries}, sort_keys=False)
    (project / "data_manifest.yaml").write_text(text)
    manifest.assets.cache_clear()
    manifest.path.cache_clear()


def entry(name: str = "dog", **changes) -> dict:
    common = {"name": name, "path": f"{name}.bin", "sha256": SHA256, "bytes": len(CONTENT), "licence": "MIT"}
    return common | {"description": f"the {name}", "command": f"make {name}"} | changes


def record(file: Path, name: str, content: bytes = CONTENT) -> manifest.Asset:
    file.write_bytes(content)
    described = {"description": f"the {name}", "command": f"make {name}", "loader": "a.module:load"}
    return manifest.record(file, name=name, seed=3, **described)


def test_the_shipped_files_are_the_ones_that_the_manifest_describes():
    shipped = {manifest.path(name) for name, asset in manifest.assets().items() if not asset.urls}
    assert shipped == set((manifest.ROOT / "zsgan").rglob("*.safetensors"))


def test_a_recorded_file_is_found_and_described(project):
    new = record(project / "dog.bin", "dog")
    assert new == manifest.asset("dog")
    assert (new.path, new.sha256, new.bytes, new.command, new.seed) == ("dog.bin", SHA256, 7, "make dog", 3)
    assert new.loader == "a.module:load"
    assert manifest.path("dog") == project / "dog.bin"


def test_the_manifest_depends_on_its_entries_alone(project):
    texts = set()
    for order in ("dog", "cat"), ("cat", "dog"), ("cat", "dog", "cat"):
        write_manifest(project, [])
        for name in order:
            record(project / f"{name}.bin", name)
        texts.add(manifest.MANIFEST.read_text())
    (text,) = texts
    assert text.startswith("# says what\n# assets: are\nassets:\n- name: cat\n")
    assert list(manifest.assets()) == ["cat", "dog"]


def test_recording_again_replaces_the_entry_and_its_verification(project):
    record(project / "dog.bin", "dog")
    manifest.path("dog")
    record(project / "dog.bin", "dog", b"better weights")
    assert manifest.path("dog").read_bytes() == b"better weights"
    assert len(manifest.assets()) == 1


def test_only_files_of_the_project_are_recorded(project, tmp_path_factory):
    with pytest.raises(ValueError, match="must lie inside"):
        record(tmp_path_factory.mktemp("elsewhere") / "dog.bin", "dog")


def test_a_file_is_hashed_once_a_process(project, monkeypatch):
    record(project / "dog.bin", "dog")
    hashed = []
    monkeypatch.setattr(manifest, "sha256", lambda file: hashed.append(file) or SHA256)
    assert manifest.path("dog") == manifest.path("dog") == project / "dog.bin"
    assert hashed == [project / "dog.bin"]


@pytest.mark.parametrize("content", [b"WEIGHTS", b"weights and more", b""])
def test_an_altered_file_is_refused_with_the_remedy(project, content):
    record(project / "dog.bin", "dog")
    (project / "dog.bin").write_bytes(content)
    remedy = r"git checkout -- dog\.bin.*make dog"
    with pytest.raises(manifest.AssetError, match=f"has {len(content)} bytes.*{remedy}"):
        manifest.path("dog")


def test_a_missing_file_is_named_with_the_remedy(project):
    write_manifest(project, [entry()])
    with pytest.raises(FileNotFoundError, match=r"dog\.bin is missing \(dog: the dog\)\..*make dog"):
        manifest.path("dog")


def test_an_unknown_name_is_answered_with_the_closest(project):
    write_manifest(project, [entry("generator-dog"), entry("evaluator")])
    with pytest.raises(ValueError, match="'generator-dgo'; the closest: generator-dog, evaluator$"):
        manifest.path("generator-dgo")
    with pytest.raises(ValueError, match="the closest: evaluator, generator-dog$"):
        manifest.asset("xyz")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry(colour="red")], "colour"),
        ([{"name": "dog"}], "missing .* required"),
        ([entry(), entry()], "two assets are called 'dog'"),
        ([entry(sha256="abc")], "64 hexadecimal digits, got 'abc'"),
        ([entry(md5="abc", urls=["u"])], "md5 of 'dog' must be 32 hexadecimal digits, got 'abc'"),
        ([entry(alternatives={"abc": "a prefix"})], "alternative of 'dog' must be 64 .* got 'abc'"),
        ([entry(sha256=None)], "'dog' is shipped, so its sha256 and bytes must be known"),
    ],
)
def test_a_faulty_entry_is_named(project, entries, message):
    write_manifest(project, entries)
    with pytest.raises(ValueError, match=message):
        manifest.assets()


def test_the_cache_folder_is_the_users_choice(monkeypatch):
    monkeypatch.setenv("ZSGAN_HOME", "/data/zsgan")
    assert manifest.cache_folder() == Path("/data/zsgan")
    monkeypatch.delenv("ZSGAN_HOME")
    assert manifest.cache_folder().name == "zsgan"


# Files whose hash nobody published


@pytest.fixture
def unpublished(project):
    """A file in its place whose entry has no SHA-256."""
    write_manifest(project, [entry("big", sha256=None, bytes=None, urls=["https://example.org/big.bin"])])
    (project / "cache").mkdir()
    (project / "cache" / "big.bin").write_bytes(CONTENT)
    return project / "cache" / "big.bin"


def test_the_first_file_to_arrive_is_the_one_from_then_on(unpublished, caplog):
    with caplog.at_level(logging.WARNING):
        assert manifest.path("big") == unpublished
    assert "was published. The first download has" in caplog.text and SHA256 in caplog.text
    assert manifest.identity("big") == SHA256
    unpublished.write_bytes(b"another")
    manifest.path.cache_clear()
    with pytest.raises(
        manifest.AssetError, match=f"lock.json, the first file to arrive, says 7 bytes, SHA-256 {SHA256}"
    ):
        manifest.path("big")
    unpublished.unlink()
    assert manifest.identity("big") == SHA256  # without the file


def test_of_two_processes_the_first_one_says_which_file_it_is(unpublished, monkeypatch):
    known, answers = manifest._locked, [{}, {}]  # as long as the other has not written yet

    def locked():
        return answers.pop() if answers else known()

    manifest.lock(manifest.asset("big"), unpublished)
    unpublished.write_bytes(b"another")
    monkeypatch.setattr(manifest, "_locked", locked)
    with pytest.raises(
        manifest.AssetError, match=f"the first file to arrive, says 7 bytes, SHA-256 {SHA256}"
    ):
        manifest.path("big")
    assert manifest.identity("big") == SHA256


def test_an_alternative_needs_no_first_file(unpublished, caplog):
    both = {"urls": ["https://example.org/big.bin"], "alternatives": {SHA256: "of a mirror"}}
    write_manifest(unpublished.parents[1], [entry("big", sha256=None, bytes=None, **both)])
    with caplog.at_level(logging.INFO):
        assert manifest.path("big") == unpublished
    assert f"big: big.bin has SHA-256 {SHA256}: of a mirror" in caplog.text
    assert manifest.identity("big") == SHA256
    assert not (unpublished.parent / "manifest.lock.json").exists()
    unpublished.write_bytes(b"another")  # neither the file nor its alternative
    manifest.path.cache_clear()
    assert manifest.path("big") == unpublished
    assert manifest.identity("big") == hashlib.sha256(b"another").hexdigest()


def test_an_unknown_file_is_compared_with_every_known_hash(project):
    others = {"alternatives": {"a" * 64: "of a mirror"}, "urls": ["https://example.org/dog.bin"]}
    write_manifest(project, [entry(**others)])
    (project / "cache").mkdir()
    (project / "cache" / "dog.bin").write_bytes(b"another")
    with pytest.raises(manifest.AssetError, match=f"says 7 bytes, SHA-256 {SHA256}, or SHA-256 {'a' * 64}"):
        manifest.path("dog")
    assert manifest.identity("dog") == SHA256


def test_an_identity_that_is_not_known_yet_says_what_to_do(unpublished):
    unpublished.unlink()
    with pytest.raises(manifest.AssetError, match=r"big\.bin is missing .* zsgan fetch big"):
        manifest.identity("big")


def test_a_published_md5_is_compared(unpublished):
    md5 = hashlib.md5(CONTENT).hexdigest()
    for digest in (md5, "0" * 32):
        changes = {"sha256": None, "bytes": None, "urls": ["https://example.org/big.bin"], "md5": digest}
        write_manifest(unpublished.parents[1], [entry("big", **changes)])
        if digest == md5:
            assert manifest.path("big") == unpublished
        else:
            with pytest.raises(manifest.AssetError, match=f"has .*MD5 {md5}, but .* says .*MD5 0000"):
                manifest.path("big")


def test_the_files_of_the_paper_are_described():
    external = [asset for asset in manifest.assets().values() if asset.urls]
    assert {"generator-afhq-dog", "generator-afhq-cat", "generator-ffhq", "ViT-B-32/openai", "vgg16"} <= {
        asset.name for asset in external
    }
    for asset in external:
        assert asset.licence and asset.description and not asset.command
        assert all(url.startswith("https://") for url in asset.urls)
        assert not Path(asset.path).is_absolute() and ".." not in asset.path
        openai = [url for url in asset.urls if "openaipublic" in url]
        assert all(url.split("/")[-2] == asset.sha256 for url in openai)  # their addresses have the hash
    hashes = [value for asset in external for value in asset.hashes]
    assert len(set(hashes)) == len(hashes)
