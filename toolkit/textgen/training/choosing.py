"""Choosing for the user: settings that suit a corpus, a machine and a budget.

The rules were fitted by trainings on CPU cores, most of them by text held back from training
(docs/choosing.md has the grids). N symbols to learn, S symbols that the budget shows
(repeats counted), P parameters of the recurrent layers.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from textgen.chosen import Chosen
from textgen.contracts.cell import Cell
from textgen.contracts.optimizer import Optimizer
from textgen.corpus.packed import PackedCorpus
from textgen.training.budget import seconds_a_symbol
from textgen.training.device import choose_device, synchronize
from textgen.training.learner import Learner
from textgen.training.network import Network, build_network
from textgen.training.ranks import ALONE, Ranks
from textgen.training.settings import CHOSEN, Settings, build_settings

SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Of one layer: at these budgets one wide layer learns more than two narrower ones."""

_SEEN = 5
"""Symbols that the budget shows for each parameter, at least: with fewer, a larger network is
further from what it could learn than a smaller one."""

_KNOWN = 0.7
"""Symbols to learn for each parameter, at least: with fewer, it learns them by heart."""

_PASSES = 40
"""Over a text, at most: further ones teach small ones by heart, whatever the dropout (measured)."""

_DROP, _DROP_PASSES, _DROP_UNITS = 0.2, 30, 384
"""The share of recurrent weights that is dropped, from so many passes and units on: 512 units
learnt a text by heart in 40 passes without, and not in 20; 64 to 128 gained nothing by it
(measured)."""

_DROPPED_SIZES = (640,)
"""Tried beside ``SIZES`` where recurrent weights are dropped and a budget counts no time: 640 units
learnt more in 40 passes than 512, in 1.4 times the time (measured)."""

_STEP = 2048
"""Symbols of a step, about: batches of short documents are larger."""

_SHARE = 0.05
"""Of a budget in minutes after which no further width is tried, counted from the end of the first,
which sets up what is set up once."""

_TRIAL_SHARE, _TRIAL_SECONDS = 0.005, 1.5
"""Of a budget in minutes, and at most, for how long the speed of one width is measured in one
precision: something short beside it on the machine must not decide."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why."""

    settings: Mapping[str, Any]
    reason: str


@dataclass(frozen=True)
class Choosing:
    """What is still to be chosen for a training, and what is ``given``."""

    corpus: PackedCorpus
    cell_class: type[Cell]
    cell_options: Any
    optimizer: Chosen[Optimizer]
    given: Mapping[str, Any]

    @property
    def open_settings(self) -> tuple[str, ...]:
        """The names of the settings that are chosen. Where dropout is, a budget in minutes may
        become one in passes."""
        names = tuple(name for name in CHOSEN if self.given.get(name) is None)
        return names + (("minutes", "epochs") if "dropout" in names else ())

    def choose(self, ranks: Ranks = ALONE) -> Choice:
        """The settings named ``CHOSEN`` for a budget; those ``given`` are kept.

        All ``ranks`` are in touch and do the same, by what the first one measures: the speed is
        that of all of them at work. Raises UserError for settings that cannot be.
        """
        given = {name: value for name, value in self.given.items() if value is not None}
        usual = build_settings(given)
        rows = _batch(self.corpus, usual.sequence_length, ranks.count)
        tried = {"layer_norm": True, "batch_size": rows, **given}
        trials = _Trials(replace(self, given=tried), ranks)
        size, shown = trials.largest([usual.hidden_size] if "hidden_size" in given else SIZES)
        known = self.corpus.symbols("train")
        epochs = shown.symbols / known
        if "hidden_size" not in given and usual.minutes is None and self._drops(epochs, size):
            wider = (wide for wide in _DROPPED_SIZES if wide > size)
            size, shown = trials.largest([size, *wider])
        rules: dict[str, Any] = {"hidden_size": size, "layer_norm": True, "batch_size": rows}
        steps = shown.steps
        if usual.minutes is not None and "dropout" not in given and epochs > _PASSES:
            rules |= {"minutes": None, "epochs": float(_PASSES)}
            steps *= _PASSES / epochs
        rules["learning_rate"] = _learning_rate(size, steps)
        rules["dropout"] = _dropout(min(epochs, _PASSES) * shown.parameters / known)
        if self._drops(epochs, size):
            rules["weight_drop"] = _DROP
        chosen = {name: rules[name] for name in self.open_settings if name in rules}
        return Choice({**given, **chosen}, _reason(chosen, usual, epochs))

    def _drops(self, epochs: float, size: int) -> bool:
        """Whether some recurrent weights of so many units are dropped in so many passes."""
        often = epochs >= _DROP_PASSES and size >= _DROP_UNITS
        wanted = self.given.get("weight_drop") != 0
        return often and wanted and bool(self.cell_class.recurrent_weights)


@dataclass(frozen=True)
class _Shown:
    """What a budget shows a network of so many recurrent ``parameters``: symbols in steps."""

    parameters: int
    steps: float
    symbols: float


