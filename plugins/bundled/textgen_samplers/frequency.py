"""The frequency penalty, as the OpenAI API defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler
from textgen_samplers.penalties import PenaltySampler, window_option

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    penalty: float = option(
        0.2,
        "nats taken for each time a symbol has occurred; below 0 is given",
        minimum=-100,
        maximum=100,
    )
    window: int = window_option()


class Frequency(PenaltySampler):
    """Takes the penalty from a symbol's logit as often as it has occurred.

    The prompt counts, as in llama.cpp; in OpenAI's formula only what was drawn does. Over a whole
    text of characters the counts grow without end, and with them the penalty: give a window. After
    a temperature the penalty is in its units.
    """

    Options = Options
    before_temperature = True

    def penalised(self, logits: np.ndarray, counts: np.ndarray, options: Any) -> np.ndarray:
        taken: np.ndarray = logits - options.penalty * counts
        return taken

    def penalised_graph(
        self, graph: Graph, logits: str, counts: str, options: Mapping[str, str]
    ) -> str:
        return graph.op("Sub", logits, graph.op("Mul", options["penalty"], counts))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"frequency": Frequency}
