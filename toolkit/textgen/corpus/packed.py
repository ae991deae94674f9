"""A corpus as ids on disk, mapped into memory when it is used.

In its folder: ``ids.bin``, one number a symbol: boundary, document, boundary, ..., boundary;
``<split>.bin``, two int64 a span; ``meta.json``, which is written last and tells the rest, with the
SHA-256 of everything, so that damage is found.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from textgen import storage
from textgen.contracts.errors import TextgenError, UserError
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen.corpus.splitting import SPLITS
from textgen.rewriting import Rule

FORMAT = 1
FOLDER = "packed"
"""Of all packed corpora, in the cache."""
META = "meta.json"
IDS = "ids.bin"
VERIFIED = 1 << 31
"""Files up to this many bytes in all are hashed whenever they are opened (two seconds at worst);
larger ones have their sizes checked, and are hashed by ``verify``."""


class DamagedCorpusError(TextgenError):
    """The files of a packed corpus are not what was written."""


@dataclass(frozen=True)
class PackedCorpus:
    """The ids of a corpus, its splits, and what is known of it.

    ``sha256`` is over the text as read, or as rewritten by ``replacements``; ``documents`` is
    ``lines``, ``files``, ``none`` or a separator; ``notices`` are sentences to be said once.
    """

    name: str
    licence: str
    sha256: str
    tokenizer: Tokenizer
    tokenizer_name: str
    tokenizer_distribution: str
    documents: str
    split: Mapping[str, Any]
    replacements: tuple[Rule, ...]
    notices: Sequence[str]
    ids: np.ndarray
    """Memory-mapped, uint8, uint16 or int32: boundary, document, boundary, ..., boundary."""

    ranges: Mapping[str, np.ndarray]
    """The spans of each split, memory-mapped: once open, it can be removed from the cache."""

    folder: Path
    meta: Mapping[str, Any]

    @property
    def vocabulary(self) -> Vocabulary:
        return self.tokenizer.vocabulary

    @property
    def tokenizer_options(self) -> Mapping[str, Any]:
        """What its tokenizer was learnt with."""
        options: Mapping[str, Any] = self.meta.get("tokenizer_options", {})
        return options

    @property
    def template(self) -> str:
        """Of its records, such as ``{school}|{name}``; empty where there is none."""
        return str(self.meta.get("template", ""))

    def texts(self) -> Iterator[np.ndarray]:
        """The ids of every document or piece of one, of all splits."""
        for split in SPLITS:
            for start, end in self.spans(split).tolist():
                yield self.ids[start:end]

    def spans(self, split: str) -> np.ndarray:
        """Half-open ranges [start, end) in ``ids``, int64 (n, 2), memory-mapped.

        Each is a document of the split, or the piece of one that belongs to it, without boundaries:
        ``ids[start - 1]`` is what stood before, a boundary or the text that was cut off, and
        ``ids[end]`` what follows.
        """
        return self.ranges[_known(split)]

    def cut(self, split: str) -> bool:
        """Whether the spans are pieces of documents that go on: the tail split of running text."""
        _known(split)
        return bool(self.split["of"] == "each document")

    def symbols(self, split: str) -> int:
        """The number of symbols in the split, boundaries left out."""
        return int(self.meta["counts"][_known(split)]["symbols"])

    def require(self, window: int) -> None:
        """Raises UserError where there is too little to train on in windows of ``window`` symbols:
        running text needs one window and its last target, lists need two symbols."""
        have = self.symbols("train")
        need = 2 if self.documents == "lines" else window + 1
        if have < need:
            raise UserError(
                f"{self.name} has {have} symbols to train on, and a window is {window}.",
                f"Use a longer text (at least {need} symbols of it for training), "
                "or a shorter --sequence-length.",
            )

    def verify(self) -> None:
        """Hashes every file. Raises DamagedCorpusError where one is not what was written."""
        paths = [self.folder / name for name in self.meta["files"]]
        with ThreadPoolExecutor(2) as threads:  # ids are most of it, spans of lines the rest
            found = list(threads.map(_sha256, paths))
        for path, digest in zip(paths, found, strict=True):
            if digest != self.meta["files"][path.name]["sha256"]:
                raise _damaged(path)


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """A folder for a packed corpus, this process's alone. If it is empty in the end, it goes.

    Raises filelock.Timeout where another has it, and this one does not ``wait``.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".lock")
    with FileLock(path, timeout=-1 if wait else 0):
        folder.mkdir(exist_ok=True)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                if folder.exists():
                    folder.rmdir()
                path.unlink()  # whoever waits for it sees that it is gone


