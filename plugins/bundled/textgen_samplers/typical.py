"""Locally typical sampling: Meister, Pimentel, Wiher and Cotterell, arXiv 2202.00666."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.distribution import mean, mean_graph, relative, relative_graph
from textgen_samplers.operators import INT64, columns, integers, scalar

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    mass: float = option(0.9, "probability that the kept symbols hold", minimum=1e-6, maximum=1)


class Typical(Sampler):
    """Keeps the fewest symbols whose surprise is nearest the entropy that hold probability mass.

    The likeliest may be among those cut, for it may be too likely. As in transformers, the symbol
    that reaches the mass is kept; those exactly as far from the entropy as it are too.
    """

    Options = Options

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        # surprise less entropy: log(sum) is in both and goes out
        beside = relative(logits)
        weights = np.exp(beside)
        distances = np.abs(beside - mean(beside, weights))
        order = np.argsort(distances, axis=1, kind="stable")
        sums = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1, dtype=np.float32)
        # of mass 1 none falls short, though the sum in float32 may have stopped growing
        limit = np.where(options.mass >= 1, np.float32(np.inf), options.mass * sums[:, -1:])
        short = (sums < limit).sum(axis=1, keepdims=True)
        last = np.take_along_axis(order, np.minimum(short, logits.shape[1] - 1), axis=1)
        farthest = np.take_along_axis(distances, last, axis=1)
        kept = distances <= farthest
        return np.where(kept, logits, np.float32(-np.inf))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        size = self.vocabulary.size
        beside = relative_graph(graph, logits)
        weights = graph.op("Exp", beside)
        distances = graph.op("Abs", graph.op("Sub", beside, mean_graph(graph, beside, weights)))
        nearest, order = graph.ops(
            "TopK", distances, integers(graph, size), outputs=2, axis=1, largest=0
        )
        ordered = graph.op("GatherElements", weights, order, axis=1)
        sums = graph.op("CumSum", ordered, graph.constant(np.array(1, np.int64)))
        whole = graph.op("GreaterOrEqual", options["mass"], scalar(graph, 1))
        limit = graph.op("Mul", options["mass"], columns(graph, sums, -1))
        limit = graph.op("Where", whole, scalar(graph, np.inf), limit)
        short = graph.op("Cast", graph.op("Less", sums, limit), to=INT64)
        short = graph.op("ReduceSum", short, integers(graph, 1), keepdims=1)
        last = graph.op("Min", short, integers(graph, size - 1))
        farthest = graph.op("GatherElements", nearest, last, axis=1)
        kept = graph.op("LessOrEqual", distances, farthest)
        return graph.op("Where", kept, logits, scalar(graph, -np.inf))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"typical": Typical}
