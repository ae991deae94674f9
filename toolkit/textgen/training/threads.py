"""How many threads torch computes with: fewer, while others use the machine.

The number changes the order of sums, so this is for budgets of minutes alone, whose number of steps
follows from the machine's speed anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

import torch

from textgen.thread_choice import ThreadChoice


class Threads:
    """Sets torch's number of threads while its block runs, and puts it back after."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._before = torch.get_num_threads()
        choices = {1, -(-self._before // 2), max(1, self._before - 1)}
        self._choice = ThreadChoice(choices, self._before)
        self._clock = clock
        self._began = 0.0

    def __enter__(self) -> Threads:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        torch.set_num_threads(self._before)

    @property
    def choices(self) -> list[int]:
        """The numbers that are tried."""
        return self._choice.choices

    @property
    def count(self) -> int:
        """The number of threads found fastest."""
        return self._choice.count

    def calibrate(self, step: Callable[[], object], seconds: float) -> float:
        """Takes the fastest number; returns how long a step takes, tried for ``seconds`` in all."""
        share = seconds / len(self.choices)
        taken = {count: self._measure(step, count, share) for count in reversed(self.choices)}
        self._choice.take_fastest(taken)
        torch.set_num_threads(self.count)
        return taken[self.count]

    def begin(self) -> None:
        """A step begins."""
        self._began = self._clock()

    def end(self, symbols: int) -> None:
        """The step has ended, with ``symbols`` learnt: the next may use another number."""
        before = self._choice.current
        self._choice.took(self._clock() - self._began, symbols)
        if self._choice.current != before:
            torch.set_num_threads(self._choice.current)

    def _measure(self, step: Callable[[], object], count: int, seconds: float) -> float:
        torch.set_num_threads(count)
        step()
        steps, began = 0, self._clock()
        while (passed := self._clock() - began) < seconds or not steps:
            step()
            steps += 1
        return passed / steps
