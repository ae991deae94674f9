"""The loop: the step, the samplers and the draw inside one ONNX Scan, so that no Python runs for a
symbol.

N turns, B streams, V symbols. Two forms: *writing*, in which each turn draws a symbol unless one is
forced (a prompt's), and *reading*, in which all are forced and their log probabilities come out.

A Scan rather than a Loop: it hands each turn its row of noise without a node, and needs no
condition, which is 6 % faster at 2 x 128 (measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from textgen.model_file import OPSET, StateInfo
from textgen.runtime import names
from textgen.runtime.chain import Chain
from textgen.runtime.graph import GraphBuilder, tensor
from textgen.runtime.names import FREE as FREE
from textgen.runtime.names import PREFIX
from textgen.runtime.sampling_graph import (
    accept,
    adjust,
    choose,
    chosen,
    forbid_boundary,
    logprob_as_chosen,
    option_inputs,
)

_BODY = "body/"


@dataclass
class _Carried:
    """A value that goes from turn to turn: its names outside, inside before, inside after."""

    outside: str
    before: str
    after: str
    result: str
    info: onnx.ValueInfoProto


@dataclass(frozen=True)
class _Row:
    """What each turn gets a row of, or gives one: its names outside and inside."""

    outside: str
    inside: str
    dtype: type
    shape: tuple[int | str, ...]
    """Of all rows, the turns first."""


def writing_loop(
    step: onnx.ModelProto, states: Sequence[StateInfo], chain: Chain
) -> onnx.ModelProto:
    """N turns of: step, samplers, draw. Inputs: token (B,), states, sampler states, options (B, 1),
    forced (N, B) int64, noise (N, B, 1). Outputs: last token, states, sampler states, ids (N, B).
    """
    links = range(len(chain.links))
    options = option_inputs(chain, links)
    outside = GraphBuilder()
    body = GraphBuilder(_BODY, outside=outside, unchanging=[value.name for value in options])
    rows = [
        _Row(names.FORCED, f"{PREFIX}{_BODY}forced", np.int64, ("turns", "batch")),
        _Row(names.NOISE, f"{PREFIX}{_BODY}noise", np.float32, ("turns", "batch", 1)),
    ]
    forced, noise = (row.inside for row in rows)
    carried = _carried_states(states)
    inside = _sampler_inputs(chain)
    logits = forbid_boundary(body, chain, "logits")
    logits = adjust(body, chain, links, logits, inside)
    ids, free = choose(body, logits, noise, forced)
    carried[0].after = ids
    if any(inside):
        logprobs = logprob_as_chosen(body, "logits", logits, ids, free)
        _carry_samplers(body, chain, inside, ids, logprobs, free, carried)
    result = _Row(names.IDS, body.op("Identity", ids), np.int64, ("turns", "batch"))
    return _looped(step, body, outside, carried, rows, [result], options)


def reading_loop(step: onnx.ModelProto, states: Sequence[StateInfo]) -> onnx.ModelProto:
    """N turns of: step, then the log probability of the forced symbol, and that of the least likely
    one there; (N, B) each, in nats."""
    body = GraphBuilder(_BODY)
    forced = _Row(names.FORCED, f"{PREFIX}{_BODY}forced", np.int64, ("turns", "batch"))
    carried = _carried_states(states)
    carried[0].after = forced.inside
    logprobs = body.op("LogSoftmax", "logits", axis=1)
    lowest = body.op("ReduceMin", logprobs, body.integers(1), keepdims=0)
    results = [
        _Row(name, inside, np.float32, ("turns", "batch"))
        for name, inside in (
            (names.LOGPROBS, chosen(body, logprobs, forced.inside)),
            (names.LOWEST, lowest),
        )
    ]
    return _looped(step, body, GraphBuilder(), carried, [forced], results, [])


def _carried_states(states: Sequence[StateInfo]) -> list[_Carried]:
    token = tensor("token", np.int64, ("batch",))
    carried = [_Carried(names.TOKEN, "token", "", names.LAST, token)]
    for state in states:
        carried.append(
            _Carried(
                names.state(state.name),
                state.name,
                f"{state.name}.next",
                names.state_after(state.name),
                tensor(state.name, np.float32, ("batch", *state.shape)),
            )
        )
    return carried


def _sampler_inputs(chain: Chain) -> list[dict[str, str]]:
    return [
        {name: f"{PREFIX}{_BODY}sampler{number}.{name}" for name in link.sampler.state_shapes()}
        for number, link in enumerate(chain.links)
    ]


def _carry_samplers(
    body: GraphBuilder,
    chain: Chain,
    states: list[dict[str, str]],
    ids: str,
    logprobs: str,
    free: str,
    carried: list[_Carried],
) -> None:
    for number, link in enumerate(chain.links):
        if not states[number]:
            continue
        following = accept(body, chain, number, ids, logprobs, states)
        for name, shape in link.sampler.state_shapes().items():
            inside, after = states[number][name], following[name]
            if not link.sampler.hears_prompt:
                after = _if_drawn(body, free, after, inside, len(shape))
            carried.append(
                _Carried(
                    names.sampler_state(number, name),
                    inside,
                    after,
                    names.sampler_state_after(number, name),
                    tensor(inside, np.float32, ("batch", *shape)),
                )
            )


def _if_drawn(body: GraphBuilder, free: str, after: str, before: str, dimensions: int) -> str:
    """The state ``after`` (B, ...) where the symbol was drawn, else the one ``before``."""
    if dimensions:
        free = body.op("Unsqueeze", free, body.integers(*range(1, dimensions + 1)))
    return body.op("Where", free, after, before)


def _looped(
    step: onnx.ModelProto,
    body: GraphBuilder,
    outside: GraphBuilder,
    carried: list[_Carried],
    rows: Sequence[_Row],
    results: Sequence[_Row],
    inputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Puts the step and what follows it into the body of a Scan, and that into a model."""
    nodes = [*step.graph.node, *body.nodes]
    made = {name for node in nodes for name in node.output}
    outputs = []
    for value in carried:
        # a body's outputs must be its own, each once: a state handed through gets a name here
        if value.after not in made:
            after = f"{PREFIX}{_BODY}{value.before}_after"
            nodes.append(helper.make_node("Identity", [value.after], [after]))
            value.after = after
        made.discard(value.after)
        outputs.append(_renamed(value.info, value.after))
    graph = helper.make_graph(
        nodes,
        "turn",
        [*(v.info for v in carried), *(tensor(r.inside, r.dtype, r.shape[1:]) for r in rows)],
        [*outputs, *(tensor(r.inside, r.dtype, r.shape[1:]) for r in results)],
        [*step.graph.initializer, *body.initializers],
    )
    scan = helper.make_node(
        "Scan",
        [*(value.outside for value in carried), *(row.outside for row in rows)],
        [*(value.result for value in carried), *(row.outside for row in results)],
        name=f"{PREFIX}scan",
        body=graph,
        num_scan_inputs=len(rows),
    )
    whole = helper.make_graph(
        [*outside.nodes, scan],
        "loop",
        [
            *(_renamed(value.info, value.outside) for value in carried),
            *(tensor(row.outside, row.dtype, row.shape) for row in rows),
            *inputs,
        ],
        [
            *(_renamed(value.info, value.result) for value in carried),
            *(tensor(row.outside, row.dtype, row.shape) for row in results),
        ],
        outside.initializers,
    )
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _renamed(info: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    renamed = onnx.ValueInfoProto()
    renamed.CopyFrom(info)
    renamed.name = name
    return renamed
