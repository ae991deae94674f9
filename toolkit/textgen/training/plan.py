"""The plan of a training: precision and number of steps, settled before the first one."""

from __future__ import annotations

import time
from dataclasses import dataclass

from textgen.training.device import choose_precision, synchronize
from textgen.training.learner import Learner
from textgen.training.settings import Settings
from textgen.training.threads import Threads

_SPEED_SECONDS = 3.0
"""For how long speed is measured, at most; never more than a twentieth of the budget."""


@dataclass(frozen=True)
class Plan:
    """What was settled before the first step, and holds from then on."""

    steps: int
    device: str
    precision: str


def make_plan(learner: Learner, settings: Settings, threads: Threads | None) -> Plan:
    """Turns the budget into steps, leaving no trace in weights, data or random numbers.

    A budget in minutes counts from here: what the measuring takes is part of it.
    """
    began = time.perf_counter()
    with learner.untouched():
        precision = choose_precision(
            settings.precision, learner.device, lambda wanted: learner.step(0.0, wanted)
        )
        kind, amount = settings.budget
        if kind == "steps":
            steps = amount
        elif kind == "minutes":
            measured = min(_SPEED_SECONDS, 3 * amount)
            seconds = _seconds_a_step(learner, precision, threads, measured)
            steps = (amount * 60 - (time.perf_counter() - began)) / seconds
        else:
            whole = learner.streams.symbols_in_epoch if kind == "epochs" else 1
            steps = amount * whole / learner.streams.look_ahead()[0]
    return Plan(max(1, round(steps)), str(learner.device), precision)


def _seconds_a_step(
    learner: Learner, precision: str, threads: Threads | None, seconds: float
) -> float:
    """How long a step takes, measured for some ``seconds``; nothing is learnt."""

    def step() -> None:
        learner.step(0.0, precision)
        synchronize(learner.device)

    if threads:
        return threads.calibrate(step, seconds)
    steps = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not steps:
        step()
        steps += 1
    return passed / steps
