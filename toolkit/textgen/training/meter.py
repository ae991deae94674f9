"""Loss and speed of a training, read from time to time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import torch
from torch import Tensor

_SECONDS = 0.5
"""Between two readings; each waits for the device."""


class Meter:
    """The mean loss and the symbols a second since it was last read; the speed from the beginning.

    It begins with ``symbols`` shown in ``step`` steps before.
    """

    def __init__(self, symbols: int, step: int) -> None:
        self._losses: list[Tensor] = []
        self._symbols = symbols
        self._since = self._began = time.perf_counter()
        self._first = step

    def add(self, loss: Tensor) -> None:
        """Takes note of a step's loss, which stays on its device."""
        self._losses.append(loss)

    def due(self) -> bool:
        """Whether it is time for a reading."""
        return time.perf_counter() - self._since >= _SECONDS

    def read(self, symbols: int) -> tuple[float, float]:
        """The mean loss in nats, and the speed, now that ``symbols`` have been shown in all."""
        loss = float(torch.stack(self._losses).mean())
        now = time.perf_counter()
        speed = (symbols - self._symbols) / max(1e-9, now - self._since)
        self._losses, self._symbols, self._since = [], symbols, now
        return loss, speed

    def seconds_a_step(self, step: int) -> float:
        """How long a step has taken in the mean since the beginning, pauses included."""
        return (time.perf_counter() - self._began) / max(1, step - self._first)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves the time of its block out: something else than training is done in it."""
        began = time.perf_counter()
        yield
        self._since += time.perf_counter() - began
