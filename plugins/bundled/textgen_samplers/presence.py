"""The presence penalty, as the OpenAI API defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.operators import as_float, scalar
from textgen_samplers.penalties import PenaltySampler, window_option

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    penalty: float = option(
        0.5,
        "nats taken from what has occurred; below 0 is given to it",
        minimum=-100,
        maximum=100,
    )
    window: int = window_option()


class Presence(PenaltySampler):
    """Takes the penalty once from the logit of every symbol that has occurred.

    The prompt counts, as in llama.cpp; in OpenAI's formula only what was drawn does. After a
    temperature the penalty is in its units: smaller beside cold logits.
    """

    Options = Options
    before_temperature = True

    def penalised(self, logits: np.ndarray, counts: np.ndarray, options: Any) -> np.ndarray:
        taken: np.ndarray = logits - options.penalty * (counts > 0)
        return taken

    def penalised_graph(
        self, graph: Graph, logits: str, counts: str, options: Mapping[str, str]
    ) -> str:
        occurred = as_float(graph, graph.op("Greater", counts, scalar(graph, 0)))
        return graph.op("Sub", logits, graph.op("Mul", options["penalty"], occurred))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"presence": Presence}
