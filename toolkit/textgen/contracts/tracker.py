"""The contract of a tracker: where the figures of a training go while it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from textgen.contracts.options import NoOptions


@dataclass(frozen=True)
class RunFacts:
    """What is trained. May gain fields; take what you need by name."""

    name: str
    """Of the run; the same again where it is resumed."""
    folder: Path
    """The run's own, in which nothing but the core writes."""
    settings: Mapping[str, Any]
    """Numbers, words, yes and no: those of the training by their names, and the options of cell and
    optimizer as ``cell.NAME`` and ``optimizer.NAME``."""
    corpus: str
    """Name of the corpus."""
    step: int = 0
    """The step it goes on from; 0 for a new training. What was told of later ones will come
    again."""


class Tracker(ABC):
    """Is told of one training, in the process that evaluates and writes.

    What it raises is reported once; it is then told nothing more, and the training goes on. What it
    prints goes to standard error. Be quick: the training waits.
    """

    Options: ClassVar[type] = NoOptions
    """Dataclass of the tracker's options (see ``textgen.contracts.options``)."""

    def __init__(self, options: Any) -> None:
        """Keeps the options; files and connections are opened by ``begin``."""
        self.options = options

    @abstractmethod
    def begin(self, run: RunFacts) -> None:
        """The training begins, or goes on from ``run.step``."""

    @abstractmethod
    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Figures after ``step``; losses are in nats a symbol.

        From time to time ``loss``, ``learning_rate``, ``characters_per_second``, ``symbols`` (seen
        so far) and ``epoch``; at each evaluation ``held_back`` and ``validation``; at the end the
        losses of the weights that are kept, as ``final.cold``, ``final.carried`` and so on.
        """

    def sample(self, step: int, text: str) -> None:
        """What the network wrote after ``step``."""

    def checkpoint(self, step: int, folder: Path) -> None:
        """A checkpoint is on disk: ``last.safetensors`` in ``folder``, perhaps beside
        ``best.safetensors``."""

    def end(self, outcome: str) -> None:
        """The training has ended: ``finished``, ``interrupted`` or ``failed``."""
