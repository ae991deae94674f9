"""The step as it runs computes what the file's does, in fewer operations, whatever the cell is."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from step_models import LETTERS, Step, lstm, memory
from textgen.model_file import StateInfo
from textgen.runtime import affine
from textgen.runtime import tuned_step as tuning
from textgen.runtime.tuned_step import tuned_step

VOCABULARY = len(LETTERS)


def run(model, feed):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {i.name: feed[i.name] for i in session.get_inputs()})


def feed_for(model, batch, seed=0):
    random = np.random.default_rng(seed)
    feed = {"token": random.integers(0, VOCABULARY, batch)}
    for value in model.graph.input[1:]:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim[1:]]
        feed[value.name] = random.normal(0, 0.5, (batch, *shape)).astype(np.float32)
    return feed


def assert_same(model, rewritten, batch=3, seed=0):
    onnx.checker.check_model(rewritten, full_check=True)
    assert list(rewritten.graph.input) == list(model.graph.input)
    assert list(rewritten.graph.output) == list(model.graph.output)
    feed = feed_for(model, batch, seed)
    for got, wanted in zip(run(rewritten, feed), run(model, feed), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)


def kinds(model):
    return Counter(node.op_type for node in model.graph.node)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_an_lstm_becomes_one_product_a_layer(layers):
    model, _ = lstm(layers=layers)
    before = model.SerializeToString()
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    found = kinds(rewritten)
    assert found["Gemm"] == layers + 1  # the head's too
    assert found["Concat"] == layers - 1  # the first layer's input is looked up
    assert found["Sigmoid"] == layers  # three gates at once
    assert found["Gather"] == 1
    assert model.SerializeToString() == before


def test_what_is_no_sum_of_products_is_left_alone():
    model, _ = memory()
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    assert kinds(rewritten)["ReduceSum"] == 1


def test_constants_keep_their_shapes():
    """Gather drops an axis by a number, and keeps it by a vector of one."""
    step, size = Step(0), 4
    x = step.op("Gather", step.weight("embedding.weight", VOCABULARY, size), "token")
    total = step.op("Add", step.linear(x, "ih", size, 2 * size), "layer0.h")
    pairs = step.op("Reshape", total, step.constant("pairs", np.array([-1, size, 2])))
    first = step.op("Gather", pairs, step.constant("first", np.array(0)), axis=2)
    step.op("Concat", first, first, axis=1, to=["layer0.h.next"])
    step.linear(first, "head", size, VOCABULARY, to="logits")
    model = step.model([StateInfo("layer0.h", (2 * size,))], VOCABULARY)
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    found = {i.name: list(i.dims) for i in rewritten.graph.initializer}
    assert found["first"] == [] and found["pairs"] == [3]


def test_tables_that_would_be_too_large_are_not_made(monkeypatch):
    for module in (affine, tuning):
        monkeypatch.setattr(module, "LARGEST_TABLES", 100)
    model, _ = lstm(layers=1)
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    largest = max(np.prod(t.dims) for t in rewritten.graph.initializer)
    assert largest == (8 + 16) * 4 * 16  # [embedding, h] by the four gates


def test_a_cell_in_its_plainest_spelling_becomes_as_few_products():
    """Four gates of their own over [x, h], as in a textbook, make one product."""
    step = Step(0)
    x = step.op("Gather", step.weight("embedding.weight", VOCABULARY, 8), "token")
    h, c = "layer0.h", "layer0.c"
    both = step.op("Concat", x, h, axis=1)
    i, f, o = (step.op("Sigmoid", step.linear(both, name, 24, 16)) for name in "ifo")
    g = step.op("Tanh", step.linear(both, "g", 24, 16))
    kept, new = step.op("Mul", f, c), step.op("Mul", i, g)
    memory = step.op("Add", kept, new, to=["layer0.c.next"])
    y = step.op("Mul", o, step.op("Tanh", memory), to=["layer0.h.next"])
    step.linear(y, "head", 16, VOCABULARY, to="logits")
    model = step.model([StateInfo(h, (16,)), StateInfo(c, (16,))], VOCABULARY)
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    reference = tuned_step(lstm(layers=1)[0], VOCABULARY)
    assert kinds(rewritten) == kinds(reference)


@pytest.mark.parametrize("seed", range(150))
def test_random_graphs(seed):
    """Sums, products, splits and functions in any order, values used once or often."""
    model = random_step(seed)
    rewritten = tuned_step(model, VOCABULARY)
    for batch in (1, 4):
        assert_same(model, rewritten, batch, seed)
    assert len(rewritten.graph.node) <= len(model.graph.node) + 4


def random_step(seed):
    step, random = Step(seed), np.random.default_rng(seed)
    width = 4
    values = [
        step.op("Gather", step.weight("embedding.weight", VOCABULARY, width), "token"),
        "layer0.h",
        "layer0.m",
    ]

    def some():
        return values[random.integers(len(values))]

    for number in range(random.integers(3, 14)):
        kind = random.choice(["linear", "joined", "matmul", "add", "bias", "split", "f", "mul"])
        if kind == "linear":
            made = [step.linear(some(), f"w{number}", width, width)]
        elif kind == "joined":
            rows = step.op("Concat", some(), some(), axis=-1)
            made = [step.linear(rows, f"w{number}", 2 * width, width)]
        elif kind == "matmul":
            made = [step.op("MatMul", some(), step.weight(f"w{number}", width, width))]
        elif kind == "add":
            made = [step.op("Add", some(), some())]
        elif kind == "bias":
            made = [step.op("Add", step.weight(f"b{number}", width), some())]
        elif kind == "split":
            wide = step.linear(some(), f"w{number}", width, 2 * width)
            wide = step.op("Add", wide, step.linear(some(), f"v{number}", width, 2 * width))
            names = [f"s{number}.{part}" for part in range(2)]
            made = list(step.op("Split", wide, num_outputs=2, axis=1, to=names))
        elif kind == "f":
            made = [step.op(str(random.choice(["Sigmoid", "Tanh", "Neg"])), some())]
        else:
            made = [step.op("Mul", some(), step.op("Tanh", some()))]
        values += made
    step.op("Tanh", some(), to=["layer0.h.next"])
    step.op("Identity", some(), to=["layer0.m.next"])
    step.linear(some(), "head", width, VOCABULARY, to="logits")
    return step.model([StateInfo("layer0.h", (4,)), StateInfo("layer0.m", (4,))], VOCABULARY)


def test_a_one_hot_input_is_looked_up():
    step = Step(0)
    column = step.op("Unsqueeze", "token", step.constant("one", np.array([1])))
    symbols = step.constant("symbols", np.arange(VOCABULARY)[None, :])
    x = step.op("Cast", step.op("Equal", column, symbols), cast_to=TensorProto.FLOAT)
    both = step.op(
        "Add", step.linear(x, "ih", VOCABULARY, 16), step.linear("layer0.h", "hh", 16, 16)
    )
    y = step.op("Tanh", both, to=["layer0.h.next"])
    step.linear(y, "head", 16, VOCABULARY, to="logits")
    model = step.model([StateInfo("layer0.h", (16,))], VOCABULARY)
    rewritten = tuned_step(model, VOCABULARY)
    assert_same(model, rewritten)
    assert kinds(rewritten) == {"Gather": 1, "Gemm": 2, "Tanh": 1}


def test_names_it_adds_are_ours():
    model, _ = lstm(layers=2)
    theirs = {name for node in model.graph.node for name in (*node.input, *node.output)}
    for node in tuned_step(model, VOCABULARY).graph.node:
        for name in node.output:
            assert name in theirs or name.startswith("textgen/")
