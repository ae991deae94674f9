"""Mirostat 2.0: Basu, Ramachandran, Keskar and Varshney, Mirostat: A Neural Text Decoding Algorithm
that Directly Controls Perplexity, arXiv 2007.14966."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Graph, Sampler, SamplerState
from textgen_samplers.distribution import relative, relative_graph, total, total_graph
from textgen_samplers.operators import as_column, highest, scalar
from textgen_samplers.thresholds import at_least, at_least_graph

TEXTGEN_CONTRACT = 1

_NATS, _BITS = np.log(2), -1 / np.log(2)  # nats in a bit, and bits in a log probability
_HIGHEST = 24.0  # bits: what is rarer than 2^-24 the noise of the draw can hardly tell from nothing


@dataclass(frozen=True)
class Options:
    tau: float = option(
        2.0,
        "surprise aimed at, bits a symbol. For characters 1 to 2, for words 3 to 5",
        minimum=0.01,
        maximum=_HIGHEST / 2,
    )
    eta: float = option(0.1, "how fast it is corrected, bits a bit", minimum=0, maximum=1)


class Mirostat(Sampler):
    """Forbids symbols more surprising than mu, and moves mu until the text surprises by tau.

    The state is mu, in bits: 2 * tau at first, then less eta * (surprise - tau) after each symbol.
    As in llama.cpp, a symbol's surprise is that under the distribution it was drawn from, and the
    likeliest always stays. Put it last.

    A prompt's symbols move mu too. One more surprising than mu was not drawn, and counts as mu, so
    that a prompt strange to the model does not bring mu to the ground; and mu stays at 24 bits at
    most, where it forbids next to nothing, so that a long passage without surprises does not keep
    it from coming down.
    """

    Options = Options

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"mu": (1,)}

    def initial_state(self, streams: int) -> SamplerState:
        return {"mu": np.full((streams, 1), 2 * self.options.tau, np.float32)}

    def adjust(self, logits: np.ndarray, state: SamplerState, options: Any) -> np.ndarray:
        sums = total(np.exp(relative(logits)))
        cut = np.log(sums) - np.float32(_NATS) * state["mu"]
        highest = logits.max(axis=1, keepdims=True)
        return at_least(logits, highest + np.minimum(cut, np.float32(0)))

    def adjust_graph(
        self, graph: Graph, logits: str, state: Mapping[str, str], options: Mapping[str, str]
    ) -> str:
        sums = total_graph(graph, graph.op("Exp", relative_graph(graph, logits)))
        nats = graph.op("Mul", scalar(graph, _NATS), state["mu"])
        cut = graph.op("Min", graph.op("Sub", graph.op("Log", sums), nats), scalar(graph, 0))
        return at_least_graph(graph, logits, graph.op("Add", highest(graph, logits), cut))

    def accept(self, ids: np.ndarray, logprobs: np.ndarray, state: SamplerState) -> SamplerState:
        tau, eta = np.float32(self.options.tau), np.float32(self.options.eta)
        surprise = np.minimum(np.float32(_BITS) * logprobs[:, None], state["mu"])
        mu = state["mu"] - eta * (surprise - tau)
        return {"mu": np.minimum(mu, np.float32(_HIGHEST))}

    def accept_graph(
        self,
        graph: Graph,
        ids: str,
        logprobs: str,
        state: Mapping[str, str],
        options: Mapping[str, str],
    ) -> Mapping[str, str]:
        surprise = graph.op("Mul", scalar(graph, _BITS), as_column(graph, logprobs))
        surprise = graph.op("Min", surprise, state["mu"])
        error = graph.op("Sub", surprise, options["tau"])
        mu = graph.op("Sub", state["mu"], graph.op("Mul", options["eta"], error))
        return {"mu": graph.op("Min", mu, scalar(graph, _HIGHEST))}


@hookimpl
def textgen_samplers() -> dict[str, type[Sampler]]:
    return {"mirostat": Mirostat}
