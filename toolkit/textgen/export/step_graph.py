"""The step graph: a network's ``step`` in ONNX, standard operators only, the batch free."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from textgen.contracts.errors import TextgenError
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import OPSET
from textgen.training.network import Network

_IR_VERSION = 10


class _Step(nn.Module):
    """The network's step with the state spread out, as an exporter wants it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, following = self.network.step(token, state)
        return logits, *following


def build_step_graph(network: Network, vocabulary: Vocabulary) -> onnx.ModelProto:
    """The step of ``network``: inputs ``token`` (B,) int64 and each state (B, ...) float32,
    outputs ``logits`` (B, V) and each state's ``.next``.

    Parameters keep their torch names. Raises TextgenError where the cell's step does not export.
    """
    was_training = network.training
    network.eval()
    names = list(network.state_shapes())
    example = (torch.tensor([vocabulary.boundary] * 3), *network.initial_state(3))
    batch = torch.export.Dim("batch", min=1)
    step = _Step(network)
    try:
        with torch.no_grad(), _quietly(), _told_apart(network):
            program = torch.onnx.export(
                step,
                tuple(tensor.detach().cpu().contiguous() for tensor in example),
                input_names=["token", *names],
                output_names=["logits", *(f"{name}.next" for name in names)],
                opset_version=OPSET,
                dynamic_shapes=({0: batch}, tuple({0: batch} for _ in names)),
                dynamo=True,
                external_data=False,
                optimize=True,
                verbose=False,
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise TextgenError(
            f"The cell's step could not be exported: {reason}",
            "A step is made of tensor operations only, without branches on values.",
        ) from error
    finally:
        network.train(was_training)
    assert program is not None
    model = _tidied(program.model_proto, names)
    _fill(model, network)
    onnx.checker.check_model(model, full_check=True)
    return model


def _tidied(model: onnx.ModelProto, states: list[str]) -> onnx.ModelProto:
    """Only what runs: no traces of the machine it was made on, no stale shapes, our names."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:]
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "textgen", ""
    model.doc_string = graph.doc_string = ""
    graph.name = "step"
    renamed = {
        tensor.name: tensor.name.removeprefix("network.")
        for tensor in graph.initializer
        if tensor.name.startswith("network.")
    }
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    for index, node in enumerate(graph.node):
        del node.metadata_props[:]
        node.doc_string = ""
        node.name = f"{node.op_type}_{index}"
        for position, name in enumerate(node.input):
            node.input[position] = renamed.get(name, name)
    shapes = dict.fromkeys(states)
    for value in (*graph.input, *graph.output):
        del value.metadata_props[:]
        value.doc_string = ""
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    assert [value.name for value in graph.input] == ["token", *shapes]
    opsets = [helper.make_opsetid("", OPSET)]
    del model.opset_import[:]
    model.opset_import.extend(opsets)
    return model


def _fill(model: onnx.ModelProto, network: Network) -> None:
    """Puts every parameter's true values under its name."""
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, parameter in network.named_parameters():
        if name not in initializers:
            raise TextgenError(
                f"The exported step does not use the parameter {name}.",
                "Every parameter of a cell takes part in its step.",
            )
        values = parameter.detach().cpu().contiguous().numpy()
        initializers[name].CopyFrom(numpy_helper.from_array(values, name))


@contextlib.contextmanager
def _told_apart(network: Network) -> Iterator[None]:
    """Makes equal parameters differ for a while: the exporter merges those that are equal, such as
    two biases that start at zero, and one of the names would be lost."""
    seen: dict[bytes, str] = {}
    changed: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        key = parameter.detach().cpu().contiguous().numpy().tobytes()
        if key in seen:
            changed[name] = parameter.detach().clone()
            parameter.copy_(torch.rand_like(parameter))
        seen[key] = name
    try:
        yield
    finally:
        for name, values in changed.items():
            network.get_parameter(name).copy_(values)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """torch's exporter tells its progress and warns of things that are its own."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
