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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from textgen import storage
from textgen.contracts.options import options_dict
from textgen.contracts.reader import Document, Reader
from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import packed
from textgen.corpus.documents import DocumentSettings, arrange, choose_documents
from textgen.corpus.packed import DamagedCorpusError, PackedCorpus
from textgen.corpus.splitting import SPLITS, Split, Table, choose_split, spans
from textgen.corpus.writing import IdWriter
from textgen.rewriting import Rewriting

__all__ = ["DocumentSettings", "PackedCorpus", "Progress", "pack"]

Progress = Callable[[str, int, int | None], None]
"""Called with what is done ("reading", "packing", "downloading"), how much, and of how much."""

_TOLD = 1 << 20  # characters between two calls of the progress


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
    plugins: Sequence[str] = (),
    progress: Progress | None = None,
) -> PackedCorpus:
    """The corpus of ``reader`` as ids, from ``cache`` where it was packed before.

    ``name`` is the corpus's for people, a base name; ``plugins`` tell the versions of the code that
    reads and splits it, for another may find other symbols. The vocabulary is learnt from the whole
    text, all splits. Raises UserError for a corpus that is missing, empty, binary, wrongly encoded,
    or of one distinct symbol.
    """
    identity = {
        "format": packed.FORMAT,
        "source": reader.fingerprint(),
        "reader": f"{type(reader).__module__}.{type(reader).__qualname__}",
        "reader_options": options_dict(reader.options),
        "tokenizer": f"{tokenizer_class.__module__}.{tokenizer_class.__qualname__}",
        "tokenizer_options": options_dict(tokenizer_options),
        "settings": options_dict(settings),
        "plugins": list(plugins),
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
        self._rewriting = Rewriting(settings.replace)
        self._folder = folder
        self._progress = progress or (lambda stage, done, total: None)
        self._characters: int | None = reader.size()

    def run(self, tokenizer_class: type[Tokenizer], options: Any, name: str) -> dict[str, Any]:
        documents, notice = choose_documents(self._reader, self._settings, name)
        tokenizer = tokenizer_class.learn(self._documents("reading", documents), options)
        scratch = Path(tempfile.mkdtemp(prefix=".scratch-", dir=self._folder))
        try:
            with storage.replacing(self._folder / packed.IDS) as path:
                writer = IdWriter(tokenizer, self._settings.seed, documents, path, scratch)
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
            "template": getattr(self._reader.options, "template", ""),
            "split": split.to_json(),
            "counts": counts,
            "files": files,
            "dtype": writer.dtype.str,
            "replacements": self._rewriting.rules,
            "notices": [
                n
                for n in (notice, *writer.notices(name), *self._idle(name), *_missing(counts))
                if n
            ],
        }

    def _documents(self, stage: str, documents: str) -> Iterator[Document]:
        arranged = arrange(self._watched(stage), documents, self._reader.records)
        return map(self._rewriting.document, arranged)

    def _idle(self, name: str) -> Iterator[str]:
        for pattern, text in self._rewriting.rules:
            if (pattern, text) in self._rewriting.idle:
                yield f"--replace '{pattern}={text}' changed nothing in {name}."

    def _watched(self, stage: str) -> Iterator[Document]:
        """What the reader finds, telling the progress and counting their characters on the way."""
        done = told = 0

        def watched(pieces: Iterable[str]) -> Iterator[str]:
            nonlocal done, told
            for piece in pieces:
                done += len(piece)
                if done - told >= _TOLD:
                    told = done
                    self._progress(stage, done, self._characters)
                yield piece

        for document in self._reader.documents():
            pieces = document.pieces
            if type(pieces) is tuple:  # records: no generator for each of millions
                done += len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
                if done - told >= _TOLD:
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


def _missing(counts: dict[str, dict[str, int]]) -> list[str]:
    if counts["validation"]["symbols"]:
        return []
    return ["There is no text for validation: losses are of the training text."]
