"""What a sweep varies: settings of a training, options of its cell and its optimizer, each with its
values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from textgen.contracts.errors import UserError, unknown_name
from textgen.contracts.options import NoOptions, build_options, describe
from textgen.training.settings import BUDGETS, Settings

SAMPLERS = ("tpe", "random", "grid")
PRUNERS = ("median", "hyperband", "none")
TRIALS = 20
STEPS = 1000
"""The budget of a trial, where none is given."""

OWN = ("hold_back", "evaluate_every", "sample_every", "checkpoint_every")
"""Settings that a sweep decides itself: ten evaluations a trial, by text held back."""

_FIXED = {*BUDGETS, *OWN, "seed", "device", "precision"}
"""What cannot be varied: the loss would be of more learning, or of luck, not of better settings."""

_CELL = "cell."
_OPTIMIZER = "optimizer."
_MOST_POINTS = 1000

DEFAULT_SPACE: Mapping[str, str] = {
    "learning_rate": "1e-3..2e-2:log",
    "dropout": "0..0.4",
    "hidden_size": "128,256,384",
    "layers": "1,2",
}


class Suggesting(Protocol):
    """A trial of Optuna's, as far as it is needed here."""

    def suggest_categorical(self, name: str, choices: Any, /) -> Any: ...
    def suggest_float(self, name: str, low: float, high: float, /, *, log: bool) -> float: ...
    def suggest_int(self, name: str, low: int, high: int, /, *, log: bool) -> int: ...


@dataclass(frozen=True)
class Varied:
    """One setting, ``cell.<option>`` or ``optimizer.<option>``, and what it is varied over:
    ``values``, or from the first to the last of ``ends``."""

    name: str
    values: tuple[Any, ...] = ()
    ends: tuple[float, float] = (0, 0)
    log: bool = False

    def suggest(self, trial: Suggesting) -> Any:
        """Asks the trial for its value, as ``rounded`` gives it."""
        if self.values:
            return trial.suggest_categorical(self.name, self.values)
        low, high = self.ends
        if isinstance(low, int) and isinstance(high, int):
            return trial.suggest_int(self.name, low, high, log=self.log)
        return self.rounded(trial.suggest_float(self.name, low, high, log=self.log))

    def rounded(self, value: Any) -> Any:
        """A number between the ends with three digits, which can be read and typed, else as it
        is."""
        if self.values or isinstance(value, int):
            return value
        return min(max(float(f"{value:.3g}"), self.ends[0]), self.ends[1])

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of those it is varied over."""
        return value in self.values if self.values else self.ends[0] <= value <= self.ends[1]

    def typed(self) -> str:
        """As ``--vary`` takes it."""
        if self.values:
            return f"{self.name}={','.join(map(as_typed, self.values))}"
        low, high = map(as_typed, self.ends)
        return f"{self.name}={low}..{high}{':log' if self.log else ''}"


def as_typed(value: Any) -> str:
    """A setting's value as it is typed: ``0.004``, ``256``, ``yes``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def read_space(
    wanted: Mapping[str, str | Sequence[Any]],
    cell_options: type,
    fixed: Collection[str],
    optimizer_options: type = NoOptions,
) -> tuple[Varied, ...]:
    """What is varied, from ``LOW..HIGH``, ``LOW..HIGH:log`` or ``A,B,C`` by name, or a list of
    values; where nothing is ``wanted``, those of ``DEFAULT_SPACE`` that are not ``fixed``.

    Raises UserError for unknown names and for values that a training would refuse.
    """
    given = dict(wanted)
    if not given:
        given = {name: words for name, words in DEFAULT_SPACE.items() if name not in fixed}
        if not given:
            raise UserError(
                "All that a sweep varies of itself was given.", "Say what to vary: --vary."
            )
    owners = {_CELL: cell_options, _OPTIMIZER: optimizer_options}
    space = tuple(_read(name, words, owners) for name, words in given.items())
    for name in [varied.name for varied in space if varied.name in fixed]:
        owner, _, option = name.partition(".")
        flag = f"--{owner}-option {option}" if option else f"--{_dashed(name)}"
        raise UserError(f"{name} was both given and varied.", f"Leave out {flag}, or the --vary.")
    if len({varied.name for varied in space}) < len(space):
        raise UserError("A setting is varied twice.", "Give each one --vary.")
    return space