@dataclass(frozen=True)
class _Trials:
    """Networks of different width, for one corpus and budget."""

    of: Choosing
    ranks: Ranks

    def largest(self, sizes: Sequence[int]) -> tuple[int, _Shown]:
        """The largest of the ascending ``sizes`` that corpus and budget can teach, else the first,
        and what the budget shows it."""
        most = self.of.corpus.symbols("train") / _KNOWN
        parameters = {size: _parameters(self._network(size)) for size in sizes}
        known = [size for size in sizes if parameters[size] <= most] or sizes[:1]
        kind, amount = self._settings(known[0]).budget
        share, end = _SHARE * 60 * amount if kind == "minutes" else math.inf, math.inf
        found, low, high = (0, _Shown(0, 0, 0)), 0, len(known)
        while low < high and not (found[0] and self.ranks.agreed(time.perf_counter() > end)):
            middle = (low + high) // 2
            size = known[middle]
            shown = self._shown(size, parameters[size])
            end = min(end, time.perf_counter() + share)
            if middle == 0 or shown.parameters * _SEEN <= shown.symbols:
                found, low = (size, shown), middle + 1
            else:
                high = middle
        return found

    def _settings(self, size: int) -> Settings:
        return build_settings({**self.of.given, "hidden_size": size})

    def _network(self, size: int) -> Network:
        of, symbols = self.of, self.of.corpus.vocabulary.size
        return build_network(symbols, of.cell_class, of.cell_options, self._settings(size))

    def _shown(self, size: int, parameters: int) -> _Shown:
        """What the budget shows: in minutes, by how long some steps take."""
        settings = self._settings(size)
        kind, amount = settings.budget
        network = self._network(size).to(choose_device(settings.device)).train()
        learner = Learner(network, self.of.corpus, settings, self.of.optimizer, self.ranks)
        symbols, _ = learner.streams.look_ahead()
        if kind == "minutes":
            seconds = min(_TRIAL_SECONDS, _TRIAL_SHARE * 60 * amount)
            a_symbol = _seconds_a_symbol(learner, settings.precision, seconds, self.ranks)
            steps = 60 * amount / (a_symbol * symbols)
        else:
            whole = learner.streams.symbols_in_epoch
            steps = amount * {"steps": 1, "epochs": whole / symbols, "tokens": 1 / symbols}[kind]
        return _Shown(parameters, steps, steps * symbols)


def _parameters(network: Network) -> int:
    """Of the recurrent layers."""
    return sum(p.numel() for cell in network.stack() for p in cell.parameters())


def _seconds_a_symbol(learner: Learner, precision: str, seconds: float, ranks: Ranks) -> float:
    """In the faster precision, by the clock of the first of the ``ranks``: all do as many steps."""

    def step(kind: str) -> int:
        _, symbols = learner.step(0.0, kind)
        synchronize(learner.device)
        return symbols

    def clock() -> float:
        return float(ranks.agreed(time.perf_counter()))

    found = []
    for kind in ("float32", "bfloat16") if precision == "auto" else (precision,):
        with contextlib.suppress(RuntimeError):  # no bfloat16 here: see choose_precision
            step(kind)  # sets kernels up
            found.append(seconds_a_symbol(partial(step, kind), seconds, clock))
    return min(found, default=math.inf)


def _batch(corpus: PackedCorpus, length: int, ranks: int) -> int:
    """Documents side by side, of 32 to 256, so that a step shows some 2,048 symbols; as many for
    each rank."""
    mean = corpus.symbols("train") / max(1, len(corpus.spans("train")))
    rows = _STEP / min(length, mean + 1)
    rows = int(2 ** min(8, max(5, round(math.log2(rows)))))
    return ranks * -(-rows // ranks)


def _learning_rate(size: int, steps: float) -> float:
    """9e-3 for 384 units and 3,000 steps, at most 1e-2; less for wider layers and for longer
    trainings. It goes with AdamW's usual decay of the weights: without, 512
    units at 5e-3 forgot all after 3,000 of 11,000 steps, for their recurrent weights only grew
    (measured)."""
    rate = 9e-3 * (384 / size) ** 0.4 * (3000 / max(3000, steps)) ** 0.25
    return float(f"{min(1e-2, rate):.1e}")


def _dropout(risk: float) -> float:
    """More with every doubling of the ``risk`` that a text is learnt by heart: the passes over it,
    times the parameters for each of its symbols. None for a risk of one."""
    return round(min(0.5, 0.1 * math.log2(max(1.0, risk))) * 20) / 20


def _reason(chosen: Mapping[str, Any], settings: Settings, epochs: float) -> str:
    kind, amount = settings.budget
    words = ", ".join(
        name.replace("_", " ") + ("" if value is True else f" {value:g}")
        for name, value in chosen.items()
        if name in CHOSEN
    )
    budget = f"{amount:g} {kind[:-1] if amount == 1 else kind}"
    times = f"{epochs:.2g} times" if epochs < 10 else f"{epochs:.0f} times"
    if "epochs" in chosen:
        return (
            f"Chosen for {_PASSES} passes over the text; {budget} would be some {epochs:.0f}, and "
            f"teach it by heart: {words}."
        )
    return f"Chosen for {budget}, in which the text is seen some {times}: {words}."
