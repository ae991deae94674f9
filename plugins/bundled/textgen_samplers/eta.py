"""Eta sampling: Hewitt, Manning and Liang, Truncation Sampling as Language Model Desmoothing, arXiv
2210.15191."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.distribution import (
    mean,
    mean_graph,
    relative,
    relative_graph,
    total,
    total_graph,
)
from textgen_samplers.operators import highest, scalar
from textgen_samplers.thresholds import ThresholdSampler

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    epsilon: float = option(
        0.002, "probability below which is cut where all is open", minimum=1e-9, maximum=1
    )


class Eta(ThresholdSampler):
    """Keeps symbols of probability eta = min(epsilon, sqrt(epsilon) * e^-entropy) at least.

    The more evenly spread the distribution, the less is cut. The likeliest always stays. As in
    transformers, the factor of the paper's second term is the root of epsilon.
    """

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        # beside the likeliest a probability is its logarithm and log(sum); in e^-entropy, which is
        # e^(mean - log(sum)), the sum goes out again
        beside = relative(logits)
        weights = np.exp(beside)
        fixed = np.log(options.epsilon * total(weights))
        spread = np.float32(0.5) * np.log(options.epsilon) + mean(beside, weights)
        cut = np.minimum(np.minimum(fixed, spread), np.float32(0))
        lowest: np.ndarray = logits.max(axis=1, keepdims=True) + cut
        return lowest

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        beside = relative_graph(graph, logits)
        weights = graph.op("Exp", beside)
        sums = total_graph(graph, weights)
        fixed = graph.op("Log", graph.op("Mul", options["epsilon"], sums))
        root = graph.op("Mul", scalar(graph, 0.5), graph.op("Log", options["epsilon"]))
        spread = graph.op("Add", root, mean_graph(graph, beside, weights))
        cut = graph.op("Min", fixed, spread, scalar(graph, 0))
        return graph.op("Add", highest(graph, logits), cut)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"eta": Eta}
