"""Top-p, or nucleus sampling: Holtzman, Buys, Du, Forbes and Choi, The Curious Case of Neural Text
Degeneration, arXiv 1904.09751."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.thresholds import ThresholdSampler, descending, descending_graph

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    p: float = option(0.9, "probability that the kept symbols hold", minimum=1e-6, maximum=1)


class TopP(ThresholdSampler):
    """Keeps the fewest likeliest symbols that together hold probability p, one at least.

    As in transformers, the symbol that reaches p is kept; those exactly as likely as it are too.
    """

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        ordered = descending(logits)
        weights = np.exp(ordered - ordered[:, :1])
        sums = np.cumsum(weights, axis=1, dtype=np.float32)
        # a symbol is kept while those before it hold less than p; of 1 none falls short, though
        # the sum in float32 may have stopped growing
        limit = np.where(options.p >= 1, np.float32(np.inf), options.p * sums[:, -1:])
        kept = np.where(sums - weights < limit, ordered, ordered[:, :1])
        lowest: np.ndarray = kept.min(axis=1, keepdims=True)
        return lowest

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        ordered = descending_graph(graph, logits, self.vocabulary.size)
        zero, one, last, end = (
            graph.constant(np.array([place], np.int64))
            for place in (0, 1, -1, np.iinfo(np.int64).max)
        )
        first = graph.op("Slice", ordered, zero, one, one)
        weights = graph.op("Exp", graph.op("Sub", ordered, first))
        sums = graph.op("CumSum", weights, graph.constant(np.array(1, np.int64)))
        whole = graph.op("GreaterOrEqual", options["p"], graph.constant(np.array(1, np.float32)))
        limit = graph.op("Mul", options["p"], graph.op("Slice", sums, last, end, one))
        limit = graph.op("Where", whole, graph.constant(np.array(np.inf, np.float32)), limit)
        below = graph.op("Less", graph.op("Sub", sums, weights), limit)
        kept = graph.op("Where", below, ordered, first)
        return graph.op("ReduceMin", kept, one, keepdims=1)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"top-p": TopP}
