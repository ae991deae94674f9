"""Observers that several tests use."""

from __future__ import annotations

import os
import signal

from textgen.training.observer import Observer, Progress


class StopAt(Observer):
    """Interrupts the process once a step is reached, as Ctrl-C would."""

    def __init__(self, step, number=signal.SIGINT):
        self._step, self._number = step, number

    def on(self, event):
        if isinstance(event, Progress) and event.step >= self._step:
            os.kill(os.getpid(), self._number)
            self._step = 10**9


class Remember(Observer):
    """Keeps the events."""

    def __init__(self):
        self.events = []

    def on(self, event):
        self.events.append(event)

    def all(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind):
        return self.all(kind)[-1]
