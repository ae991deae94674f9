"""The contract of a tokenizer: text becomes ids, and symbols become text.

A vocabulary is a tuple of byte strings. Text is their join, decoded as UTF-8 by the core, so that
a symbol may be half a character; decoding needs no plugin.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from textgen.contracts.options import NoOptions
from textgen.contracts.reader import Document


@dataclass(frozen=True)
class Vocabulary:
    """What a model can write. ``symbols[boundary]`` is empty: it stands between documents."""

    symbols: tuple[bytes, ...]
    boundary: int

    @property
    def size(self) -> int:
        """V, the boundary included."""
        return len(self.symbols)


class Tokenizer(ABC):
    """Splits text into symbols of a vocabulary.

    ``symbols`` and ``boundary`` are set when it is made and never change; their order is fixed by
    the documents learnt from, not by chance.
    """

    Options: ClassVar[type] = NoOptions
    learns_characters: ClassVar[bool] = False
    """Whether ``learn`` only asks which characters there are. It is then given one document that
    holds each of them once, which is found sooner than all documents are made."""

    symbols: tuple[bytes, ...]
    boundary: int

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.symbols, self.boundary)

    @classmethod
    @abstractmethod
    def learn(cls, documents: Iterable[Document], options: Any) -> Self:
        """The tokenizer for these documents, read once and never held whole."""

    @abstractmethod
    def encode(self, text: str) -> tuple[np.ndarray, list[str]]:
        """The ids of ``text`` (int64, one dimension) and what it had no symbol for.

        Never raises. What is unknown is left out of the ids and returned, each once, in order.
        """

    @abstractmethod
    def safe_cut(self, text: str) -> int:
        """The largest i where ``encode(text[:i] + rest)`` is ``encode(text[:i])`` and the ids of
        what follows, whatever more text may come after ``text``. 0 where there is none."""

    @abstractmethod
    def to_json(self) -> Mapping[str, Any]:
        """What ``from_json`` needs beside ``symbols`` and ``boundary``, which the core stores."""

    @classmethod
    @abstractmethod
    def from_json(cls, vocabulary: Vocabulary, data: Mapping[str, Any]) -> Self:
        """The tokenizer that ``to_json`` described."""
