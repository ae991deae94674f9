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
    p: float = option(0.9, "probability that the kept symbols hold", above=0, maximum=1)


class TopP(ThresholdSampler):
    """Keeps the fewest likeliest symbols that together hold probability p."""

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        ordered = descending(logits)
        weights = np.exp(ordered - ordered[:, :1])
        sums = np.cumsum(weights, axis=1, dtype=np.float32)
        # a symbol is kept while those before it hold less than p
        before = sums - weights
        kept = (before < options.p * sums[:, -1:]).sum(axis=1, keepdims=True)
        return np.take_along_axis(ordered, kept - 1, axis=1)

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        ordered = descending_graph(graph, logits, self.vocabulary.size)
        zero, one = graph.constant(np.array([0])), graph.constant(np.array([1]))
        first = graph.op("Slice", ordered, zero, one, one)
        weights = graph.op("Exp", graph.op("Sub", ordered, first))
        sums = graph.op("CumSum", weights, graph.constant(np.array(1)))
        last = graph.constant(np.array([-1])), graph.constant(np.array([np.iinfo(np.int64).max]))
        total = graph.op("Slice", sums, *last, one)
        before = graph.op("Sub", sums, weights)
        below = graph.op("Less", before, graph.op("Mul", options["p"], total))
        kept = graph.op("ReduceSum", graph.op("Cast", below, to=7), one, keepdims=1)
        return graph.op("GatherElements", ordered, graph.op("Sub", kept, one), axis=1)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"top-p": TopP}
