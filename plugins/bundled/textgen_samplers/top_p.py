"""Top-p, or nucleus sampling: Holtzman, Buys, Du, Forbes and Choi, The Curious Case of Neural Text
Degeneration, arXiv 1904.09751."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.operators import integers, scalar
from textgen_samplers.thresholds import descending, descending_graph

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    p: float = option(0.9, "probability that the kept symbols hold", minimum=1e-6, maximum=1)


class TopP(Sampler):
    """Keeps the fewest likeliest symbols that together hold probability p, one at least.

    As in transformers, the symbol that reaches p is kept; those exactly as likely as it are too.
    """

    Options = Options

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        ordered = descending(probabilities)
        before = np.zeros_like(ordered)
        np.cumsum(ordered[:, :-1], axis=1, out=before[:, 1:])
        # a symbol is kept while those before it hold less than p; of 1 none falls short, though
        # the sum in float32 may reach it
        limit = np.where(options.p >= 1, np.float32(np.inf), options.p)
        kept = np.where(before < limit, ordered, np.float32(np.inf))
        enough = probabilities >= kept.min(axis=1, keepdims=True)
        return np.where(enough, logits, np.float32(-np.inf))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        infinite = scalar(graph, np.inf)
        probabilities = graph.op("Softmax", logits, axis=1)
        ordered = descending_graph(graph, probabilities, self.vocabulary.size)
        before = graph.op("CumSum", ordered, graph.constant(np.array(1, np.int64)), exclusive=1)
        whole = graph.op("GreaterOrEqual", options["p"], scalar(graph, 1.0))
        limit = graph.op("Where", whole, infinite, options["p"])
        kept = graph.op("Where", graph.op("Less", before, limit), ordered, infinite)
        lowest = graph.op("ReduceMin", kept, integers(graph, 1), keepdims=1)
        enough = graph.op("GreaterOrEqual", probabilities, lowest)
        return graph.op("Where", enough, logits, scalar(graph, -np.inf))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"top-p": TopP}
