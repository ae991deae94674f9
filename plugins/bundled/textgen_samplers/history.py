"""The last symbols of a text as a sampler's state: (B, N) float32, the newest last."""

from __future__ import annotations

import numpy as np

from textgen.contracts.sampler import Graph
from textgen_samplers.operators import as_column, as_float, columns

NOTHING = -1
"""Where the text is not yet that long. No symbol has this id."""

LONGEST = 1 << 16
"""Symbols that a history may hold."""


def empty(streams: int, length: int) -> np.ndarray:
    """The history of texts that have not begun."""
    return np.full((streams, length), NOTHING, np.float32)


def pushed(history: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """The history after ``ids`` (B,); the oldest symbol is forgotten."""
    return np.concatenate([history[:, 1:], ids[:, None].astype(np.float32)], axis=1)


def pushed_graph(graph: Graph, history: str, ids: str) -> str:
    """The same as operators."""
    newest = as_column(graph, as_float(graph, ids))
    return graph.op("Concat", columns(graph, history, 1), newest, axis=1)
