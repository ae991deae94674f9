"""The cells of a comparison: made equally large, and measured, before any of them is taught."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from textgen import runs
from textgen.chosen import Chosen
from textgen.contracts.cell import Cell
from textgen.contracts.errors import PluginError, TextgenError, UserError
from textgen.contracts.optimizer import Optimizer
from textgen.contracts.options import options_dict
from textgen.corpus.packed import PackedCorpus
from textgen.experiments.kernels import GRAPHS, kernel_path
from textgen.experiments.sizing import Size, size_at, solve
from textgen.registry import Registry
from textgen.training.device import choose_device
from textgen.training.learner import Learner
from textgen.training.network import Network, build_network
from textgen.training.plan import make_plan, seconds_a_step, steps_in
from textgen.training.run_folder import base_name
from textgen.training.settings import build_settings

SYMBOLS, TIME = "symbols", "time"
BUDGETS = (SYMBOLS, TIME)
"""What is equal for all cells."""

_ROUNDS = 5
"""In which every cell's speed is measured, so that a disturbance does not meet one cell alone."""
_SECONDS = 0.6
"""For how long in each, at most; never more than a twentieth of the budget in all."""


@dataclass(frozen=True)
class Contender:
    """A cell that takes part."""

    label: str
    """What it is called here, and in the names of files."""
    cell: str | type[Cell]
    options: Mapping[str, Any]
    chosen: runs.ChosenCell

    def described(self) -> dict[str, Any]:
        """What it is, as JSON values."""
        chosen = self.chosen
        return {"name": chosen.name, "options": options_dict(chosen.options), **chosen.origin}


@dataclass(frozen=True)
class Course:
    """What was settled for a contender before its first step; JSON values."""

    label: str
    hidden_size: int = 0
    embedding: int = 0
    recurrent: int = 0
    head: int = 0
    """Parameters, by part."""
    kernel: str = ""
    precision: str = ""
    symbols_a_step: float = 0.0
    seconds_a_step: float = 0.0
    steps: Mapping[str, int] | None = None
    """Of a training, by what is equal."""
    failure: str = ""
    """Why it cannot be trained, if it cannot."""

    @property
    def parameters(self) -> int:
        return self.embedding + self.recurrent + self.head


def read_contenders(
    cells: Sequence[str | type[Cell]],
    options: Mapping[str, Mapping[str, Any]],
    registry: Registry,
) -> list[Contender]:
    """The cells by name or class, each with its ``options`` by that name.

    Raises UserError where there are fewer than two, or one twice.
    """
    contenders = []
    for cell in cells:
        typed = cell if isinstance(cell, str) else cell.__name__.lower()
        own = options.get(typed, {})
        chosen = runs.choose_cell(cell, own, registry)
        contenders.append(Contender(base_name(typed, "").strip("-"), cell, own, chosen))
    names = [contender.label for contender in contenders]
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError(
            "A comparison is of two cells or more, each once.", "Write --cells lstm,gru,rnn."
        )
    known = [cell if isinstance(cell, str) else cell.__name__.lower() for cell in cells]
    if strange := [name for name in options if name not in known]:
        raise UserError(
            f"Options were given for {strange[0]}, which is not compared.",
            f"Give them for {', '.join(known)}, or add it to --cells.",
        )
    return contenders


def plan_courses(
    contenders: Sequence[Contender],
    corpus: PackedCorpus,
    settings: Mapping[str, Any],
    optimizer: Chosen[Optimizer],
    budgets: Mapping[str, float],
    parameters: int | None,
) -> tuple[list[Course], float]:
    """Sizes, precision, kernels, speed and numbers of steps of all, and the seconds of equal time;
    measured here and now.

    ``budgets`` are one of steps, epochs and tokens, and perhaps minutes; without them equal time
    is what the first cell takes. A cell that cannot be trained has a course that says why. Raises
    TextgenError where the first one cannot, and all others depend on it.
    """
    courses: dict[str, Course] = {}
    paces: dict[str, _Pace] = {}
    for contender, size in _sized(contenders, corpus, settings, parameters):
        label = contender.label
        if isinstance(size, str):
            courses[label] = Course(label, failure=size)
            continue
        courses[label] = Course(label, **asdict(size))
        try:
            wide = {**settings, "hidden_size": size.hidden_size}
            pace = _Pace(runs.Setup(corpus, contender.chosen, build_settings(wide), optimizer))
            courses[label] = pace.plan(courses[label], budgets)
        except Exception as error:  # whatever a plugin's cell may raise
            courses[label] = replace(courses[label], failure=told(error))
        else:
            paces[label] = pace
    for label, seconds in _measure(paces, courses, budgets).items():
        courses[label] = replace(courses[label], seconds_a_step=seconds)
    return _with_time(list(courses.values()), budgets)


