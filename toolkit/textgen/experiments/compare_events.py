"""What happens in a comparison, told to whoever watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from textgen.experiments.contenders import Course
from textgen.experiments.trials import SweepObserver, TrialBegun, TrialEnded


@dataclass(frozen=True)
class Measuring:
    """The cells of a new comparison are made equally large, and timed."""


@dataclass(frozen=True)
class Opened:
    """A comparison, before anything is trained here."""

    name: str
    joined: bool
    """Whether it was there before."""
    courses: Sequence[Course]
    target: int
    """Parameters that all should have."""
    seconds: float
    """Of equal time."""
    trials: int
    """Of each cell."""
    runs: int
    done: int
    """How many of the runs have ended before."""


@dataclass(frozen=True)
class OfTrial:
    """An event of the trials that choose a cell's settings."""

    label: str
    event: TrialBegun | TrialEnded


@dataclass(frozen=True)
class Chosen:
    """A cell's settings are chosen, or it is out of the comparison for a ``reason``."""

    label: str
    settings: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class RunBegun:
    """A training whose figures count, begun or gone on with."""

    label: str
    seed: int
    steps: int
    budgets: Sequence[str]
    """In which it counts."""
    number: int
    resumed: bool


@dataclass(frozen=True)
class RunEnded:
    """Such a training has ended."""

    label: str
    seed: int
    budgets: Sequence[str]
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Waiting:
    """All that is left runs in other processes."""


CompareEvent = Measuring | Opened | OfTrial | Chosen | RunBegun | RunEnded | Waiting


class CompareObserver(SweepObserver):
    """Watches a comparison and each of its trainings."""

    def on_compare(self, event: CompareEvent) -> None:
        """Called with each event of the comparison, in order."""
