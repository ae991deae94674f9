"""No n symbols in a row twice: Paulus, Xiong and Socher, A Deep Reinforced Model for Abstractive
Summarization, arXiv 1705.04304, for n of 3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.history import LONGEST, NOTHING, empty, pushed, pushed_graph
from textgen_samplers.masks import keep, keep_graph
from textgen_samplers.operators import INT64, as_column, as_float, scalar

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    size: int = option(
        16,
        "symbols in a row that do not occur twice. For characters 12 to 30, for words 3 or 4",
        minimum=1,
        maximum=LONGEST,
    )
    window: int = option(
        1024,
        "number of last symbols among which the first occurrence ends",
        minimum=1,
        maximum=LONGEST,
    )


class NoRepeatNgram(Sampler):
    """Forbids the symbol that would write ``size`` symbols in a row a second time.

    As in transformers, but that a first occurrence is forgotten once its end is more than
    ``window`` symbols back; and where everything would be forbidden, the likeliest stays. The
    prompt counts.

    ``recent`` are the last symbols, and ``runs`` says for each how many right before it are those
    that the text ends with: so a turn is a comparison, whatever the size.
    """

    Options = Options
    before_temperature = True

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"recent": (self.options.window,), "runs": (self.options.window,)}

    def initial_state(self, streams: int) -> SamplerState:
        recent = empty(streams, self.options.window)
        return {"recent": recent, "runs": np.zeros_like(recent)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        recent = state["recent"]
        repeating = (state["runs"] >= options.size - 1) & (recent > NOTHING)
        spare = logits.shape[1]  # a column for what is not repeating
        columns = np.where(repeating, recent, np.float32(spare)).astype(np.int64)
        forbidden = np.zeros((len(logits), spare + 1), bool)
        forbidden[np.arange(len(logits))[:, None], columns] = True
        return keep(logits, ~forbidden[:, :spare])

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        recent, one = state["recent"], graph.constant(np.array(1, np.int64))
        before = as_float(graph, graph.op("Sub", options["size"], one))
        enough = graph.op("GreaterOrEqual", state["runs"], before)
        repeating = graph.op("And", enough, graph.op("Greater", recent, scalar(graph, NOTHING)))
        columns = graph.op("Cast", graph.op("Max", recent, scalar(graph, 0)), to=INT64)
        none = graph.op("Expand", scalar(graph, 0), graph.op("Shape", logits))
        times = graph.op(
            "ScatterElements", none, columns, as_float(graph, repeating), axis=1, reduction="add"
        )
        return keep_graph(graph, logits, graph.op("Equal", times, scalar(graph, 0)))

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        again = state["recent"] == ids[:, None]
        runs = np.where(again, state["runs"] + np.float32(1), np.float32(0))
        return {"recent": pushed(state["recent"], ids), "runs": runs}

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        again = graph.op("Equal", state["recent"], as_column(graph, as_float(graph, ids)))
        longer = graph.op("Add", state["runs"], scalar(graph, 1))
        runs = graph.op("Where", again, longer, scalar(graph, 0))
        return {"recent": pushed_graph(graph, state["recent"], ids), "runs": runs}


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"no-repeat-ngram": NoRepeatNgram}
