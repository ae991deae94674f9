"""An observer that tests of sweeps use."""

from __future__ import annotations

from textgen.experiments.trials import SweepObserver
from textgen.training.observer import Started


class Remember(SweepObserver):
    """Keeps the events."""

    def __init__(self):
        self.events, self.of_sweep = [], []

    def on(self, event):
        self.events.append(event)

    def on_sweep(self, event):
        self.of_sweep.append(event)

    @property
    def trainings(self):
        return sum(isinstance(event, Started) for event in self.events)
