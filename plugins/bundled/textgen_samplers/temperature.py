"""Temperature: logits divided by a number (Ackley, Hinton and Sejnowski 1985)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    temperature: float = option(0.8, "below 1 safer, above 1 wilder", minimum=1e-6, maximum=1e6)


class Temperature(Sampler):
    """Divides the logits: below 1 the likely become likelier, above 1 the unlikely."""

    Options = Options

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        adjusted: np.ndarray = logits / options.temperature
        return adjusted

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        return graph.op("Div", logits, options["temperature"])


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"temperature": Temperature}
