"""Makes ids of a corpus, once: text streams through in pieces, and ids and spans go to disk.

Memory stays bounded whatever the size of the corpus and the number of its documents. A corpus is
kept under a name made of its source's fingerprint and all settings; a second start opens it, and
goes on with it where the first one was interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from textgen import storage
from textgen.contracts.options import options_dict
from textgen.contracts.reader import Document, Reader
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen.corpus import packed
from textgen.corpus.counting import Counting, Progress
from textgen.corpus.cutting import Event, Short, character_jobs, cut, found_in
from textgen.corpus.documents import LINES, Block, DocumentSettings, arrange, choose_documents
from textgen.corpus.encoding import READ, Encoder, Job
from textgen.corpus.journal import UNFINISHED, Journal
from textgen.corpus.packed import DamagedCorpusError, PackedCorpus
from textgen.corpus.pool import Pool
from textgen.corpus.splitting import SPLITS, Split, Table, choose_split, spans
from textgen.corpus.tokens import check_learnt
from textgen.corpus.writing import DoubtfulError, IdWriter
from textgen.rewriting import Rewriting

__all__ = ["DocumentSettings", "PackedCorpus", "Progress", "pack"]


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
    notify: Callable[[str], None] | None = None,
) -> PackedCorpus:
    """The corpus of ``reader`` as ids, from ``cache`` where it was packed before.

    ``name`` is the corpus's for people, a base name; ``plugins`` tell the versions of the code that
    reads and splits it, for another may find other symbols. The vocabulary is learnt from the whole
    text, all splits. ``notify`` is told where an interrupted packing is gone on with. Raises
    UserError for a corpus that is missing, empty, binary, wrongly encoded, or of one distinct
    symbol.
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
    folder = cache / packed.FOLDER / key
    about = {
        "name": name,
        "licence": licence,
        "tokenizer": tokenizer_name,
        "tokenizer_distribution": tokenizer_distribution,
        "tokenizer_options": options_dict(tokenizer_options),
    }
    with storage.explained(folder), packed.locked(folder):
        damage = ""
        if (folder / packed.META).exists():
            try:
                return packed.open_packed(folder, tokenizer_class)
            except DamagedCorpusError as error:
                damage = f"{error.problem} {error.remedy}"
        _clear(folder)
        packing = _Packing(reader, settings, folder, name, progress, notify)
        meta = packing.run(tokenizer_class, tokenizer_options)
        packed.write_meta(folder, {**meta, **about})
        packing.end()
        corpus = packed.open_packed(folder, tokenizer_class)
    return dataclasses.replace(corpus, notices=[damage, *corpus.notices]) if damage else corpus


def _clear(folder: Path) -> None:
    """Removes what is damaged or half-written, but for a packing to go on with."""
    (folder / packed.META).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name == UNFINISHED:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


