"""Presets: settings that go together, under one name. What is given beside them counts more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from textgen.contracts.errors import unknown_name
from textgen.training.settings import BUDGETS


@dataclass(frozen=True)
class Preset:
    """A cell where none is named, and settings."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    cell: str = "lstm"
    chosen: bool = False
    """Whether the rest is chosen for the corpus, the machine and the budget."""
    optimizer: str | None = None
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)

    def options_of(self, optimizer: object) -> dict[str, Any]:
        """The options that the preset gives this optimizer, if it is its own."""
        return dict(self.optimizer_options) if optimizer == self.optimizer else {}


PRESETS: Mapping[str, Preset] = {
    "quick": Preset({"minutes": 1.0}, "gru", chosen=True),
    "standard": Preset(),
    "best": Preset({"epochs": 40.0}, "gru", chosen=True),
    # train.lua of karpathy/char-rnn, in its own words: docs/char-rnn.md
    "char-rnn": Preset(
        {
            "hidden_size": 128,
            "layers": 2,
            "embedding_size": 0,
            "start_range": 0.08,
            "dropout": 0.0,
            "batch_size": 50,
            "sequence_length": 50,
            "reset_probability": 0.0,
            "learning_rate": 2e-3,
            "clip": 0.0,
            "clip_entries": 5.0,
            "warmup_steps": 0,
            "schedule": "epoch",
            "decay_rate": 0.97,
            "decay_after": 10,
            "epochs": 50.0,
            "hold_back": False,
            "evaluate_every": 1000,
            "checkpoint_every": 1000,
            "seed": 123,
        },
        optimizer="rmsprop",
        optimizer_options={"alpha": 0.95},
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of that name. Raises UserError for an unknown one."""
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]


def begin_with(preset: Preset, given: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's settings and those ``given`` (None is none), whose budget is the only one."""
    given = {name: value for name, value in given.items() if value is not None}
    own = dict(preset.settings)
    if any(name in given for name in BUDGETS):
        own = {name: value for name, value in own.items() if name not in BUDGETS}
    return {**own, **given}
