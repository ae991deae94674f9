"""Weights of 4 bits: unpacked once, at load, to the whole numbers that int8 multiplies."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from awkward.cells import FastWeights, WideOutput
from textgen import model_file
from textgen.conformance.check_export import exported_model
from textgen.export.four_bits import unpacked
from textgen.export.int8_file import export_int8, in_int8
from textgen.registry import discover
from textgen.runtime.graph_editor import GraphEditor
from textgen.runtime.loop_graph import writing_loop
from textgen.runtime.model import Model
from textgen.runtime.tuned_step import tuned_step

REGISTRY = discover()
BUNDLED = [REGISTRY.load("cell", name) for name in ("lstm", "gru", "rnn")]
LARGEST = 63


@pytest.fixture(
    scope="module", params=[*BUNDLED, FastWeights, WideOutput], ids=lambda c: c.__name__
)
def file(request):
    plain, network = exported_model(request.param, hidden_size=24, embedding_size=20)
    return in_int8(plain, network, bits=4)


def run(model, feed):
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, feed)


def empty_graph():
    token = helper.make_tensor_value_info("token", TensorProto.INT64, ["batch"])
    found = helper.make_tensor_value_info("found", TensorProto.INT8, None)
    graph = helper.make_graph([], "weights", [token], [found])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def as_loaded(weight):
    """The whole numbers that become of ``weight``, and their scale."""
    graph = GraphEditor(empty_graph(), "test")
    scale = np.maximum(np.abs(weight).max(axis=0), 1e-30) / LARGEST
    nodes, name = unpacked(graph, weight, scale, LARGEST)
    graph.nodes += [*nodes, helper.make_node("Identity", [name], ["found"])]
    (found,) = run(graph.model(), {"token": np.zeros(1, np.int64)})
    stored = sum(value.nbytes for value in graph.constants.values())
    return found, scale, stored


@pytest.mark.parametrize("shape", [(1, 300), (16, 16), (17, 40), (31, 9), (256, 64)])
@pytest.mark.parametrize("kind", ["normal", "a few large", "zero columns", "one sign"])
def test_weights_are_as_near_as_their_group_allows(kind, shape):
    random = np.random.default_rng(shape[0])
    weight = random.standard_normal(shape).astype(np.float32)
    if kind == "a few large":
        weight[random.random(shape) < 0.02] *= 50
    elif kind == "zero columns":
        weight[:, ::3] = 0
    elif kind == "one sign":
        weight = np.abs(weight)
    found, scale, _ = as_loaded(weight)
    assert found.shape == shape and found.dtype == np.int8
    assert np.abs(found.astype(int)).max() <= LARGEST
    for first in range(0, len(weight), 16):
        group, whole = weight[first : first + 16], found[first : first + 16]
        # half a step of 15, of which the steps are 255ths wider at most, and half a whole number
        step = np.abs(group).max(axis=0) / 7 + scale * 9 / 255
        assert (np.abs(whole * scale - group) <= step / 2 + scale * 0.501).all()


def test_a_weight_takes_four_bits_and_a_half():
    weight = np.random.default_rng(0).standard_normal((512, 2048)).astype(np.float32)
    assert as_loaded(weight)[2] <= 4.5 / 8 * weight.size + 100


def test_nothing_is_unpacked_in_the_loop(file, tmp_path):
    """onnxruntime computes once, at load, what depends on constants alone."""
    step = file.graph()
    onnx.checker.check_model(step, full_check=True)
    assert {node.domain for node in step.graph.node} == {""}
    assert file.info.weights == "int4"
    assert "BitShift" in {node.op_type for node in step.graph.node}
    tuned = tuned_step(step, file.info.vocabulary.size)
    model = Model(file, None, lambda name: REGISTRY.load("sampler", name), provider="cpu")
    for graph in (tuned, writing_loop(tuned, file.info.states, model.chain())):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
        onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        loaded = onnx.load(tmp_path / "loaded.onnx").graph
        bodies = [a.g for node in loaded.node for a in node.attribute if a.HasField("g")]
        kinds = {node.op_type for part in (loaded, *bodies) for node in part.node}
        assert "Scan" in kinds or not bodies
        assert not kinds & {"BitShift", "BitwiseAnd", "Round", "Reshape"}


def test_rows_do_not_influence_each_other(file):
    random = np.random.default_rng(1)
    feed = {"token": random.integers(0, file.info.vocabulary.size, 16)}
    for state in file.info.states:
        feed[state.name] = np.tanh(random.normal(0, 1, (16, *state.shape))).astype(np.float32)
        feed[state.name][0] *= 50
    for model in (file.graph(), tuned_step(file.graph(), file.info.vocabulary.size)):
        together = run(model, feed)
        for row in range(16):
            alone = run(model, {name: value[row : row + 1] for name, value in feed.items()})
            for got, wanted in zip(alone, together, strict=True):
                np.testing.assert_array_equal(got[0], wanted[row])


@pytest.mark.parametrize("cell", [BUNDLED[0], BUNDLED[2]])
def test_a_file_of_usual_size_is_a_sixth(cell, tmp_path):
    file, network = exported_model(cell, hidden_size=256, layers=1, embedding_size=64)
    random = np.random.default_rng(0)
    texts = [random.integers(0, file.info.vocabulary.size, 100) for _ in range(4)]
    made = export_int8(network, file.info, tmp_path / "model.onnx", texts, bits=4)
    assert len(made.data) <= 0.18 * len(file.data)
    assert model_file.read(tmp_path / "model.onnx").info == made.info
    losses = made.info.losses
    assert losses["int4"]["symbols"] == losses["float32"]["symbols"] == 400
    assert losses["int4"]["nats"] == pytest.approx(losses["float32"]["nats"], rel=0.03)
    assert losses["int4"]["nats"] != losses["float32"]["nats"]


def test_what_logits_are_made_with_keeps_eight_bits(file):
    graph = file.graph().graph
    shapes = {t.name: list(t.dims) for t in graph.initializer if t.data_type == TensorProto.INT8}
    multiplied = {node.input[1] for node in graph.node if node.op_type == "MatMulInteger"}
    ((_, outputs),) = [shapes[name] for name in multiplied if name in shapes]
    assert outputs == file.info.vocabulary.size


def test_8_and_4_bits_at_once_are_refused(trained):
    import textgen
    from textgen.contracts.errors import UserError

    with pytest.raises(UserError, match="both"):
        textgen.export_run(trained.folder, int8=True, int4=True)
