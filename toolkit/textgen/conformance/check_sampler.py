"""The rules every sampler keeps, as a function to call from a plugin's own tests.

from textgen.conformance.check_sampler import check_sampler

def test_conforms():
    check_sampler(MySampler, {"strength": 2})
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

from textgen.conformance.rules import require
from textgen.contracts.options import build_options
from textgen.contracts.sampler import GraphSampler, Sampler
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import OPSET
from textgen.runtime.chain import Chain, Link, numbers_of
from textgen.runtime.graph import GraphBuilder, tensor

_B, _TURNS = 6, 20


def check_sampler(
    sampler_class: type[Sampler],
    options: Mapping[str, Any] | None = None,
    *,
    vocabulary_size: int = 40,
) -> None:
    """Tries the sampler on random logits, some forbidden, over a few turns of drawing.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    chosen = build_options(sampler_class.Options, options or {}, f"sampler {sampler_class}")
    symbols = (b"", *(f"s{i} ".encode() for i in range(1, vocabulary_size)))
    vocabulary = Vocabulary(symbols, 0)
    sampler = sampler_class(vocabulary, chosen)
    chain = Chain([Link(sampler, numbers_of(sampler_class.Options))], vocabulary, ends=True)
    graph = _GraphForm(chain) if isinstance(sampler, GraphSampler) else None
    random = np.random.default_rng(0)
    state = chain.initial_state(_B)
    _check_state(sampler)
    for _ in range(_TURNS):
        logits = _logits(random, vocabulary_size)
        adjusted = _check_adjust(chain, logits, state)
        _check_rows(chain, logits, state, adjusted)
        ids = _drawn(adjusted, random)
        logprobs = _logprobs(adjusted, ids)
        following = _check_accept(chain, ids, logprobs, state)
        if graph is not None:
            graph.check(logits, ids, logprobs, state, adjusted, following)
        state = following


def _check_state(sampler: Sampler) -> None:
    shapes = {name: (_B, *shape) for name, shape in sampler.state_shapes().items()}
    found = {name: value.shape for name, value in sampler.initial_state(_B).items()}
    require(
        found == shapes,
        "initial_state has the shapes of state_shapes(), B first",
        f"{found}, not {shapes}",
        "a state without its batch dimension",
    )


def _check_adjust(chain: Chain, logits: np.ndarray, state: list[Any]) -> np.ndarray:
    before = logits.copy()
    kept = [{name: value.copy() for name, value in link.items()} for link in state]
    adjusted = chain.adjust(logits, state, chain.options(_B))
    again = chain.adjust(logits, state, chain.options(_B))
    unchanged = np.array_equal(before, logits) and all(
        np.array_equal(value, link[name])
        for link, old in zip(state, kept, strict=True)
        for name, value in old.items()
    )
    require(unchanged, "adjust changes none of its arguments", "a change", "logits[...] = in place")
    require(np.array_equal(adjusted, again), "adjust is pure", "two answers", "a state on self")
    require(
        adjusted.shape == logits.shape and adjusted.dtype == np.float32,
        "adjust returns float32 logits of the same shape",
        f"{adjusted.dtype} {adjusted.shape}",
        "a float64 constant in the arithmetic",
    )
    require(
        bool(np.isfinite(adjusted).any(axis=1).all()) and not np.isnan(adjusted).any(),
        "at least one symbol of every row stays finite, and none is NaN",
        "a row with nothing left",
        "a threshold above the highest logit, or -inf minus -inf",
    )
    return adjusted


def _check_rows(chain: Chain, logits: np.ndarray, state: list[Any], whole: np.ndarray) -> None:
    for row in range(_B):
        one = [{name: value[row : row + 1] for name, value in link.items()} for link in state]
        alone = chain.adjust(logits[row : row + 1], one, chain.options(1))
        require(
            np.array_equal(alone[0], whole[row]),
            "a row alone gives what it gives among others",
            f"row {row} differs",
            "a maximum or sum without axis=1",
        )


