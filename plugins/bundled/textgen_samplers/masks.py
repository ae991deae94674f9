"""What samplers that forbid some symbols share: a row never loses all it has.

Where a mask, on top of what earlier links forbade, would leave nothing, the likeliest symbols of
the row stay.
"""

from __future__ import annotations

import numpy as np

from textgen.contracts.sampler import Graph
from textgen_samplers.operators import highest, scalar


def keep(logits: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The logits (B, V), all but those ``kept`` forbidden."""
    forbidden = np.float32(-np.inf)
    left = np.where(kept, logits, forbidden)
    likeliest = logits == logits.max(axis=1, keepdims=True)
    empty = left.max(axis=1, keepdims=True) == forbidden
    return np.where(empty & likeliest, logits, left)


def keep_graph(graph: Graph, logits: str, kept: str) -> str:
    """The same as operators."""
    forbidden = scalar(graph, -np.inf)
    left = graph.op("Where", kept, logits, forbidden)
    likeliest = graph.op("Equal", logits, highest(graph, logits))
    empty = graph.op("Equal", highest(graph, left), forbidden)
    return graph.op("Where", graph.op("And", empty, likeliest), logits, left)
