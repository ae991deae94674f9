"""Begin: the characters that every text begins with, forced one after the other, as transformers'
ForcedBOSTokenLogitsProcessor forces a first symbol."""

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
from textgen_samplers.operators import INT64, integers, scalar
from textgen_samplers.spelling import beginning, characters_of, unknown_characters

TEXTGEN_CONTRACT = 1

_LARGEST = 64 << 20  # bytes of the table: a million characters for a model of 65


@dataclass(frozen=True)
class Options:
    text: str = option("", "the characters that every text begins with, after the prompt")


class Begin(Sampler):
    """Begins every text with ``text``: symbols that would write anything else are forbidden.

    It is part of what is written, as a prompt is not, and comes after the prompt. Where symbols may
    spell it in several ways, the model chooses; the last of them may hold more than the end of it.
    The state is the number of its bytes that are written. Put it before samplers that cut: where
    they left no symbol that is due, the likeliest that they left is written all the same.
    """

    Options = Options
    before_temperature = True
    hears_prompt = False

    def __init__(self, vocabulary: Vocabulary, options: Any) -> None:
        super().__init__(vocabulary, options)
        text = options.text.encode("utf-8", "surrogatepass")
        if len(text) * vocabulary.size > _LARGEST:
            raise UserError(
                f"A beginning of {len(text)} bytes is too long.",
                f"{_LARGEST // vocabulary.size} are possible; what stands before them is a prompt.",
            )
        self._due = _spellings(vocabulary, text)
        if not self._due[0].any():
            raise unknown_characters(
                _unknown(vocabulary, options.text) or [options.text],
                "A text can begin only with what the model can write.",
            )
        sizes = [len(symbol) for symbol in vocabulary.symbols]
        self._sizes = np.array(sizes, np.float32)[:, None]
        self._end = np.float32(len(text))

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"written": (1,)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return keep(logits, self._due[state["written"][:, 0].astype(np.int64)])

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        written = graph.op("Squeeze", state["written"], integers(graph, 1))
        place = graph.op("Cast", written, to=INT64)
        return keep_graph(graph, logits, graph.op("Gather", graph.constant(self._due), place))

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        return {"written": np.minimum(state["written"] + self._sizes[ids], self._end)}

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        sizes = graph.op("Gather", graph.constant(self._sizes), ids)
        written = graph.op("Add", state["written"], sizes)
        return {"written": graph.op("Min", written, scalar(graph, float(self._end)))}


def _spellings(vocabulary: Vocabulary, text: bytes) -> np.ndarray:
    """Which symbols may come after each number of bytes of ``text``, (bytes + 1, V): those from
    which the rest can be spelt. After all of them any may."""
    ids = {symbol: index for index, symbol in enumerate(vocabulary.symbols) if symbol}
    longest = max(map(len, ids), default=0)
    due = np.zeros((len(text) + 1, vocabulary.size), bool)
    due[-1] = True
    for place in range(len(text) - 1, -1, -1):
        for end in range(place + 1, min(place + longest, len(text)) + 1):
            index = ids.get(text[place:end])
            if index is not None:
                due[place, index] = due[end].any()
        if len(text) - place < longest:
            due[place] |= beginning(vocabulary, text[place:])
    return due


def _unknown(vocabulary: Vocabulary, text: str) -> list[str]:
    """Characters that the model can write in no way."""
    characters = characters_of(text).items()
    return [name for name, data in characters if not _spellings(vocabulary, data)[0].any()]


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"begin": Begin}
