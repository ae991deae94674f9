"""Samplers of awkward shapes: state in numpy alone, and state in both forms."""

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
    strength: float = option(0.5, "nats taken for each time a symbol has occurred", minimum=0)


class Tired(Sampler):
    """Makes symbols less likely the more often they have occurred; numpy alone."""

    Options = Options

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"counts": (self.vocabulary.size,)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return logits - options.strength * state["counts"]

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        counts = state["counts"].copy()
        counts[np.arange(len(ids)), ids] += 1
        return {"counts": counts}


class Short(Sampler):
    """Ends every text after two symbols, whatever the model writes; numpy alone."""

    before_temperature = True
    ends_text = True

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"written": (1,)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        boundary = np.arange(self.vocabulary.size) == self.vocabulary.boundary
        return np.where(boundary == (state["written"] >= 2), logits, np.float32(-np.inf))

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        return {"written": state["written"] + np.float32(1)}


class Surprised(Sampler):
    """Cools down after surprising symbols and warms up again; both forms."""

    Options = Options

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"surprise": (1,)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return logits * (1 + options.strength * state["surprise"])

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        surprise = np.float32(0.5) * state["surprise"] - np.float32(0.1) * logprobs[:, None]
        return {"surprise": surprise}

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        factor = graph.op("Mul", options["strength"], state["surprise"])
        one = graph.constant(np.array(1, np.float32))
        return graph.op("Mul", logits, graph.op("Add", factor, one))

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        half = graph.constant(np.array(0.5, np.float32))
        tenth = graph.constant(np.array(0.1, np.float32))
        column = graph.op("Unsqueeze", logprobs, graph.constant(np.array([1])))
        surprise = graph.op(
            "Sub",
            graph.op("Mul", half, state["surprise"]),
            graph.op("Mul", tenth, column),
        )
        return {"surprise": surprise}


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"tired": Tired, "surprised": Surprised}
