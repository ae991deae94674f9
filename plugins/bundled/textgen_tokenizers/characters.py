"""One symbol a character (code point)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen_tokenizers.codepoints import CODE_POINTS, SURROGATES, code_points

TEXTGEN_CONTRACT = 1

_BATCH = 1 << 16  # characters looked at together while learning


class Characters(Tokenizer):
    """One symbol for each character of the corpus, in the order of their code points.

    Id 0 is the boundary. A character the corpus does not have is unknown.
    """

    learns_characters = True

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.symbols = vocabulary.symbols
        self.boundary = vocabulary.boundary
        self._ids = np.full(CODE_POINTS, -1, np.int32)
        for i, symbol in enumerate(self.symbols):
            if i != self.boundary:
                self._ids[ord(symbol.decode("utf-8"))] = i

    @classmethod
    def learn(cls, documents: Iterable[Document], options: Any) -> Self:
        seen = np.zeros(CODE_POINTS, bool)
        batch: list[str] = []
        length = 0
        for document in documents:
            for piece in document.pieces:
                batch.append(piece)
                length += len(piece)
                if length >= _BATCH:
                    seen[code_points("".join(batch))] = True
                    batch, length = [], 0
        seen[code_points("".join(batch))] = True
        seen[SURROGATES] = False
        symbols = (chr(point).encode("utf-8") for point in np.flatnonzero(seen))
        return cls(Vocabulary((b"", *symbols), 0))

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        ids = self._ids[code_points(text)].astype(np.int64)
        known = ids >= 0
        if known.all():
            return ids, []
        unknown = [text[i] for i in np.flatnonzero(~known)]
        return ids[known], list(dict.fromkeys(unknown))

    def safe_cut(self, text: str) -> int:
        return len(text)

    def to_json(self) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_json(cls, vocabulary: Vocabulary, data: Mapping[str, Any]) -> Self:
        return cls(vocabulary)


@hookimpl
def textgen_tokenizers() -> dict[str, type[Tokenizer]]:
    return {"characters": Characters}