def require_grid(space: Sequence[Varied]) -> None:
    """Raises UserError where there is no combination of values to walk through, or too many."""
    for varied in space:
        if not varied.values:
            raise UserError(
                f"A grid is made of values, and {varied.name} goes from one to another.",
                f"Write --vary {varied.name}=A,B,C.",
            )
    if not combinations(space):
        raise UserError(
            f"The grid has more than {_MOST_POINTS:,} points.",
            "Vary less, or use another --sampler.",
        )


def combinations(space: Sequence[Varied]) -> list[dict[str, Any]]:
    """Every combination of the values; none where a setting has no list of them, or where they
    would be more than a thousand."""
    if not 0 < math.prod(len(varied.values) for varied in space) <= _MOST_POINTS:
        return []
    names = [varied.name for varied in space]
    found = itertools.product(*(varied.values for varied in space))
    return [dict(zip(names, values, strict=True)) for values in found]


def split_cell(chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Chosen values as settings of the training, and as options of the cell."""
    return _split(chosen, _CELL)


def split_optimizer(chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same for options of the optimizer."""
    return _split(chosen, _OPTIMIZER)


def _split(chosen: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    others = {name: value for name, value in chosen.items() if not name.startswith(prefix)}
    own = {n.removeprefix(prefix): value for n, value in chosen.items() if n.startswith(prefix)}
    return others, own


def _read(name: str, words: str | Sequence[Any], owners: Mapping[str, type]) -> Varied:
    """What one name is varied over; ``owners`` are the classes of options, by their prefix."""
    prefix = next((prefix for prefix in owners if name.startswith(prefix)), "")
    name = name if prefix else name.replace("-", "_")
    known = [info.name for info in describe(Settings) if info.name not in _FIXED]
    options = [f"{p}{info.name}" for p, owner in owners.items() for info in describe(owner)]
    if name in _FIXED:
        raise UserError(
            f"{name} cannot be varied: it would not be the settings that are compared.",
            f"Give it as --{_dashed(name)}, the same for all trials."
            if name not in OWN
            else "Leave it out.",
        )
    if name not in known and name not in options:
        raise unknown_name("setting", name, [*known, *options])

    def value(word: Any) -> Any:
        short, what = name.removeprefix(prefix), prefix.removesuffix(".") or "training"
        owner = owners.get(prefix, Settings)
        return getattr(build_options(owner, {short: word}, what), short)

    if isinstance(words, str) and ".." in words:
        return _read_range(name, words, value)
    parts = [word.strip() for word in words.split(",")] if isinstance(words, str) else words
    values = tuple(value(part) for part in parts)
    if len(values) < 2 or len(set(values)) < len(values):
        raise UserError(
            f"--vary {name} needs two values or more, each once.",
            f"Write --vary {name}=A,B,C or --vary {name}=LOW..HIGH.",
        )
    return Varied(name, values)


def _read_range(name: str, words: str, value: Any) -> Varied:
    ends, colon, scale = words.partition(":")
    low, high = (value(word.strip()) for word in ends.split("..", 1))
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in (low, high)):
        raise UserError(f"{name} is not a number.", f"Write --vary {name}=A,B,C.")
    if colon and scale != "log":
        raise UserError(
            f"--vary {name}={words} ends in {scale!r}.", f"Write --vary {name}=LOW..HIGH:log."
        )
    if low >= high:
        raise UserError(
            f"--vary {name}={words} goes from {as_typed(low)} to {as_typed(high)}.",
            "Write the lower end first.",
        )
    if colon and low <= 0:
        raise UserError(
            f"--vary {name}={words} cannot be :log, for it begins at {as_typed(low)}.",
            "Begin above 0, or leave out :log.",
        )
    return Varied(name, ends=(low, high), log=bool(colon))


def _dashed(name: str) -> str:
    return name.replace("_", "-")
