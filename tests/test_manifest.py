import hashlib
import http.server
import threading
from functools import partial
from pathlib import Path

import pytest
import yaml

from zsgan import manifest

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
    return manifest.record(file, name=name, description=f"the {name}", command=f"make {name}", seed=3)


def test_the_shipped_files_are_the_ones_that_the_manifest_describes():
    shipped = {manifest.path(name) for name, asset in manifest.assets().items() if not asset.urls}
    assert shipped == set((manifest.ROOT / "zsgan" / "weights").glob("*.safetensors"))


def test_a_recorded_file_is_found_and_described(project):
    new = record(project / "dog.bin", "dog")
    assert new == manifest.asset("dog")
    assert (new.path, new.sha256, new.bytes, new.command, new.seed) == ("dog.bin", SHA256, 7, "make dog", 3)
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
    ],
)
def test_a_faulty_entry_is_named(project, entries, message):
    write_manifest(project, entries)
    with pytest.raises(ValueError, match=message):
        manifest.assets()


@pytest.fixture
def server(tmp_path):
    """A web server on this machine with a good and an altered copy of the file."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "good.bin").write_bytes(CONTENT)
    (folder / "altered.bin").write_bytes(b"altered")
    requests: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{httpd.server_port}", requests
        httpd.shutdown()


def test_a_download_skips_mirrors_that_fail_and_is_made_once(project, server):
    host, requests = server
    mirrors = [f"{host}/absent.bin", f"{host}/altered.bin", f"{host}/good.bin"]
    write_manifest(project, [entry("big", path="models/big.bin", urls=mirrors)])
    with pytest.raises(manifest.AssetError, match="zsgan fetch big"):
        manifest.path("big")
    file = manifest.fetch("big")
    assert file == project / "cache" / "models" / "big.bin"
    assert file.read_bytes() == CONTENT
    assert "/good.bin" in requests
    requests.clear()
    assert manifest.fetch("big") == manifest.path("big") == file
    assert requests == []


def test_a_failed_download_names_every_address(project, server):
    host, _ = server
    write_manifest(project, [entry("big", urls=[f"{host}/absent.bin", f"{host}/altered.bin"])])
    with pytest.raises(manifest.AssetError, match=r"(?s)'big'.*absent\.bin.*altered\.bin"):
        manifest.fetch("big")
    assert not (project / "cache" / "big.bin").exists()


def test_fetching_a_shipped_file_verifies_it(project):
    record(project / "dog.bin", "dog")
    assert manifest.fetch("dog") == project / "dog.bin"
    (project / "dog.bin").unlink()
    manifest.path.cache_clear()
    with pytest.raises(manifest.AssetError, match="is missing"):
        manifest.fetch("dog")


def test_the_cache_folder_is_the_users_choice(monkeypatch):
    monkeypatch.setenv("ZSGAN_HOME", "/data/zsgan")
    assert manifest.cache_folder() == Path("/data/zsgan")
    monkeypatch.delenv("ZSGAN_HOME")
    assert manifest.cache_folder().name == "zsgan"
