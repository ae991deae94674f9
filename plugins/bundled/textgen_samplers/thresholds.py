"""What samplers that cut the tail share: they keep the logits at or above a threshold.

Both forms cut by a threshold, so symbols of exactly equal logits stay or go together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.operators import scalar


class ThresholdSampler(Sampler):
    """Forbids every symbol whose logit is below a threshold of its row, (B, 1)."""

    @abstractmethod
    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        """The threshold of each row, (B, 1), at most the row's highest logit."""

    @abstractmethod
    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        """The same as operators."""

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return at_least(logits, self.threshold(logits, options))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        return at_least_graph(graph, logits, self.threshold_graph(graph, logits, options))


def at_least(logits: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """The logits, what is below ``threshold`` (B, 1) forbidden."""
    return np.where(logits >= threshold, logits, np.float32(-np.inf))


def at_least_graph(graph: Graph, logits: str, threshold: str) -> str:
    """The same as operators."""
    kept = graph.op("GreaterOrEqual", logits, threshold)
    return graph.op("Where", kept, logits, scalar(graph, -np.inf))


def descending(logits: np.ndarray) -> np.ndarray:
    """Each row sorted, the highest first."""
    ordered: np.ndarray = np.sort(logits, axis=1)[:, ::-1]
    return ordered


def descending_graph(graph: Graph, logits: str, size: int) -> str:
    """The same as an operator."""
    values, _ = graph.ops(
        "TopK", logits, graph.constant(np.array([size], np.int64)), outputs=2, axis=1
    )
    return values
