"""Which number of threads is fastest: tried from time to time, for other programs come and go.

The threads of a recurrent kernel meet at every time step, and all wait for the slowest. Where
another program holds one core of two, two threads trained 18 times slower than one, and wrote 3
times slower (measured; on a quiet machine they are 1.4 to 1.8 times faster).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

_CALLS = 6
"""Calls that tell the speed of a number of threads."""

_GAIN = 1.15
"""How much faster another number must be to be taken."""

_LONGEST = 30.0
"""Seconds to the next trial at most: doubled whenever nothing better was found."""

_SLOW = 0.5
"""A speed below this share of the best seen does not wait longer than for the first trial."""


class ThreadChoice:
    """Chooses among ``choices``, beginning with ``count``, by how long calls take.

    ``first`` is how many seconds pass before another number is tried.
    """

    def __init__(
        self,
        choices: Iterable[int],
        count: int,
        *,
        first: float = 2.0,
    ) -> None:
        self.count = count
        """The number found fastest."""
        self._choices = sorted({*choices, count})
        self._first = self._wait = first
        self._recent: deque[tuple[float, int]] = deque(maxlen=_CALLS)
        self._trial: tuple[int, list[tuple[float, int]]] | None = None
        self._best: dict[int, float] = {}
        self._since = 0.0
        self._turn = 0

    @property
    def choices(self) -> list[int]:
        return self._choices

    @property
    def current(self) -> int:
        """The number for the next call: the fastest, or the one on trial."""
        return self.count if self._trial is None else self._trial[0]

    def took(self, seconds: float, symbols: int) -> None:
        """A call has done ``symbols`` in so many seconds: the next may be on trial."""
        call = (seconds, symbols)
        if self._trial is not None:
            self._try(*self._trial, call)
            return
        self._recent.append(call)
        self._since += call[0]
        others = [count for count in self._choices if count != self.count]
        if others and len(self._recent) == _CALLS and self._since >= self._patience():
            self._turn += 1
            self._trial = (others[self._turn % len(others)], [])

    def take_fastest(self, seconds: dict[int, float]) -> None:
        """Takes the number whose calls were measured to take the fewest seconds."""
        for count, found in seconds.items():
            if found * _GAIN < seconds[self.count]:
                self.count = count

    def _patience(self) -> float:
        """How long to stay with this number of threads."""
        speed = _speed(list(self._recent))
        best = self._best[self.count] = max(speed, self._best.get(self.count, 0.0))
        return self._first if speed < _SLOW * best else self._wait

    def _try(self, count: int, calls: list[tuple[float, int]], call: tuple[float, int]) -> None:
        """One more call of a trial; the first, in which kernels are set up, is not counted. A
        number that is behind is soon given up: calls may be long."""
        calls.append(call)
        if len(calls) < 2:
            return
        found, usual = _speed(calls[1:]), _speed(list(self._recent))
        spent, before = sum(s for s, _ in calls), sum(s for s, _ in self._recent)
        behind = found * _GAIN < usual
        if not behind and len(calls) <= _CALLS and spent <= 2 * before:
            return
        if found > _GAIN * usual:
            self.count, self._wait = count, self._first
            self._recent.clear()
        else:
            self._wait = min(_LONGEST, 2 * self._wait)
        self._since, self._trial = 0.0, None


def _speed(calls: list[tuple[float, int]]) -> float:
    return sum(symbols for _, symbols in calls) / max(1e-9, sum(s for s, _ in calls))
