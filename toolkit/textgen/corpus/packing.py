"""Makes ids of a corpus, once: text streams through in pieces, and ids and spans go to disk.

Memory stays bounded whatever the size of the corpus and the number of its documents. A corpus is
kept under a name made of its source's fingerprint and all settings; a second start opens it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from textgen import storage
from textgen.contracts.errors import UserError
from textgen.contracts.options import options_dict
from textgen.contracts.reader import Document, Reader
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import packed
from textgen.corpus.documents import LINES, DocumentSettings, arrange, choose_documents
from textgen.corpus.packed import DamagedCorpusError, PackedCorpus
from textgen.corpus.splitting import SPLITS, TABLE, UNSAID, Split, Table, choose_split, spans

__all__ = ["DocumentSettings", "PackedCorpus", "Progress", "pack"]

Progress = Callable[[str, int, int | None], None]
"""Called with what is done ("reading", "packing", "downloading"), how much, and of how much."""

_PIECE = 1 << 20  # characters of a long document encoded together
_BATCH = 1 << 18  # characters of short documents encoded together


def pack(
    reader: Reader,
    tokenizer_class: type[Tokenizer],
    tokenizer_name: str,
    tokenizer_options: Any,
    settings: DocumentSettings,
    cache: Path,
    *,
    name: str,
    licence: str = "",
    tokenizer_distribution: str = "",
    progress: Progress | None = None,
) -> PackedCorpus:
    """The corpus of ``reader`` as ids, from ``cache`` where it was packed before.

    ``name`` is the corpus's for people, a base name. The vocabulary is learnt from the whole text,
    all splits. Raises UserError for a corpus that is missing, empty, binary, wrongly encoded, or of
    one distinct symbol.
    """
    identity = {
        "format": packed.FORMAT,
        "source": reader.fingerprint(),
        "reader": f"{type(reader).__module__}.{type(reader).__qualname__}",
        "reader_options": options_dict(reader.options),
        "tokenizer": f"{tokenizer_class.__module__}.{tokenizer_class.__qualname__}",
        "tokenizer_options": options_dict(tokenizer_options),
        "settings": options_dict(settings),
        "name": name,
        "licence": licence,
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache / "packed" / key
    about = {
        "name": name,
        "licence": licence,
        "tokenizer": tokenizer_name,
        "tokenizer_distribution": tokenizer_distribution,
    }
    with storage.explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        with lock:
            damage = ""
            if (folder / packed.META).exists():
                try:
                    return packed.open_packed(folder, tokenizer_class)
                except DamagedCorpusError as error:
                    damage = f"{error.problem} {error.remedy}"
            _clear(folder)
            meta = _Packing(reader, settings, folder, progress).run(
                tokenizer_class, tokenizer_options, name
            )
            packed.write_meta(folder, {**meta, **about})
    corpus = packed.open_packed(folder, tokenizer_class)
    return dataclasses.replace(corpus, notices=[damage, *corpus.notices]) if damage else corpus


def _clear(folder: Path) -> None:
    """Removes what a packing that was killed, or is damaged, left behind."""
    (folder / packed.META).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class _Packing:
    """One pass over the text to learn the vocabulary, a second to write ids."""

    def __init__(
        self, reader: Reader, settings: DocumentSettings, folder: Path, progress: Progress | None
    ) -> None:
        self._reader = reader
        self._settings = settings
        self._folder = folder
        self._progress = progress or (lambda stage, done, total: None)
        self._characters: int | None = reader.size()

    def run(self, tokenizer_class: type[Tokenizer], options: Any, name: str) -> dict[str, Any]:
        documents, notice = choose_documents(self._reader, self._settings, name)
        tokenizer = tokenizer_class.learn(self._documents("reading", documents), options)
        scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=self._folder))
        try:
            with storage.replacing(self._folder / packed.IDS) as path:
                writer = _Writer(tokenizer, self._settings.seed, documents, path, scratch)
                with writer:
                    for document in self._documents("packing", documents):
                        writer.add(document)
                writer.check(name)
            split = choose_split(writer.table, documents, self._settings, scratch, name)
            files, counts = self._write_spans(split, writer.table)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        files[packed.IDS] = writer.file
        vocabulary = tokenizer.vocabulary
        return {
            "format": packed.FORMAT,
            "sha256": writer.text_sha256,
            "symbols": [s.decode("utf-8", "surrogateescape") for s in vocabulary.symbols],
            "boundary": vocabulary.boundary,
            "tokenizer_data": dict(tokenizer.to_json()),
            "documents": documents,
            "split": split.to_json(),
            "counts": counts,
            "files": files,
            "dtype": writer.dtype.str,
            "notices": [n for n in (notice, *writer.notices(name), *_missing(counts)) if n],
        }

    def _documents(self, stage: str, documents: str) -> Iterator[Document]:
        return arrange(self._watched(stage), documents, self._reader.records)

    def _watched(self, stage: str) -> Iterator[Document]:
        """What the reader finds, telling the progress and counting their characters on the way."""
        done = told = 0

        def watched(pieces: Iterable[str]) -> Iterator[str]:
            nonlocal done, told
            for piece in pieces:
                done += len(piece)
                if done - told >= _PIECE:
                    told = done
                    self._progress(stage, done, self._characters)
                yield piece

        for document in self._reader.documents():
            pieces = document.pieces
            if type(pieces) is tuple:  # records: no generator for each of millions
                done += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
                if done - told >= _PIECE:
                    told = done
                    self._progress(stage, done, self._characters)
                yield document
            else:
                yield Document(document.name, watched(pieces), document.split)
        self._characters = done
        self._progress(stage, done, done)

    def _write_spans(
        self, split: Split, table: Table
    ) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
        """Writes the spans of each split; their files' sizes and hashes, and what they hold."""
        counts = {name: {"spans": 0, "symbols": 0} for name in SPLITS}
        digests = {name: hashlib.sha256() for name in SPLITS}
        with contextlib.ExitStack() as stack:
            files = []
            for name in SPLITS:
                path = stack.enter_context(storage.replacing(self._folder / f"{name}.bin"))
                files.append(stack.enter_context(path.open("wb")))
            for chosen, pieces in spans(split, table):
                for number, name in enumerate(SPLITS):
                    own = pieces[chosen == number]
                    data = own.astype("<i8").tobytes()
                    files[number].write(data)
                    digests[name].update(data)
                    counts[name]["spans"] += len(own)
                    counts[name]["symbols"] += int((own[:, 1] - own[:, 0]).sum())
        entries = {
            f"{name}.bin": {
                "bytes": counts[name]["spans"] * 16,
                "sha256": digests[name].hexdigest(),
            }
            for name in SPLITS
        }
        return entries, counts


