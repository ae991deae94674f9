"""Small step graphs written by hand, so that the runtime is tested without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from textgen import model_file
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import ModelFile, ModelInfo, StateInfo
from textgen.registry import discover
from textgen.runtime.model import Model

LETTERS = (b"", *(bytes([code]) for code in b"abcdefghij .\n"))
BYTES = (b"", *(bytes([code]) for code in range(256)))


class Step:
    """Nodes and initializers of a step graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int, scale: float = 1.0) -> str:
        values = self.random.normal(0, scale / np.sqrt(shape[-1]), shape).astype(np.float32)
        return self.constant(name, values)

    def constant(self, name: str, values: np.ndarray) -> str:
        self.initializers.append(numpy_helper.from_array(values, name))
        return name

    def op(
        self, kind: str, *inputs: str, to: Sequence[str] = (), cast_to: int = 0, **attributes: Any
    ) -> Any:
        if cast_to:
            attributes["to"] = cast_to
        names = list(to) or [f"{kind}_{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if len(names) == 1 else names

    def linear(self, x: str, name: str, inputs: int, outputs: int, to: str = "") -> str:
        weight = self.weight(f"{name}.weight", outputs, inputs, scale=2.0)
        bias = self.weight(f"{name}.bias", outputs)
        return self.op("Gemm", x, weight, bias, transB=1, to=[to] if to else ())

    def model(self, states: Sequence[StateInfo], vocabulary: int) -> onnx.ModelProto:
        def value(name: str, kind: int, *shape: int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, ["batch", *shape])

        inputs = [value("token", TensorProto.INT64)]
        inputs += [value(s.name, TensorProto.FLOAT, *s.shape) for s in states]
        outputs = [value("logits", TensorProto.FLOAT, vocabulary)]
        outputs += [value(f"{s.name}.next", TensorProto.FLOAT, *s.shape) for s in states]
        graph = helper.make_graph(self.nodes, "step", inputs, outputs, self.initializers)
        opsets = [helper.make_opsetid("", model_file.OPSET)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def lstm(
    *,
    layers: int = 1,
    hidden: int = 16,
    embedding: int = 8,
    symbols: tuple[bytes, ...] = LETTERS,
    documents: str = "files",
    seed: int = 0,
) -> tuple[onnx.ModelProto, ModelInfo]:
    """A random stacked LSTM."""
    step = Step(seed)
    x = step.op("Gather", step.weight("embedding.weight", len(symbols), embedding), "token")
    size, states = embedding, []
    for layer in range(layers):
        h, c = f"layer{layer}.h", f"layer{layer}.c"
        gates = step.op(
            "Add",
            step.linear(x, f"cells.{layer}.ih", size, 4 * hidden),
            step.linear(h, f"cells.{layer}.hh", hidden, 4 * hidden),
        )
        names = [f"{gate}{layer}" for gate in "ifgo"]
        i, f, g, o = step.op("Split", gates, num_outputs=4, axis=1, to=names)
        kept = step.op("Mul", step.op("Sigmoid", f), c)
        new = step.op("Mul", step.op("Sigmoid", i), step.op("Tanh", g))
        memory = step.op("Add", kept, new, to=[f"{c}.next"])
        x = step.op("Mul", step.op("Sigmoid", o), step.op("Tanh", memory), to=[f"{h}.next"])
        states += [StateInfo(h, (hidden,)), StateInfo(c, (hidden,))]
        size = hidden
    step.linear(x, "head", hidden, len(symbols), to="logits")
    return step.model(states, len(symbols)), _info("lstm", hidden, states, symbols, documents)


def memory(
    *,
    hidden: int = 6,
    symbols: tuple[bytes, ...] = LETTERS,
    documents: str = "files",
    seed: int = 0,
) -> tuple[onnx.ModelProto, ModelInfo]:
    """A tanh cell with a learned initial state and a matrix beside it that fades."""
    step = Step(seed)
    x = step.op("Gather", step.weight("embedding.weight", len(symbols), hidden), "token")
    one, two = step.constant("one", np.array([1])), step.constant("two", np.array([2]))
    fade = step.constant("fade", np.array(0.9, np.float32))
    column = step.op("Unsqueeze", "layer0.h", two)
    read = step.op("ReduceSum", step.op("Mul", "layer0.m", column), one, keepdims=0)
    total = step.op("Add", step.linear(x, "cells.0.ih", hidden, hidden), read)
    total = step.op("Add", total, step.linear("layer0.h", "cells.0.hh", hidden, hidden))
    h = step.op("Tanh", total, to=["layer0.h.next"])
    outer = step.op("Mul", column, step.op("Unsqueeze", h, one))
    step.op("Add", step.op("Mul", "layer0.m", fade), outer, to=["layer0.m.next"])
    step.linear(h, "head", hidden, len(symbols), to="logits")
    learned = step.random.normal(0, 1, hidden).astype(np.float32).tolist()
    states = [StateInfo("layer0.h", (hidden,), learned), StateInfo("layer0.m", (hidden, hidden))]
    return step.model(states, len(symbols)), _info("memory", hidden, states, symbols, documents)


def sealed(made: tuple[onnx.ModelProto, ModelInfo]) -> ModelFile:
    """The model file, in memory."""
    return model_file.parse(model_file.seal(*made))


def loaded(made: tuple[onnx.ModelProto, ModelInfo], **options: Any) -> Model:
    """The model, with the registered samplers and no tokenizer plugin."""
    registry = discover()
    return Model(sealed(made), None, lambda name: registry.load("sampler", name), **options)


def _info(
    cell: str, hidden: int, states: Sequence[StateInfo], symbols: tuple[bytes, ...], documents: str
) -> ModelInfo:
    return ModelInfo(
        cell=cell,
        cell_distribution="textgen-toolkit",
        cell_options={},
        input="embedding",
        embedding_size=hidden,
        hidden_size=hidden,
        layers=1,
        states=tuple(states),
        vocabulary=Vocabulary(symbols, 0),
        tokenizer="characters",
        tokenizer_distribution="textgen-toolkit",
        tokenizer_data={},
        documents=documents,
        split={"kind": "tail"},
        corpus={"name": "letters", "sha256": "0" * 64, "licence": "CC0-1.0"},
        losses={},
        training={"steps": 0},
        toolkit="0",
    )
