"""Text into ids and back, for a model whose tokenizer may not be installed."""

from __future__ import annotations

import codecs
import heapq
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np

from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen.rewriting import Rewriting, Rule


class Encoder:
    """Text into ids, as a model reads it: rewritten by ``rules``, then cut into symbols.

    Where ``tokenizer`` is None its plugin is missing, and text is cut as the symbols themselves
    suggest: merged from pairs where all of them are, else into the longest that fit.
    """

    def __init__(
        self, tokenizer: Tokenizer | None, vocabulary: Vocabulary, rules: Iterable[Rule] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._rewriting = Rewriting(rules)

    @cached_property
    def in_pairs(self) -> bool:
        """Whether text is merged from pairs, the tokenizer missing."""
        return self._tokenizer is None and made_of_pairs(self._vocabulary)

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        """The ids of ``text``, and what has no symbol, each once, which is left out."""
        return self.symbols(self.rewrite(text))

    def rewrite(self, text: str) -> str:
        """The first half of ``encode``."""
        return self._rewriting.text(text)

    def symbols(self, text: str) -> tuple[np.ndarray, list[str]]:
        """The second half, for what has been rewritten."""
        if self._tokenizer is not None:
            return self._tokenizer.encode(text)
        return (merged if self.in_pairs else longest_match)(text, self._vocabulary)

    def parts(self, pieces: Iterable[str], name: str) -> Iterator[tuple[np.ndarray, list[str]]]:
        """What ``encode`` finds in the text ``name``, which comes in pieces, in parts."""
        held = ""
        for piece in self._rewriting.pieces(pieces, name):
            held += piece
            if cut := self._tokenizer.safe_cut(held) if self._tokenizer else 0:
                yield self.symbols(held[:cut])
                held = held[cut:]
        if held:
            yield self.symbols(held)


class Decoder:
    """Ids of one stream into text; half a character is held back until it is whole.

    Bytes that are not UTF-8 become U+FFFD.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._symbols = vocabulary.symbols
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, ids: np.ndarray) -> str:
        return self._decoder.decode(b"".join(self._symbols[i] for i in ids.tolist()))

    def end(self) -> str:
        """What was held back, as U+FFFD. Then it begins anew."""
        return self._decoder.decode(b"", final=True)

    def fork(self) -> Decoder:
        """A second decoder that goes on from here by itself."""
        forked = Decoder.__new__(Decoder)
        forked._symbols = self._symbols
        forked._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        forked._decoder.setstate(self._decoder.getstate())
        return forked


def longest_match(text: str, vocabulary: Vocabulary) -> tuple[np.ndarray, list[str]]:
    """The ids of ``text`` by the longest symbol that fits at each place, and what fits none.

    It is exact for characters and bytes, and close for others: the model then reads the same text
    in other pieces than it has learnt.
    """
    ids = {symbol: index for index, symbol in enumerate(vocabulary.symbols) if symbol}
    longest = max(map(len, ids), default=1)
    data = text.encode("utf-8", "surrogatepass")
    found: list[int] = []
    unknown: dict[str, None] = {}
    at = 0
    while at < len(data):
        for size in range(min(longest, len(data) - at), 0, -1):
            if (index := ids.get(data[at : at + size])) is not None:
                found.append(index)
                at += size
                break
        else:
            end = at + 1
            while end < len(data) and data[end] & 0xC0 == 0x80:  # to the end of the character
                end += 1
            unknown[data[at:end].decode("utf-8", "replace")] = None
            at = end
    return np.array(found, np.int64), list(unknown)


def made_of_pairs(vocabulary: Vocabulary) -> bool:
    """Whether the symbols are those of byte-pair encoding: every byte, and symbols that are each
    two of those before them joined."""
    ids = {symbol: index for index, symbol in enumerate(vocabulary.symbols) if symbol}
    longer = [symbol for symbol in ids if len(symbol) > 1]
    return len(ids) - len(longer) == 256 < len(ids) and all(
        any(
            ids.get(symbol[:at], index) < index and ids.get(symbol[at:], index) < index
            for at in range(1, len(symbol))
        )
        for symbol, index in ((symbol, ids[symbol]) for symbol in longer)
    )


def merged(text: str, vocabulary: Vocabulary) -> tuple[np.ndarray, list[str]]:
    """The ids of ``text``, its bytes joined pair by pair: of all pairs that are a symbol the one
    that comes first in the vocabulary, of equals the leftmost (Sennrich et al., arXiv 1508.07909).

    It is what byte-pair encoding does, but for the places that it never joins across, which the
    symbols alone do not tell.
    """
    ids = {symbol: index for index, symbol in enumerate(vocabulary.symbols) if symbol}
    data = text.encode("utf-8", "ignore")
    parts = [data[at : at + 1] for at in range(len(data))]
    before, after = list(range(-1, len(data) - 1)), list(range(1, len(data) + 1))
    pairs: list[tuple[int, int, int]] = []

    def offer(at: int) -> None:
        if at >= 0 and after[at] < len(parts):
            pair = parts[at] + parts[after[at]]
            if (index := ids.get(pair)) is not None:
                heapq.heappush(pairs, (index, at, len(pair)))

    for at in range(len(parts)):
        offer(at)
    while pairs:
        _, at, size = heapq.heappop(pairs)
        other = after[at]
        if not parts[at] or other == len(parts) or len(parts[at]) + len(parts[other]) != size:
            continue  # one of the two has been joined to another since
        parts[at], parts[other] = parts[at] + parts[other], b""
        after[at] = after[other]
        if after[at] < len(parts):
            before[after[at]] = at
        offer(before[at])
        offer(at)
    unknown = dict.fromkeys(c for c in text if "\ud800" <= c <= "\udfff")
    return np.array([ids[part] for part in parts if part], np.int64), list(unknown)
