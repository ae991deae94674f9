"""What penalties for repetition share: how often each symbol has occurred, in all or lately.

The prompt counts, as it does for transformers' repetition penalty: what it holds has been said. The
boundary before a text does not.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.history import LONGEST, empty, pushed, pushed_graph
from textgen_samplers.operators import as_column, as_float, columns


def window_option() -> Any:
    """The option ``window`` that every penalty has. It gives the state its shape."""
    return option(
        0,
        "number of last symbols that are looked at; 0 is all. For characters 20 to 200",
        minimum=0,
        maximum=LONGEST,
    )


class PenaltySampler(Sampler):
    """Makes symbols that have occurred less likely.

    The state is a count for each symbol, and with a window also the symbols in it, so that a count
    goes down when one leaves. Counts are whole numbers in float32, exact up to 2^24.
    """

    @abstractmethod
    def penalised(self, logits: np.ndarray, counts: np.ndarray, options: Any) -> np.ndarray:
        """The logits of symbols that occurred ``counts`` (B, V) times."""

    @abstractmethod
    def penalised_graph(
        self, graph: Graph, logits: str, counts: str, options: Mapping[str, str]
    ) -> str:
        """The same as operators."""

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        counts: dict[str, tuple[int, ...]] = {"counts": (self.vocabulary.size,)}
        return counts | ({"recent": (self.options.window,)} if self.options.window else {})

    def initial_state(self, streams: int) -> SamplerState:
        counts = {"counts": np.zeros((streams, self.vocabulary.size), np.float32)}
        window = self.options.window
        return counts | ({"recent": empty(streams, window)} if window else {})

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return self.penalised(logits, state["counts"], options)

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        return self.penalised_graph(graph, logits, state["counts"], options)

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        symbols = np.arange(self.vocabulary.size)
        counts = state["counts"] + (symbols == ids[:, None])
        if not self.options.window:
            return {"counts": counts}
        leaving = symbols == state["recent"][:, :1]
        return {"counts": counts - leaving, "recent": pushed(state["recent"], ids)}

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        symbols = graph.constant(np.arange(self.vocabulary.size, dtype=np.float32)[None, :])
        arriving = graph.op("Equal", symbols, as_column(graph, as_float(graph, ids)))
        counts = graph.op("Add", state["counts"], as_float(graph, arriving))
        if not self.options.window:
            return {"counts": counts}
        leaving = graph.op("Equal", symbols, columns(graph, state["recent"], 0, 1))
        return {
            "counts": graph.op("Sub", counts, as_float(graph, leaving)),
            "recent": pushed_graph(graph, state["recent"], ids),
        }
