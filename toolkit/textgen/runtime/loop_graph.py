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
from textgen.runtime.chain import Chain
from textgen.runtime.graph import PREFIX, GraphBuilder, tensor

FREE = -1
"""A forced symbol that is none: the turn draws."""


@dataclass(frozen=True)
class LoopNames:
    """The loop's inputs and outputs beside the step's own."""

    count: str = f"{PREFIX}count"
    token: str = f"{PREFIX}token"
    forced: str = f"{PREFIX}forced"
    noise: str = f"{PREFIX}noise"
    last: str = f"{PREFIX}last"
    ids: str = f"{PREFIX}ids"
    logprobs: str = f"{PREFIX}logprobs"

    def state(self, name: str) -> str:
        return f"{PREFIX}in/{name}"

    def state_after(self, name: str) -> str:
        return f"{PREFIX}out/{name}"

    def sampler_state(self, link: int, name: str) -> str:
        return f"{PREFIX}in/sampler{link}.{name}"

    def sampler_state_after(self, link: int, name: str) -> str:
        return f"{PREFIX}out/sampler{link}.{name}"

    def option(self, link: int, name: str) -> str:
        return f"{PREFIX}option/sampler{link}.{name}"


NAMES = LoopNames()


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
    logits = "logits"
    if not chain.ends:
        mask = np.zeros((1, chain.vocabulary.size), np.float32)
        mask[0, chain.vocabulary.boundary] = -np.inf
        logits = body.op("Add", logits, body.constant(mask))
    states = _sampler_inputs(chain)
    model_logits = logits
    for number, link in enumerate(chain.links):
        options = {name: NAMES.option(number, name) for name in link.numbers}
        logits = link.sampler.adjust_graph(body, logits, states[number], options)  # type: ignore[attr-defined]
    forced = body.op("Gather", NAMES.forced, turn, axis=0)
    drawn = draw(body, logits, body.op("Gather", NAMES.noise, turn, axis=0))
    free = body.op("Less", forced, body.constant(np.array(0, np.int64)))
    ids = body.op("Where", free, drawn, forced)
    carried[0].after = ids
    if any(states):
        logprobs = body.op(
            "Where", free, _logprob(body, logits, ids), _logprob(body, model_logits, ids)
        )
        _carry_samplers(body, chain, states, ids, logprobs, carried)
    emitted = body.op("Identity", ids)
    scans = [(NAMES.ids, emitted, np.int64)]
    inputs = [tensor(NAMES.noise, np.float32, ("turns", "batch"))]
    for number, (link, values) in enumerate(zip(chain.links, chain.options(1), strict=True)):
        for name in link.numbers:
            inputs.append(tensor(NAMES.option(number, name), values[name].dtype, ("batch", 1)))
    return _looped(step, body, turn, carried, scans, inputs)


def reading_loop(file: ModelFile) -> onnx.ModelProto:
    """N turns of: step, then the log probability of the forced symbol (N, B), in nats."""
    step = file.graph()
    body = GraphBuilder("body/")
    turn, carried = _body_start(step, file)
    ids = body.op("Gather", NAMES.forced, turn, axis=0)
    carried[0].after = ids
    scans = [(NAMES.logprobs, _logprob(body, "logits", ids), np.float32)]
    return _looped(step, body, turn, carried, scans, [])


def draw_graph(vocabulary_size: int) -> onnx.ModelProto:
    """The draw alone, for samplers without a graph form: logits (B, V), noise (B,) to ids (B,) and
    their log probabilities."""
    builder = GraphBuilder("draw/")
    ids = draw(builder, "logits", "noise")
    logprobs = _logprob(builder, "logits", ids)
    graph = helper.make_graph(
        builder.nodes,
        "draw",
        [
            tensor("logits", np.float32, ("batch", vocabulary_size)),
            tensor("noise", np.float32, ("batch",)),
        ],
        [tensor(ids, np.int64, ("batch",)), tensor(logprobs, np.float32, ("batch",))],
        builder.initializers,
    )
    return _model(graph)


def draw(graph: GraphBuilder, logits: str, noise: str) -> str:
    """The first symbol whose cumulative probability exceeds the noise.

    Sums run in vocabulary order. The noise is below 1 by 2^-24 at least, so noise * total rounds
    below total, and the last allowed symbol always exceeds it.
    """
    highest = graph.op("ReduceMax", logits, graph.integers(1), keepdims=1)
    weights = graph.op("Exp", graph.op("Sub", logits, highest))
    sums = graph.op("CumSum", weights, graph.constant(np.array(1, np.int64)))
    last = graph.integers(-1)
    total = graph.op("Slice", sums, last, graph.integers(np.iinfo(np.int64).max), graph.integers(1))
    limit = graph.op("Mul", graph.op("Unsqueeze", noise, graph.integers(1)), total)
    above = graph.op("Cast", graph.op("Greater", sums, limit), to=onnx.TensorProto.FLOAT)
    return graph.op("ArgMax", above, axis=1, keepdims=0)


def _logprob(graph: GraphBuilder, logits: str, ids: str) -> str:
    """The log probability (B,) of ``ids`` (B,) under ``logits`` (B, V)."""
    logprobs = graph.op("LogSoftmax", logits, axis=1)
    column = graph.op("Unsqueeze", ids, graph.integers(1))
    return graph.op(
        "Squeeze", graph.op("GatherElements", logprobs, column, axis=1), graph.integers(1)
    )


def _body_start(step: onnx.ModelProto, file: ModelFile) -> tuple[str, list[_Carried]]:
    token = _Carried(NAMES.token, "token", "", NAMES.last, tensor("token", np.int64, ("batch",)))
    carried = [token]
    for state in file.info.states:
        carried.append(
            _Carried(
                NAMES.state(state.name),
                state.name,
                f"{state.name}.next",
                NAMES.state_after(state.name),
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
        options = {name: NAMES.option(number, name) for name in link.numbers}
        following = link.sampler.accept_graph(body, ids, logprobs, states[number], options)
        for name, shape in link.sampler.state_shapes().items():
            inside = states[number][name]
            carried.append(
                _Carried(
                    NAMES.sampler_state(number, name),
                    inside,
                    following[name],
                    NAMES.sampler_state_after(number, name),
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
        [NAMES.count, always, *(value.outside for value in carried)],
        [*(value.result for value in carried), *(name for name, _, _ in scans)],
        name=f"{PREFIX}loop",
        body=graph,
    )
    whole = helper.make_graph(
        [loop],
        "loop",
        [
            tensor(NAMES.count, np.int64, ()),
            *(_renamed(value.info, value.outside) for value in carried),
            tensor(NAMES.forced, np.int64, ("turns", "batch")),
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
