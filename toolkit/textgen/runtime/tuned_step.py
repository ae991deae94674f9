"""The step as it runs: the same function as the file's, in fewer and larger operations.

B batch, V vocabulary. Nothing here knows a cell. What depends on the token alone becomes a table of
V rows, in which it is looked up; products that are added become one product, and so do products of
the same rows. Weights stay constants, so a row's result does not depend on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import onnx
import onnxruntime

from textgen.runtime.affine import LARGEST_TABLES, Sum, Tables, affine_sums, by_rows, of_token_alone
from textgen.runtime.graph_editor import TOKEN, GraphEditor

_FUNCTIONS = frozenset({"Sigmoid", "Tanh", "Relu", "Exp", "Softplus"})
"""What is applied to each number by itself, and has no attributes."""


def tuned_step(model: onnx.ModelProto, vocabulary: int) -> onnx.ModelProto:
    """The step graph rewritten; its inputs and outputs keep their names, types and order."""
    graph = GraphEditor(model, "step")
    tables = _tables(graph, vocabulary)
    for rows, sums in by_rows(affine_sums(graph, tables)).items():
        _join(graph, rows, sums)
    for name, table in tables.items():
        graph.rename(name, looked_up := graph.new_name("looked_up"))
        graph.nodes.insert(
            0, graph.node("Gather", graph.constant(table), TOKEN, results=[looked_up])
        )
    return graph.model()


def _tables(graph: GraphEditor, vocabulary: int) -> Tables:
    """The values that depend on the token alone and meet what does not.

    None of them where they would be too large.
    """
    alone = of_token_alone(graph)
    wanted: set[str] = set()
    for node in graph.nodes:
        if not alone.issuperset(node.output):
            wanted.update(alone.intersection(node.input))
    met = sorted(name for name in wanted if name != TOKEN and graph.width(name) is not None)
    size = sum(4 * vocabulary * (graph.width(name) or 0) for name in met)
    if not met or size > LARGEST_TABLES:
        return {}
    session = onnxruntime.InferenceSession(
        graph.part(met).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    tokens = np.arange(vocabulary, dtype=np.int64)
    found = dict(zip(met, session.run(None, {TOKEN: tokens}), strict=True))
    return {name: table for name, table in found.items() if table.dtype == np.float32}


def _join(graph: GraphEditor, rows: tuple[str, ...], sums: Sequence[Sum]) -> None:
    """One product for all sums of the same rows."""
    # sums that the same function is applied to come side by side, for one call of it
    sums = sorted(sums, key=lambda found: _function_of(graph, found))
    place = graph.first([found.node for found in sums])
    nodes, joined = [], rows[0]
    if len(rows) > 1:
        nodes.append(graph.node("Concat", *rows, axis=1))
        joined = nodes[-1].output[0]
    weight = np.hstack([np.vstack([s.affine.products[name] for name in rows]) for s in sums])
    height = max(len(found.affine.constant) for found in sums)
    constants = [np.broadcast_to(s.affine.constant, (height, s.affine.width)) for s in sums]
    added = graph.constant(np.hstack(constants))
    if height > 1:
        nodes.append(graph.node("Gather", added, TOKEN))
        added = nodes[-1].output[0]
    product, parting = _parted(graph, sums)
    nodes.append(graph.node("Gemm", joined, graph.constant(weight), added, results=[product]))
    graph.insert_before(place, [*nodes, *parting])


def _parted(graph: GraphEditor, sums: Sequence[Sum]) -> tuple[str, list[onnx.NodeProto]]:
    """A name for the product of all sums, and the nodes that make of it what the sums made."""
    parts, widths, nodes = [], [], []
    for function, same in groupby(sums, lambda found: _function_of(graph, found)):
        group = list(same)
        results = [_taken_over(graph, found) for found in group]
        whole = results[0] if len(group) == 1 else graph.new_name("part")
        parts.append(graph.new_name("part") if function else whole)
        widths.append(sum(found.affine.width for found in group))
        if function:
            nodes.append(graph.node(function, parts[-1], results=[whole]))
        if len(group) > 1:
            nodes.append(_split(graph, whole, [s.affine.width for s in group], results))
    if len(parts) == 1:
        return parts[0], nodes
    product = graph.new_name("product")
    return product, [_split(graph, product, widths, parts), *nodes]


def _function_of(graph: GraphEditor, found: Sum) -> str:
    """The function of one argument that is all the sum is used for; else nothing."""
    consumers = graph.consumers(found.result)
    if found.affine.values or len(consumers) != 1 or found.result in graph.outputs:
        return ""
    return consumers[0].op_type if consumers[0].op_type in _FUNCTIONS else ""


def _taken_over(graph: GraphEditor, found: Sum) -> str:
    """The name of what the product has to give for this sum, taken from the node that makes it."""
    if _function_of(graph, found):
        (node,) = graph.consumers(found.result)
        return graph.give_up(node.output[0])
    name = graph.give_up(found.result)
    for value in found.affine.values[::-1]:
        total, name = name, graph.new_name("part")
        graph.insert_after(found.node, [graph.node("Add", name, value, results=[total])])
    return name


def _split(
    graph: GraphEditor, value: str, widths: Sequence[int], results: Sequence[str]
) -> onnx.NodeProto:
    sizes = graph.constant(np.array(widths, np.int64))
    return graph.node("Split", value, sizes, results=results, axis=1)
