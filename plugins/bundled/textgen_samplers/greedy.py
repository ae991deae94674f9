"""Greedy: always the likeliest symbol, as a temperature near 0 leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.sampler import Graph, Sampler, SamplerState

TEXTGEN_CONTRACT = 1


class Greedy(Sampler):
    """Keeps the likeliest symbol, of equals the first in the vocabulary."""

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        symbols = np.arange(logits.shape[1])
        chosen = symbols == logits.argmax(axis=1)[:, None]
        return np.where(chosen, logits, np.float32(-np.inf))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        symbols = graph.constant(np.arange(self.vocabulary.size, dtype=np.int64)[None, :])
        chosen = graph.op("Equal", symbols, graph.op("ArgMax", logits, axis=1, keepdims=1))
        return graph.op("Where", chosen, logits, graph.constant(np.array(-np.inf, np.float32)))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"greedy": Greedy}