class _Writer:
    """Writes ids to a file, and a row for each document to a table, both as they come."""

    def __init__(
        self, tokenizer: Tokenizer, seed: int, documents: str, path: Path, scratch: Path
    ) -> None:
        self._tokenizer = tokenizer
        self._boundary = tokenizer.boundary
        self._lengths = np.array([len(symbol) for symbol in tokenizer.symbols], np.int64)
        self._key = hashlib.sha256(str(seed).encode()).digest()
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

    def __enter__(self) -> _Writer:
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
        if type(pieces) is tuple and len(pieces) == 1 and (length := len(pieces[0])) < _BATCH:
            if length:
                self._batch.append(pieces[0])
                self._batch_splits.append(split)
                self._batch_length += length
                if self._batch_length >= _BATCH:
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
        digest = hashlib.blake2b(digest_size=8, key=self._key)
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
        key, blake2b = self._key, hashlib.blake2b
        hashes = b"".join([blake2b(d, digest_size=8, key=key).digest() for d in encoded])
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
        for start in range(0, len(piece), _PIECE):
            yield piece[start : start + _PIECE]


def _split_number(document: Document) -> int:
    if document.split not in SPLITS:
        raise UserError(
            f"{document.name} says it belongs to a split {document.split!r}.",
            f"It is one of {', '.join(SPLITS)}.",
        )
    return SPLITS.index(document.split)


def _missing(counts: dict[str, dict[str, int]]) -> list[str]:
    if counts["validation"]["symbols"]:
        return []
    return ["There is no text for validation: losses are of the training text."]
