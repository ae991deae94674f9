"""A budget of time turned into steps: what a step takes here, and what comes between them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from textgen.training.settings import Settings

_BLOCKS = 40
"""Of steps, whose median counts: others on the machine disturb some of them."""


@dataclass(frozen=True)
class Pauses:
    """Seconds of what a training does between its steps, each time."""

    evaluation: float = 0.0
    sample: float = 0.0
    checkpoint: float = 0.0


def seconds_a_symbol(
    step: Callable[[], int], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """How long a symbol takes in steps that return how many they showed, and wait for the device:
    the median of some blocks of them, ``seconds`` in all. Steps on lines differ in length, so that
    their own seconds could not be compared."""
    found: list[float] = []
    began = clock()
    while not found or clock() - began < seconds:
        start, symbols = clock(), 0
        while not symbols or clock() - start < seconds / _BLOCKS:
            symbols += step()
        found.append((clock() - start) / symbols)
    return statistics.median(found)


def steps_within(seconds: float, a_step: float, pauses: Pauses, settings: Settings) -> int:
    """The most steps that end within ``seconds``, with the pauses between them; one at least."""
    every = (
        (pauses.evaluation, settings.evaluate_every),
        (pauses.sample, settings.sample_every),
        (pauses.checkpoint, settings.checkpoint_every),
    )

    def needed(steps: int) -> float:
        times = (cost * -(-steps // settings.interval(n, steps)) for cost, n in every)
        return steps * a_step + sum(times)

    low, high = 1, max(1, int(seconds / a_step))
    while low < high:
        middle = (low + high + 1) // 2
        if needed(middle) <= seconds:
            low = middle
        else:
            high = middle - 1
    return low
