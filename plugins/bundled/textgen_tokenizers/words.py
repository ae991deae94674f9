"""Words, and single characters for all that is no frequent word."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary

TEXTGEN_CONTRACT = 1

LONGEST_WORD = 32
"""Letters. A longer run is several words, so that text without spaces streams too."""

_PART = re.compile(rf" ?\w{{1,{LONGEST_WORD}}}|.", re.DOTALL)
_COUNTED = 150_000  # distinct words counted at once; the rarest are forgotten beyond that


@dataclass(frozen=True)
class WordsOptions:
    max_size: int = option(8000, "number of words at most", minimum=0, maximum=1_000_000)
    min_count: int = option(3, "times a word must occur in the corpus", minimum=1)


class Words(Tokenizer):
    """The most frequent words, each with the space before it, and every character of the corpus.

    A word that is not in the vocabulary is spelt, so anything made of the corpus's characters can
    be written and read; a character the corpus does not have is unknown. Id 0 is the boundary,
    then characters in the order of their code points, then words, the most frequent first.
    """

    Options = WordsOptions

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.symbols = vocabulary.symbols
        self.boundary = vocabulary.boundary
        self._ids = {
            symbol.decode("utf-8"): i for i, symbol in enumerate(self.symbols) if i != self.boundary
        }

    @classmethod
    def learn(cls, documents: Iterable[Document], options: WordsOptions) -> Self:
        counts: Counter[str] = Counter()
        characters: set[str] = set()
        for document in documents:
            for text in _whole_parts(document.pieces):
                counts.update(_PART.findall(text))
                characters.update(text)
                if len(counts) > 2 * _COUNTED:
                    counts = Counter(dict(_frequent(counts)[:_COUNTED]))
        characters = {c for c in characters if not "\ud800" <= c <= "\udfff"}
        words = [
            word
            for word, count in _frequent(counts)
            if len(word) > 1 and count >= options.min_count and characters.issuperset(word)
        ]
        symbols = itertools.chain(sorted(characters), words[: options.max_size])
        return cls(Vocabulary((b"", *(symbol.encode("utf-8") for symbol in symbols)), 0))

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        known = self._ids
        ids: list[int] = []
        unknown: dict[str, None] = {}
        for part in _PART.findall(text):
            if (whole := known.get(part)) is not None:
                ids.append(whole)
                continue
            for character in part:
                if (one := known.get(character)) is not None:
                    ids.append(one)
                else:
                    unknown[character] = None
        return np.array(ids, np.int64), list(unknown)

    def safe_cut(self, text: str) -> int:
        return _safe_cut(text)

    def to_json(self) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_json(cls, vocabulary: Vocabulary, data: Mapping[str, Any]) -> Self:
        return cls(vocabulary)


def _safe_cut(text: str) -> int:
    """The start of the last part where more text could lengthen it, else the end of ``text``.

    A run of letters is parted from its beginning, so the run has to be found first.
    """
    if not text:
        return 0
    if text[-1] == " ":
        return len(text) - 1
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    if start == len(text):
        return start
    if start and text[start - 1] == " ":
        start -= 1
    for part in _PART.finditer(text, start):
        start = part.start()
    last = text[start:]
    return len(text) if len(last.removeprefix(" ")) == LONGEST_WORD else start


def _whole_parts(pieces: Iterable[str]) -> Iterator[str]:
    """The text of ``pieces`` cut anew where no part is broken."""
    held = ""
    for piece in pieces:
        text = held + piece
        cut = _safe_cut(text)
        held = text[cut:]
        yield text[:cut]
    yield held


def _frequent(counts: Counter[str]) -> list[tuple[str, int]]:
    """Words and counts, the most frequent first, equals in the order of their code points."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


@hookimpl
def textgen_tokenizers() -> dict[str, type[Tokenizer]]:
    return {"words": Words}
