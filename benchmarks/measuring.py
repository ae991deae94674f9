"""Measuring on a machine that others use too: contestants take turns, and medians are compared."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_CALM = 0.01
"""Seconds in which a process that is waited for computes next to nothing."""
_WARM = 10
"""Before what is timed, one turn for each so many of it: the caches hold another's weights."""


@dataclass(frozen=True)
class Contestant:
    """One way to do a piece of work."""

    run: Callable[[int], object]
    """Does so many turns of it."""
    longest: int
    """Turns that one run can have."""
    threads: int = 0
    """What it runs with; 0 is its own choice."""
    prepare: Callable[[], None] = lambda: None
    """What is done before each run, and not timed."""


@dataclass(frozen=True)
class Speed:
    """How fast a contestant was: turns a second, the median of ``repeats``."""

    median: float
    threads: int
    repeats: tuple[float, ...]

    def times(self, factor: float) -> Speed:
        """In a smaller unit, of which a turn has ``factor``."""
        repeats = tuple(factor * speed for speed in self.repeats)
        return Speed(factor * self.median, self.threads, repeats)


def take_turns(contestants: Sequence[Contestant], repeats: int, seconds: float) -> list[Speed]:
    """The speed of each, in the same order, from ``repeats`` rounds in which all have a run of
    about ``seconds``: a noisy minute hits all of them."""
    turns = [_turns_within(contestant, seconds) for contestant in contestants]
    found: list[list[float]] = [[] for _ in contestants]
    for repeat in range(repeats):
        # there and back, so that none always comes after the same other
        order = range(len(contestants))
        for number in order if repeat % 2 == 0 else reversed(order):
            _wait_for_calm()
            contestants[number].prepare()
            contestants[number].run(1 + turns[number] // _WARM)
            found[number].append(turns[number] / timed(contestants[number].run, turns[number]))
    return [
        Speed(statistics.median(speeds), contestant.threads, tuple(speeds))
        for contestant, speeds in zip(contestants, found, strict=True)
    ]


def timed(run: Callable[[int], object], turns: int) -> float:
    """Seconds that ``run(turns)`` takes."""
    began = time.perf_counter()
    run(turns)
    return time.perf_counter() - began


def median_seconds(run: Callable[[int], object], repeats: int) -> float:
    """The median of the seconds that ``run(0)``, ``run(1)`` ... take."""
    return statistics.median(timed(run, number) for number in range(repeats))


def cache_bytes(level: int = 3) -> int | None:
    """Size of the cache of that level, where Linux tells."""
    for folder in _CACHES.glob("index*"):
        if (folder / "level").read_text().strip() == str(level):
            size = (folder / "size").read_text().strip()
            return int(size.rstrip("K")) * 1024
    return None


def processor() -> str:
    """What is measured on, in words."""
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    cache = cache_bytes()
    held = f", L3 {cache / (1 << 20):.0f} MiB" if cache else ""
    return f"{os.cpu_count()} cores of {found[1] if found else platform.machine()}{held}"


def _wait_for_calm() -> None:
    """Until the threads of the contestant before have stopped spinning: those of onnxruntime and
    of OpenBLAS do for a tenth of a second (measured), and would take a core from the next."""
    for _ in range(50):
        before = time.process_time()
        time.sleep(_CALM)
        if time.process_time() - before < _CALM / 10:
            return


def _turns_within(contestant: Contestant, seconds: float) -> int:
    """How many turns take about ``seconds``; at least two."""
    _wait_for_calm()
    contestant.prepare()
    contestant.run(1)  # what is built when it is first needed
    turns, took = 1, 0.0
    while took < seconds / 2 and turns < contestant.longest:
        turns = min(2 * turns, contestant.longest)
        took = timed(contestant.run, turns)
    return max(2, min(round(turns * seconds / took), contestant.longest))
