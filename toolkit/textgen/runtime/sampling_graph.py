"""What stands between the logits and a symbol, as operators: the samplers and the draw.

The loop holds them beside the step. Alone, as graphs of their own, they serve chains of which some
sampler has no graph form: a symbol then passes through the very operators it would in the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper

from textgen.model_file import OPSET
from textgen.runtime import names
from textgen.runtime.chain import Chain, not_as_promised
from textgen.runtime.graph import GraphBuilder, tensor

States = Sequence[Mapping[str, str]]
"""The names of each link's states."""


def forbid_boundary(graph: GraphBuilder, chain: Chain, logits: str) -> str:
    """The logits (B, V) that the samplers get: without the boundary where text does not end."""
    if chain.ends:
        return logits
    mask = np.zeros((1, chain.vocabulary.size), np.float32)
    mask[0, chain.vocabulary.boundary] = -np.inf
    return graph.op("Add", logits, graph.constant(mask))


def adjust(
    graph: GraphBuilder, chain: Chain, links: Sequence[int], logits: str, states: States
) -> str:
    """The logits (B, V) after the samplers at the places ``links``."""
    for number in links:
        sampler: Any = chain.links[number].sampler
        logits = sampler.adjust_graph(graph, logits, states[number], _options(chain, number))
        if not isinstance(logits, str):
            raise not_as_promised(sampler, "adjust_graph", "the name of logits")
    return logits


def accept(
    graph: GraphBuilder, chain: Chain, number: int, ids: str, logprobs: str, states: States
) -> Mapping[str, str]:
    """The names of the next states of the sampler at place ``number``."""
    sampler: Any = chain.links[number].sampler
    following: Mapping[str, str] = sampler.accept_graph(
        graph, ids, logprobs, states[number], _options(chain, number)
    )
    return following


def draw(graph: GraphBuilder, logits: str, noise: str) -> str:
    """The first symbol whose cumulative probability exceeds the noise: (B, V) and (B, 1) to (B,).

    Sums run in vocabulary order, and the noise is a share of the last of them. It is below 1 by
    2^-24 at least, so noise * total rounds below total, and the last allowed symbol always exceeds
    it.
    """
    sums = graph.op(
        "CumSum", graph.op("Softmax", logits, axis=1), graph.constant(np.array(1, np.int64))
    )
    total = graph.op("Gather", sums, graph.integers(-1), axis=1)
    above = graph.op("Greater", sums, graph.op("Mul", noise, total))
    return graph.op(
        "ArgMax", graph.op("Cast", above, to=onnx.TensorProto.FLOAT), axis=1, keepdims=0
    )


def choose(graph: GraphBuilder, logits: str, noise: str, forced: str) -> tuple[str, str]:
    """The ids (B,): drawn with ``noise`` (B, 1), or those ``forced`` (B,) where one is; and whether
    each was drawn."""
    free = graph.op("Less", forced, graph.constant(np.array(0, np.int64)))
    return graph.op("Where", free, draw(graph, logits, noise), forced), free


def logprob(graph: GraphBuilder, logits: str, ids: str) -> str:
    """The log probability (B,) of ``ids`` (B,) under ``logits`` (B, V)."""
    return chosen(graph, graph.op("LogSoftmax", logits, axis=1), ids)


def chosen(graph: GraphBuilder, values: str, ids: str) -> str:
    """Of each row of ``values`` (B, V) the one that ``ids`` (B,) names."""
    column = graph.op("Unsqueeze", ids, graph.integers(1))
    return graph.op(
        "Squeeze", graph.op("GatherElements", values, column, axis=1), graph.integers(1)
    )


def logprob_as_chosen(graph: GraphBuilder, model: str, adjusted: str, ids: str, free: str) -> str:
    """The log probability (B,) under what each symbol was drawn from; the model's own where it was
    forced."""
    drawn, forced = logprob(graph, adjusted, ids), logprob(graph, model, ids)
    return graph.op("Where", free, drawn, forced)


def option_inputs(chain: Chain, links: Sequence[int]) -> list[onnx.ValueInfoProto]:
    """The run-time options of the samplers at the places ``links``, (B, 1) each."""
    return [
        tensor(names.option(number, name), dtype, ("batch", 1))
        for number in links
        for name, dtype in chain.links[number].dtypes.items()
    ]


def adjust_graph(chain: Chain, links: Sequence[int]) -> onnx.ModelProto:
    """Neighbouring samplers alone: ``logits`` (B, V), their states and options to ``adjusted``."""
    builder = GraphBuilder()
    size = chain.vocabulary.size
    adjusted = adjust(builder, chain, links, "logits", _own_states(chain))
    inputs = [tensor("logits", np.float32, ("batch", size)), *_inputs(chain, links)]
    builder.rename(adjusted, "adjusted")
    return _model(builder, inputs, [tensor("adjusted", np.float32, ("batch", size))])


def draw_graph(vocabulary_size: int) -> onnx.ModelProto:
    """The draw alone: ``logits``, the model's own, and ``adjusted`` (B, V), ``noise`` and
    ``forced`` (B,) to ``ids`` and ``logprobs`` (B,)."""
    builder = GraphBuilder()
    column = builder.op("Unsqueeze", "noise", builder.integers(1))
    ids, free = choose(builder, "adjusted", column, "forced")
    logprobs = logprob_as_chosen(builder, "logits", "adjusted", ids, free)
    builder.rename(ids, "ids")
    builder.rename(logprobs, "logprobs")
    inputs = [
        tensor("logits", np.float32, ("batch", vocabulary_size)),
        tensor("adjusted", np.float32, ("batch", vocabulary_size)),
        tensor("noise", np.float32, ("batch",)),
        tensor("forced", np.int64, ("batch",)),
    ]
    outputs = [tensor("ids", np.int64, ("batch",)), tensor("logprobs", np.float32, ("batch",))]
    return _model(builder, inputs, outputs)


def accept_graph(chain: Chain, links: Sequence[int]) -> onnx.ModelProto:
    """``accept`` of the samplers at the places ``links``: ``ids`` and ``logprobs`` (B,), states and
    options to the next states."""
    builder = GraphBuilder()
    states = _own_states(chain)
    inputs = [tensor("ids", np.int64, ("batch",)), tensor("logprobs", np.float32, ("batch",))]
    outputs = []
    for number in links:
        following = accept(builder, chain, number, "ids", "logprobs", states)
        for name, shape in chain.links[number].sampler.state_shapes().items():
            after = names.sampler_state_after(number, name)
            builder.rename(following[name], after)
            outputs.append(tensor(after, np.float32, ("batch", *shape)))
    return _model(builder, [*inputs, *_inputs(chain, links)], outputs)


def _options(chain: Chain, number: int) -> dict[str, str]:
    return {name: names.option(number, name) for name in chain.links[number].numbers}


def _own_states(chain: Chain) -> list[dict[str, str]]:
    return [
        {name: names.sampler_state(number, name) for name in link.sampler.state_shapes()}
        for number, link in enumerate(chain.links)
    ]


def _inputs(chain: Chain, links: Sequence[int]) -> list[onnx.ValueInfoProto]:
    states = [
        tensor(names.sampler_state(number, name), np.float32, ("batch", *shape))
        for number in links
        for name, shape in chain.links[number].sampler.state_shapes().items()
    ]
    return [*states, *option_inputs(chain, links)]


def _model(
    builder: GraphBuilder,
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    graph = helper.make_graph(builder.nodes, "sampling", inputs, outputs, builder.initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