class _Pace:
    """A contender's learner, whose steps are timed; nothing is learnt."""

    def __init__(self, setup: runs.Setup) -> None:
        settings = setup.settings
        network = runs.fresh_network(setup).to(choose_device(settings.device)).train()
        self._learner = Learner(network, setup.corpus, settings, setup.optimizer)
        plan = make_plan(self._learner, replace(settings, steps=1), None)
        network.use_graphs(plan.graphs)
        self._precision = plan.precision
        self._kernel = GRAPHS if plan.graphs else kernel_path(network, plan.precision)
        self.seconds(0.0)  # the first step sets kernels up

    def plan(self, course: Course, budgets: Mapping[str, float]) -> Course:
        """The course with precision, kernels and the number of steps that show equal symbols."""
        ((kind, amount),) = [(k, v) for k, v in budgets.items() if k != "minutes"]
        streams = self._learner.streams
        return replace(
            course,
            kernel=self._kernel,
            precision=self._precision,
            symbols_a_step=streams.look_ahead()[0],
            steps={SYMBOLS: max(1, round(steps_in(kind, amount, streams)))},
        )

    def seconds(self, least: float) -> float:
        """Of a step, in the mean of as many as ``least`` seconds take, and one at least."""
        step = partial(self._learner.step, 0.0, self._precision)
        return seconds_a_step(step, self._learner.device, least)


def told(error: BaseException) -> str:
    """An error in a line, for a table."""
    if isinstance(error, TextgenError):
        return error.problem
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _sized(
    contenders: Sequence[Contender],
    corpus: PackedCorpus,
    settings: Mapping[str, Any],
    parameters: int | None,
) -> Iterator[tuple[Contender, Size | str]]:
    """Each contender with its size, or why it has none."""
    target = parameters
    for contender in contenders:
        build = partial(_build, contender, corpus, settings)
        try:
            if target is None:  # the first: all others are made as large as it
                size = size_at(build, build_settings(settings).hidden_size)
                target = size.total
            else:
                size = solve(build, target)
            yield contender, size
        except Exception as error:
            if target is None:
                raise _none_without(contender, error) from error
            yield contender, told(error)


def _build(
    contender: Contender, corpus: PackedCorpus, settings: Mapping[str, Any], hidden_size: int
) -> Network:
    chosen = contender.chosen
    built = build_settings({**settings, "hidden_size": hidden_size})
    return build_network(corpus.vocabulary.size, chosen.cell_class, chosen.options, built)


def _measure(
    paces: Mapping[str, _Pace], courses: Mapping[str, Course], budgets: Mapping[str, float]
) -> dict[str, float]:
    """Seconds of a step by label, the median of some rounds."""
    limit = 60 * budgets.get("minutes", math.inf)
    shares = {}
    for label, pace in paces.items():
        whole = (courses[label].steps or {})[SYMBOLS] * pace.seconds(0.0)
        shares[label] = min(_SECONDS, 0.05 * min(whole, limit) / _ROUNDS)
    found: dict[str, list[float]] = {label: [] for label in paces}
    for _ in range(_ROUNDS):
        for label, pace in paces.items():
            found[label].append(pace.seconds(shares[label]))
    return {label: statistics.median(seconds) for label, seconds in found.items()}


def _with_time(
    courses: Sequence[Course], budgets: Mapping[str, float]
) -> tuple[list[Course], float]:
    """The courses with the number of steps that take equal time, and the seconds of that."""
    first = courses[0]
    if "minutes" in budgets:
        seconds = 60 * budgets["minutes"]
    elif first.steps:
        seconds = first.steps[SYMBOLS] * first.seconds_a_step
    else:
        raise TextgenError(
            f"Equal time is what {first.label} takes, which cannot be trained: {first.failure}",
            "Give --minutes, or name another cell first.",
        )
    planned = []
    for course in courses:
        if course.steps:
            steps = max(1, round(seconds / course.seconds_a_step))
            course = replace(course, steps={**course.steps, TIME: steps})
        planned.append(course)
    return planned, seconds


def _none_without(contender: Contender, error: Exception) -> TextgenError:
    if isinstance(error, TextgenError):
        return error
    return PluginError(
        f"{contender.label} cannot be built, and all others are made as large as it: {told(error)}",
        "Give --parameters, or name another cell first.",
    )
