"""A mean cross-entropy, as training and scoring tell it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A mean cross-entropy, and over how many symbols."""

    nats: float
    symbols: int
    characters: int = 0
    """Of the text that the symbols are; 0 where they were not counted."""

    @property
    def bits(self) -> float:
        """The same in bits a symbol."""
        return self.nats / math.log(2)

    @property
    def bits_per_character(self) -> float:
        """By which models with other symbols compare; 0 where characters were not counted."""
        return self.bits * self.symbols / self.characters if self.characters else 0.0

    def record(self) -> dict[str, float]:
        """The loss as it is written into runs and model files."""
        record = {"nats": self.nats, "bits": self.bits, "symbols": self.symbols}
        return record | ({"bits_per_character": self.bits_per_character} if self.characters else {})
