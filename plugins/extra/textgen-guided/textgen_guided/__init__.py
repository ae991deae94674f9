"""Text that must match: a regular expression, or the schema of a JSON value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen.contracts.tokenizer import Vocabulary
from textgen_guided.expressions import expression_of
from textgen_guided.positions import NEVER, find_positions

TEXTGEN_CONTRACT = 1

_FLOAT, _INT64 = 1, 7  # the numbers that ONNX gives to these types
_ZERO, _ONE = np.array(0, np.float32), np.array(1, np.float32)
_UNLIMITED = np.array(NEVER - 1, np.float32)
_FORBIDDEN = np.array(-np.inf, np.float32)


@dataclass(frozen=True)
class GuidedOptions:
    regex: str = option("", "what the whole text must match, in the syntax of Rust's regex crate")
    schema: str = option("", "a JSON schema instead, as text; the text is then a value of it")
    within: int = option(
        0, "number of symbols in which the text is whole; 0: as many as it takes", minimum=0
    )


class Guided(Sampler):
    """Writes nothing but what matches: symbols from which no match can come are forbidden.

    What is written must match as a whole, whatever its symbols are; a prompt is no part of it. It
    ends where it may, if the model would end it there, and where it must, also in a model of
    running text. With neither regex nor schema any text matches. A text that ``--length`` cuts off
    is the beginning of a match: with ``within`` the model is led to the end in time, by the
    shortest way where it must be. The state is a place in an automaton, and how many symbols are
    written. Put it before samplers that cut: where they left no symbol that is due, the likeliest
    that they left is written all the same, and then the text ends.
    """

    Options = GuidedOptions
    before_temperature = True
    hears_prompt = False
    ends_text = True

    def __init__(self, vocabulary: Vocabulary, options: GuidedOptions) -> None:
        super().__init__(vocabulary, options)
        expression = expression_of(options.regex, options.schema)
        positions = find_positions(expression, vocabulary.symbols, vocabulary.boundary)
        self._following = positions.following
        self._distances = positions.distances

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"place": (1,), "written": (1,)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        place = state["place"].astype(np.int64)
        after = self._distances[self._following[place[:, 0]]]
        left = np.where(options.within > 0, options.within - state["written"], _UNLIMITED)
        return _keep(logits, after <= np.maximum(left, self._distances[place] - 1))

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        place = self._following[state["place"][:, 0].astype(np.int64), ids]
        return {"place": place.astype(np.float32)[:, None], "written": state["written"] + _ONE}

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        distances = graph.constant(self._distances)
        place = graph.op("Cast", state["place"], to=_INT64)
        row = graph.op("Squeeze", place, _axis(graph))
        after = graph.op(
            "Gather", distances, graph.op("Gather", graph.constant(self._following), row)
        )
        within = graph.op("Cast", options["within"], to=_FLOAT)
        limited = graph.op("Greater", within, graph.constant(_ZERO))
        left = graph.op("Sub", within, state["written"])
        left = graph.op("Where", limited, left, graph.constant(_UNLIMITED))
        shortest = graph.op("Sub", graph.op("Gather", distances, place), graph.constant(_ONE))
        most = graph.op("Max", left, shortest)
        return _keep_graph(graph, logits, graph.op("LessOrEqual", after, most))

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        place = graph.op("Cast", state["place"], to=_INT64)
        step = graph.op("Concat", place, graph.op("Unsqueeze", ids, _axis(graph)), axis=1)
        after = graph.op("GatherND", graph.constant(self._following), step)
        after = graph.op("Unsqueeze", graph.op("Cast", after, to=_FLOAT), _axis(graph))
        written = graph.op("Add", state["written"], graph.constant(_ONE))
        return {"place": after, "written": written}


def _keep(logits: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The logits (B, V), all but those ``kept`` forbidden; of a row that would be left with none,
    the likeliest stay."""
    left = np.where(kept, logits, _FORBIDDEN)
    likeliest = logits == logits.max(axis=1, keepdims=True)
    empty = left.max(axis=1, keepdims=True) == _FORBIDDEN
    return np.where(empty & likeliest, logits, left)


def _keep_graph(graph: Graph, logits: str, kept: str) -> str:
    """The same as operators."""
    forbidden = graph.constant(_FORBIDDEN)
    left = graph.op("Where", kept, logits, forbidden)
    highest, highest_left = (
        graph.op("ReduceMax", values, _axis(graph), keepdims=1) for values in (logits, left)
    )
    likeliest = graph.op("Equal", logits, highest)
    empty = graph.op("Equal", highest_left, forbidden)
    return graph.op("Where", graph.op("And", empty, likeliest), logits, left)


def _axis(graph: Graph) -> str:
    """The second dimension, for operators that add or drop it."""
    return graph.constant(np.array([1], np.int64))


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"guided": Guided}
