"""Which packed corpora there are in the cache, and their end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from textgen import storage
from textgen.contracts.errors import UserError
from textgen.corpus import packed
from textgen.corpus.journal import name_of


@dataclass(frozen=True)
class Entry:
    """A packed corpus, or one that is being packed or was interrupted."""

    name: str
    """Of the corpus; empty where it cannot be told."""
    folder: Path
    bytes: int


def list_packed(cache: Path) -> list[Entry]:
    """All of them, in the order of their names. One text may be packed in several ways."""
    return sorted(_entries(cache / packed.FOLDER), key=lambda entry: (entry.name, entry.folder))


def remove_packed(cache: Path, name: str | None = None) -> list[Entry]:
    """Removes those of the corpus ``name``, or all of them, and returns what they were.

    A training goes on with what it has open, but cannot be resumed without packing again. Raises
    UserError for one that is being packed.
    """
    chosen = [entry for entry in list_packed(cache) if name in (None, entry.name)]
    for entry in chosen:
        try:
            with packed.locked(entry.folder, wait=False), storage.explained(entry.folder):
                (entry.folder / packed.META).unlink(missing_ok=True)  # it is no corpus from here on
                shutil.rmtree(entry.folder)
        except Timeout:
            raise UserError(
                f"{entry.name or entry.folder.name} is being packed.",
                "Wait for it to end, or interrupt it.",
            ) from None
    return chosen


def _entries(folder: Path) -> Iterator[Entry]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            yield Entry(_name(path), path, sum(map(_size, path.rglob("*"))))


def _name(folder: Path) -> str:
    try:
        return str(packed.read_meta(folder)["name"])
    except packed.DamagedCorpusError:
        return name_of(folder)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size if path.is_file() else 0
    except OSError:  # gone since it was listed
        return 0
