"""Forbid: characters that are never written; transformers' NoBadWordsLogitsProcessor, for every
symbol that holds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.errors import UserError
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen.contracts.tokenizer import Vocabulary
from textgen_samplers.masks import keep, keep_graph
from textgen_samplers.operators import as_float, integers, scalar
from textgen_samplers.spelling import (
    beginning,
    characters_of,
    holding,
    seams,
    unknown_characters,
)

TEXTGEN_CONTRACT = 1

_TAIL = 3  # bytes: no character has more before its last
_NOTHING = -1  # no byte


@dataclass(frozen=True)
class Options:
    text: str = option("", "the characters that are not written")


class Forbid(Sampler):
    """Writes none of the characters of ``text``: every symbol that holds one is forbidden.

    Where symbols may be parts of a character, as bytes are, the last bytes of the text are the
    state, and the symbol that would complete a forbidden character is forbidden. The boundary never
    is, so that a text may end. Put it before samplers that cut: where they left nothing else, the
    likeliest symbol they left is written all the same.
    """

    Options = Options
    before_temperature = True

    def __init__(self, vocabulary: Vocabulary, options: Any) -> None:
        super().__init__(vocabulary, options)
        self._kept = np.ones(vocabulary.size, bool)
        begun: list[bytes] = []
        endings: list[np.ndarray] = []
        unknown: list[str] = []
        for character, data in characters_of(options.text).items():
            held, places = holding(vocabulary, data), seams(vocabulary, data)
            self._kept &= ~held
            begun += [data[:place] for place in places]
            endings += [beginning(vocabulary, data[place:]) for place in places]
            if not (held.any() or places):
                unknown.append(character)
        if unknown:
            raise unknown_characters(unknown, "Leave it out: it is never written as it is.")
        if np.flatnonzero(self._kept).tolist() == [vocabulary.boundary]:
            raise UserError(
                "Every symbol of the model holds a forbidden character.", "Forbid fewer."
            )
        self._begun = np.array([_last_bytes(part) for part in begun], np.float32)
        self._endings = np.array(endings, np.float32)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"tail": (_TAIL,)} if len(self._begun) else {}

    def initial_state(self, streams: int) -> SamplerState:
        shapes = self.state_shapes()
        return {name: np.full((streams, *shapes[name]), _NOTHING, np.float32) for name in shapes}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        kept = self._kept[None, :]
        if state:
            same = (state["tail"][:, None, :] == self._begun) | (self._begun == _NOTHING)
            completing = same.all(axis=2).astype(np.float32) @ self._endings
            kept = kept & (completing == 0)
        return keep(logits, kept)

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        kept = graph.constant(self._kept[None, :])
        if state:
            tail = graph.op("Unsqueeze", state["tail"], integers(graph, 1))
            same = graph.op("Equal", tail, graph.constant(self._begun[None]))
            same = graph.op("Or", same, graph.constant(self._begun[None] == _NOTHING))
            begun = graph.op("ReduceMin", as_float(graph, same), integers(graph, 2), keepdims=0)
            completing = graph.op("MatMul", begun, graph.constant(self._endings))
            kept = graph.op("And", kept, graph.op("Equal", completing, scalar(graph, 0)))
        return keep_graph(graph, logits, kept)

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        if not state:
            return state
        own, places = self._tails()
        both = np.concatenate([state["tail"], own[ids]], axis=1)
        return {"tail": np.take_along_axis(both, places[ids], axis=1)}

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        if not state:
            return state
        own, places = (
            graph.op("Gather", graph.constant(table), ids, axis=0) for table in self._tails()
        )
        both = graph.op("Concat", state["tail"], own, axis=1)
        return {"tail": graph.op("GatherElements", both, places, axis=1)}

    def _tails(self) -> tuple[np.ndarray, np.ndarray]:
        """The last bytes of each symbol (V, 3), and where, in a tail before it and these, the next
        tail lies (V, 3)."""
        symbols = self.vocabulary.symbols
        own = np.array([_last_bytes(symbol) for symbol in symbols], np.float32)
        sizes = np.array([min(len(symbol), _TAIL) for symbol in symbols])[:, None]
        after = np.arange(_TAIL) + sizes
        return own, np.where(after < _TAIL, after, np.arange(_TAIL) + _TAIL)


def _last_bytes(part: bytes) -> list[int]:
    """The last bytes, to the right."""
    return [*[_NOTHING] * (_TAIL - len(part)), *part[-_TAIL:]]


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"forbid": Forbid}
