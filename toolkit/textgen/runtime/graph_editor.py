"""Step graphs as they are rewritten: nodes in an order in which they run, and constants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference

from textgen.runtime.names import PREFIX

TOKEN = "token"


class GraphEditor:
    """A step graph's ``nodes`` and ``constants``, to be changed in place.

    What it adds is named ``textgen/SCOPE/...``.
    """

    def __init__(self, model: onnx.ModelProto, scope: str) -> None:
        copied = onnx.ModelProto()
        copied.CopyFrom(model)
        self._model = model = copied
        self._scope = f"{PREFIX}{scope}/"
        self._named = 0
        self.outputs = [value.name for value in model.graph.output]
        self.nodes = list(model.graph.node)
        self.constants = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
        for node in [n for n in self.nodes if n.op_type == "Constant"]:
            if node.attribute[0].name == "value":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
                self.nodes.remove(node)
        self._widths = _widths(model)

    def model(self) -> onnx.ModelProto:
        """The graph as it is now, without what nothing uses; inputs and outputs as they were."""
        self._prune()
        source = self._model
        used = {name for node in self.nodes for name in node.input}
        initializers = [
            numpy_helper.from_array(np.asarray(value, order="C"), name)
            for name, value in self.constants.items()
            if name in used
        ]
        graph = helper.make_graph(
            self.nodes, source.graph.name, source.graph.input, source.graph.output, initializers
        )
        return helper.make_model(
            graph, opset_imports=source.opset_import, ir_version=source.ir_version
        )

    def part(self, outputs: Sequence[str]) -> onnx.ModelProto:
        """A graph that computes ``outputs`` alone from the inputs that they depend on."""
        wanted, nodes = set(outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                nodes.append(node)
        graph = helper.make_graph(
            nodes[::-1],
            "part",
            [value for value in self._model.graph.input if value.name in wanted],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            [numpy_helper.from_array(v, n) for n, v in self.constants.items() if n in wanted],
        )
        source = self._model
        return helper.make_model(
            graph, opset_imports=source.opset_import, ir_version=source.ir_version
        )

    def width(self, value: str) -> int | None:
        """N of a value (B, N), where that is known to be its shape."""
        return self._widths.get(value)

    def constant(self, value: np.ndarray) -> str:
        """The name of a new constant."""
        name = self.new_name("constant")
        self.constants[name] = value
        return name

    def new_name(self, what: str) -> str:
        """A name that nothing has yet."""
        self._named += 1
        return f"{self._scope}{what}_{self._named}"

    def node(
        self, op_type: str, *inputs: str, results: Sequence[str] = (), **attributes: Any
    ) -> onnx.NodeProto:
        """A node, not yet in the graph; its one result gets a new name unless given."""
        results = results or [self.new_name(op_type)]
        return helper.make_node(op_type, list(inputs), list(results), results[0], **attributes)

    def joined(self, values: Sequence[str]) -> tuple[list[onnx.NodeProto], str]:
        """``values`` side by side: the node that joins them, if there are several, and the name."""
        if len(values) == 1:
            return [], values[0]
        node = self.node("Concat", *values, axis=1)
        return [node], node.output[0]

    def insert_before(self, node: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]) -> None:
        """Puts ``nodes`` before one that is in the graph."""
        place = self._place(node)
        self.nodes[place:place] = nodes

    def insert_after(self, node: onnx.NodeProto, nodes: Iterable[onnx.NodeProto]) -> None:
        """Puts ``nodes`` after one that is in the graph."""
        place = self._place(node) + 1
        self.nodes[place:place] = nodes

    def first(self, nodes: Sequence[onnx.NodeProto]) -> onnx.NodeProto:
        """Which of ``nodes`` comes first."""
        return min(nodes, key=self._place)

    def consumers(self, value: str) -> list[onnx.NodeProto]:
        """The nodes that use ``value``."""
        return [node for node in self.nodes if value in node.input]

    def give_up(self, value: str) -> str:
        """Takes the name ``value`` from the node that makes it, for another to make it."""
        for node in self.nodes:
            for place, name in enumerate(node.output):
                if name == value:
                    node.output[place] = self.new_name("unused")
        return value

    def rename(self, value: str, name: str) -> None:
        """Lets every node that uses ``value`` use ``name``."""
        for node in self.nodes:
            for place, used in enumerate(node.input):
                if used == value:
                    node.input[place] = name

    def _place(self, wanted: onnx.NodeProto) -> int:
        return next(place for place, node in enumerate(self.nodes) if node is wanted)

    def _prune(self) -> None:
        wanted, kept = set(self.outputs), []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                wanted.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]


def _widths(model: onnx.ModelProto) -> dict[str, int]:
    """N of every value that inference finds to be (B, N), B free."""
    graph = shape_inference.infer_shapes(model).graph
    found = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if (
            len(dimensions) == 2
            and not dimensions[0].HasField("dim_value")
            and dimensions[1].HasField("dim_value")
        ):
            found[value.name] = dimensions[1].dim_value
    return found
