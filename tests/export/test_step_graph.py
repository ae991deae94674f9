"""The step graph: what is in it, what is not, and that it computes what the network does."""

from __future__ import annotations

import functools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from awkward.cells import FastWeights, Leaky, LearnedStart, WideOutput
from textgen.conformance.check_export import exported_model
from textgen.contracts.cell import Cell
from textgen.contracts.errors import TextgenError
from textgen.export.exporter import parity
from textgen.export.step_graph import build_step_graph
from textgen.model_file import LARGEST
from textgen.registry import discover
from textgen.training.network import Network
from textgen.training.regularisation import Regularisation

REGISTRY = discover()
BUNDLED = {name: REGISTRY.load("cell", name) for name in REGISTRY.names("cell")}
AWKWARD = {cell.__name__: cell for cell in (FastWeights, WideOutput, LearnedStart, Leaky)}
CELLS = {**BUNDLED, **AWKWARD}
EVERY_CELL = pytest.mark.parametrize("name", CELLS)
BOTH_INPUTS = pytest.mark.parametrize("embedding_size", [6, 0], ids=["embedding", "one-hot"])


@functools.cache
def exported(name, embedding_size):
    return exported_model(CELLS[name], embedding_size=embedding_size)


def network_of(cell, **sizes):
    return Network(cell, 11, **{"hidden_size": 8, "embedding_size": 6, **sizes})


def session_of(data):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@EVERY_CELL
@BOTH_INPUTS
def test_interface_is_token_and_states(name, embedding_size):
    file, network = exported(name, embedding_size)
    states = network.state_shapes()
    session = session_of(file.data)
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    outputs = {value.name: (value.type, value.shape) for value in session.get_outputs()}
    assert inputs == {
        "token": ("tensor(int64)", ["batch"]),
        **{s: ("tensor(float)", ["batch", *shape]) for s, shape in states.items()},
    }
    assert outputs == {
        "logits": ("tensor(float)", ["batch", 11]),
        **{f"{s}.next": ("tensor(float)", ["batch", *shape]) for s, shape in states.items()},
    }
    assert list(inputs)[1:] == list(states)
    assert list(outputs)[1:] == [f"{state}.next" for state in states]


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True), unique=True), st.integers(0))
def test_sorted_states_pair_up(names, layer):
    """Some servers pair states by their sorted names."""
    before = [f"layer{layer}.{name}" for name in names]
    after = [f"{name}.next" for name in before]
    assert [f"{name}.next" for name in sorted(before)] == sorted(after)


@EVERY_CELL
@BOTH_INPUTS
def test_parameters_are_unfolded_under_their_torch_names(name, embedding_size):
    file, network = exported(name, embedding_size)
    found = {
        tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph().graph.initializer
    }
    for parameter_name, parameter in network.named_parameters():
        values = found.pop(parameter_name)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, parameter.detach().numpy())
    assert all(constant.startswith("constant_") for constant in found)


@EVERY_CELL
@BOTH_INPUTS
def test_nothing_is_in_it_but_what_runs(name, embedding_size):
    model = exported(name, embedding_size)[0].graph()
    graph = model.graph
    assert model.ir_version == 10
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 20)]
    assert not model.functions and not model.doc_string and not graph.doc_string
    assert [entry.key for entry in model.metadata_props] == ["textgen", "textgen.sha256"]
    assert not graph.value_info and not graph.metadata_props and not graph.sparse_initializer
    parts = [*graph.node, *graph.initializer, *graph.input, *graph.output]
    assert not any(part.doc_string or part.metadata_props for part in parts)
    standard = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
    assert {node.op_type for node in graph.node} <= standard - {"If", "Loop", "Scan", "Dropout"}
    assert len({node.name for node in graph.node}) == len(graph.node)
    assert not any(tensor.external_data for tensor in graph.initializer)
    used = {name for node in graph.node for name in node.input} | set(file_outputs(graph))
    spare = {tensor.name for tensor in graph.initializer} - used
    assert all(
        name.endswith(".start") for name in spare
    )  # the initial state, not the step, uses it


def file_outputs(graph):
    return [value.name for value in graph.output]


