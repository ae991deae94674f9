"""What is done with a stretch of a corpus's text: split, rewritten, encoded, hashed.

A job knows nothing of the others, so they may be done in any order and in any process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from textgen.contracts.tokenizer import Tokenizer
from textgen.corpus import packed
from textgen.corpus.tokens import check_encoded
from textgen.rewriting import Rewriting, Rule

DOCUMENTS, READ, ALPHABET = "documents", "read", "alphabet"
"""Jobs on whole documents: encode them; only read them, to be hashed; find their characters."""

STRETCH, CHARACTERS = "stretch", "characters"
"""Jobs on a stretch of a long document: encode it; find its characters."""

_CODE_POINTS = 0x110000


class Job(NamedTuple):
    kind: str
    texts: Sequence[str]
    separator: str = ""
    """Where it is given, each text is documents between separators; empty ones are none."""

    @property
    def length(self) -> int:
        """Characters."""
        return sum(map(len, self.texts))


def _none(kind: str) -> Callable[[], np.ndarray]:
    return lambda: np.zeros(0, kind)


@dataclass(frozen=True)
class Result:
    """What a job found; what its kind does not ask for is empty."""

    ids: np.ndarray = field(default_factory=_none("u1"))
    """In the corpus's type; of documents, each followed by a boundary."""
    ends: np.ndarray = field(default_factory=_none("<i8"))
    """Where each document ends, boundaries not counted, int64 (n,)."""
    keys: np.ndarray = field(default_factory=_none("<u8"))
    """The keyed hash of each document's text (n,)."""
    counts: np.ndarray = field(default_factory=_none("<i8"))
    """How many documents each text of the job held."""
    seen: np.ndarray = field(default_factory=_none("<i8"))
    """Ids that occur, each once."""
    data: bytes = b""
    """The documents in UTF-8, joined as the corpus is hashed."""
    unknown: Sequence[str] = ()
    characters: str = ""
    changed: Sequence[int] = ()
    """Numbers of the rules that have changed something so far."""


class Encoder:
    """Does jobs. ``salt`` keys the hashes of documents; ``joint`` stands between them in the hash
    of the whole text. Without a ``tokenizer`` it does not encode."""

    def __init__(
        self, tokenizer: Tokenizer | None, rules: Iterable[Rule], salt: bytes, joint: bytes
    ) -> None:
        self.tokenizer = tokenizer
        self.salt = salt
        self.joint = joint
        self.rewriting = Rewriting(rules)
        self._digest = hashlib.blake2b(digest_size=8, salt=salt)
        if tokenizer is not None:
            self._lengths = np.array([len(symbol) for symbol in tokenizer.symbols], np.int64)
            self._dtype = packed.dtype_for(len(tokenizer.symbols))

    def run(self, job: Job) -> Result:
        if job.kind == STRETCH:
            ids, unknown = self._encode("".join(job.texts))
            return Result(ids.astype(self._dtype), seen=self._distinct(ids), unknown=unknown)
        if job.kind == CHARACTERS:
            return Result(characters=characters("".join(job.texts)))
        texts, counts = self._documents(job)
        changed = self.changed()
        if job.kind == ALPHABET:
            return Result(characters=characters("".join(texts)), changed=changed)
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        data = self.joint.join(encoded)
        if job.kind == READ or not texts:
            return Result(counts=counts, data=data, changed=changed)
        keys = b"".join(map(self._key, encoded))
        ids, ends, unknown = self._encode_all(texts, encoded)
        assert self.tokenizer is not None
        return Result(
            np.insert(ids.astype(self._dtype), ends, self.tokenizer.boundary),
            ends.astype("<i8"),
            np.frombuffer(keys, "<u8"),
            counts,
            self._distinct(ids),
            data,
            unknown,
            changed=changed,
        )

    def changed(self) -> list[int]:
        """Numbers of the rules that have changed something."""
        idle = self.rewriting.idle
        return [number for number, rule in enumerate(self.rewriting.rules) if rule not in idle]

    def _key(self, text: bytes) -> bytes:
        digest = self._digest.copy()  # half the time of a new one
        digest.update(text)
        return digest.digest()

    def _documents(self, job: Job) -> tuple[list[str], np.ndarray]:
        """The documents, rewritten, empty ones left out, and how many of them each text held."""
        found: list[str] = []
        counts = []
        for text in job.texts:
            parts = text.split(job.separator) if job.separator else [text]
            if self.rewriting.rules:
                parts = [self.rewriting.text(part) for part in parts if part]
            before = len(found)
            found += filter(None, parts)
            counts.append(len(found) - before)
        return found, np.array(counts, "<i8")

    def _encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        assert self.tokenizer is not None
        found = self.tokenizer.encode(text)
        check_encoded(self.tokenizer, found)
        return found

    def _encode_all(
        self, texts: list[str], encoded: list[bytes]
    ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """The ids of all texts in a row, where each text's end, and what was unknown.

        Where every text may be cut at its end, they are encoded as one: the symbols' bytes then
        tell the texts apart.
        """
        assert self.tokenizer is not None
        if list(map(self.tokenizer.safe_cut, texts)) == list(map(len, texts)):
            ids, unknown = self._encode("".join(texts))
            if not unknown and len(ids):
                wanted = np.cumsum(list(map(len, encoded)))
                ends = self._reached(ids, wanted)
                if ends is not None:
                    return ids, ends, []
        parts = [self._encode(text) for text in texts]
        known = [ids for ids, _ in parts]
        strange = dict.fromkeys(symbol for _, unknown in parts for symbol in unknown)
        return np.concatenate(known), np.cumsum([len(ids) for ids in known]), list(strange)

    def _reached(self, ids: np.ndarray, wanted: np.ndarray) -> np.ndarray | None:
        """After how many ids there are ``wanted`` (n,) bytes of text, or None where a symbol goes
        beyond one of them."""
        if len(ids) == wanted[-1] and self._lengths[self._distinct(ids)].max() == 1:
            return wanted
        reached = np.cumsum(self._lengths[ids])
        ends = np.searchsorted(reached, wanted)
        if reached[-1] == wanted[-1] and (reached[ends] == wanted).all():
            return ends + 1
        return None

    def _distinct(self, ids: np.ndarray) -> np.ndarray:
        there = np.zeros(len(self._lengths), bool)
        there[ids] = True
        return np.flatnonzero(there).astype("<i8")


def characters(text: str) -> str:
    """Those that occur in ``text``, each once, in the order of their code points."""
    if text.isascii():
        points, limit = np.frombuffer(text.encode("ascii"), np.uint8), 128
    else:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        limit = _CODE_POINTS
    there = np.zeros(limit, bool)
    there[points] = True
    return "".join(map(chr, np.flatnonzero(there).tolist()))
