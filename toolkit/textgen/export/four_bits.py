"""Weights of 4 bits: half a byte each in the file, and int8 as soon as it is loaded.

K and N a product's inputs and outputs. Of each column every 16 weights have a scale of their own
(block-wise: Dettmers et al., arXiv 2110.02861), which is a whole number itself (as in QLoRA, arXiv
2305.14314): 4.5 bits a weight. What they are unpacked to are whole numbers of 7 bits with one scale
a column, as int8 files hold. So everything that is promised of those holds, sums are as exact and
as fast: onnxruntime computes once, at load, what depends on constants alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from textgen.runtime.graph_editor import GraphEditor

_GROUP = 16
_LARGEST = 7
_ZERO = 8
"""What stands for 0 in half a byte."""

_FINEST = 255
_INT8, _FLOAT = onnx.TensorProto.INT8, onnx.TensorProto.FLOAT


def unpacked(
    graph: GraphEditor, weight: np.ndarray, scale: np.ndarray, largest: int
) -> tuple[list[onnx.NodeProto], str]:
    """``weight`` (K, N) in 4 bits: the nodes that make int8 of it, (K, N), and its name there.

    ``scale`` (N,) is that of each column's whole numbers, which are ``largest`` at most.
    """
    inputs, outputs = weight.shape
    groups = -(-inputs // _GROUP)
    whole = np.zeros((groups * _GROUP, outputs), np.float32)
    whole[:inputs] = weight / scale
    whole = whole.reshape(groups, _GROUP, outputs)
    unit = np.float32(largest / _LARGEST / _FINEST)
    units = np.ceil(np.abs(whole).max(axis=1, keepdims=True) / (_LARGEST * unit))
    units = np.clip(units, 1, _FINEST)
    numbers = np.rint(whole / (units * unit)).astype(np.int8) + _ZERO
    low, high = np.split(numbers.astype(np.uint8), 2, axis=1)
    nodes: list[onnx.NodeProto] = []

    def op(kind: str, *names: str, **attributes: Any) -> str:
        nodes.append(graph.node(kind, *names, **attributes))
        name: str = nodes[-1].output[0]
        return name

    def constant(value: Any, dtype: Any) -> str:
        return graph.constant(np.array(value, dtype))

    packed = graph.constant(low | high << 4)
    low_half = op("BitwiseAnd", packed, constant(15, np.uint8))
    high_half = op("BitShift", packed, constant(4, np.uint8), direction="RIGHT")
    number = op("Cast", op("Concat", low_half, high_half, axis=1), to=_FLOAT)
    number = op("Sub", number, constant(_ZERO, np.float32))
    group_units = op("Cast", graph.constant(units.astype(np.uint8)), to=_FLOAT)
    number = op("Mul", op("Mul", number, group_units), constant(unit, np.float32))
    number = op("Reshape", number, constant([groups * _GROUP, outputs], np.int64))
    ends = [constant([end], np.int64) for end in (0, inputs, 0)]
    number = op("Slice", number, *ends)
    return nodes, op("Cast", op("Round", number), to=_INT8)
