"""Choosing for the user: settings that suit a corpus, a machine and a budget.

The rules were fitted by trainings on two CPU cores whose losses were read on text held back from
training (docs/training.md has the grids). N symbols to learn, S symbols that the budget shows
(repeats counted), P parameters of the recurrent layers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textgen.contracts.cell import Cell
from textgen.corpus.packed import PackedCorpus
from textgen.training.device import choose_device, synchronize
from textgen.training.learner import Learner
from textgen.training.network import Network, build_network
from textgen.training.settings import CHOSEN, Settings, build_settings

SIZES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Of one layer: at these budgets one wide layer learns more than two narrower ones."""

_SEEN = 5
"""Symbols that the budget shows for each parameter, at least: with fewer, a larger network is
further from what it could learn than a smaller one."""

_KNOWN = 1.0
"""Symbols to learn for each parameter, at least: with fewer, it learns them by heart."""

_STEP = 2048
"""Symbols of a step, about: batches of short documents are larger."""

_STEPS = 3
"""By the fastest of which the machine's speed is judged, in each precision."""

_SHARE = 0.05
"""Of a budget in minutes that is spent on finding out how fast the machine is, at most."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why."""

    settings: Mapping[str, Any]
    reason: str


def choose(
    corpus: PackedCorpus, cell_class: type[Cell], cell_options: Any, given: Mapping[str, Any]
) -> Choice:
    """The settings named ``CHOSEN`` for a budget; those ``given`` are kept.

    Raises UserError for settings that cannot be.
    """
    given = {name: value for name, value in given.items() if value is not None}
    usual = build_settings(given)
    rows = _batch(corpus, usual.sequence_length)
    candidates = [usual.hidden_size] if "hidden_size" in given else SIZES
    size, seen, began = 0, 0.0, time.perf_counter()
    for candidate in candidates:
        tried = {"layer_norm": True, "batch_size": rows, **given, "hidden_size": candidate}
        settings = build_settings(tried)
        network = _network(corpus, cell_class, cell_options, settings)
        parameters = sum(p.numel() for cell in network.stack() for p in cell.parameters())
        shown = _symbols_shown(network, corpus, settings)
        if size and parameters > min(corpus.symbols("train") / _KNOWN, shown / _SEEN):
            break
        size, seen = candidate, shown
        kind, amount = usual.budget
        if kind == "minutes" and time.perf_counter() - began > _SHARE * 60 * amount:
            break
    epochs = seen / corpus.symbols("train")
    rules = {
        "hidden_size": size,
        "layer_norm": True,
        "batch_size": rows,
        "learning_rate": _learning_rate(size),
        "dropout": _dropout(epochs),
    }
    chosen = {name: rules[name] for name in CHOSEN if name not in given}
    return Choice({**given, **chosen}, _reason(chosen, usual, epochs))


def _network(
    corpus: PackedCorpus, cell_class: type[Cell], cell_options: Any, settings: Settings
) -> Network:
    network = build_network(corpus.vocabulary.size, cell_class, cell_options, settings)
    return network.to(choose_device(settings.device)).train()


def _symbols_shown(network: Network, corpus: PackedCorpus, settings: Settings) -> float:
    """How many symbols the budget shows the network: in minutes, by the fastest of some steps."""
    kind, amount = settings.budget
    learner = Learner(network, corpus, settings)
    symbols, _ = learner.streams.look_ahead()
    if kind == "minutes":
        return symbols * 60 * amount / _seconds_a_step(learner, settings.precision)
    whole = learner.streams.symbols_in_epoch
    return amount * {"steps": symbols, "epochs": whole, "tokens": 1}[kind]


def _seconds_a_step(learner: Learner, precision: str) -> float:
    fastest = float("inf")
    for kind in ("float32", "bfloat16") if precision == "auto" else (precision,):
        for _ in range(_STEPS):
            began = time.perf_counter()
            try:
                learner.step(0.0, kind)
            except RuntimeError:  # no bfloat16 here: see choose_precision
                break
            synchronize(learner.device)
            fastest = min(fastest, time.perf_counter() - began)
    return fastest


def _batch(corpus: PackedCorpus, length: int) -> int:
    """Documents side by side, of 32 to 256, so that a step shows some 2,048 symbols."""
    mean = corpus.symbols("train") / max(1, len(corpus.spans("train")))
    rows = _STEP / min(length, mean + 1)
    return int(2 ** min(8, max(5, round(math.log2(rows)))))


def _learning_rate(size: int) -> float:
    """6e-3 at 384 units, and less for wider layers; rounded to one digit."""
    return float(f"{min(8e-3, 6e-3 * (384 / size) ** 0.6):.0e}")


def _dropout(epochs: float) -> float:
    """None for a text seen once, more with every doubling of the passes over it."""
    return round(min(0.5, max(0.0, 0.1 * math.log2(max(1.0, epochs)) - 0.05)) * 20) / 20


def _reason(chosen: Mapping[str, Any], settings: Settings, epochs: float) -> str:
    kind, amount = settings.budget
    words = ", ".join(
        name.replace("_", " ") + ("" if value is True else f" {value:g}")
        for name, value in chosen.items()
    )
    times = f"{epochs:.1f} times" if epochs < 10 else f"{epochs:.0f} times"
    return f"Chosen for {amount:g} {kind}, in which the text is seen some {times}: {words}."
