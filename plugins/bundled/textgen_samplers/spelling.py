"""How a vocabulary spells a character: whole within a symbol, or in parts across several."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary


def characters_of(text: str) -> dict[str, bytes]:
    """Each character of ``text`` once, and its bytes."""
    return {character: character.encode("utf-8", "surrogatepass") for character in text}


def holding(vocabulary: Vocabulary, character: bytes) -> np.ndarray:
    """Which symbols (V,) hold all of the character."""
    return np.array([character in symbol for symbol in vocabulary.symbols])


def beginning(vocabulary: Vocabulary, part: bytes) -> np.ndarray:
    """Which symbols (V,) begin with ``part``."""
    return np.array([symbol.startswith(part) for symbol in vocabulary.symbols])


def seams(vocabulary: Vocabulary, character: bytes) -> list[int]:
    """Where symbols may part the character: after how many of its bytes the last of the symbols
    that spell it begins."""
    symbols = set(vocabulary.symbols)
    reached: list[int] = []
    for place in range(1, len(character)):
        ends = any(symbol.endswith(character[:place]) for symbol in symbols)
        if ends or any(character[start:place] in symbols for start in reached):
            reached.append(place)
    return [place for place in reached if beginning(vocabulary, character[place:]).any()]


def unknown_characters(unknown: Iterable[str], remedy: str) -> UserError:
    """The error for characters that the model cannot write."""
    return UserError(f"The model has no symbol for {', '.join(map(repr, unknown))}.", remedy)
