"""Byte-level byte-pair encoding, its merges learnt from the corpus by Hugging Face `tokenizers`.

Text is first parted into words, numbers, signs and white space; no symbol spans two parts, so text
may be cut between them. Within a part the pair of symbols that was learnt first is merged first
(Sennrich et al., arXiv 1508.07909), beginning with its bytes in UTF-8 (Radford et al., Language
Models are Unsupervised Multitask Learners, 2019), so no text is unknown.

To the library a byte is the character of the same number (latin-1).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import Split
from tokenizers.trainers import BpeTrainer

from textgen.contracts.errors import PluginError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from tokenizers import Tokenizer as Trainable

TEXTGEN_CONTRACT = 1

FORMAT = 1
"""Of what is stored; it stands for the parts below, too."""

_PART = re.compile(
    r" ?[^\W\d_]{1,32}"  # letters, with the space before them
    r"| ?\d{1,3}"
    r"| ?(?:[^\w\s]|_){1,16}"
    r"|\s{1,32}"
)
_BORDER = re.compile(r"(?<=[^\W\d_])(?=[\W\d_])|(?<=\d)(?=\D)|(?<=[^\w\s]|_)(?=[^\W_]|\s)")
"""Where one kind of character other than white space is followed by another: a part ends there,
whatever stands before and after."""

_TAIL = 256  # characters in which such a border is looked for
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTES = [chr(byte) for byte in range(256)]
_APART = chr(256)  # stands between parts in what is learnt from; no byte is it

_COUNTED = 300_000  # distinct parts counted at once; the rarest are forgotten beyond that
_LEARNT = 4_000_000  # parts that merges are learnt from; of more, each counts for less
_REPEATED = 20_000  # parts handed to the library in one text
_KEPT = 1 << 17  # parts whose ids are kept


@dataclass(frozen=True)
class BytePairOptions:
    size: int = option(
        2000, "number of symbols at most, the 256 bytes included", minimum=257, maximum=1_000_000
    )
    min_count: int = option(2, "times a pair must occur in the corpus to be merged", minimum=1)


class BytePairs(Tokenizer):
    """Frequent pieces of words, and the 256 bytes to spell everything else with.

    A symbol is a byte, or two symbols that often stood together: a common word is one symbol, a
    rare one several. Id 0 is the boundary, byte b has the id b + 1, then come the merged ones in
    the order they were learnt.
    """

    Options = BytePairOptions

    def __init__(self, vocabulary: Vocabulary, merges: Sequence[tuple[int, int]]) -> None:
        self.symbols = vocabulary.symbols
        self.boundary = vocabulary.boundary
        self._merges = merges
        names = [symbol.decode("latin-1") for symbol in self.symbols]
        self._model = BPE(
            {name: i for i, name in enumerate(names) if i != self.boundary},
            [(names[one], names[other]) for one, other in merges],
        )
        self._known: dict[str, list[int]] = {}

    @classmethod
    def learn(cls, documents: Iterable[Document], options: BytePairOptions) -> Self:
        learnt = _learn(_count(documents), options)
        names = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
        symbols = (b"", *(name.encode("latin-1") for name in names))
        ids = {name: i for i, name in enumerate(names, start=1)}
        merges = [(ids[one], ids[other]) for one, other in learnt["merges"]]
        return cls(Vocabulary(symbols, 0), merges)

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        known = self._known
        ids: list[int] = []
        for part in _PART.findall(text):
            if (found := known.get(part)) is None:
                found = self._encode_part(part)
            ids += found
        return np.array(ids, np.int64), list(dict.fromkeys(_SURROGATE.findall(text)))

    def _encode_part(self, part: str) -> list[int]:
        if len(self._known) >= _KEPT:
            self._known.clear()
        found = self._known[part] = [token.id for token in self._model.tokenize(_as_bytes(part))]
        return found

    def safe_cut(self, text: str) -> int:
        return _safe_cut(text)

    def to_json(self) -> Mapping[str, Any]:
        return {"format": FORMAT, "merges": self._merges}

    @classmethod
    def from_json(cls, vocabulary: Vocabulary, data: Mapping[str, Any]) -> Self:
        if data["format"] != FORMAT:
            raise PluginError(
                "The byte pairs were learnt by a newer textgen-bpe.", "Install the newer one."
            )
        return cls(vocabulary, [(one, other) for one, other in data["merges"]])


def _as_bytes(part: str) -> str:
    """The bytes of ``part`` as characters; half of a surrogate pair has none."""
    return part.encode("utf-8", "ignore").decode("latin-1")


def _safe_cut(text: str) -> int:
    """Where the last part begins: only that one can grow, or get other borders, by more text."""
    border = _BORDER.search(text, max(0, len(text) - _TAIL))
    start = border.start() if border else 0
    for part in _PART.finditer(text, start):
        start = part.start()
    return start


def _count(documents: Iterable[Document]) -> Counter[str]:
    """How often each part occurs. Of many different ones, rare ones may be forgotten."""
    counts: Counter[str] = Counter()
    for document in documents:
        for text in _whole_parts(document.pieces):
            counts.update(_PART.findall(text))
            if len(counts) > 2 * _COUNTED:
                counts = Counter(dict(_frequent(counts)[:_COUNTED]))
    return counts


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
    """Parts and counts, the most frequent first, equals in the order of their code points."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _learn(counts: Counter[str], options: BytePairOptions) -> dict[str, Any]:
    """What the library learns: the ``vocab``, names to ids, and the ``merges``, pairs of names."""
    share = max(1, -(-counts.total() // _LEARNT))
    trainable = Trainable(BPE())
    trainable.pre_tokenizer = Split(_APART, "removed")
    trainer = BpeTrainer(
        vocab_size=options.size - 1,
        min_frequency=-(-options.min_count // share),
        initial_alphabet=_BYTES,
        show_progress=False,
    )
    trainable.train_from_iterator(_repeated(counts, share), trainer)
    model: dict[str, Any] = json.loads(trainable.to_str())["model"]
    return model


def _repeated(counts: Counter[str], share: int) -> Iterator[str]:
    """Every part as often as it occurs, or one in ``share`` times: the library counts for itself.

    Most of a text is parts that were seen before, and the library holds all it has seen: counted
    here, with the rare ones forgotten, a large corpus takes no more memory than a small one.
    """
    for part, count in _frequent(counts):
        text = _as_bytes(part) + _APART
        left = round(count / share)
        for first in range(0, left, _REPEATED):
            yield text * min(_REPEATED, left - first)


@hookimpl
def textgen_tokenizers() -> dict[str, type[Tokenizer]]:
    return {"bpe": BytePairs}
