"""Downloads from a real server on this machine: good, broken off, altered, absent, slow, restarted."""

import hashlib
import http.server
import logging
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from test_manifest import entry, forget, project, write_manifest  # noqa: F401 (fixtures)

from zsgan.assets import download, manifest, names
from zsgan.base.files import WriteError
from zsgan.cli import main

CONTENT = bytes(range(256)) * 400  # 100 kB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[::-1]  # what "/altered" delivers
OTHER_SHA256 = hashlib.sha256(OTHER).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Each path is a way to deliver the file."""

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        count = self.server.requests.count(self.path)
        status, content, length = 200, CONTENT, len(CONTENT)
        if self.path == "/absent":
            status, content, length = 404, b"no such file", 12
        elif self.path == "/altered":
            content = OTHER
        elif self.path == "/broken":
            status, content, length = 500, b"", 0
        elif self.path == "/page":
            content = b"<!DOCTYPE html><title>Sign in</title>"
            length = len(content)
        elif self.path == "/short" or (self.path == "/restarted" and count == 1):
            content = CONTENT[:1000]  # of the length that is announced; then the connection closes
        elif self.path == "/busy" and count < 3:
            status, content, length = 503, b"", 0
        elif self.path == "/missing-a-part":
            content = CONTENT[:1000]
            length = len(content)
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.path == "/stalled":
            self.wfile.write(content[:1000])
            self.server.closing.wait(20)
        elif self.path == "/slow":
            for start in range(0, len(content), 10_000):
                self.wfile.write(content[start : start + 10_000])
                time.sleep(0.05)
        else:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.01)
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.requests, httpd.closing, httpd.daemon_threads = [], threading.Event(), True
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield httpd
        httpd.closing.set()
        httpd.shutdown()


@pytest.fixture
def big(project, server):  # noqa: F811
    """Enters the file with addresses of the server; returns where it belongs."""

    def enter(*paths: str, **changes) -> Path:
        urls = [f"http://127.0.0.1:{server.server_port}/{path}" for path in paths]
        known = {"sha256": SHA256, "bytes": len(CONTENT), "path": "models/big.bin", "urls": urls}
        write_manifest(project, [entry("big", **known | changes)])
        return project / "cache" / "models" / "big.bin"

    return enter


def left(file: Path) -> set[str]:
    """Names of the files beside it, but for locks."""
    return {other.name for other in file.parent.iterdir() if other.suffix != ".lock"}


@pytest.mark.parametrize("path", ["good", "slow"])
def test_a_file_arrives_once(path, big, server):
    file = big(path)
    assert download.fetch("big") == file == download.fetch("big") == manifest.path("big")
    assert file.read_bytes() == CONTENT and left(file) == {"big.bin"}
    assert server.requests == [f"/{path}"]


@pytest.mark.parametrize(("path", "requests"), [("restarted", 2), ("busy", 3)])
def test_a_server_that_recovers_is_asked_again(path, requests, big, server):
    file = big(path)
    assert download.fetch("big").read_bytes() == CONTENT
    assert server.requests == [f"/{path}"] * requests and left(file) == {"big.bin"}


@pytest.mark.parametrize(
    ("path", "message", "requests", "kept"),
    [
        ("short", "(?i:incomplete|broken)", 3, None),
        ("stalled", "(?i:timed out)", 3, None),
        ("absent", "404", 1, None),
        ("altered", f"SHA-256 .*, but data_manifest.yaml says .*{SHA256}", 1, CONTENT[::-1]),
        ("missing-a-part", "has 1000 bytes", 1, CONTENT[:1000]),
    ],
)
def test_what_is_not_the_file_is_not_in_its_place(path, message, requests, kept, big, server):
    file = big(path)
    with pytest.raises(manifest.AssetError, match=f"http.*/{path}: .*{message}.*put it at {file}"):
        download.fetch("big")
    assert server.requests == [f"/{path}"] * requests
    assert left(file) == ({"big.bin.refused"} if kept else set())
    assert kept is None or file.with_name("big.bin.refused").read_bytes() == kept


def test_mirrors_are_tried_in_turn(big, server):
    file = big("absent", "altered", "good", "busy")
    assert download.fetch("big") == file
    assert server.requests == ["/absent", "/altered", "/good"]
    assert left(file) == {"big.bin"}  # what was refused on the way is of no use any more


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ("absent", "404"),
        ("broken", "500"),
        ("stalled", "(?i:timed out)"),
        ("short", "(?i:incomplete|broken)"),
        ("altered", OTHER_SHA256),
    ],
)
def test_a_failing_address_is_named_and_the_next_one_starts_over(first, why, big, server, caplog):
    file = big(first, "good")
    file.parent.mkdir(parents=True)
    file.with_name(".big.bin.download").write_bytes(OTHER[:5000])  # of a process that was killed
    with caplog.at_level(logging.INFO):
        assert download.fetch("big").read_bytes() == CONTENT
    assert re.search(f"WARNING .*http.*/{first}: .*{why}", caplog.text)
    assert re.search("INFO .*big arrived from http.*/good", caplog.text)
    assert server.requests[-1] == "/good" and left(file) == {"big.bin"}


def test_if_no_address_delivers_each_one_is_named_with_its_fault(big):
    file = big("absent", "altered", alternatives={"a" * 64: "another format"})
    with pytest.raises(manifest.AssetError) as raised:
        download.fetch("big")
    message = str(raised.value)
    assert re.search(f"/absent: 404.*/altered: what arrived has .*{OTHER_SHA256}, but", message)
    assert f"If you have the file (SHA-256 {SHA256} or {'a' * 64}), put it at {file}" in message
    assert f"kept as {file}.refused" in message and "online" not in message
    assert left(file) == {"big.bin.refused"}


def test_an_alternative_is_accepted_noted_and_identified_by_its_own_hash(big, caplog):
    file = big("altered", alternatives={OTHER_SHA256: "another format"})
    assert manifest.identity("big") == SHA256  # what the manifest prefers, as long as none is at hand
    with caplog.at_level(logging.INFO):
        assert download.fetch("big").read_bytes() == OTHER
    assert f"big: big.bin has SHA-256 {OTHER_SHA256}: another format" in caplog.text
    assert names.weights_id("big") == OTHER_SHA256 and left(file) == {"big.bin"}
    file.rename(own := file.with_name("own.bin"))
    for content, same in ((OTHER, True), (CONTENT, True), (b"another", False)):
        own.write_bytes(content)
        assert names.Weights("big", asset="big").same_as(names.Weights("own.bin", file=own)) is same
    big("good", alternatives={OTHER_SHA256: "another format"})
    download.fetch("big")
    assert names.weights_id("big") == SHA256


def test_no_server_at_all(big, project):  # noqa: F811
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/big.bin"
        file = big(urls=[url])
        with pytest.raises(manifest.AssetError, match=f"machine online.*{url}: 127.0.0.1 .*refused.*{file}"):
            download.fetch("big")


def test_without_a_network_the_command_says_so_at_once(big, monkeypatch, capsys):
    def no_network(*_, **__):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    big(urls=["https://one.example/big.bin", "https://two.example/big.bin"])
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(download, "PAUSE", 60.0)  # a second try would be noticed
    assert main(["fetch", "big"]) == 1
    error = capsys.readouterr().err
    assert "None could be reached: is this machine online?" in error
    for host in ("one", "two"):
        reason = "cannot be reached (Temporary failure in name resolution)"
        assert f"https://{host}.example/big.bin: {host}.example {reason}" in error
    assert main(["list", "generators"]) == 0  # which needs no network


def test_the_first_file_of_an_entry_without_hash_is_kept(big, caplog):
    file = big("good", sha256=None, bytes=None)
    with caplog.at_level(logging.WARNING):
        download.fetch("big")
    assert f"The first download has {SHA256}" in caplog.text
    file.unlink()
    manifest.path.cache_clear()
    big("altered", sha256=None, bytes=None)
    with pytest.raises(manifest.AssetError, match="the first file to arrive, says"):
        download.fetch("big")
    assert left(file) == {"big.bin.refused"}


def test_a_web_page_is_no_first_file(big):
    big("page", sha256=None, bytes=None)
    with pytest.raises(manifest.AssetError, match="is a web page.*is kept as"):
        download.fetch("big")


def test_two_processes_fetch_once(big, server):
    big("slow")
    threads = [threading.Thread(target=download.fetch, args=("big",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.requests == ["/slow"]


def test_the_command_fetches_a_file(big, capsys, monkeypatch):
    file = big("good")
    assert main(["fetch", "big", "--quiet"]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    file.unlink()
    manifest.path.cache_clear()
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert main(["fetch", "big"]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{file}\n" and "100%" in shown.err  # a progress bar


def test_one_file_that_fails_does_not_keep_the_others_back(server, project, capsys):  # noqa: F811
    def of(name, *ways):
        urls = [f"http://127.0.0.1:{server.server_port}/{way}" for way in ways]
        return entry(name, sha256=SHA256, bytes=len(CONTENT), path=f"models/{name}.bin", urls=urls)

    write_manifest(
        project, [of("a", "absent"), of("b", "good"), of("c", "altered", "absent"), of("d", "good")]
    )
    folder = project / "cache" / "models"
    assert main(["fetch", "--quiet", "a", "b", "c", "d"]) == 1
    out, err = capsys.readouterr()
    assert out == f"{folder / 'b.bin'}\n{folder / 'd.bin'}\n"
    assert "zsgan fetch: 2 of 4 files failed; the others are in place" in err
    for name, error in (("a", "404"), ("c", "SHA-256")):
        assert re.search(rf"(?m)^  {name}: no address delivered {name}.bin.*{error}", err)
    server.requests.clear()
    assert main(["fetch", "--quiet", "b", "d"]) == 0 and not server.requests
    assert main(["fetch", "--quiet", "a", "nothing"]) == 1  # a wrong name is found before any download
    assert "no asset in data_manifest.yaml is called 'nothing'" in capsys.readouterr().err
    assert not server.requests


def test_a_full_disk_is_no_fault_of_an_address(big, server, full_disk):
    file = big("good", "slow")
    file.parent.mkdir(parents=True, exist_ok=True)
    with full_disk(), pytest.raises(WriteError, match="writing failed .*make room") as raised:
        download.fetch("big")
    assert raised.value.filename.endswith(".big.bin.download")
    assert server.requests == ["/good"] and left(file) == set()


def test_fetching_a_shipped_file_verifies_it(project):  # noqa: F811
    (project / "dog.bin").write_bytes(b"dog")
    manifest.record(project / "dog.bin", name="dog", description="a dog", command="make dog", seed=0)
    assert download.fetch("dog") == project / "dog.bin"
    (project / "dog.bin").unlink()
    manifest.path.cache_clear()
    with pytest.raises(manifest.AssetError, match="is missing"):
        download.fetch("dog")
