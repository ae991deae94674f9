"""Writes documents as ids and as rows of a table, in batches where they are short, in pieces where
they are long."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import packed
from textgen.corpus.documents import LINES
from textgen.corpus.splitting import SPLITS, TABLE, UNSAID, Table

PIECE = 1 << 20
"""Characters of a long document encoded together."""

BATCH = 1 << 18
"""Characters of short documents encoded together."""


class IdWriter:
    """Writes ids to a file, and a row for each document to a table, both as they come."""

    def __init__(
        self, tokenizer: Tokenizer, seed: int, documents: str, path: Path, scratch: Path
    ) -> None:
        self._tokenizer = tokenizer
        self._boundary = tokenizer.boundary
        self._lengths = np.array([len(symbol) for symbol in tokenizer.symbols], np.int64)
        # a salt keys the hash as a key does, at half the time for short texts
        self._salt = hashlib.sha256(str(seed).encode()).digest()[: hashlib.blake2b.SALT_SIZE]
        self._lists = documents == LINES
        self.dtype = packed.dtype_for(len(tokenizer.symbols))
        self.table = Table(scratch / "documents")
        self._ids_path, self._text = path, hashlib.sha256()
        self._ids_digest = hashlib.sha256()
        self._written = self._texts = 0
        self._batch: list[str] = []
        self._batch_splits: list[int] = []
        self._batch_length = 0
        self._seen = np.zeros(len(tokenizer.symbols), bool)
        self._unknown: dict[str, None] = {}

    def __enter__(self) -> IdWriter:
        self._ids_file = self._ids_path.open("wb")
        self._table_file = self.table.path.open("wb")
        self._write(np.array([self._boundary]))
        return self

    def __exit__(self, *failure: object) -> None:
        try:
            if failure[0] is None:
                self._flush()
        finally:
            self._ids_file.close()
            self._table_file.close()

    def add(self, document: Document) -> None:
        """Encodes one document: short ones wait for others, long ones stream."""
        split = UNSAID if document.split is None else _split_number(document)
        pieces = document.pieces
        if type(pieces) is tuple and len(pieces) == 1 and (length := len(pieces[0])) < BATCH:
            if length:
                self._batch.append(pieces[0])
                self._batch_splits.append(split)
                self._batch_length += length
                if self._batch_length >= BATCH:
                    self._flush()
            return
        self._flush()
        self._stream(pieces, split)

    def check(self, name: str) -> None:
        """Raises UserError where there is nothing to learn."""
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
            "bytes": self._written * self.dtype.itemsize,
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

    def _stream(self, pieces: Iterable[str], split: int) -> None:
        start, held = self._written, ""
        digest = hashlib.blake2b(digest_size=8, salt=self._salt)
        began = False
        for piece in _moderate(pieces):
            if not began:
                self._separate()
                began = True
            data = piece.encode("utf-8", "surrogatepass")
            digest.update(data)
            self._text.update(data)
            held += piece
            cut = self._tokenizer.safe_cut(held)
            if cut:
                self._write(self._encode(held[:cut]))
                held = held[cut:]
        if held:
            self._write(self._encode(held))
        if began:
            self._end_text()
            keys = np.frombuffer(digest.digest(), "<u8")
            self._rows(np.array([start]), np.array([self._written]), keys, [split])
            self._write(np.array([self._boundary]))

    def _flush(self) -> None:
        if not self._batch:
            return
        texts, splits = self._batch, self._batch_splits
        self._batch, self._batch_splits, self._batch_length = [], [], 0
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        salt, blake2b = self._salt, hashlib.blake2b
        hashes = b"".join([blake2b(d, digest_size=8, salt=salt).digest() for d in encoded])
        self._hash_texts(encoded)
        ids, ends = self._encode_all(texts, encoded)
        count = np.arange(len(texts))
        final = self._written + ends + count  # a boundary after each document before
        starts = np.append(self._written, final[:-1] + 1)
        self._rows(starts, final, np.frombuffer(hashes, "<u8"), splits)
        self._seen[ids] = True
        self._write(np.insert(ids, ends, self._boundary))

    def _encode_all(self, texts: list[str], encoded: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all texts in a row, and where each text's end.

        Where every text may be cut at its end, they are encoded as one: the symbols' bytes then
        tell the texts apart.
        """
        safe_cut = self._tokenizer.safe_cut
        if all(safe_cut(text) == len(text) for text in texts):
            ids, unknown = self._tokenizer.encode("".join(texts))
            if not unknown and len(ids):
                reached = np.cumsum(self._lengths[ids])
                wanted = np.cumsum([len(data) for data in encoded])
                ends = np.searchsorted(reached, wanted)
                if reached[-1] == wanted[-1] and (reached[ends] == wanted).all():
                    return ids, ends + 1
        parts = [self._encode(text) for text in texts]
        return np.concatenate(parts), np.cumsum([len(part) for part in parts])

    def _encode(self, text: str) -> np.ndarray:
        ids, unknown = self._tokenizer.encode(text)
        self._unknown.update(dict.fromkeys(unknown))
        self._seen[ids] = True
        return ids

    def _write(self, ids: np.ndarray) -> None:
        data = ids.astype(self.dtype).tobytes()
        self._ids_file.write(data)
        self._ids_digest.update(data)
        self._written += len(ids)

    def _rows(
        self, starts: np.ndarray, ends: np.ndarray, keys: np.ndarray, splits: list[int]
    ) -> None:
        rows = np.empty(len(starts), TABLE)
        rows["start"], rows["end"], rows["key"], rows["split"] = starts, ends, keys, splits
        self._table_file.write(rows.tobytes())
        lengths = ends - starts
        self.table.count += int((lengths > 0).sum())
        self.table.symbols += int(lengths.sum())
        self.table.longest = max(self.table.longest, int(lengths.max()))
        self.table.unsaid += splits.count(UNSAID)

    def _hash_texts(self, encoded: list[bytes]) -> None:
        """Lines are hashed with their ends, so a list has the hash of its file; others apart."""
        if self._lists:
            self._text.update(b"\n".join(encoded) + b"\n")
        else:
            for data in encoded:
                self._separate()
                self._text.update(data)

    def _separate(self) -> None:
        if not self._lists and self._texts:
            self._text.update(b"\0")
        self._texts += 1

    def _end_text(self) -> None:
        if self._lists:
            self._text.update(b"\n")


def _moderate(pieces: Iterable[str]) -> Iterator[str]:
    """``pieces`` in strings of at most a megabyte, without empty ones."""
    for piece in pieces:
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]


def _split_number(document: Document) -> int:
    if document.split not in SPLITS:
        raise UserError(
            f"{document.name} says it belongs to a split {document.split!r}.",
            f"It is one of {', '.join(SPLITS)}.",
        )
    return SPLITS.index(document.split)
