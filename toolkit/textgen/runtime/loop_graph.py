"""The loop: the step, the samplers and the draw inside one ONNX Loop, so that no Python runs for a
symbol.

N turns, B streams, V symbols. Two forms: *writing*, in which each turn draws a symbol unless one is
forced (a prompt's), and *reading*, in which all are forced and their log probabilities come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from textgen.model_file import OPSET, ModelFile
from textgen.runtime import names
from textgen.runtime.chain import Chain
from textgen.runtime.graph import GraphBuilder, tensor
from textgen.runtime.names import FREE as FREE
from textgen.runtime.names import PREFIX
from textgen.runtime.sampling_graph import (
    accept,
    adjust,
    choose,
    forbid_boundary,
    logprob,
    logprob_as_chosen,
    option_inputs,
)


@dataclass
class _Carried:
    """A value that goes round the loop: its names outside, inside before, inside after."""

    outside: str
    before: str
    after: str
    result: str
    info: onnx.ValueInfoProto


def writing_loop(file: ModelFile, chain: Chain) -> onnx.ModelProto:
    """N turns of: step, samplers, draw. Inputs: count, token (B,), states, sampler states, options
    (B, 1), forced (N, B) int64, noise (N, B). Outputs: last token, states, sampler states, ids
    (N, B)."""
    step = file.graph()
    body = GraphBuilder("body/")
    turn, carried = _body_start(step, file)
    links = range(len(chain.links))
    states = _sampler_inputs(chain)
    logits = forbid_boundary(body, chain, "logits")
    logits = adjust(body, chain, links, logits, states)
    noise = body.op("Gather", names.NOISE, turn, axis=0)
    ids, free = choose(body, logits, noise, body.op("Gather", names.FORCED, turn, axis=0))
    carried[0].after = ids
    if any(states):
        logprobs = logprob_as_chosen(body, "logits", logits, ids, free)
        _carry_samplers(body, chain, states, ids, logprobs, carried)
    scans = [(names.IDS, body.op("Identity", ids), np.int64)]
    inputs = [tensor(names.NOISE, np.float32, ("turns", "batch")), *option_inputs(chain, links)]
    return _looped(step, body, turn, carried, scans, inputs)


def reading_loop(file: ModelFile) -> onnx.ModelProto:
    """N turns of: step, then the log probability of the forced symbol (N, B), in nats."""
    step = file.graph()
    body = GraphBuilder("body/")
    turn, carried = _body_start(step, file)
    ids = body.op("Gather", names.FORCED, turn, axis=0)
    carried[0].after = ids
    scans = [(names.LOGPROBS, logprob(body, "logits", ids), np.float32)]
    return _looped(step, body, turn, carried, scans, [])


def _body_start(step: onnx.ModelProto, file: ModelFile) -> tuple[str, list[_Carried]]:
    token = _Carried(names.TOKEN, "token", "", names.LAST, tensor("token", np.int64, ("batch",)))
    carried = [token]
    for state in file.info.states:
        carried.append(
            _Carried(
                names.state(state.name),
                state.name,
                f"{state.name}.next",
                names.state_after(state.name),
                tensor(state.name, np.float32, ("batch", *state.shape)),
            )
        )
    return f"{PREFIX}body/turn", carried


def _sampler_inputs(chain: Chain) -> list[dict[str, str]]:
    return [
        {name: f"{PREFIX}body/sampler{number}.{name}" for name in link.sampler.state_shapes()}
        for number, link in enumerate(chain.links)
    ]


def _carry_samplers(
    body: GraphBuilder,
    chain: Chain,
    states: list[dict[str, str]],
    ids: str,
    logprobs: str,
    carried: list[_Carried],
) -> None:
    for number, link in enumerate(chain.links):
        if not states[number]:
            continue
        following = accept(body, chain, number, ids, logprobs, states)
        for name, shape in link.sampler.state_shapes().items():
            inside = states[number][name]
            carried.append(
                _Carried(
                    names.sampler_state(number, name),
                    inside,
                    following[name],
                    names.sampler_state_after(number, name),
                    tensor(inside, np.float32, ("batch", *shape)),
                )
            )


def _looped(
    step: onnx.ModelProto,
    body: GraphBuilder,
    turn: str,
    carried: list[_Carried],
    scans: Sequence[tuple[str, str, type]],
    inputs: list[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """Puts the step and what follows it into the body of a Loop, and that into a model."""
    go_on = f"{PREFIX}body/go_on"
    outputs = [tensor(f"{go_on}_after", np.bool_, ())]
    nodes = [*step.graph.node, helper.make_node("Identity", [go_on], [f"{go_on}_after"])]
    nodes += body.nodes
    for value in carried:
        # a loop's outputs must be its own: a state handed through unchanged gets a name here
        result = f"{PREFIX}body/{value.before}_after"
        nodes.append(helper.make_node("Identity", [value.after], [result]))
        outputs.append(_renamed(value.info, result))
    outputs += [tensor(name, dtype, ("batch",)) for _, name, dtype in scans]
    graph = helper.make_graph(
        nodes,
        "turn",
        [tensor(turn, np.int64, ()), tensor(go_on, np.bool_, ()), *(v.info for v in carried)],
        outputs,
        [*step.graph.initializer, *body.initializers],
    )
    outside = GraphBuilder()
    always = outside.constant(np.array(True))
    loop = helper.make_node(
        "Loop",
        [names.COUNT, always, *(value.outside for value in carried)],
        [*(value.result for value in carried), *(name for name, _, _ in scans)],
        name=f"{PREFIX}loop",
        body=graph,
    )
    whole = helper.make_graph(
        [loop],
        "loop",
        [
            tensor(names.COUNT, np.int64, ()),
            *(_renamed(value.info, value.outside) for value in carried),
            tensor(names.FORCED, np.int64, ("turns", "batch")),
            *inputs,
        ],
        [
            *(_renamed(value.info, value.result) for value in carried),
            *(tensor(name, dtype, ("turns", "batch")) for name, _, dtype in scans),
        ],
        outside.initializers,
    )
    return _model(whole)


def _renamed(info: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    renamed = onnx.ValueInfoProto()
    renamed.CopyFrom(info)
    renamed.name = name
    return renamed


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
