"""What happens in a training, told to whoever watches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textgen.losses import Loss


@dataclass(frozen=True)
class Started:
    """The plan, before the first step."""

    run: Path
    cell: str
    parameters: int
    device: str
    precision: str
    scan: str
    """How a cell goes over many symbols: ``fast`` by its own scan, ``steps`` one by one, ``graphs``
    one by one in CUDA graphs."""
    steps: int
    step: int
    """The step it goes on from; 0 for a new training."""
    symbols: int
    """Symbols the budget will show, repeats counted."""
    corpus_symbols: int
    """Symbols that are learnt: those of the training split but for what is held back."""
    held_back: int
    """Symbols held back from training, by which weights are chosen."""
    notices: tuple[str, ...] = ()

    @property
    def epochs(self) -> float:
        """How often the budget shows the corpus."""
        return self.symbols / max(1, self.corpus_symbols)


@dataclass(frozen=True)
class Progress:
    """A step, from time to time. Losses are in nats a symbol."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    characters_per_second: float
    seconds: float
    seconds_left: float
    symbols: int
    """Symbols seen so far, repeats counted."""
    epoch: float


@dataclass(frozen=True)
class Evaluated:
    """Losses on the way, each on a part of its text; None where there is no such text."""

    step: int
    held_back: Loss | None
    """On text held back from training, which chooses the weights."""
    validation: Loss | None
    """On the validation text, which chooses nothing."""
    best: bool
    """Whether these weights are the best so far on the text held back."""


@dataclass(frozen=True)
class Sampled:
    """A text the network wrote on the way."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int


@dataclass(frozen=True)
class Finished:
    """The end, interrupted or not."""

    step: int
    interrupted: bool
    losses: dict[str, Any]
    symbols: int
    seconds: float


Event = Started | Progress | Evaluated | Sampled | Saved | Finished


class Observer:
    """Watches a training; does nothing unless overridden."""

    def on(self, event: Event) -> None:
        """Called with each event, in order. What it raises ends the training there and then."""
