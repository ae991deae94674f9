"""The affine parts of a step: sums of rows times constant weights, however a cell spells them.

B batch, V vocabulary, K and N a product's inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from textgen.runtime.graph_editor import TOKEN, GraphEditor

LARGEST_TABLES = 64 << 20
"""Bytes; beyond, what depends on the token alone is computed like anything else."""

Tables = Mapping[str, np.ndarray]
"""Values (B, N) of a graph that depend on the token alone, by name: (V, N), one row a token."""


@dataclass(frozen=True)
class Affine:
    """A value (B, N): rows (B, K) times weights (K, N), values (B, N), and what is constant."""

    constant: np.ndarray
    """(1, N), or (V, N) where it depends on the token."""
    products: Mapping[str, np.ndarray] = field(default_factory=dict)
    values: Sequence[str] = ()

    @property
    def width(self) -> int:
        width: int = self.constant.shape[1]
        return width

    def __add__(self, other: Affine) -> Affine:
        products = dict(self.products)
        for rows, weight in other.products.items():
            products[rows] = products[rows] + weight if rows in products else weight
        values = [*self.values, *other.values]
        return Affine(self.constant + other.constant, products, values)

    def columns(self, low: int, high: int) -> Affine:
        """Some of its columns; there must be no values."""
        products = {rows: weight[:, low:high] for rows, weight in self.products.items()}
        return Affine(self.constant[:, low:high], products)


@dataclass(frozen=True)
class Sum:
    """An affine value of the graph: its name, and the node that makes it."""

    result: str
    node: onnx.NodeProto
    affine: Affine


def of_token_alone(graph: GraphEditor) -> set[str]:
    """The values that depend on the token and on constants alone."""
    found = {TOKEN}
    for node in graph.nodes:
        if all(name in found or name in graph.constants for name in node.input if name):
            found.update(node.output)
    return found


def affine_sums(graph: GraphEditor, tables: Tables) -> list[Sum]:
    """The largest sums that hold a product, in the order of the graph.

    What has a table counts as a constant.
    """
    finder = _Finder(graph, tables)
    made = [(name, node) for node in graph.nodes for name in node.output]
    affine = {name: found for name, _ in made if (found := finder.affine(name))}
    return [
        Sum(name, node, affine[name])
        for name, node in made
        if name in affine and affine[name].products and not finder.is_inner(name, affine)
    ]


class _Finder:
    """Reads affine values off the nodes that make them."""

    def __init__(self, graph: GraphEditor, tables: Tables) -> None:
        self._graph = graph
        self._tables = tables
        self._producers = {name: node for node in graph.nodes for name in node.output}
        self._consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.nodes:
            for name in node.input:
                self._consumers.setdefault(name, []).append(node)
        self._found: dict[str, Affine | None] = {}

    def is_inner(self, name: str, affine: Collection[str]) -> bool:
        """Whether another sum takes the value up, so that nothing else needs it."""
        if not self._is_part(name):
            return False
        (node,) = self._consumers[name]
        return set(node.output) <= set(affine)

    def affine(self, name: str) -> Affine | None:
        """The value as a sum; None where it is none, or of unknown shape."""
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> Affine | None:
        if name in self._tables:
            return Affine(self._tables[name])
        node, width = self._producers.get(name), self._graph.width(name)
        if node is None or width is None:
            return None
        if node.op_type == "Split":
            return self._column_range(node, name)
        if node.op_type == "Add":
            terms = [self._term(addend, width) for addend in node.input]
        elif node.op_type in ("Gemm", "MatMul"):
            addends = (self._term(addend, width) for addend in node.input[2:] if addend)
            terms = [self._product(node), *addends]
        else:
            return None
        total = Affine(np.zeros((1, width), np.float32))
        for term in terms:
            if term is None:
                return None
            total = total + term
        return total

    def _is_part(self, name: str) -> bool:
        """Whether the value is added to, or split, in one place only."""
        consumers = self._consumers.get(name, [])
        if len(consumers) != 1 or name in self._graph.outputs:
            return False
        (node,) = consumers
        return node.op_type in ("Add", "Split") or (
            node.op_type == "Gemm" and name not in node.input[:2]
        )

    def _term(self, name: str, width: int) -> Affine | None:
        """What is added: a constant, a sum that is used here only, or any value (B, N)."""
        nothing = np.zeros((1, width), np.float32)
        if name in self._graph.constants:
            value = self._graph.constants[name]
            fits = value.dtype == np.float32 and value.shape in ((width,), (1, width), (), (1,))
            return Affine(value + nothing) if fits else None
        if self._graph.width(name) != width:
            return None
        inner = self.affine(name) if name in self._tables or self._is_part(name) else None
        return inner or Affine(nothing, values=[name])

    def _column_range(self, node: onnx.NodeProto, name: str) -> Affine | None:
        """One of the parts into which a sum is split."""
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        whole = self.affine(node.input[0]) if self._is_part(node.input[0]) else None
        widths = [self._graph.width(part) or 0 for part in node.output]
        if whole is None or whole.values or given.get("axis") not in (1, -1):
            return None
        place = list(node.output).index(name)
        return whole.columns(sum(widths[:place]), sum(widths[: place + 1]))

    def _product(self, node: onnx.NodeProto) -> Affine | None:
        weight = self._graph.constants.get(node.input[1])
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        plain = given.get("alpha", 1.0) == 1.0 == given.get("beta", 1.0) and not given.get("transA")
        if weight is None or weight.ndim != 2 or weight.dtype != np.float32 or not plain:
            return None
        weight = weight.T if given.get("transB") else weight
        parts = self._joined(node.input[0])
        widths = [self._graph.width(part) or 0 for part in parts]
        if 0 in widths or sum(widths) != len(weight):
            return None
        nothing = np.zeros((1, weight.shape[1]), np.float32)
        total, low = Affine(nothing), 0
        for part, width in zip(parts, widths, strict=True):
            piece = weight[low : low + width]
            table = self._tables.get(part)
            if table is not None and 4 * len(table) * piece.shape[1] <= LARGEST_TABLES:
                total = total + Affine(table @ piece)
            else:
                total = total + Affine(nothing, {part: piece})
            low += width
        return total

    def _joined(self, rows: str) -> Sequence[str]:
        """What ``rows`` was put together from, side by side."""
        node = self._producers.get(rows)
        if node is None or node.op_type != "Concat":
            return [rows]
        return node.input if helper.get_attribute_value(node.attribute[0]) in (1, -1) else [rows]


def by_rows(sums: Sequence[Sum]) -> Mapping[tuple[str, ...], list[Sum]]:
    """The sums that multiply the same rows, which one product can make together."""
    grouped: dict[tuple[str, ...], list[Sum]] = {}
    for found in sums:
        grouped.setdefault(tuple(found.affine.products), []).append(found)
    return grouped
