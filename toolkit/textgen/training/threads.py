"""How many threads compute: fewer, while others use the machine.

The threads of a recurrent kernel meet at every time step, and all wait for the slowest. Where
another program holds one core of two, two threads trained 18 times slower than one (measured; on a
quiet machine they are 1.4 times faster). So other numbers of threads are tried from time to time.

The number changes the order of sums, so this is for budgets of minutes alone, whose number of steps
follows from the machine's speed anyway.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import torch

_STEPS = 6
"""Steps that tell the speed of a number of threads."""

_GAIN = 1.15
"""How much faster another number must be to be taken."""

_FIRST, _LONGEST = 2.0, 30.0
"""Seconds to the next trial: doubled whenever nothing better was found."""

_SLOW = 0.5
"""A speed below this share of the best seen does not wait longer than for the first trial."""


class Threads:
    """Sets torch's number of threads while its block runs, and puts it back after."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._before = torch.get_num_threads()
        self._choices = sorted({1, self._before, -(-self._before // 2), max(1, self._before - 1)})
        self._count = self._before
        self._recent: deque[tuple[float, int]] = deque(maxlen=_STEPS)
        self._trial: tuple[int, list[tuple[float, int]]] | None = None
        self._best: dict[int, float] = {}
        self._wait, self._since = _FIRST, 0.0
        self._turn = 0
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
    def count(self) -> int:
        """The number of threads found fastest."""
        return self._count

    def calibrate(self, step: Callable[[], object], seconds: float) -> float:
        """Takes the fastest number; returns how long a step takes, tried for ``seconds`` in all."""
        taken = {count: self._measure(step, count, seconds) for count in reversed(self._choices)}
        self._count = self._before
        for count, found in taken.items():
            if found * _GAIN < taken[self._count]:
                self._count = count
        torch.set_num_threads(self._count)
        return taken[self._count]

    def begin(self) -> None:
        """A step begins."""
        self._began = self._clock()

    def end(self, symbols: int) -> None:
        """The step has ended, with ``symbols`` learnt: the next may use another number."""
        step = (self._clock() - self._began, symbols)
        if self._trial is not None:
            self._try(*self._trial, step)
            return
        self._recent.append(step)
        self._since += step[0]
        others = [count for count in self._choices if count != self._count]
        if others and len(self._recent) == _STEPS and self._since >= self._patience():
            self._turn += 1
            self._trial = (others[self._turn % len(others)], [])
            torch.set_num_threads(self._trial[0])

    def _patience(self) -> float:
        """How long to stay with this number of threads."""
        speed = _speed(list(self._recent))
        best = self._best[self._count] = max(speed, self._best.get(self._count, 0.0))
        return _FIRST if speed < _SLOW * best else self._wait

    def _try(self, count: int, steps: list[tuple[float, int]], step: tuple[float, int]) -> None:
        """One more step of a trial; the first, in which kernels are set up, is not counted."""
        steps.append(step)
        spent, usual = sum(s for s, _ in steps), sum(s for s, _ in self._recent)
        if len(steps) <= _STEPS and spent <= 2 * usual:
            return
        if _speed(steps[1:]) > _GAIN * _speed(list(self._recent)):
            self._count, self._wait = count, _FIRST
            self._recent.clear()
        else:
            self._wait = min(_LONGEST, 2 * self._wait)
        self._since, self._trial = 0.0, None
        torch.set_num_threads(self._count)

    def _measure(self, step: Callable[[], object], count: int, seconds: float) -> float:
        torch.set_num_threads(count)
        step()
        steps, began = 0, self._clock()
        while (passed := self._clock() - began) < seconds / len(self._choices) or not steps:
            step()
            steps += 1
        return passed / steps


def _speed(steps: list[tuple[float, int]]) -> float:
    return sum(symbols for _, symbols in steps) / max(1e-9, sum(s for s, _ in steps))
