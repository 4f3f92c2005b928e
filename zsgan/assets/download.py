"""Downloads of the manifest's files, with several addresses and retries; only verified files are kept."""

import logging
import time
from collections.abc import Iterator, Sequence
from errno import EHOSTUNREACH, ENETUNREACH
from pathlib import Path
from socket import gaierror
from urllib.parse import urlsplit

import pooch
from filelock import FileLock

from zsgan.assets.manifest import Asset, AssetError, asset, difference, lock, path
from zsgan.base.files import WriteError, naming

log = logging.getLogger(__name__)

TRIES = 3  # per address, if the connection fails
PAUSE = 2.0  # seconds before the second try; doubles before each later one
TIMEOUT = 30.0  # seconds without a single byte


def fetch(name: str, progress: bool = False) -> Path:
    """Download the asset called ``name`` if it is missing, and return its verified file.

    Every address is tried in turn, each from the first byte on, so that no file is made of two. A file that
    is not known to the manifest is never at the asset's place; the last such one is kept as
    ``<file>.refused``, for inspection, if no address delivers a better one.

    Args:
        name: an entry of the manifest; a shipped one is only verified.
        progress: show a progress bar.

    Returns:
        the local path, see :func:`zsgan.assets.manifest.path`.

    Raises:
        ValueError: there is no such asset.
        AssetError: no address delivered the file; the message says what was wrong with each, and how to add
            the file by hand.
        WriteError: the file cannot be written.
    """
    entry = asset(name)
    if entry.file.is_file() or not entry.urls:
        return path(name)
    entry.file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{entry.file}.lock"):
        if entry.file.is_file():  # another process was faster
            return path(name)
        refused = entry.file.with_name(f"{entry.file.name}.refused")
        errors: list[Exception] = []
        for url in entry.urls:
            try:
                _download(entry, url, refused, progress)
                refused.unlink(missing_ok=True)
                return path(name)
            except WriteError:  # another address would not help
                raise
            except (OSError, ValueError) as error:  # no answer, or a wrong file
                log.warning("%s: %s", url, error)
                errors.append(error)
    listed = "; ".join(f"{url}: {error}" for url, error in zip(entry.urls, errors, strict=True))
    offline = "None could be reached: is this machine online? " if all(map(_unreachable, errors)) else ""
    known = f" (SHA-256 {' or '.join(entry.hashes)})" if entry.hashes else ""
    kept = f" The last file that was refused is kept as {refused}." if refused.exists() else ""
    raise AssetError(
        f"no address delivered {entry.file.name} ({name}: {entry.description}). {offline}"
        f"What was wrong: {listed}. If you have the file{known}, put it at {entry.file}.{kept}"
    )


def fetch_all(wanted: Sequence[str], progress: bool = False) -> Iterator[Path]:
    """Fetch several assets; if one fails, the others are still fetched.

    Args:
        wanted: names of entries.
        progress: show progress bars.

    Yields:
        the local path of each available asset, in order.

    Raises:
        ValueError: a name is unknown; nothing is fetched then.
        AssetError: some assets failed; raised at the end, with the error of each.
    """
    for name in wanted:
        asset(name)
    failures: dict[str, AssetError] = {}
    for name in wanted:
        try:
            yield fetch(name, progress)
        except AssetError as error:
            log.error("%s failed", name)
            failures[name] = error
    if failures:
        listed = "\n".join(f"  {name}: {error}" for name, error in failures.items())
        raise AssetError(
            f"{len(failures)} of {len(wanted)} files failed; the others are in place, and the same command "
            f"fetches only what is missing:\n{listed}"
        )


def _download(entry: Asset, url: str, refused: Path, progress: bool) -> None:
    """Download, verify and move the file into place or to ``refused``; start over if the connection fails."""
    partial = entry.file.with_name(f".{entry.file.name}.download")
    get = pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT)
    try:
        for attempt in range(TRIES):
            try:
                with naming(partial):
                    get(url, str(partial), None)
                break
            except WriteError:
                raise
            except OSError as error:  # includes errors of requests
                if cause := _unreachable(error):  # a mirror is better than another try
                    host = urlsplit(url).hostname
                    raise ConnectionError(f"{host} cannot be reached ({cause.strerror})") from error
                status = getattr(getattr(error, "response", None), "status_code", 500)
                if status < 500 or attempt == TRIES - 1:
                    raise
                log.warning("%s: %s; trying again", url, error)
                time.sleep(PAUSE * 2**attempt)
        wrong = difference(entry, partial)
        with partial.open("rb") as file:
            if file.read(99).lstrip().lower().startswith((b"<!doctype", b"<html")):
                wrong = "is a web page"  # an error page; without a published hash, only this reveals it
        if wrong:
            partial.replace(refused)
            raise ValueError(f"what arrived {wrong}")
        lock(entry, partial)
        partial.replace(entry.file)
        log.info("%s arrived from %s", entry.name, url)
    finally:
        partial.unlink(missing_ok=True)


def _unreachable(error: BaseException | None) -> OSError | None:
    """The reason why a connection was never made: no such host, no network, or nothing that listens there."""
    while error is not None:
        if isinstance(error, gaierror | ConnectionRefusedError):
            return error
        if isinstance(error, OSError) and error.errno in (ENETUNREACH, EHOSTUNREACH):
            return error
        error = error.__cause__ or error.__context__
    return None
