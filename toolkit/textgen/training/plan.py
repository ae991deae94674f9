"""The plan of a training: precision and number of steps, settled before the first one."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from textgen.training.device import choose_precision, fastest, synchronize
from textgen.training.learner import Learner
from textgen.training.ranks import ALONE, Ranks
from textgen.training.settings import Settings
from textgen.training.streams import Streams
from textgen.training.threads import Threads

_SPEED_SECONDS = 3.0
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
    learner: Learner, settings: Settings, threads: Threads | None, ranks: Ranks = ALONE
) -> Plan:
    """Turns the budget into steps, leaving no trace in weights, data or random numbers.

    A budget in minutes counts from here: what the measuring takes is part of it. The plan is the
    first rank's; the others take part in the steps that it measures.
    """
    if not ranks.first:
        return _followed(learner, ranks)

    def step(precision: str, graphs: bool = False) -> None:
        ranks.broadcast(json.dumps({"precision": precision, "graphs": graphs}).encode())
        _step(learner, precision, graphs)

    began = time.perf_counter()
    with learner.untouched():
        precision = choose_precision(settings.precision, learner.device, step)
        graphs = learner.network.graphable and _graphs_pay(partial(step, precision), learner.device)
        kind, amount = settings.budget
        if kind == "minutes":
            measured = min(_SPEED_SECONDS, 3 * amount)
            usual = partial(step, precision, graphs)
            seconds = seconds_a_step(usual, learner.device, threads, measured)
            steps = (amount * 60 - (time.perf_counter() - began)) / seconds
        else:
            steps = steps_in(kind, amount, learner.streams)
    plan = Plan(max(1, round(steps)), str(learner.device), precision, graphs)
    ranks.broadcast(json.dumps(vars(plan)).encode())
    return plan


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


def _step(learner: Learner, precision: str, graphs: bool) -> None:
    """A step that learns nothing."""
    learner.network.use_graphs(graphs)
    learner.step(0.0, precision)


def _graphs_pay(step: Callable[[bool], object], device: torch.device) -> bool:
    """Whether steps are faster in CUDA graphs; they are not where a cell cannot be captured."""
    plain = fastest(partial(step, False), device)
    try:
        return fastest(partial(step, True), device) < plain
    except RuntimeError:
        return False


def seconds_a_step(
    step: Callable[[], object],
    device: torch.device,
    threads: Threads | None,
    seconds: float,
) -> float:
    """How long a step takes, measured for some ``seconds``; nothing is learnt."""

    def measured() -> None:
        step()
        synchronize(device)

    if threads:
        return threads.calibrate(measured, seconds)
    steps = 0
    began = time.perf_counter()
    while (passed := time.perf_counter() - began) < seconds or not steps:
        measured()
        steps += 1
    return passed / steps
