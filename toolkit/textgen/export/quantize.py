"""Int8: products of weights in whole numbers, in standard operators.

B batch, K and N a product's inputs and outputs. Weights have one scale an output column; rows have
one scale each (or a fixed one, where a cell declares its ``output_bound``), so that no row
influences another. Sums are exact: 7 bits a weight and 8 a row's number never overflow the 16 bits
in which processors without VNNI add two products, so every processor finds the same ones. In the
file a weight may have 4 bits instead (see ``four_bits``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from textgen.export.four_bits import unpacked
from textgen.runtime.affine import of_token_alone
from textgen.runtime.graph_editor import GraphEditor
from textgen.runtime.products import Product, join_products

_LARGEST_WEIGHT = 63
_LARGEST_NUMBER = 127
_ZERO = 128
"""What stands for 0 in a row: uint8 rows are what int8 weights are multiplied fastest by."""

_TINY = 1e-30
_SMALLEST = 256
"""Weights of fewer numbers stay as they are."""

_FLOAT = onnx.TensorProto.FLOAT
_LOGITS = "logits"


def quantized(
    model: onnx.ModelProto, bounds: Mapping[str, float], *, bits: int = 8
) -> onnx.ModelProto:
    """The step graph with its weights in int8, or stored in 4 bits; inputs and outputs stay as they
    are.

    ``bounds`` are the largest magnitudes of values, where they are known. Of 4 bits are the weights
    of what is carried from step to step; those that logits are made with decide too much.
    """
    graph = GraphEditor(model, "int8")
    alone = of_token_alone(graph)

    def emit(graph: GraphEditor, product: Product) -> list[onnx.NodeProto]:
        return _parts(graph, product, alone, bounds, 8 if product.result == _LOGITS else bits)

    join_products(graph, {}, emit)
    _shorten_embeddings(graph)
    return graph.model()


def _parts(
    graph: GraphEditor, product: Product, alone: set[str], bounds: Mapping[str, float], bits: int
) -> list[onnx.NodeProto]:
    """The product; what depends on the token alone is a product of its own, added to it.

    So a runtime can tabulate it, and its scale does not coarsen the other's.
    """
    weights: dict[bool, list[np.ndarray]] = {True: [], False: []}
    rows: dict[bool, list[str]] = {True: [], False: []}
    low = 0
    for name in product.rows:
        high = low + (graph.width(name) or 0)
        weights[name in alone].append(product.weight[low:high])
        rows[name in alone].append(name)
        low = high
    constant = graph.constant(product.constant[0])
    total, nodes = "", []
    for kind in (True, False):
        if rows[kind]:
            made, part = _product(graph, rows[kind], np.vstack(weights[kind]), bounds, bits)
            added = graph.node("Add", part, total or constant)
            nodes += [*made, added]
            total = added.output[0]
    nodes[-1].output[0] = product.result
    return nodes


def _product(
    graph: GraphEditor,
    rows: list[str],
    weight: np.ndarray,
    bounds: Mapping[str, float],
    bits: int,
) -> tuple[list[onnx.NodeProto], str]:
    """The nodes of the rows' product by ``weight`` (K, N), and its name."""
    nodes, joined = graph.joined(rows)

    def op(kind: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(graph.node(kind, *inputs, **attributes))
        name: str = nodes[-1].output[0]
        return name

    if weight.size < _SMALLEST:
        return nodes, op("MatMul", joined, graph.constant(weight))
    numbers, scale = _by_column(weight)
    if bits == 4:
        made, right = unpacked(graph, weight, scale, _LARGEST_WEIGHT)
        nodes += made
    else:
        right = graph.constant(numbers)
    known = [bounds.get(name) for name in rows]
    bound = None if None in known else max(b for b in known if b is not None)
    row_scale = ""
    if bound is None:
        largest = op("ReduceMax", op("Abs", joined), graph.constant(np.array([1])), keepdims=1)
        row_scale = op("Max", largest, graph.constant(np.array(_TINY, np.float32)))
        joined, bound = op("Div", joined, row_scale), 1.0
    step = bound / _LARGEST_NUMBER
    zero = graph.constant(np.array(_ZERO, np.uint8))
    whole = op("QuantizeLinear", joined, graph.constant(np.array(step, np.float32)), zero)
    total = op("Cast", op("MatMulInteger", whole, right, zero), to=_FLOAT)
    result = op("Mul", total, graph.constant((scale * step).astype(np.float32)))
    return nodes, op("Mul", result, row_scale) if row_scale else result


def _shorten_embeddings(graph: GraphEditor) -> None:
    """Tables in which rows are looked up: int8, with one scale a row."""
    for node in list(graph.nodes):
        table = graph.constants.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or table.ndim != 2 or table.dtype != np.float32 or table.size < _SMALLEST:
            continue
        numbers, scale = _by_column(table.T, largest=_LARGEST_NUMBER)
        row = graph.node("Gather", graph.constant(numbers.T), node.input[1])
        row_scale = graph.node("Gather", graph.constant(scale[:, None]), node.input[1])
        number = graph.node("Cast", row.output[0], to=_FLOAT)
        name = graph.give_up(node.output[0])
        product = graph.node("Mul", number.output[0], row_scale.output[0], results=[name])
        graph.insert_before(node, [row, row_scale, number, product])


def _by_column(weight: np.ndarray, largest: int = _LARGEST_WEIGHT) -> tuple[np.ndarray, np.ndarray]:
    """``weight`` (K, N) as int8 and one scale a column, (N,) float32."""
    scale = np.maximum(np.abs(weight).max(axis=0), np.float32(_TINY)) / np.float32(largest)
    numbers = np.rint(weight / scale).astype(np.int8)
    return numbers, scale.astype(np.float32)
