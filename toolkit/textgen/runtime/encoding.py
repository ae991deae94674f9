"""Text into ids and back, for a model whose tokenizer may not be installed."""

from __future__ import annotations

import codecs

import numpy as np

from textgen.contracts.tokenizer import Vocabulary


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
