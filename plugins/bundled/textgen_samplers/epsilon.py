"""Epsilon sampling: Hewitt, Manning and Liang, Truncation Sampling as Language Model Desmoothing,
arXiv 2210.15191."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.distribution import relative, relative_graph, total, total_graph
from textgen_samplers.operators import highest, scalar
from textgen_samplers.thresholds import ThresholdSampler

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    epsilon: float = option(0.001, "probability below which is cut", minimum=1e-9, maximum=1)


class Epsilon(ThresholdSampler):
    """Keeps symbols of probability epsilon at least; the likeliest always.

    Exactly epsilon counts as kept, as in transformers.
    """

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        cut = np.log(options.epsilon * total(np.exp(relative(logits))))
        lowest: np.ndarray = logits.max(axis=1, keepdims=True) + np.minimum(cut, np.float32(0))
        return lowest

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        sums = total_graph(graph, graph.op("Exp", relative_graph(graph, logits)))
        cut = graph.op("Log", graph.op("Mul", options["epsilon"], sums))
        cut = graph.op("Min", cut, scalar(graph, 0))
        return graph.op("Add", highest(graph, logits), cut)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"epsilon": Epsilon}
