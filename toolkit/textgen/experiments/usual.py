"""What a comparison does where nothing is given."""

from __future__ import annotations

CELLS = ("lstm", "gru", "rnn")
VARIED = ("learning_rate", "dropout")
"""What the trials of a cell choose."""

TRIALS = 8
"""Of each cell."""

SEEDS = 5
LEAST_SEEDS = 3
