"""Writes ids and a table of documents as they come, in a folder of their own, so that a packing
that was interrupted can be gone on with: what a checkpoint tells of is on the disk."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import packed
from textgen.corpus.cutting import Begin, End, Event, Part, Short
from textgen.corpus.documents import LINES
from textgen.corpus.encoding import Result
from textgen.corpus.splitting import TABLE, UNSAID, Table


class DoubtfulError(Exception):
    """What an interrupted packing left is not what is expected: it has to begin anew."""


class IdWriter:
    """Writes ids to a file, and a row for each document to a table.

    Used as a context. Given the ``state`` that a checkpoint returned, it goes on from there: of the
    events before it, which come again, only the text is looked at. Raises DoubtfulError where the
    files, or the text that comes again, are not those of the checkpoint.
    """

    def __init__(
        self, tokenizer: Tokenizer, documents: str, folder: Path, state: dict[str, Any] | None
    ) -> None:
        self._tokenizer = tokenizer
        self._boundary = tokenizer.boundary
        self._lists = documents == LINES
        self._state = state
        self.dtype = packed.dtype_for(len(tokenizer.symbols))
        self.ids_path = folder / "ids"
        self.table = Table(folder / "documents", **state["table"] if state else {})
        self._text = hashlib.sha256()
        self._ids_digest = hashlib.sha256()
        self._rows_digest = hashlib.sha256()
        self._texts = 0
        self._events = 0
        self._rows_written = state["rows"] if state else 0
        self.written = state["written"] if state else 0
        """Ids, boundaries included."""
        self._start = state["start"] if state else 0
        self._seen = np.zeros(len(tokenizer.symbols), bool)
        self._unknown: dict[str, None] = {}
        if state:
            self._seen[state["seen"]] = True
            self._unknown = dict.fromkeys(state["unknown"])

    def __enter__(self) -> IdWriter:
        self._ids_file = _opened(self.ids_path)
        self._table_file = _opened(self.table.path)
        try:
            _keep(self._ids_file, self.written * self.dtype.itemsize, self._ids_digest)
            _keep(self._table_file, self._rows_written * TABLE.itemsize, self._rows_digest)
            if self._state is None:
                self._write(np.array([self._boundary]))
            elif self._digests() != self._state["sha256"]:
                raise DoubtfulError
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._ids_file.close()
        self._table_file.close()

    @property
    def skipping(self) -> bool:
        """Whether what comes next is on the disk already."""
        return self._events < self.events_known

    @property
    def events_known(self) -> int:
        """How many events are on the disk already."""
        return self._state["events"] if self._state else 0

    def take(self, event: Event, result: Result | None) -> None:
        """Writes what an event brings; ``result`` is that of its job."""
        known = self.skipping
        self._hash(event, result)
        self._events += 1
        if not known:
            self._add(event, result)
        elif not self.skipping and self._state and self._text.hexdigest() != self._state["text"]:
            raise DoubtfulError

    def _add(self, event: Event, result: Result | None) -> None:
        if isinstance(event, Begin):
            self._start = self.written
        elif isinstance(event, Short) and result is not None:
            self._add_short(event, result)
        elif isinstance(event, Part) and result is not None:
            self._note(result)
            self._write(result.ids)
        elif isinstance(event, End):
            starts, ends = np.array([self._start]), np.array([self.written])
            self._rows(starts, ends, np.frombuffer(event.key, "<u8"), np.array([event.split]))
            self._write(np.array([self._boundary]))

    def checkpoint(self) -> dict[str, Any]:
        """Puts everything so far on the disk, and returns what goes on from here, as JSON."""
        for file in (self._ids_file, self._table_file):
            file.flush()
            os.fsync(file.fileno())
        table = self.table
        return {
            "events": self._events,
            "written": self.written,
            "rows": self._rows_written,
            "start": self._start,
            "table": {
                "count": table.count,
                "symbols": table.symbols,
                "longest": table.longest,
                "unsaid": table.unsaid,
            },
            "seen": np.flatnonzero(self._seen).tolist(),
            "unknown": list(self._unknown),
            "text": self._text.hexdigest(),
            "sha256": self._digests(),
        }

    def check(self, name: str) -> None:
        """Raises UserError where there is nothing to learn."""
        if self.skipping:
            raise DoubtfulError
        if not self.table.symbols:
            raise UserError(f"{name} holds no text.", "Give a source with some text in it.")
        if self._seen.sum() == 1:
            only = self._tokenizer.symbols[int(self._seen.argmax())].decode("utf-8", "replace")
            raise UserError(
                f"{name} has one distinct symbol, {only!r}: there is nothing to learn.",
                "Give a text of at least two different symbols.",
            )

    @property
    def file(self) -> dict[str, Any]:
        return {
            "bytes": self.written * self.dtype.itemsize,
            "sha256": self._ids_digest.hexdigest(),
        }

    @property
    def text_sha256(self) -> str:
        return self._text.hexdigest()

    def notices(self, name: str) -> list[str]:
        if not self._unknown:
            return []
        listing = ", ".join(ascii(symbol) for symbol in list(self._unknown)[:8])
        return [f"{name} holds {len(self._unknown)} symbols that were left out: {listing}."]

    def _add_short(self, event: Short, result: Result) -> None:
        if not len(result.ends):
            return
        self._note(result)
        final = self.written + result.ends + np.arange(len(result.ends))
        starts = np.append(self.written, final[:-1] + 1)  # after the boundary of the one before
        self._rows(starts, final, result.keys, np.repeat(event.splits, result.counts))
        self._write(result.ids)

    def _note(self, result: Result) -> None:
        self._seen[result.seen] = True
        self._unknown.update(dict.fromkeys(result.unknown))

    def _write(self, ids: np.ndarray) -> None:
        data = ids.astype(self.dtype, copy=False).tobytes()
        self._ids_file.write(data)
        self._ids_digest.update(data)
        self.written += len(ids)

    def _rows(
        self, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray, splits: np.ndarray
    ) -> None:
        rows = np.empty(len(starts), TABLE)
        rows["start"], rows["end"], rows["key"], rows["split"] = starts, ends, keys, splits
        data = rows.tobytes()
        self._table_file.write(data)
        self._rows_digest.update(data)
        self._rows_written += len(rows)
        lengths = ends - starts
        self.table.count += int((lengths > 0).sum())
        self.table.symbols += int(lengths.sum())
        self.table.longest = max(self.table.longest, int(lengths.max()))
        self.table.unsaid += int((splits == UNSAID).sum())

    def _digests(self) -> list[str]:
        return [self._ids_digest.hexdigest(), self._rows_digest.hexdigest()]

    def _hash(self, event: Event, result: Result | None) -> None:
        """Lines are hashed with their ends, so a list has the hash of its file; others apart."""
        if isinstance(event, Short):
            assert result is not None
            if count := int(result.counts.sum()):
                self._separate(count)
                self._text.update(result.data)
                self._end_text()
        elif isinstance(event, Begin):
            self._separate(1)
        elif isinstance(event, Part):
            self._text.update(event.data)
        else:
            self._end_text()

    def _separate(self, count: int) -> None:
        if not self._lists and self._texts:
            self._text.update(b"\0")
        self._texts += count

    def _end_text(self) -> None:
        if self._lists:
            self._text.update(b"\n")


def _opened(path: Path) -> IO[bytes]:
    path.touch()
    return path.open("r+b")


def _keep(file: IO[bytes], size: int, digest: Any) -> None:
    """Hashes the first ``size`` bytes, and cuts off what follows."""
    left = size
    while left and (data := file.read(min(left, 1 << 20))):
        digest.update(data)
        left -= len(data)
    if left:
        raise DoubtfulError
    file.seek(size)
    file.truncate()
