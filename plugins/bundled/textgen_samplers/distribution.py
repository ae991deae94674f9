"""Sums over the distribution of each row, in float32 and in one order for both forms.

They are sums in vocabulary order, as the draw's are: numpy's and onnxruntime's own sums go other
ways, and would part the forms in the last bit.
"""

from __future__ import annotations

import numpy as np

from textgen.contracts.sampler import Graph
from textgen_samplers.operators import columns, highest, scalar

_LOWEST = -1000.0  # e to this is nothing; times nothing it is nothing, where -inf is no number


def relative(logits: np.ndarray) -> np.ndarray:
    """The logits beside the highest of their row, all finite: what is forbidden is far below."""
    beside = logits - logits.max(axis=1, keepdims=True)
    finite: np.ndarray = np.maximum(beside, np.float32(_LOWEST))
    return finite


def relative_graph(graph: Graph, logits: str) -> str:
    """The same as operators."""
    beside = graph.op("Sub", logits, highest(graph, logits))
    return graph.op("Max", beside, scalar(graph, _LOWEST))


def total(values: np.ndarray) -> np.ndarray:
    """The sum of each row, (B, 1)."""
    return np.cumsum(values, axis=1, dtype=np.float32)[:, -1:]


def total_graph(graph: Graph, values: str) -> str:
    """The same as operators."""
    sums = graph.op("CumSum", values, graph.constant(np.array(1, np.int64)))
    return columns(graph, sums, -1)


def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of each row, (B, 1), by weight.

    Of ``relative(logits)`` by their exponentials it is the entropy but for a sign and a constant:
    log(sum of weights) - mean, in nats.
    """
    found: np.ndarray = total(values * weights) / total(weights)
    return found


def mean_graph(graph: Graph, values: str, weights: str) -> str:
    """The same as operators."""
    weighed = total_graph(graph, graph.op("Mul", values, weights))
    return graph.op("Div", weighed, total_graph(graph, weights))
