"""The model file: what it says, that damage is found, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from step_models import LETTERS, lstm, memory
from textgen import model_file
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import StateInfo

DATA = model_file.seal(*memory(hidden=2, symbols=LETTERS[:3]))


def test_it_says_what_was_written(tmp_path):
    graph, info = memory()
    odd = (b"", b"\xff", "\u00e9".encode(), b"\xc3", *(bytes([code]) for code in range(11)))
    info = dataclasses.replace(info, vocabulary=Vocabulary(odd[: len(LETTERS)], 0))
    path = tmp_path / "model.onnx"
    written = model_file.write(path, model_file.seal(graph, info))
    found = model_file.read(path)
    assert found.info == info == written.info
    assert found.digest == written.digest
    assert found.path == path
    assert found.graph().graph == graph.graph


def test_what_it_replaces_is_kept_and_may_be_missing():
    graph, info = lstm()
    rules = ((r"\d+", "0"), ("\ud800(x)", r"\1"))
    info = dataclasses.replace(info, replacements=rules)
    assert model_file.parse(model_file.seal(graph, info)).info == info
    older = json.loads(info.to_json())
    del older["replacements"]
    found = model_file.ModelInfo.from_json(json.dumps(older))
    assert found == dataclasses.replace(info, replacements=())


@pytest.mark.parametrize("rules", [[("(", "x")], [("a", r"\1")], [("a", 1)], [("a",)], [3], 7])
def test_what_it_replaces_must_be_readable(rules):
    graph, info = lstm()
    damaged = model_file.seal(graph, dataclasses.replace(info, replacements=rules))
    with pytest.raises(UserError, match="says of itself cannot be read"):
        model_file.parse(damaged)


def test_the_digest_is_the_last_field_and_covers_all_before_it():
    entry = onnx.load_from_string(DATA).metadata_props[-1]
    assert entry.key == "textgen.sha256"
    single = onnx.ModelProto()
    single.metadata_props.append(entry)
    tail = single.SerializeToString()
    assert DATA.endswith(tail)
    assert entry.value == hashlib.sha256(DATA[: -len(tail)]).hexdigest()
    assert model_file.parse(DATA).digest == entry.value


def test_others_load_it(tmp_path):
    path = tmp_path / "model.onnx"
    model_file.write(path, model_file.seal(*lstm(layers=2)))
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    states = {s.name: s.array(3) for s in model_file.read(path).info.states}
    logits, *following = session.run(None, {"token": np.zeros(3, np.int64), **states})
    assert logits.shape == (3, len(LETTERS))
    assert len(following) == 4


def test_every_single_bit_flip_is_found():
    for position in range(len(DATA)):
        for bit in range(8):
            damaged = bytearray(DATA)
            damaged[position] ^= 1 << bit
            with pytest.raises(UserError, match="is damaged"):
                model_file.parse(bytes(damaged))


def test_every_cut_is_found():
    for length in range(len(DATA)):
        with pytest.raises(UserError, match=r"damaged|empty|not an ONNX file|not a model"):
            model_file.parse(DATA[:length])
    with pytest.raises(UserError, match="damaged"):
        model_file.parse(DATA[: len(DATA) // 2])


@settings(max_examples=300, deadline=None)
@given(st.binary(min_size=1, max_size=200), st.integers(0, len(DATA)))
def test_every_added_byte_is_found(added, place):
    with pytest.raises(UserError):
        model_file.parse(DATA[:place] + added + DATA[place:])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data):
    with pytest.raises(UserError):
        model_file.parse(data)


def test_damage_is_found_before_anything_parses(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(DATA[:-1] + b"!")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from textgen import model_file\n"
        "from textgen.contracts.errors import UserError\n"
        "try:\n    model_file.read(Path(sys.argv[1]))\n"
        "except UserError as error:\n    print(error.problem)\n"
        "print(sorted({'onnx', 'onnxruntime', 'torch'} & set(sys.modules)))\n"
    )
    run = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert "damaged" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("First Citizen:\n")
    for name, words in {
        "missing.onnx": "could not be read",
        ".": "not a file",
        "empty.onnx": "is empty",
        "text.onnx": "not an ONNX file",
        "nul\0.onnx": "could not be read",
    }.items():
        with pytest.raises(UserError, match=words) as caught:
            model_file.read(tmp_path / name)
        assert caught.value.remedy


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_device_is_not_read_without_end():
    with pytest.raises(UserError, match="not a file"):
        model_file.read(Path("/dev/zero"))


def test_a_foreign_model_is_refused():
    graph, _ = lstm()
    with pytest.raises(UserError, match="not a model of textgen"):
        model_file.parse(graph.SerializeToString())


def test_the_producer_of_a_foreign_graph_is_replaced():
    graph, info = lstm()
    graph.producer_name = "somebody"
    graph.metadata_props.add(key="host", value="workstation")
    found = model_file.parse(model_file.seal(graph, info)).graph()
    assert found.producer_name == "textgen"
    assert [entry.key for entry in found.metadata_props] == ["textgen", "textgen.sha256"]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.onnx"
    model_file.write(path, DATA)
    with pytest.raises(UserError):
        model_file.write(path, DATA[:-1])
    assert path.read_bytes() == DATA


def test_paths_become_base_names():
    graph, info = lstm()
    info = dataclasses.replace(
        info,
        corpus={"name": "/home/somebody/texts/letters.txt", "sha256": "0", "licence": "CC0"},
        training={"files": ["C:\\Users\\somebody\\a.txt", "~/b.txt", "and/or", 3]},
    )
    found = model_file.parse(model_file.seal(graph, info)).info
    assert found.corpus["name"] == "letters.txt"
    assert found.training["files"] == ["a.txt", "b.txt", "and/or", 3]


def external_weight(graph):
    tensor = graph.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")


def external_constant(graph):
    tensor = TensorProto(name="c", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    graph.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def loop(graph):
    body = helper.make_graph([], "body", [], [])
    graph.graph.node.append(helper.make_node("Loop", ["n", "go"], ["x"], body=body))


def foreign_node(graph):
    graph.graph.node.append(helper.make_node("Evil", [], ["x"], domain="com.example"))


def foreign_opset(graph):
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def function(graph):
    graph.functions.add(name="f", domain="local")


def training(graph):
    graph.training_info.add()


def other_name(graph):
    graph.graph.input[1].name = "hidden"


def missing_state(graph):
    del graph.graph.output[-1]


def other_order(graph):
    first, second = graph.graph.input[1].name, graph.graph.input[2].name
    graph.graph.input[1].name, graph.graph.input[2].name = second, first


def other_type(graph):
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.INT32


def other_size(graph):
    graph.graph.input[1].type.tensor_type.shape.dim[1].dim_value += 1


def other_vocabulary(graph):
    graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value += 1


def fixed_batch(graph):
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_weight, "other files"),
        (external_constant, "other files"),
        (loop, "graph in a graph"),
        (foreign_node, "com.example"),
        (foreign_opset, "com.microsoft"),
        (function, "functions"),
        (training, "functions"),
        (other_name, "inputs and outputs"),
        (missing_state, "inputs and outputs"),
        (other_order, "inputs and outputs"),
        (other_type, "inputs and outputs"),
        (other_size, "inputs and outputs"),
        (other_vocabulary, "inputs and outputs"),
        (fixed_batch, "inputs and outputs"),
    ],
)
def test_graphs_that_are_refused(change, words):
    graph, info = lstm()
    change(graph)
    with pytest.raises(UserError, match=words):
        model_file.parse(model_file.seal(graph, info))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": model_file.FORMAT + 1}, "newer textgen"),
        ({"format": "one"}, "cannot be read"),
        ({"vocabulary": Vocabulary(LETTERS, 1)}, "cannot be read"),
        ({"vocabulary": Vocabulary(LETTERS, 99)}, "cannot be read"),
        ({"states": (StateInfo("layer0.h", (16,), [1.0, 2.0]),)}, "cannot be read"),
        ({"states": ()}, "inputs and outputs"),
    ],
)
def test_metadata_that_is_refused(changes, words):
    graph, info = lstm()
    with pytest.raises(UserError, match=words):
        model_file.parse(model_file.seal(graph, dataclasses.replace(info, **changes)))


def test_a_field_of_a_later_version_is_left_out():
    _, info = lstm()
    text = info.to_json()
    assert model_file.ModelInfo.from_json(text[:-1] + ', "later": [1]}') == info
    assert text.isascii()


def test_initial_states_fill_a_batch():
    assert StateInfo("h", (2,), 0.5).array(3).tolist() == [[0.5, 0.5]] * 3
    learned = StateInfo("m", (2, 2), [[1.0, 2.0], [3.0, 4.0]]).array(2)
    assert learned.dtype == np.float32
    assert learned.tolist() == [[[1.0, 2.0], [3.0, 4.0]]] * 2
