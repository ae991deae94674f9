"""Operators that several graph forms are written with."""

from __future__ import annotations

import numpy as np

from textgen.contracts.sampler import Graph

FLOAT, INT64 = 1, 7
"""The numbers that ONNX gives to these types."""


def scalar(graph: Graph, value: float) -> str:
    """A constant float32 scalar."""
    return graph.constant(np.array(value, np.float32))


def integers(graph: Graph, *values: int) -> str:
    """A constant int64 vector."""
    return graph.constant(np.array(values, np.int64))


def highest(graph: Graph, values: str) -> str:
    """The largest of each row, (B, 1)."""
    return graph.op("ReduceMax", values, integers(graph, 1), keepdims=1)


def columns(graph: Graph, values: str, start: int, end: int | None = None) -> str:
    """The columns ``values[:, start:end]``."""
    stop = np.iinfo(np.int64).max if end is None else end
    one = integers(graph, 1)
    return graph.op("Slice", values, integers(graph, start), integers(graph, stop), one)


def as_column(graph: Graph, values: str) -> str:
    """(B,) as (B, 1)."""
    return graph.op("Unsqueeze", values, integers(graph, 1))


def as_float(graph: Graph, values: str) -> str:
    """Whole numbers or truths as float32."""
    return graph.op("Cast", values, to=FLOAT)
