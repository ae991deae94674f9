"""Int8: exact sums of whole numbers, rows apart from each other, a quarter of the size."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from awkward.cells import FastWeights, LearnedStart, WideOutput
from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.export.int8_file import export_int8, in_int8, output_bounds
from textgen.registry import discover
from textgen.runtime.tuned_step import tuned_step

REGISTRY = discover()
BUNDLED = [REGISTRY.load("cell", name) for name in ("lstm", "gru", "rnn")]
CELLS = [*BUNDLED, FastWeights, LearnedStart, WideOutput]


def named(cell):
    return cell.__name__


@pytest.fixture(scope="module", params=CELLS, ids=named)
def pair(request):
    file, network = exported_model(request.param, hidden_size=24, embedding_size=20)
    return file, in_int8(file, network)


def run(model, feed):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def feed_for(file, batch):
    random = np.random.default_rng(batch)
    feed = {"token": random.integers(0, file.info.vocabulary.size, batch)}
    for state in file.info.states:
        feed[state.name] = np.tanh(random.normal(0, 1, (batch, *state.shape))).astype(np.float32)
    return feed


def test_it_computes_nearly_the_same(pair):
    plain, whole = pair
    feed = feed_for(plain, 16)
    for got, wanted in zip(run(whole.graph(), feed), run(plain.graph(), feed), strict=True):
        assert np.abs(got - wanted).max() <= 0.06 * max(1.0, np.abs(wanted).max())


def test_rows_do_not_influence_each_other(pair):
    """One scale over a batch would: the same text would differ in other company."""
    _, whole = pair
    feed = feed_for(whole, 16)
    for state in whole.info.states:
        feed[state.name][0] *= 50  # what a scale for all would follow
    for model in (whole.graph(), tuned_step(whole.graph(), whole.info.vocabulary.size)):
        together = run(model, feed)
        for row in range(16):
            alone = run(model, {name: value[row : row + 1] for name, value in feed.items()})
            for got, wanted in zip(alone, together, strict=True):
                np.testing.assert_array_equal(got[0], wanted[row])


def test_the_file_says_so_and_holds_standard_operators_only(pair):
    plain, whole = pair
    assert (plain.info.weights, whole.info.weights) == ("float32", "int8")
    graph = whole.graph()
    onnx.checker.check_model(graph, full_check=True)
    assert {node.domain for node in graph.graph.node} == {""}
    kinds = {tensor.data_type for tensor in graph.graph.initializer}
    assert TensorProto.INT8 in kinds
    assert [v.name for v in graph.graph.output] == [v.name for v in plain.graph().graph.output]


def test_pairs_of_products_fit_into_16_bits(pair):
    """Or processors without VNNI would cut them off, and find other sums."""
    graph = pair[1].graph().graph
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
    weights = [numpy_helper.to_array(t) for t in graph.initializer if t.name in multiplied]
    assert weights
    for weight in weights:
        assert weight.dtype == np.int8
        assert 2 * 255 * np.abs(weight.astype(int)).max() < 2**15


@pytest.mark.parametrize("cell", BUNDLED, ids=named)
def test_a_file_of_usual_size_is_a_quarter(cell, tmp_path):
    file, network = exported_model(cell, hidden_size=256, layers=1, embedding_size=64)
    random = np.random.default_rng(0)
    texts = [random.integers(0, file.info.vocabulary.size, 100) for _ in range(4)]
    path = tmp_path / "model.onnx"
    made = export_int8(network, file.info, path, texts)
    assert len(made.data) <= 0.3 * len(file.data)
    assert model_file.read(path).info == made.info
    losses = made.info.losses
    assert losses["int8"]["symbols"] == losses["float32"]["symbols"] == 400
    assert losses["int8"]["nats"] == pytest.approx(losses["float32"]["nats"], rel=0.005)
    assert losses["int8"]["nats"] != losses["float32"]["nats"]


def test_a_cell_s_bound_holds_for_the_states_that_are_its_output():
    _, network = exported_model(REGISTRY.load("cell", "lstm"))
    names = ("layer0.h", "layer0.h.next", "layer1.h", "layer1.h.next")
    assert output_bounds(network) == dict.fromkeys(names, 1.0)  # not the memory c
    assert output_bounds(exported_model(WideOutput)[1]) == {}


def test_an_empty_validation_text_is_no_reason_not_to(tmp_path):
    file, network = exported_model(REGISTRY.load("cell", "rnn"))
    assert export_int8(network, file.info, tmp_path / "model.onnx", []).info.losses == {}
