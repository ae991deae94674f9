"""Min-p: Nguyen et al., Turning Up the Heat: Min-p Sampling, arXiv 2407.01082."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.thresholds import ThresholdSampler

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    p: float = option(0.1, "share of the likeliest symbol's probability", minimum=1e-9, maximum=1)


class MinP(ThresholdSampler):
    """Keeps symbols at least p times as likely as the likeliest.

    Exactly p times counts as kept, as in transformers.
    """

    Options = Options

    def threshold(self, logits: np.ndarray, options: Any) -> np.ndarray:
        highest: np.ndarray = logits.max(axis=1, keepdims=True) + np.log(options.p)
        return highest

    def threshold_graph(self, graph: Graph, logits: str, options: Mapping[str, str]) -> str:
        highest = graph.op("ReduceMax", logits, graph.constant(np.array([1], np.int64)), keepdims=1)
        return graph.op("Add", highest, graph.op("Log", options["p"]))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"min-p": MinP}
