"""What samplers that cut the tail share: they keep the logits at or above a threshold.

Both forms cut by a threshold, so symbols of exactly equal logits stay or go together.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from textgen.contracts.sampler import Graph, Sampler, SamplerState


class ThresholdSampler(Sampler):
    """Forbids every symbol whose logit is below a threshold of its row, (B, 1)."""

    @abstractmethod
    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        """The threshold of each row, (B, 1), at most the row's highest logit."""

    @abstractmethod
    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        """The same as operators."""

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        kept = logits >= self.threshold(logits, options)
        return np.where(kept, logits, np.float32(-np.inf))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        kept = graph.op("GreaterOrEqual", logits, self.threshold_graph(graph, logits, options))
        return graph.op("Where", kept, logits, graph.constant(np.array(-np.inf, np.float32)))


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
