"""The rules every sampler keeps, as a function to call from a plugin's own tests.

from textgen.conformance.check_sampler import check_sampler

def test_conforms():
    check_sampler(MySampler, {"strength": 2})
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper

from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.options import build_options
from textgen.contracts.sampler import Sampler, SamplerState
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import OPSET
from textgen.runtime.chain import Chain, Link, numbers_of
from textgen.runtime.graph import GraphBuilder, tensor

_B, _TURNS = 6, 20
_FORK = 7
"""The turn that texts are forked at and rewound to."""


def check_sampler(
    sampler_class: type[Sampler],
    options: Mapping[str, Any] | None = None,
    *,
    vocabulary_size: int = 40,
) -> None:
    """Tries the sampler on random logits, some forbidden, over a few turns of drawing.

    ``options`` are as a person would give them. Raises BrokenRuleError for the first broken rule.
    """
    enforce(examine_sampler(sampler_class, options, vocabulary_size=vocabulary_size))


def examine_sampler(
    sampler_class: type[Sampler],
    options: Mapping[str, Any] | None = None,
    *,
    vocabulary_size: int = 40,
) -> Findings:
    """The same, rule by rule. Raises UserError for options that the sampler does not have."""
    chosen = build_options(
        sampler_class.Options, options or {}, f"sampler {sampler_class.__name__}"
    )
    symbols = (b"", *(f"s{i} ".encode() for i in range(1, vocabulary_size)))
    vocabulary = Vocabulary(symbols, 0)

    def made() -> Chain:
        link = Link(sampler_class(vocabulary, chosen), numbers_of(sampler_class.Options))
        return Chain([link], vocabulary, ends=True)

    return in_turn(_parts(made))


def _parts(made: Callable[[], Chain]) -> Iterator[Findings]:
    chain = made()
    yield _initial_state(chain.links[0].sampler)
    turns: list[_Turn] = []
    yield _drawing(chain, turns)
    yield _going_back(chain, made(), turns)
    yield _graph_form(chain, turns)


@dataclass(frozen=True)
class _Turn:
    """What a chain of one sampler was given, and what it made of it."""

    logits: np.ndarray
    state: list[SamplerState]
    adjusted: np.ndarray
    ids: np.ndarray
    logprobs: np.ndarray
    following: list[SamplerState]


def _initial_state(sampler: Sampler) -> Findings:
    shapes = {name: (_B, *shape) for name, shape in sampler.state_shapes().items()}
    state = sampler.initial_state(_B)
    found = {name: value.shape for name, value in state.items()}
    yield Finding(
        found == shapes and all(value.dtype == np.float32 for value in state.values()),
        "initial_state has the shapes of state_shapes(), B first, in float32",
        ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in state.items())
        or "no state",
        "a state without its batch dimension",
    )


def _drawing(chain: Chain, turns: list[_Turn]) -> Findings:
    """A few turns, which are added to ``turns``."""
    random = np.random.default_rng(0)
    state = chain.initial_state(_B)
    for _ in range(_TURNS):
        logits = _logits(random, chain.vocabulary.size)
        adjusted = chain.adjust(logits.copy(), state, chain.options(_B))
        yield from _adjusting(chain, logits, state, adjusted)
        yield from _row_by_row(chain, logits, state, adjusted)
        ids = _drawn(adjusted, random)
        logprobs = _logprobs(adjusted, ids)
        kept = _copied(state)
        following = chain.accept(ids, logprobs, state)
        yield from _accepting(kept, state, following)
        turns.append(_Turn(logits, state, adjusted, ids, logprobs, following))
        state = following


def _adjusting(
    chain: Chain, logits: np.ndarray, state: list[SamplerState], adjusted: np.ndarray
) -> Findings:
    before, kept = logits.copy(), _copied(state)
    again = chain.adjust(logits, state, chain.options(_B))
    unchanged = np.array_equal(before, logits) and _equal(kept, state)
    yield Finding(
        unchanged,
        "adjust changes none of its arguments",
        f"{int((before != logits).sum())} logits changed",
        "logits[...] = in place",
    )
    same = (adjusted == again) | (np.isnan(adjusted) & np.isnan(again))
    differing = int((~same).sum())
    yield Finding(
        differing == 0,
        "adjust is pure",
        f"{differing} logits differ between two calls",
        "a state on self, or randomness: the core alone draws",
    )
    yield Finding(
        adjusted.shape == logits.shape and adjusted.dtype == np.float32,
        "adjust returns float32 logits of the same shape",
        f"{adjusted.dtype} {adjusted.shape}",
        "a float64 constant in the arithmetic",
    )
    finite = np.isfinite(adjusted).sum(axis=1)
    yield Finding(
        bool(finite.all()) and not np.isnan(adjusted).any(),
        "at least one symbol of every row stays finite, and none is NaN",
        f"{finite.min()} to {finite.max()} of {adjusted.shape[1]} symbols stay, "
        f"{int(np.isnan(adjusted).sum())} are NaN",
        "a threshold above the highest logit, or -inf minus -inf",
    )


def _row_by_row(
    chain: Chain, logits: np.ndarray, state: list[SamplerState], whole: np.ndarray
) -> Findings:
    differing = []
    for row in range(_B):
        one = _rows(state, [row])
        alone = chain.adjust(logits[row : row + 1], one, chain.options(1))
        if not np.array_equal(alone[0], whole[row]):
            differing.append(row)
    yield Finding(
        not differing,
        "a row alone gives what it gives among others",
        f"{len(differing)} of {_B} rows differ",
        "a maximum or sum without axis=1",
    )


def _accepting(
    kept: list[SamplerState], state: list[SamplerState], following: list[SamplerState]
) -> Findings:
    yield Finding(
        _equal(kept, state),
        "accept returns a new state and leaves the old one, so that texts can fork",
        f"the state {', '.join(kept[0])}" if kept[0] else "no state",
        "state[...] += in place",
    )
    shapes = [{name: value.shape for name, value in link.items()} for link in kept]
    found = [{name: value.shape for name, value in link.items()} for link in following]
    yield Finding(
        found == shapes and all(v.dtype == np.float32 for link in following for v in link.values()),
        "accept returns float32 states of the same shapes",
        ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in following[0].items())
        or "no state",
        "a count kept as integers",
    )


def _going_back(chain: Chain, other: Chain, turns: list[_Turn]) -> Findings:
    """From the state of a past turn everything comes again: in the sampler that went on since, in
    one made anew as a session is loaded, and in rows that are forked from others."""
    for what, sampler in (("rewound", chain), ("made anew", other)):
        state = turns[_FORK].state
        same = True
        for turn in turns[_FORK:]:
            adjusted = sampler.adjust(turn.logits, state, sampler.options(_B))
            state = sampler.accept(turn.ids, turn.logprobs, state)
            same &= np.array_equal(adjusted, turn.adjusted) and _equal(state, turn.following)
        yield Finding(
            same,
            "all that a text has left behind is in the state: rewound, or loaded into a sampler "
            "made anew, it goes on the same",
            f"{_TURNS - _FORK} turns, {what}",
            "something is remembered on self",
        )
    forked = [0, 0, 3, _B - 1]
    state, same = _rows(turns[_FORK].state, forked), True
    for turn in turns[_FORK:]:
        adjusted = other.adjust(turn.logits[forked], state, other.options(len(forked)))
        state = other.accept(turn.ids[forked], turn.logprobs[forked], state)
        same &= np.array_equal(adjusted, turn.adjusted[forked])
        same &= _equal(state, _rows(turn.following, forked))
    yield Finding(
        same,
        "a text that is forked from another goes on as that one does",
        f"{_TURNS - _FORK} turns of {len(forked)} rows",
        "accept looks at other rows, or counts on their number or order",
    )


def _graph_form(chain: Chain, turns: list[_Turn]) -> Findings:
    in_graph = chain.in_graph
    yield Finding(
        in_graph,
        "it runs inside the loop, without Python for each symbol",
        "it has a graph form" if in_graph else "it has no graph form of its own",
        "Texts are then written step by step. adjust_graph and accept_graph would be its graph "
        "form.",
        promise=True,
    )
    if in_graph:
        graph = _GraphForm(chain)
        for turn in turns:
            yield from graph.compared(turn)


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

    def compared(self, turn: _Turn) -> Findings:
        """With the numpy form, in one turn."""
        feed = {"logits": turn.logits, "ids": turn.ids, "logprobs": turn.logprobs}
        feed |= {f"state.{name}": value for name, value in turn.state[0].items()}
        (options,) = self._chain.options(_B)
        feed |= {f"option.{name}": value for name, value in options.items()}
        found, *states = self._session.run(None, feed)
        differing = int((np.isfinite(found) != np.isfinite(turn.adjusted)).sum())
        yield Finding(
            differing == 0,
            "the graph form forbids the symbols that the numpy form does",
            f"{differing} of {found.size} symbols differ",
            "a threshold computed in another order, or > instead of >=",
        )
        worst = 0.0
        expected = [turn.adjusted, *turn.following[0].values()]
        for graph_form, numpy_form in zip([found, *states], expected, strict=True):
            both = np.isfinite(graph_form) & np.isfinite(numpy_form)
            largest = np.abs(graph_form[both] - numpy_form[both]).max(initial=0.0)
            worst = max(worst, largest / max(1.0, np.abs(numpy_form[both]).max(initial=0.0)))
        yield Finding(
            worst <= 1e-5,
            "the graph form computes what the numpy form does",
            f"a relative difference of {worst:.1e}; 1e-05 is allowed",
            "an option read from self.options instead of the run-time input",
        )


def _copied(state: list[SamplerState]) -> list[SamplerState]:
    return [{name: value.copy() for name, value in link.items()} for link in state]


def _rows(state: list[SamplerState], rows: list[int]) -> list[SamplerState]:
    return [{name: value[rows] for name, value in link.items()} for link in state]


def _equal(one: list[SamplerState], other: list[SamplerState]) -> bool:
    return all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in zip(one, other, strict=True)
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
    with np.errstate(invalid="ignore"):  # where a sampler forbade everything
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = weights / weights.sum(axis=1, keepdims=True)
    chosen: np.ndarray = np.take_along_axis(shares, ids[:, None], axis=1)[:, 0]
    logprobs: np.ndarray = np.log(chosen).astype(np.float32)
    return logprobs
