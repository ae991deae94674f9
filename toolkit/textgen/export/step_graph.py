"""The step graph: a network's ``step`` in ONNX, standard operators only, the batch free."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
import torch
from onnx import helper, numpy_helper
from onnxscript.optimizer import fold_constants
from torch import Tensor, nn

from textgen.contracts.errors import TextgenError
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import OPSET
from textgen.training.network import Network

_IR_VERSION = 10
_PARAMETERS = "network."
"""How the exporter begins the names of the network's parameters."""


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
        with torch.no_grad(), _quietly():
            program = torch.onnx.export(
                step,
                tuple(tensor.detach().cpu().contiguous() for tensor in example),
                input_names=["token", *names],
                output_names=["logits", *(f"{name}.next" for name in names)],
                opset_version=OPSET,
                dynamic_shapes=({0: batch}, tuple({0: batch} for _ in names)),
                dynamo=True,
                external_data=False,
                optimize=False,  # it would fold parameters away, and merge equal ones
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
    model = _tidied(_simplified(program.model), names)
    _add_unused(model, network)
    onnx.checker.check_model(model, full_check=True)
    return model


def _add_unused(model: onnx.ModelProto, network: Network) -> None:
    """Adds parameters that the step does not use, such as a learned initial state, so that the file
    holds the whole network."""
    present = {tensor.name for tensor in model.graph.initializer}
    for name, parameter in network.named_parameters():
        if name not in present:
            values = parameter.detach().cpu().contiguous().numpy()
            model.graph.initializer.append(numpy_helper.from_array(values, name))


def _simplified(model: ir.Model) -> onnx.ModelProto:
    """Constants folded, but for what is computed from parameters: those keep their names and
    values, and onnxruntime folds what it likes when it loads them."""

    def foldable(node: ir.Node) -> bool | None:
        names = (value.name for value in node.inputs if value is not None)
        return False if any(name and name.startswith(_PARAMETERS) for name in names) else None

    for _ in range(2):
        fold_constants(model, should_fold=foldable)
        passes.CommonSubexpressionEliminationPass()(model)
        passes.RemoveUnusedNodesPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return ir.to_proto(model)


def _tidied(model: onnx.ModelProto, states: list[str]) -> onnx.ModelProto:
    """Only what runs: no traces of the machine it was made on, no stale shapes, our names."""
    graph = model.graph
    del graph.value_info[:], model.metadata_props[:], graph.metadata_props[:], model.functions[:]
    model.ir_version = _IR_VERSION
    model.producer_name, model.producer_version = "textgen", ""
    model.doc_string = graph.doc_string = ""
    graph.name = "step"
    renamed = {
        tensor.name: tensor.name.removeprefix(_PARAMETERS)
        for tensor in graph.initializer
        if tensor.name.startswith(_PARAMETERS)
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
