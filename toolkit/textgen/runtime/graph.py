"""Writes ONNX graphs: the ``Graph`` that samplers get, and the core's own loop is made with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from textgen.runtime.names import PREFIX


class GraphBuilder:
    """Nodes and constants in the order they are asked for. Implements ``contracts.sampler.Graph``.

    ``scope`` tells the names of one graph from those of another it is nested in. Where the graph is
    a loop's body, ``outside`` is the graph around it and ``unchanging`` are values there: what is
    made of those alone is made there, once and not in every turn.
    """

    def __init__(
        self,
        scope: str = "",
        *,
        outside: GraphBuilder | None = None,
        unchanging: Iterable[str] = (),
    ) -> None:
        self._scope = f"{PREFIX}{scope}"
        self._outside = outside
        self._unchanging = set(unchanging)
        self.nodes: list[onnx.NodeProto] = []
        self._values: dict[str, np.ndarray] = {}
        self._constants: dict[tuple[bytes, str, tuple[int, ...]], str] = {}

    def op(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one output and returns its name."""
        return self.ops(op_type, *inputs, outputs=1, **attributes)[0]

    def ops(self, op_type: str, *inputs: str, outputs: int, **attributes: Any) -> tuple[str, ...]:
        """Adds a node with several outputs and returns their names."""
        if self._outside and self._unchanging.intersection(inputs):
            values = self._values
            if all(name in self._unchanging or name in values or not name for name in inputs):
                given = [self._outside.constant(values[n]) if n in values else n for n in inputs]
                made = self._outside.ops(op_type, *given, outputs=outputs, **attributes)
                self._unchanging.update(made)
                return made
        name = f"{self._scope}{op_type}_{len(self.nodes)}"
        names = tuple(f"{name}.{i}" for i in range(outputs))
        self.nodes.append(helper.make_node(op_type, list(inputs), names, name=name, **attributes))
        return names

    def constant(self, value: np.ndarray) -> str:
        """The name of a constant; equal ones are stored once."""
        key = (value.tobytes(), str(value.dtype), value.shape)
        if key not in self._constants:
            name = f"{self._scope}constant_{len(self._constants)}"
            self._values[name] = np.asarray(value, order="C")
            self._constants[key] = name
        return self._constants[key]

    @property
    def initializers(self) -> list[onnx.TensorProto]:
        """The constants."""
        return [numpy_helper.from_array(value, name) for name, value in self._values.items()]

    def rename(self, value: str, name: str) -> None:
        """Gives ``value`` a second name, under which it can be an output."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"{name}/named"))

    def integers(self, *values: int) -> str:
        """A constant int64 vector."""
        return self.constant(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """A constant float32 scalar."""
        return self.constant(np.array(value, np.float32))


def tensor(name: str, dtype: Any, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    """An input or output of a graph; a word in ``shape`` names a free dimension."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, list(shape))
