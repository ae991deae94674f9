"""One symbol a byte of UTF-8."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.reader import Document
from textgen.contracts.tokenizer import Tokenizer, Vocabulary
from textgen_tokenizers.codepoints import without_surrogates

TEXTGEN_CONTRACT = 1

_VOCABULARY = Vocabulary((b"", *(bytes([byte]) for byte in range(256))), 0)


class Bytes(Tokenizer):
    """All 256 bytes, whatever the corpus: no text is unknown to it. Byte b has the id b + 1.

    Id 0 is the boundary.
    """

    def __init__(self) -> None:
        self.symbols = _VOCABULARY.symbols
        self.boundary = _VOCABULARY.boundary

    @classmethod
    def learn(cls, documents: Iterable[Document], options: Any) -> Self:
        return cls()

    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        text, unknown = without_surrogates(text)
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64) + 1, unknown

    def safe_cut(self, text: str) -> int:
        return len(text)

    def to_json(self) -> Mapping[str, Any]:
        return {}

    @classmethod
    def from_json(cls, vocabulary: Vocabulary, data: Mapping[str, Any]) -> Self:
        return cls()


@hookimpl
def textgen_tokenizers() -> dict[str, type[Tokenizer]]:
    return {"bytes": Bytes}
