"""The step graph: a network's ``step`` in ONNX, standard operators only, the batch free.

B batch, V vocabulary.
"""

from __future__ import annotations

import contextlib
import copy
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
from textgen.model_file import LARGEST, OPSET
from textgen.training.network import Network

_IR_VERSION = 10
_PARAMETERS = "network."
"""How the exporter begins the names of the network's parameters."""

_EXAMPLE_BATCH = 3
_RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike"}
    | {"RandomUniform", "RandomUniformLike"}
)
_REMEDY = (
    "A step is made of tensor operations only, without branches on values; "
    "check_export of textgen.conformance tries a cell by itself."
)


class _Step(nn.Module):
    """The network's step with the state spread out, as an exporter wants it."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        logits, following = self.network.step(token, state)
        return logits, *following


def frozen(network: Network) -> Network:
    """A copy that computes as the exported step does: on the CPU, in float32, in eval mode."""
    return copy.deepcopy(network).cpu().float().eval().requires_grad_(False)


def build_step_graph(network: Network) -> onnx.ModelProto:
    """The step of ``network``: inputs ``token`` (B,) int64 and each state (B, ...) float32,
    outputs ``logits`` (B, V) and each state's ``.next``.

    Parameters are initializers under their torch names, with their own shapes and values. The same
    weights give the same bytes. Raises TextgenError where the network is too large for one file, or
    where the cell's step does not export.
    """
    _refuse_too_large(network)
    network = frozen(network)
    names = list(network.state_shapes())
    traced = _traced(network)
    _name_interface(traced, names)
    model = _tidied(_simplified(traced), network)
    _add_unused(model, network)
    _refuse_unusual(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise TextgenError(
            f"The cell's step exported to a graph that does not hold together: {_line(error)}",
            "See whether its states keep the shapes that state_shapes() names.",
        ) from error
    return model


def _refuse_too_large(network: Network) -> None:
    tensors = [*network.parameters(), *network.buffers()]
    size = sum(tensor.numel() * 4 for tensor in tensors)
    if size > LARGEST:
        raise TextgenError(
            f"The network's parameters take {size:,} bytes; one file can hold {LARGEST:,}.",
            "Train a smaller one: --hidden-size, --layers and --embedding-size decide.",
        )


def _traced(network: Network) -> ir.Model:
    example = (
        torch.zeros(_EXAMPLE_BATCH, dtype=torch.int64),
        *(part.detach().contiguous() for part in network.initial_state(_EXAMPLE_BATCH)),
    )
    batch = torch.export.Dim("batch", min=1)
    try:
        with torch.no_grad(), _quietly():
            program = torch.onnx.export(
                _Step(network),
                example,
                opset_version=OPSET,
                dynamic_shapes=({0: batch}, tuple({0: batch} for _ in example[1:])),
                dynamo=True,
                external_data=False,
                optimize=False,  # it would fold parameters away, and merge equal ones
                verbose=False,
            )
    except Exception as error:
        raise TextgenError(
            f"The cell's step could not be exported: {_line(_cause(error))}", _REMEDY
        ) from error
    if program is None:
        raise TextgenError("The cell's step could not be exported.", _REMEDY)
    return program.model


def _cause(error: BaseException) -> BaseException:
    """What went wrong first: the exporter wraps it in advice of its own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _line(error: BaseException) -> str:
    """The first line of a message that may have many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _name_interface(model: ir.Model, states: list[str]) -> None:
    """Our names for the inputs and outputs.

    A state that is handed on unchanged, or given out twice, is one value to the exporter: an
    Identity tells the two apart first.
    """
    passes.OutputFixPass()(model)
    for value, name in zip(model.graph.inputs, ["token", *states], strict=True):
        value.name = name
    outputs = ["logits", *(f"{name}.next" for name in states)]
    for value, name in zip(model.graph.outputs, outputs, strict=True):
        value.name = name


def _simplified(model: ir.Model) -> onnx.ModelProto:
    """Constants folded, but for what is computed from parameters: those keep their names and
    values, and onnxruntime folds what it likes when it loads them."""

    def foldable(node: ir.Node) -> bool | None:
        names = (value.name for value in node.inputs if value is not None)
        return False if any(name and name.startswith(_PARAMETERS) for name in names) else None

    passes.InlinePass()(model)
    for _ in range(2):
        fold_constants(model, should_fold=foldable)
        passes.CommonSubexpressionEliminationPass()(model)
        passes.RemoveUnusedNodesPass()(model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    return ir.to_proto(model)


def _tidied(traced: onnx.ModelProto, network: Network) -> onnx.ModelProto:
    """The same graph written anew, with nothing but what runs.

    torch leaves stack traces, source code and paths of this machine in the metadata of nodes and
    values, and shapes that become stale when the graph is rewritten.
    """
    graph = traced.graph
    renamed: dict[str, str] = {}
    initializers = []
    for tensor in graph.initializer:
        is_parameter = tensor.name.startswith(_PARAMETERS)
        renamed[tensor.name] = (
            tensor.name.removeprefix(_PARAMETERS)
            if is_parameter
            else f"constant_{sum(name.startswith('constant_') for name in renamed.values())}"
        )
        values = numpy_helper.to_array(tensor)
        initializers.append(numpy_helper.from_array(values, renamed[tensor.name]))
    nodes = []
    for index, node in enumerate(graph.node):
        tidy = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
        tidy.name = f"{node.op_type}_{index}"
        tidy.input.extend(renamed.get(name, name) for name in node.input)
        tidy.output.extend(node.output)
        tidy.attribute.extend(node.attribute)
        for attribute in tidy.attribute:
            attribute.doc_string = ""
        nodes.append(tidy)
    inputs, outputs = _interface(network)
    model = helper.make_model(
        helper.make_graph(nodes, "step", inputs, outputs, initializers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="textgen",
    )
    model.functions.extend(traced.functions)  # refused later, by name
    return model


def _interface(
    network: Network,
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """The inputs and outputs: the first axis the batch, the others fixed."""
    info = helper.make_tensor_value_info
    number = onnx.TensorProto.FLOAT
    inputs = [info("token", onnx.TensorProto.INT64, ["batch"])]
    outputs = [info("logits", number, ["batch", network.vocabulary_size])]
    for name, shape in network.state_shapes().items():
        inputs.append(info(name, number, ["batch", *shape]))
        outputs.append(info(f"{name}.next", number, ["batch", *shape]))
    return inputs, outputs


def _add_unused(model: onnx.ModelProto, network: Network) -> None:
    """Adds parameters that the step does not use, such as a learned initial state, so that the file
    holds the whole network."""
    present = {tensor.name for tensor in model.graph.initializer}
    named = dict(network.named_parameters(remove_duplicate=False))
    there = {id(parameter) for name, parameter in named.items() if name in present}
    for name, parameter in network.named_parameters():
        if id(parameter) not in there:  # tied weights are there under another of their names
            model.graph.initializer.append(numpy_helper.from_array(parameter.numpy(), name))


def _refuse_unusual(model: onnx.ModelProto) -> None:
    """Standard operators only, no graph in a graph, nothing random: any runtime can run it, and the
    composer of the loop knows what it gets."""
    problem = ""
    if model.functions:
        problem = f"it needs the function {model.functions[0].name}"
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            problem = f"it needs {node.domain}::{node.op_type}, which is not a standard operator"
        elif any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            problem = f"it holds {node.op_type}, a branch or loop within the step"
        elif node.op_type in _RANDOM:
            problem = f"it holds {node.op_type}, which is random"
    if problem:
        raise TextgenError(f"The cell's step could not be exported: {problem}.", _REMEDY)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """torch's exporter tells its progress, warns of things that are its own, and where it fails
    writes the graph so far. The error that it raises is told."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    nowhere = io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