def open_packed(folder: Path, tokenizer_class: type[Tokenizer]) -> PackedCorpus:
    """The packed corpus in ``folder``. Raises DamagedCorpusError where something is amiss."""
    meta = read_meta(folder)
    try:
        sizes = {name: (folder / name).stat().st_size for name in meta["files"]}
    except OSError as error:
        raise _damaged(folder) from error
    for name, size in sizes.items():
        if size != meta["files"][name]["bytes"]:
            raise _damaged(folder / name)
    symbols = tuple(s.encode("utf-8", "surrogateescape") for s in meta["symbols"])
    vocabulary = Vocabulary(symbols, meta["boundary"])
    corpus = PackedCorpus(
        name=meta["name"],
        licence=meta["licence"],
        sha256=meta["sha256"],
        tokenizer=tokenizer_class.from_json(vocabulary, meta["tokenizer_data"]),
        tokenizer_name=meta["tokenizer"],
        tokenizer_distribution=meta["tokenizer_distribution"],
        documents=meta["documents"],
        split=meta["split"],
        replacements=tuple((pattern, text) for pattern, text in meta.get("replacements", ())),
        notices=meta["notices"],
        ids=np.memmap(folder / IDS, np.dtype(meta["dtype"]), "r"),
        ranges={split: _spans(folder, split, meta["counts"][split]["spans"]) for split in SPLITS},
        folder=folder,
        meta=meta,
    )
    if sum(sizes.values()) <= VERIFIED:
        corpus.verify()
    return corpus


def _spans(folder: Path, split: str, count: int) -> np.ndarray:
    if not count:
        return np.zeros((0, 2), np.int64)
    return np.memmap(folder / f"{split}.bin", np.dtype("<i8"), "r", shape=(count, 2))


def write_meta(folder: Path, meta: Mapping[str, Any]) -> None:
    """Writes ``meta.json``: the corpus is there from then on."""
    write_sealed(folder / META, meta)


def read_meta(folder: Path) -> dict[str, Any]:
    """What ``meta.json`` says. Raises DamagedCorpusError where it is not what was written."""
    content = read_sealed(folder / META)
    if content.get("format") != FORMAT:
        raise _damaged(folder / META)
    return content


def write_sealed(path: Path, content: Mapping[str, Any]) -> None:
    """``content`` as JSON, with its SHA-256."""
    text = json.dumps({"sha256": _digest(content), "content": content}, indent=1)  # any symbol
    storage.write_text(path, text + "\n")


def read_sealed(path: Path) -> dict[str, Any]:
    """What ``write_sealed`` wrote. Raises DamagedCorpusError where it is not that."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        content = whole["content"]
        if whole["sha256"] != _digest(content) or not isinstance(content, dict):
            raise _damaged(path)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    return content


def dtype_for(size: int) -> np.dtype:
    """The smallest type for ids below ``size``."""
    if size <= 1 << 8:
        return np.dtype("u1")
    return np.dtype("<u2") if size <= 1 << 16 else np.dtype("<i4")


def _known(split: str) -> str:
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}.", f"It is one of {', '.join(SPLITS)}.")
    return split


def _damaged(path: Path) -> DamagedCorpusError:
    return DamagedCorpusError(
        f"The packed corpus is damaged: {path.name}.", "It is packed anew from its source."
    )


def _digest(meta: Mapping[str, Any]) -> str:
    text = json.dumps(meta, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
