"""The step as it runs: the same function as the file's, in fewer and larger operations.

B batch, V vocabulary. Nothing here knows a cell. What depends on the token alone becomes a table of
V rows, in which it is looked up; products that are added become one product, and so do products of
the same rows. Weights stay constants, so a row's result does not depend on the rows beside it.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from textgen.runtime.affine import LARGEST_TABLES, Tables, of_token_alone
from textgen.runtime.graph_editor import TOKEN, GraphEditor
from textgen.runtime.products import Product, join_products


def tuned_step(model: onnx.ModelProto, vocabulary: int) -> onnx.ModelProto:
    """The step graph rewritten; its inputs and outputs keep their names, types and order."""
    graph = GraphEditor(model, "step")
    tables = _tables(graph, vocabulary)
    join_products(graph, tables, _product)
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


def _product(graph: GraphEditor, product: Product) -> list[onnx.NodeProto]:
    """One Gemm, in float32; what depends on the token is looked up and added by it."""
    nodes, rows = graph.joined(product.rows)
    added = graph.constant(product.constant)
    if len(product.constant) > 1:
        nodes.append(graph.node("Gather", added, TOKEN))
        added = nodes[-1].output[0]
    weight = graph.constant(product.weight)
    return [*nodes, graph.node("Gemm", rows, weight, added, results=[product.result])]
