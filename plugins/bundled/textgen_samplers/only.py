"""Only: symbols made of given characters, and no others: transformers'
SuppressTokensLogitsProcessor of all the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen.contracts.tokenizer import Vocabulary
from textgen_samplers.masks import keep, keep_graph
from textgen_samplers.spelling import characters_of, unknown_characters

TEXTGEN_CONTRACT = 1


@dataclass(frozen=True)
class Options:
    text: str = option("", "the characters that may be written; empty is all of them")


class Only(Sampler):
    """Writes nothing but the characters of ``text``: symbols that hold any other are forbidden.

    So are symbols that are parts of characters: a model of bytes can be held to ASCII alone. The
    boundary is always allowed, so that a text may end. Put it before samplers that cut: where they
    left nothing that is allowed, the likeliest symbol they left is written all the same.
    """

    Options = Options
    before_temperature = True

    def __init__(self, vocabulary: Vocabulary, options: Any) -> None:
        super().__init__(vocabulary, options)
        characters = characters_of(options.text)
        texts = [_text(symbol) for symbol in vocabulary.symbols]
        allowed = [bool(text) and characters.keys() >= set(text) for text in texts]
        written = {c for text, may in zip(texts, allowed, strict=True) if may for c in text}
        if unknown := [character for character in characters if character not in written]:
            raise unknown_characters(
                unknown, "Leave it out: what may be written is made of the model's whole symbols."
            )
        allowed[vocabulary.boundary] = True
        self._kept = np.array(allowed) | (not characters)

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        return keep(logits, self._kept[None, :])

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        return keep_graph(graph, logits, graph.constant(self._kept[None, :]))


def _text(symbol: bytes) -> str:
    """The characters of a symbol; none where it holds parts of one."""
    try:
        return symbol.decode("utf-8")
    except UnicodeDecodeError:
        return ""


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"only": Only}
