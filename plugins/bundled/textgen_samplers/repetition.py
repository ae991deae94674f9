"""The repetition penalty: Keskar, McCann, Varshney, Xiong and Socher, CTRL: A Conditional
Transformer Language Model for Controllable Generation, arXiv 1909.05858."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.operators import scalar
from textgen_samplers.penalties import PenaltySampler, window_option

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    penalty: float = option(
        1.2, "factor; above 1 against repetition, below 1 for it", minimum=0.01, maximum=100
    )
    window: int = window_option()


class Repetition(PenaltySampler):
    """Divides positive logits of symbols that have occurred, and multiplies negative ones.

    As in transformers, whose negative logits the paper does not speak of. It is the sign of the
    model's own logits that matters: put it before ``temperature``, which moves the likeliest to 0,
    where no factor reaches it. The prompt counts.
    """

    Options = Options
    before_temperature = True

    def penalised(self, logits: np.ndarray, counts: np.ndarray, options: Any) -> np.ndarray:
        penalty = options.penalty
        changed = np.where(logits < 0, logits * penalty, logits / penalty)
        return np.where(counts > 0, changed, logits)

    def penalised_graph(
        self, graph: Graph, logits: str, counts: str, options: Mapping[str, str]
    ) -> str:
        zero, penalty = scalar(graph, 0), options["penalty"]
        less, more = graph.op("Mul", logits, penalty), graph.op("Div", logits, penalty)
        changed = graph.op("Where", graph.op("Less", logits, zero), less, more)
        return graph.op("Where", graph.op("Greater", counts, zero), changed, logits)


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"repetition": Repetition}
