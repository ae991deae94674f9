"""A mean cross-entropy, as training and scoring tell it."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """A mean cross-entropy, and over how many symbols."""

    nats: float
    symbols: int

    @property
    def bits(self) -> float:
        """The same in bits a symbol."""
        return self.nats / math.log(2)

    def record(self) -> dict[str, float]:
        """The loss as it is written into runs and model files."""
        return {"nats": self.nats, "bits": self.bits, "symbols": self.symbols}