def _check_accept(
    chain: Chain, ids: np.ndarray, logprobs: np.ndarray, state: list[Any]
) -> list[Any]:
    kept = [{name: value.copy() for name, value in link.items()} for link in state]
    following = chain.accept(ids, logprobs, state)
    for old, link, new in zip(kept, state, following, strict=True):
        for name, value in old.items():
            require(
                np.array_equal(value, link[name]),
                "accept returns a new state and leaves the old one, so that texts can fork",
                f"{name} was changed",
                "state[...] += in place",
            )
            require(
                new[name].shape == value.shape and new[name].dtype == np.float32,
                "accept returns float32 states of the same shapes",
                f"{name} {new[name].dtype} {new[name].shape}",
                "a count kept as integers",
            )
    return following


class _GraphForm:
    """The sampler's operators as a session of their own."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        (link,) = chain.links
        builder = GraphBuilder()
        size = chain.vocabulary.size
        states = {name: f"state.{name}" for name in link.sampler.state_shapes()}
        options = {name: f"option.{name}" for name in link.numbers}
        graph_sampler: Any = link.sampler
        adjusted = graph_sampler.adjust_graph(builder, "logits", states, options)
        following = graph_sampler.accept_graph(builder, "ids", "logprobs", states, options)
        inputs = [
            tensor("logits", np.float32, ("batch", size)),
            tensor("ids", np.int64, ("batch",)),
            tensor("logprobs", np.float32, ("batch",)),
        ]
        for name, value in link.values(1).items():
            inputs.append(tensor(f"option.{name}", value.dtype, ("batch", 1)))
        outputs = [tensor("adjusted", np.float32, ("batch", size))]
        nodes = [*builder.nodes, helper.make_node("Identity", [adjusted], ["adjusted"])]
        for name, shape in link.sampler.state_shapes().items():
            inputs.append(tensor(f"state.{name}", np.float32, ("batch", *shape)))
            nodes.append(helper.make_node("Identity", [following[name]], [f"next.{name}"]))
            outputs.append(tensor(f"next.{name}", np.float32, ("batch", *shape)))
        graph = helper.make_graph(nodes, "sampler", inputs, outputs, builder.initializers)
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=10)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )

    def check(
        self,
        logits: np.ndarray,
        ids: np.ndarray,
        logprobs: np.ndarray,
        state: list[Any],
        adjusted: np.ndarray,
        following: list[Any],
    ) -> None:
        feed = {"logits": logits, "ids": ids, "logprobs": logprobs}
        feed |= {f"state.{name}": value for name, value in state[0].items()}
        (options,) = self._chain.options(_B)
        feed |= {f"option.{name}": value for name, value in options.items()}
        found, *states = self._session.run(None, feed)
        require(
            np.array_equal(np.isfinite(found), np.isfinite(adjusted)),
            "the graph form forbids the symbols that the numpy form does",
            f"{int((np.isfinite(found) != np.isfinite(adjusted)).sum())} symbols differ",
            "a threshold computed in another order, or > instead of >=",
        )
        pairs = [(found, adjusted), *zip(states, following[0].values(), strict=True)]
        for graph_form, numpy_form in pairs:
            both = np.isfinite(graph_form) & np.isfinite(numpy_form)
            largest = np.abs(graph_form[both] - numpy_form[both]).max(initial=0.0)
            require(
                largest <= 1e-5 * max(1.0, np.abs(numpy_form[both]).max(initial=0.0)),
                "the graph form computes what the numpy form does",
                f"a difference of {largest:.1e}",
                "an option read from self.options instead of the run-time input",
            )


def _logits(random: np.random.Generator, size: int) -> np.ndarray:
    logits = (3 * random.standard_normal((_B, size))).astype(np.float32)
    forbidden = random.random((_B, size)) < 0.2
    forbidden[np.arange(_B), logits.argmax(axis=1)] = False
    return np.where(forbidden, np.float32(-np.inf), logits)


def _drawn(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    chosen: np.ndarray = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    return chosen


def _logprobs(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    chosen: np.ndarray = np.take_along_axis(shares, ids[:, None], axis=1)[:, 0]
    logprobs: np.ndarray = np.log(chosen).astype(np.float32)
    return logprobs
