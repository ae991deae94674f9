"""Settings of a training: each a documented option, with its unit and bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textgen.contracts.errors import UserError
from textgen.contracts.options import build_options, option, options_dict

BUDGETS = ("minutes", "steps", "epochs", "tokens")
DEFAULT_MINUTES = 2.5
NEVER = 2**62
"""An interval in steps that no training has: of samples, then, not even a last one is made."""

CHOSEN = ("hidden_size", "layer_norm", "batch_size", "learning_rate", "dropout", "weight_drop")
"""What is chosen where it is not given with a budget in minutes (see ``choosing``)."""


@dataclass(frozen=True)
class Settings:
    """How a network is built and taught."""

    hidden_size: int = option(256, "units in each layer", minimum=1)
    layers: int = option(1, "recurrent layers", minimum=1, maximum=64)
    embedding_size: int = option(64, "size of a symbol's vector; 0 feeds 1-of-k", minimum=0)
    connection: str = option(
        "plain",
        "what goes around a layer as wide as its input; residual: arXiv 1512.03385, "
        "highway: arXiv 1505.00387",
        choices=("plain", "residual", "highway"),
    )
    layer_norm: bool = option(False, "normalise each layer's output (arXiv 1607.06450)")
    tie_weights: bool = option(
        False, "the head's weights are the embedding's (arXiv 1608.05859); as wide as a layer"
    )

    start_range: float = option(
        0.0,
        "matrices start uniform between minus this and this; 0 is what suits the cell",
        minimum=0,
    )
    dropout: float = option(0.15, "share of each layer's output dropped", minimum=0, below=1)
    locked_dropout: bool = option(
        False, "one mask for all symbols of a step: variational dropout (arXiv 1512.05287)"
    )
    input_dropout: float = option(
        0.0, "share dropped of what the first layer reads", minimum=0, below=1
    )
    embedding_dropout: float = option(
        0.0, "share of the vocabulary not seen in a step (arXiv 1512.05287)", minimum=0, below=1
    )
    weight_drop: float = option(
        0.0, "share of recurrent weights dropped in a step (arXiv 1708.02182)", minimum=0, below=1
    )
    zoneout: float = option(
        0.0,
        "share of the state left as it was (arXiv 1606.01305); slower: no fused kernels",
        minimum=0,
        below=1,
    )
    activation_penalty: float = option(
        0.0, "weight of the last outputs' mean square in the loss (arXiv 1708.01009)", minimum=0
    )
    slowness_penalty: float = option(
        0.0, "weight of the mean square of their change in time (arXiv 1708.01009)", minimum=0
    )
    label_smoothing: float = option(
        0.0,
        "share of the target given to all symbols (arXiv 1512.00567); not in losses told",
        minimum=0,
        below=1,
    )

    batch_size: int = option(32, "streams of text learnt side by side", minimum=1)
    sequence_length: int = option(64, "symbols a stream advances in a step", minimum=1)
    sequence_jitter: float = option(
        0.0,
        "spread of the sequence length, as a share of it (arXiv 1708.02182); running text only",
        minimum=0,
        maximum=0.5,
    )
    reset_probability: float = option(
        0.03, "chance that a stream forgets its state at a step", minimum=0, maximum=1
    )

    optimizer: str = option("adamw", "what turns gradients into steps; textgen plugins lists them")
    learning_rate: float = option(8e-3, "largest step size", above=0)
    average: float = option(
        0.0,
        "decay of the mean of the weights that is evaluated and kept, near 1; 0 keeps the weights",
        minimum=0,
        below=1,
    )
    clip: float = option(1.0, "largest norm of the gradient; 0 is none", minimum=0)
    clip_entries: float = option(
        0.0, "largest size of each of the gradient's entries; 0 is none", minimum=0
    )
    warmup_steps: int = option(50, "steps in which the learning rate rises", minimum=0)
    schedule: str = option(
        "cosine", "how the learning rate falls", choices=("cosine", "step", "epoch", "constant")
    )
    decay_rate: float = option(0.97, "factor of the step and epoch schedules", above=0, maximum=1)
    decay_steps: int = option(1000, "steps between the factors of the step schedule", minimum=1)
    decay_after: int = option(10, "epochs before the factors of the epoch schedule", minimum=0)

    minutes: float | None = option(None, "budget in minutes of training", above=0)
    steps: int | None = option(None, "budget in optimizer steps", minimum=1)
    epochs: float | None = option(None, "budget in passes over the corpus", above=0)
    tokens: int | None = option(None, "budget in symbols seen", minimum=1)

    hold_back: bool = option(
        True, "choose weights by a small part of the training text, not learnt; else the last"
    )
    evaluate_every: int = option(0, "steps between evaluations; 0 is ten in all", minimum=0)
    sample_every: int = option(0, "steps between samples; 0 is ten in all", minimum=0)
    checkpoint_every: int = option(0, "steps between checkpoints; 0 is ten in all", minimum=0)
    seed: int = option(1, "of everything random", minimum=0, maximum=2**63 - 1)
    device: str = option("auto", "auto is CUDA where there is one, else the CPU")
    precision: str = option(
        "auto", "auto takes the faster by a short probe", choices=("auto", "float32", "bfloat16")
    )

    @property
    def budget(self) -> tuple[str, float]:
        """Which budget was given, and its amount."""
        given = [(name, getattr(self, name)) for name in BUDGETS]
        given = [(name, amount) for name, amount in given if amount is not None]
        return given[0] if given else ("minutes", DEFAULT_MINUTES)

    def interval(self, every: int, steps: int) -> int:
        """``every``, or what makes ten of them in ``steps``."""
        return every or max(1, -(-steps // 10))


def build_settings(given: Mapping[str, Any]) -> Settings:
    """Settings from what was given, None meaning the default. Raises UserError."""
    settings: Settings = build_options(
        Settings, {name: value for name, value in given.items() if value is not None}, "training"
    )
    budgets = [name for name in BUDGETS if getattr(settings, name) is not None]
    if len(budgets) > 1:
        flags = " and ".join(f"--{name}" for name in budgets)
        raise UserError(f"{flags} were given together.", "Give one budget.")
    return settings


def settings_dict(settings: Settings) -> dict[str, Any]:
    """The settings as JSON values, those left at None out."""
    return {name: value for name, value in options_dict(settings).items() if value is not None}