@pytest.mark.parametrize("name", BUNDLED)
@BOTH_INPUTS
def test_bundled_products_have_constant_weights(name, embedding_size):
    """Then a row alone is bit for bit the row among others."""
    graph = exported(name, embedding_size)[0].graph().graph
    constants = {tensor.name for tensor in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")]
    assert products
    assert all(node.input[1] in constants for node in products)


@EVERY_CELL
def test_the_same_weights_give_the_same_bytes(name):
    file, network = exported(name, 6)
    again = build_step_graph(network).SerializeToString(deterministic=True)
    assert file.data.startswith(again)
    with torch.no_grad():
        changed = Network(CELLS[name], 11, hidden_size=8, layers=2, embedding_size=6)
        changed.load_state_dict(network.state_dict())
        changed.head.bias[0] += 1
    assert build_step_graph(changed).SerializeToString(deterministic=True) != again


@EVERY_CELL
@BOTH_INPUTS
def test_the_reference_evaluator_agrees(name, embedding_size):
    file, network = exported(name, embedding_size)
    evaluator = ReferenceEvaluator(file.graph())
    tokens = torch.randint(0, 11, (6, 3), generator=torch.Generator().manual_seed(1))
    ours = {state.name: state.array(3) for state in file.info.states}
    theirs = network.initial_state(3)
    for token in tokens:
        logits, *following = evaluator.run(None, {"token": token.numpy(), **ours})
        ours = dict(zip(ours, following, strict=True))
        with torch.no_grad():
            expected, theirs = network.step(token, theirs)
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@EVERY_CELL
@BOTH_INPUTS
def test_split_is_whole(name, embedding_size):
    """A text read by torch's scan, and the same text read in parts of uneven length by either side,
    the state handed from one to the other."""
    file, network = exported(name, embedding_size)
    tokens = torch.randint(0, 11, (37, 5), generator=torch.Generator().manual_seed(2))
    session = session_of(file.data)
    with torch.no_grad():
        whole, last = network.scan(tokens, network.initial_state(5))
        state = network.initial_state(5)
        found = []
        for part, (start, end) in enumerate([(0, 1), (1, 8), (8, 21), (21, 22), (22, 37)]):
            if part % 2:
                logits, state = network.scan(tokens[start:end], state)
                found.append(logits.numpy())
                continue
            for token in tokens[start:end]:
                feed = dict(zip(network.state_shapes(), (s.numpy() for s in state), strict=True))
                logits, *following = session.run(None, {"token": token.numpy(), **feed})
                state = tuple(map(torch.from_numpy, following))
                found.append(logits[None])
    np.testing.assert_allclose(np.concatenate(found), whole, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(state, last, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(
    name=st.sampled_from(sorted(CELLS)),
    layers=st.integers(1, 3),
    hidden_size=st.integers(1, 9),
    vocabulary_size=st.integers(2, 300),
    embedding_size=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_any_size_exports(name, **sizes):
    """Sizes of 1 and those that equal the exporter's example batch are among them."""
    file, network = exported_model(CELLS[name], **sizes)
    for batch in (1, 3, 8, 16):
        assert parity(network, file.info, file.data, batch, steps=12).holds


class _Handed(Cell):
    """States that are handed on unchanged, given out twice, not read, or not learnt; a buffer; two
    parameters that are equal; one that is not used."""

    def __init__(self, layer):
        super().__init__(layer)
        self.into = nn.Linear(layer.input_size, layer.hidden_size)
        self.register_buffer("decay", torch.linspace(0.1, 0.9, layer.hidden_size))
        self.first = nn.Parameter(torch.zeros(layer.hidden_size))
        self.second = nn.Parameter(torch.zeros(layer.hidden_size))
        self.spare = nn.Parameter(torch.ones(2, 3))

    def state_shapes(self):
        size = self.layer.hidden_size
        return {"h": (size,), "twice": (size,), "kept": (2, 3), "cleared": (4,)}

    def initial_state(self, batch_size):
        h, twice, kept, cleared = super().initial_state(batch_size)
        return h + 0.5, twice, kept + torch.arange(3.0), cleared

    def step(self, x, state):
        h, twice, kept, cleared = state
        h = torch.tanh(self.into(x) + self.decay * h - twice + self.first + self.second)
        return h, (h, h, kept, torch.zeros_like(cleared))


@BOTH_INPUTS
def test_states_that_are_not_computed(embedding_size):
    file, network = exported_model(_Handed, embedding_size=embedding_size)
    assert [state.initial for state in file.info.states[:4]] == [
        0.5,
        0.0,
        [[0.0, 1.0, 2.0], [0.0, 1.0, 2.0]],
        0.0,
    ]
    for batch in (1, 3, 8):
        assert parity(network, file.info, file.data, batch).holds
    names = {tensor.name for tensor in file.graph().graph.initializer}
    assert {f"cells.{i}.{p}" for i in (0, 1) for p in ("first", "second", "spare")} <= names


class _Stateful(LearnedStart):
    def step(self, x, state):
        y, following = super().step(x, state)
        return self.changed(y, x), following


class _Random(_Stateful):
    def changed(self, y, x):
        return y + torch.rand_like(y)


class _Branching(_Stateful):
    def changed(self, y, x):
        return y if x.sum() > 0 else -y


class _Subgraph(_Stateful):
    def changed(self, y, x):
        return torch.cond(x.sum() > 0, lambda a: a + 1, lambda a: a - 1, (y,))


class _Untranslatable(_Stateful):
    def changed(self, y, x):
        return y @ torch.linalg.matrix_exp(self.mix)


class _Raising(_Stateful):
    def changed(self, y, x):
        raise ValueError("heads must divide the hidden size")


class _Lying(LearnedStart):
    def step(self, x, state):
        y, (h,) = super().step(x, state)
        return y, (torch.cat([h, h], dim=1),)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (_Random, "random"),
        (_Branching, "could not be exported"),
        (_Subgraph, "branch or loop"),
        (_Untranslatable, "matrix_exp"),
        (_Raising, "heads must divide"),
        (_Lying, "does not hold together"),
    ],
)
def test_what_cannot_be_exported_says_why(cell, message):
    with pytest.raises(TextgenError, match=message) as caught:
        build_step_graph(network_of(cell))
    assert caught.value.remedy
    assert "\n" not in caught.value.problem


def test_a_network_too_large_for_one_file_is_refused_at_once():
    with torch.device("meta"):  # shapes alone, no memory
        network = network_of(BUNDLED["lstm"], hidden_size=8_000, layers=1)
    assert sum(p.numel() * 4 for p in network.parameters()) < LARGEST
    with torch.device("meta"):
        network = network_of(BUNDLED["lstm"], hidden_size=8_000, layers=2)
    with pytest.raises(TextgenError, match="one file can hold"):
        build_step_graph(network)


def test_the_network_is_left_as_it_was():
    network = network_of(BUNDLED["gru"], regularisation=Regularisation(dropout=0.5)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    build_step_graph(network)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
