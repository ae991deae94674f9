"""What is known of a packing that has not ended: its vocabulary, and how far its ids have come."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from textgen.corpus import packed

EVERY = 5.0
"""Seconds between two checkpoints: at most so much work is lost."""

UNFINISHED = ".packing"
"""The folder, in that of a packed corpus, of what is being packed."""

_STATE = "state.json"
_FORMAT = 1


class Journal:
    """A file in the folder of a packed corpus, written now and then. ``name`` is the corpus's;
    ``made_by`` is what must be the same to go on."""

    def __init__(self, folder: Path, name: str, made_by: str) -> None:
        self._path = folder / UNFINISHED / _STATE
        self._name = name
        self._made_by = [_FORMAT, made_by]
        self._saved = time.monotonic()

    @property
    def begun(self) -> bool:
        """Whether there is something to go on with."""
        return self._path.exists()

    def due(self) -> bool:
        return time.monotonic() - self._saved >= EVERY

    def save(self, learnt: dict[str, Any], written: dict[str, Any] | None) -> None:
        """Keeps what was learnt, and a checkpoint of what was written."""
        content = {
            "name": self._name,
            "made_by": self._made_by,
            "learnt": learnt,
            "written": written,
        }
        packed.write_sealed(self._path, content)
        self._saved = time.monotonic()

    def read(self) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
        """What was saved last, or None where there is nothing, or nothing to be trusted."""
        try:
            content = packed.read_sealed(self._path)
        except packed.DamagedCorpusError:
            return None
        if content.get("made_by") != self._made_by:
            return None
        return content["learnt"], content["written"]


def name_of(folder: Path) -> str:
    """The name of the corpus whose packing was interrupted in ``folder``; empty where none is
    told."""
    try:
        return str(packed.read_sealed(folder / UNFINISHED / _STATE).get("name", ""))
    except packed.DamagedCorpusError:
        return ""