class _Packing:
    """One pass over the text to learn the vocabulary, a second to write ids."""

    def __init__(
        self,
        reader: Reader,
        settings: DocumentSettings,
        folder: Path,
        name: str,
        progress: Progress | None,
        notify: Callable[[str], None] | None,
    ) -> None:
        self._reader = reader
        self._settings = settings
        self._folder = folder
        self._name = name
        self._unfinished = folder / UNFINISHED
        self._counting = Counting(reader, progress)
        self._notify = notify or (lambda line: None)
        self._rewriting = Rewriting(settings.replace)
        self._changed: set[int] = set()
        self._salt = hashlib.sha256(str(settings.seed).encode()).digest()
        self._salt = self._salt[: hashlib.blake2b.SALT_SIZE]
        version = importlib.metadata.version("textgen-toolkit")
        self._journal = Journal(folder, name, version)

    def run(self, tokenizer_class: type[Tokenizer], options: Any) -> dict[str, Any]:
        """Packs, and returns what ``meta.json`` tells. What an interrupted packing left is gone on
        with; what fails leaves nothing."""
        try:
            if (before := self._journal.read()) is not None:
                try:
                    return self._go_on(tokenizer_class, *before)
                except DoubtfulError:
                    self._notify("What was packed before is not as it was: it is packed anew.")
            self.end()
            self._unfinished.mkdir()
            learnt = self._learn(tokenizer_class, options)
            if self._journal.due():
                self._journal.save(learnt, None)
            return self._finish(tokenizer_class, learnt, None)
        except Exception:
            self.end()
            raise
        except BaseException:  # Ctrl-C
            if not self._journal.begun:
                self.end()
            raise

    def end(self) -> None:
        """Removes what only an unfinished packing needs."""
        shutil.rmtree(self._unfinished, ignore_errors=True)

    def _go_on(
        self,
        tokenizer_class: type[Tokenizer],
        learnt: dict[str, Any],
        state: dict[str, Any] | None,
    ) -> dict[str, Any]:
        there = f"{state['written']:,} symbols are there" if state else "its vocabulary is known"
        self._notify(f"Going on with the interrupted packing of {self._name}: {there}.")
        return self._finish(tokenizer_class, learnt, state)

    def _learn(self, tokenizer_class: type[Tokenizer], options: Any) -> dict[str, Any]:
        """The first pass: what a document is, and the vocabulary."""
        documents, notice = choose_documents(self._reader, self._settings, self._name)
        records = self._reader.records
        counted = self._counting.documents("reading")
        if tokenizer_class.learns_characters:
            found = found_in(counted, documents, records)
            texts = iter([Document("characters", (self._characters_of(found, documents),))])
        else:
            texts = map(self._rewriting.document, arrange(counted, documents, records))
        tokenizer = tokenizer_class.learn(texts, options)
        check_learnt(tokenizer, tokenizer_class)
        vocabulary = tokenizer.vocabulary
        return {
            "symbols": [s.decode("utf-8", "surrogateescape") for s in vocabulary.symbols],
            "boundary": vocabulary.boundary,
            "tokenizer_data": dict(tokenizer.to_json()),
            "documents": documents,
            "notice": notice,
            "characters": self._counting.characters,
        }

    def _characters_of(self, found: Iterable[Document | Block], documents: str) -> str:
        """Every character of the corpus once."""
        every: set[str] = set()
        with Pool(self._encoder(None, documents)) as pool:
            jobs = ((job, job) for job in character_jobs(found, self._rewriting))
            for _, result in pool.in_order(jobs):
                assert result is not None
                every.update(result.characters)
        return "".join(sorted(every))

    def _finish(
        self,
        tokenizer_class: type[Tokenizer],
        learnt: dict[str, Any],
        state: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """The second pass, and the splits."""
        symbols = tuple(s.encode("utf-8", "surrogateescape") for s in learnt["symbols"])
        vocabulary = Vocabulary(symbols, learnt["boundary"])
        tokenizer = tokenizer_class.from_json(vocabulary, learnt["tokenizer_data"])
        documents, name = learnt["documents"], self._name
        self._counting.characters = learnt["characters"]
        with IdWriter(tokenizer, documents, self._unfinished, state) as writer:
            self._write(writer, learnt, self._encoder(tokenizer, documents))
            writer.check(name)
            if self._journal.begun:  # what follows takes time, too
                self._journal.save(learnt, writer.checkpoint())
        split = choose_split(writer.table, documents, self._settings, self._unfinished, name)
        files, counts = self._write_spans(split, writer.table)
        files[packed.IDS] = writer.file
        storage.settle(writer.ids_path, self._folder / packed.IDS)
        return {
            "format": packed.FORMAT,
            "sha256": writer.text_sha256,
            "symbols": learnt["symbols"],
            "boundary": learnt["boundary"],
            "tokenizer_data": learnt["tokenizer_data"],
            "documents": documents,
            "template": getattr(self._reader.options, "template", ""),
            "split": split.to_json(),
            "counts": counts,
            "files": files,
            "dtype": writer.dtype.str,
            "replacements": self._rewriting.rules,
            "notices": [
                n
                for n in (
                    learnt["notice"],
                    *writer.notices(name),
                    *self._idle(name),
                    *_missing(counts),
                )
                if n
            ],
        }

    def _write(self, writer: IdWriter, learnt: dict[str, Any], encoder: Encoder) -> None:
        """The second pass."""
        assert encoder.tokenizer is not None
        found = found_in(
            self._counting.documents("packing"), learnt["documents"], self._reader.records
        )
        events = cut(found, self._rewriting, encoder.tokenizer.safe_cut, self._salt)
        known = writer.events_known
        with Pool(encoder) as pool:
            tasks = (
                (event, _to_read(event) if number < known else event.job)
                for number, event in enumerate(events)
            )
            for event, result in pool.in_order(tasks):
                if result is not None:
                    self._changed.update(result.changed)
                writer.take(event, result)
                if self._journal.due() and not writer.skipping:
                    self._journal.save(learnt, writer.checkpoint())

    def _encoder(self, tokenizer: Tokenizer | None, documents: str) -> Encoder:
        joint = b"\n" if documents == LINES else b"\0"
        return Encoder(tokenizer, self._settings.replace, self._salt, joint)

    def _idle(self, name: str) -> Iterator[str]:
        """Rules that have changed nothing, neither here nor in another process."""
        for number, (pattern, text) in enumerate(self._rewriting.rules):
            if number not in self._changed and (pattern, text) in self._rewriting.idle:
                yield f"--replace '{pattern}={text}' changed nothing in {name}."

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


def _to_read(event: Event) -> Job | None:
    """What is left to do for an event whose ids are on the disk."""
    return event.job._replace(kind=READ) if isinstance(event, Short) else None
