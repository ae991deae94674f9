"""Joins products: those that are added, and those of the same rows, become one.

B batch, V vocabulary, K and N a product's inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import onnx

from textgen.runtime.affine import Sum, Tables, affine_sums, by_rows
from textgen.runtime.graph_editor import GraphEditor

_FUNCTIONS = frozenset({"Sigmoid", "Tanh", "Relu", "Exp", "Softplus"})
"""What is applied to each number by itself, and has no attributes."""


@dataclass(frozen=True)
class Product:
    """``[rows...] @ weight + constant``, to be called ``result``."""

    rows: tuple[str, ...]
    """Values (B, K_i) side by side."""
    weight: np.ndarray
    """(K, N), K the sum of all K_i."""
    constant: np.ndarray
    """(1, N), or (V, N) where it depends on the token."""
    result: str


def join_products(
    graph: GraphEditor,
    tables: Tables,
    emit: Callable[[GraphEditor, Product], list[onnx.NodeProto]],
) -> None:
    """Puts what ``emit`` makes of each joined product into the graph, in the place of what was
    there."""
    for rows, sums in by_rows(affine_sums(graph, tables)).items():
        # sums that the same function is applied to come side by side, for one call of it
        ordered = sorted(sums, key=lambda found: _function_of(graph, found))
        place = graph.first([found.node for found in sums])
        columns = [np.vstack([s.affine.products[name] for name in rows]) for s in ordered]
        height = max(len(found.affine.constant) for found in sums)
        constants = [np.broadcast_to(s.affine.constant, (height, s.affine.width)) for s in ordered]
        result, parting = _parted(graph, ordered)
        product = Product(rows, np.hstack(columns), np.hstack(constants), result)
        graph.insert_before(place, [*emit(graph, product), *parting])


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
