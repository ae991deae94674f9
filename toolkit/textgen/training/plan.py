"""The plan of a training: precision and number of steps, settled before the first one."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from textgen.training.budget import Pauses, seconds_a_symbol, steps_within
from textgen.training.device import choose_precision, fastest, synchronize
from textgen.training.learner import Learner
from textgen.training.ranks import ALONE, Ranks
from textgen.training.settings import Settings
from textgen.training.streams import Streams
from textgen.training.threads import Threads

_SPEED_SECONDS = 4.0
"""For how long speed is measured, at most; never more than a twentieth of the budget."""


@dataclass(frozen=True)
class Plan:
    """What was settled before the first step, and holds from then on."""

    steps: int
    device: str
    precision: str
    graphs: bool = False
    """Whether a loop of steps runs in CUDA graphs."""


def make_plan(
    learner: Learner,
    settings: Settings,
    threads: Threads | None,
    ranks: Ranks = ALONE,
    *,
    began: float | None = None,
    pauses: Callable[[], Pauses] = Pauses,
) -> Plan:
    """Turns the budget into steps, leaving no trace in weights, data or random numbers.

    A budget in minutes counts from when the training ``began`` by ``time.perf_counter``, now if
    that is left out; what is measured here, and the ``pauses`` between its steps, are part of it.
    The plan is the first rank's; the others take part in the steps that it measures.
    """
    began = time.perf_counter() if began is None else began
    if not ranks.first:
        return _followed(learner, ranks)

    def step(precision: str, graphs: bool = False) -> int:
        ranks.broadcast(json.dumps({"precision": precision, "graphs": graphs}).encode())
        return _step(learner, precision, graphs)

    with learner.untouched():
        precision = choose_precision(settings.precision, learner.device, step)
        graphs = learner.network.graphable and _graphs_pay(learner, partial(step, precision))
        kind, amount = settings.budget
        if kind == "minutes":
            measured = min(_SPEED_SECONDS, 3 * amount)
            usual = partial(step, precision, graphs)
            a_step = _seconds_a_step(learner, usual, threads, measured)
            between = pauses()
            left = 60 * amount - (time.perf_counter() - began)
            steps = steps_within(left, a_step, between, settings)
        else:
            steps = max(1, round(steps_in(kind, amount, learner.streams)))
    plan = Plan(steps, str(learner.device), precision, graphs)
    ranks.broadcast(json.dumps(vars(plan)).encode())
    return plan


def _seconds_a_step(
    learner: Learner, step: Callable[[], int], threads: Threads | None, seconds: float
) -> float:
    """How long a step takes in the mean, by the fastest number of threads, which is then set."""

    def measured() -> int:
        symbols = step()
        synchronize(learner.device)
        return symbols

    mean, _ = learner.streams.look_ahead()
    if threads and len(threads.choices) > 1:
        threads.calibrate(measured, seconds / 2)
        seconds /= 2
    return mean * seconds_a_symbol(measured, seconds)


def steps_in(kind: str, amount: float, streams: Streams) -> float:
    """How many steps a budget of ``steps``, ``epochs`` or ``tokens`` has."""
    if kind == "steps":
        return amount
    whole = streams.symbols_in_epoch if kind == "epochs" else 1
    return amount * whole / streams.look_ahead()[0]


def _followed(learner: Learner, ranks: Ranks) -> Plan:
    """The plan that the first rank makes, which is told each step that it measures."""
    with learner.untouched():
        while "steps" not in (told := json.loads(ranks.broadcast(b""))):
            with contextlib.suppress(RuntimeError):  # what fails, fails on all ranks
                _step(learner, told["precision"], told["graphs"])
    return Plan(**told)


def _step(learner: Learner, precision: str, graphs: bool) -> int:
    """A step that learns nothing; the symbols it showed."""
    learner.network.use_graphs(graphs)
    return learner.step(0.0, precision)[1]


def _graphs_pay(learner: Learner, step: Callable[[bool], object]) -> bool:
    """Whether steps are faster in CUDA graphs; they are not where a cell cannot be captured, or
    where no length comes often enough for that to be known."""
    plain = fastest(partial(step, False), learner.device)
    try:
        return fastest(partial(step, True), learner.device) < plain and learner.network.graphed
    except RuntimeError:
        return False


def seconds_a_step(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """How long a step takes in the mean of some ``seconds``; nothing is learnt."""
    steps = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not steps:
        step()
        synchronize(device)
        steps += 1
    return passed / steps
