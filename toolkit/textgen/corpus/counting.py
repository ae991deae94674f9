"""Counts a corpus's text on its way, and tells how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from textgen.contracts.reader import Document, Reader
from textgen.corpus.documents import documents_of

Progress = Callable[[str, int, int | None], None]
"""Called with what is done ("reading" and "downloading" in bytes, "packing" in characters), how
much, and of how much."""

_TOLD = 1 << 20
"""How much comes between two calls of the progress."""


class Counting:
    """A reader's documents, counted: while they are read first in bytes of UTF-8, as sizes are told
    in bytes, then in characters."""

    def __init__(self, reader: Reader, progress: Progress | None) -> None:
        self._reader = reader
        self._progress = progress or (lambda stage, done, total: None)
        self.characters: int | None = None
        """Of the whole text, once it is known."""

    def documents(self, stage: str) -> Iterator[Document]:
        """The documents, in the stage "reading" or "packing"."""
        size = _bytes if stage == "reading" else len
        total = self._reader.size() if stage == "reading" else self.characters
        characters = done = told = 0

        def count(piece: str) -> None:
            nonlocal characters, done, told
            characters += len(piece)
            done += size(piece)
            if done - told >= _TOLD:
                told = done
                # of compressed text there is more than its size
                self._progress(stage, done, total if total and done <= total else None)

        def counted(pieces: Iterable[str]) -> Iterator[str]:
            for piece in pieces:
                count(piece)
                yield piece

        for document in documents_of(self._reader):
            pieces = document.pieces
            if type(pieces) is tuple:  # records: no generator for each of millions
                for piece in pieces:
                    count(piece)
                yield document
            else:
                yield Document(document.name, counted(pieces), document.split)
        self.characters = characters
        self._progress(stage, done, done)


def _bytes(text: str) -> int:
    """How many it has in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
