"""Top-k: Fan, Lewis and Dauphin, Hierarchical Neural Story Generation, arXiv 1805.04833."""

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
    k: int = option(
        40, "number of symbols kept; more than there are keeps all", minimum=1, maximum=2**31
    )


class TopK(ThresholdSampler):
    """Keeps the k likeliest symbols, and those as likely as the last of them."""

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        last = np.minimum(options.k, logits.shape[1]) - 1
        return np.take_along_axis(descending(logits), last, axis=1)

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        size = self.vocabulary.size
        last = graph.op("Min", options["k"], graph.constant(np.array(size, np.int64)))
        last = graph.op("Sub", last, graph.constant(np.array(1, np.int64)))
        return graph.op("GatherElements", descending_graph(graph, logits, size), last, axis=1)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"top-k": TopK}
