"""Files from the web: with progress, going on where a broken connection stopped, and checked."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen import storage
from textgen.contracts.errors import TextgenError

LARGEST = 8 << 30
"""Bytes of the largest download."""

_CHUNK = 1 << 18
_TRIES = 5  # without progress between them
_PROGRESS = 1 << 20


class FetchError(TextgenError):
    """A corpus could not be had: no network, no registry, or not what its hash promises."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str = "",
    progress: Callable[[str, int, int | None], None] | None = None,
    patience: float = 1.0,
    timeout: float = 30.0,
) -> str:
    """Fetches ``url`` into ``target`` and returns its SHA-256.

    What has arrived is kept in ``target`` + ``.part``; the next try, or the next call, asks for the
    rest where the server can tell that the file is still the same (Range with If-Range), and else
    for everything. ``patience`` is the seconds before the second try, doubled before each other.
    Raises FetchError where the connection breaks for good or the hash is another.
    """
    part = _Part(url, target.with_name(target.name + ".part"), certain=bool(sha256))
    with storage.explained(part.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        for fresh in (False, True):
            resumed = _fetch(part, progress, patience, timeout)
            found = _sha256(part.path)
            if not sha256 or found == sha256:
                part.path.replace(target)
                part.forget()
                return found
            part.forget()
            if fresh or not resumed:
                break
    raise FetchError(
        f"{url} is not what the recipe promises: its SHA-256 is {found}, not {sha256}.",
        "The file was changed at its source, or on the way. Do not use it unless you know why.",
    )


@dataclass
class _Part:
    """What has arrived of a file, and what the server said to tell its versions apart."""

    url: str
    path: Path
    certain: bool
    """Whether a hash will tell if two versions were mixed."""

    total: int | None = None

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def have(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def validator(self) -> str:
        """The ETag or date of what has arrived; empty where it is not known or of another file."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            return str(note["validator"]) if note["url"] == self.url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, validator: str) -> None:
        self.path.unlink(missing_ok=True)
        storage.write_json(self.note, {"url": self.url, "validator": validator})

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _fetch(part: _Part, progress: Any, patience: float, timeout: float) -> bool:
    """Tries until all has arrived; whether it came in more than one stretch."""
    resumed = part.have() > 0
    failures = 0
    while failures < _TRIES:
        if failures:
            time.sleep(patience * 2 ** (failures - 1))
        before = part.have()
        try:
            if _stretch(part, progress, timeout):
                return resumed
            reason = "the connection was closed"
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise FetchError(
                    f"{part.url} could not be fetched: {error.code} {error.reason}.",
                    "Check the address in the recipe.",
                ) from error
            if error.code == 416:  # what is here does not fit what is there
                part.forget()
            reason = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = str(error.reason)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.filename is not None:
                raise  # the disk, not the net
            reason = str(error) or type(error).__name__
        resumed = True
        failures = 1 if part.have() - before > _PROGRESS else failures + 1
    arrived = f" after {part.have()} of {part.total or '?'} bytes" if part.have() else ""
    raise FetchError(
        f"{part.url} could not be fetched{arrived}: {reason}.",
        "Check the network and run the same again: it goes on from there.",
    )


def _stretch(part: _Part, progress: Any, timeout: float) -> bool:
    """One connection: adds to the part what it brings; whether the file is then whole."""
    headers = {"User-Agent": "textgen", "Accept-Encoding": "identity"}
    have, validator = part.have(), part.validator()
    if have and (validator or part.certain):
        headers["Range"] = f"bytes={have}-"
        if validator:
            headers["If-Range"] = validator
    request = urllib.request.Request(part.url, headers=headers)
    with _opener().open(request, timeout=timeout) as response:
        start = _resumed_at(response)
        if start != have or not have:
            if start:
                raise http.client.HTTPException("the server sent another part than asked for")
            part.begin(_validator(response))
            have = 0
        length = response.headers.get("Content-Length", "")
        part.total = have + int(length) if length.isdigit() else None
        return _receive(response, part, have, progress)


def _receive(response: Any, part: _Part, have: int, progress: Any) -> bool:
    with part.path.open("ab") as file:
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            have += len(chunk)
            if have > LARGEST:
                raise FetchError(
                    f"{part.url} is larger than {LARGEST} bytes.", "It cannot be a corpus."
                )
            if progress is not None:
                progress("downloading", have, part.total)
    return part.total is None or have >= part.total


def _resumed_at(response: Any) -> int:
    if response.status != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _validator(response: Any) -> str:
    """A strong ETag, or the date; weak ETags may not be used for ranges (RFC 9110, 13.1.5)."""
    etag = str(response.headers.get("ETag", ""))
    date = str(response.headers.get("Last-Modified", ""))
    return etag if etag and not etag.startswith("W/") else date


def _opener() -> urllib.request.OpenerDirector:
    """Only http and https, redirects included: no files, no ftp."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
