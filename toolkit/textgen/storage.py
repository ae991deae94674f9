"""The one place that writes files: aside, synced, renamed. What was there stays until then."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textgen.contracts.errors import TextgenError

_NO_FOLDER_SYNC = sys.platform == "win32"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; when the block ends well, it takes the place of ``path`` at once.

    If anything fails, ``path`` is as it was and nothing half-written stays. Raises TextgenError
    where the disk is full or the folder may not be written.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        aside = Path(name)
        try:
            yield aside
            aside.chmod(0o666 & ~_umask())  # mkstemp makes it private
            settle(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def settle(aside: Path, path: Path) -> None:
    """Puts the finished file ``aside``, of the same disk, in the place of ``path``."""
    with explained(path):
        _sync_file(aside)
        aside.replace(path)
        sync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; when the block ends well, it takes the place of the folder ``path``.

    If anything fails, ``path`` is as it was. Sync what must last through a power cut yourself.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        try:
            yield aside
            aside.chmod(0o777 & ~_umask())
            old = aside.with_suffix(".old")
            if path.exists():
                path.replace(old)
            try:
                aside.replace(path)
            except BaseException:
                if old.exists():
                    old.replace(path)
                raise
            shutil.rmtree(old, ignore_errors=True)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        sync_folder(path.parent)


def write_bytes(path: Path, data: bytes) -> None:
    """Puts ``data`` in the place of ``path``, whole or not at all."""
    with replacing(path) as aside:
        aside.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` of UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """``value`` as indented JSON, for files that people also read."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # bytes of a file's name that are no text stand in it as lone surrogates, which JSON can escape
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def copy(source: Path, target: Path) -> None:
    """A copy of the file ``source`` in the place of ``target``."""
    with replacing(target) as aside:
        shutil.copyfile(source, aside)


def append_line(path: Path, line: str) -> None:
    """Adds one line to a log, flushed. A line cut short by a crash is the reader's to skip."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(line + "\n")


def sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` last through a power cut, where the system can."""
    if _NO_FOLDER_SYNC:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def cache_folder() -> Path:
    """Where built corpora live: ``TEXTGEN_CACHE``, or the system's place for caches."""
    if given := os.environ.get("TEXTGEN_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "textgen"


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the system's errors about writing ``path`` into ones that say what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        remedies = {
            errno.ENOSPC: "Free some space, or write to another disk.",
            errno.EDQUOT: "Free some of your quota, or write to another disk.",
            errno.EACCES: "Choose a folder you may write to.",
            errno.EROFS: "Choose a folder that can be written to.",
        }
        reason = error.strerror or str(error)
        remedy = remedies.get(error.errno or 0, "Check the disk and the folder, then try again.")
        raise TextgenError(f"{path} could not be written: {reason}.", remedy) from error


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
