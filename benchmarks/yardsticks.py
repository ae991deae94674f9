"""What sampling is measured beside: two cells as a user's plugin file would hold them, and other
ways to write text with the same weights.

    textgen train --plugin benchmarks/yardsticks.py --cell mgu

Every way writes with the same temperature, filter and noise, feeds back what it drew, and so writes
the same text. B streams, V symbols, T turns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import Tensor, nn

from textgen.contracts.cell import Cell, Layer, State
from textgen.contracts.hooks import hookimpl
from textgen.model_file import OPSET, ModelFile
from textgen.runtime.graph import GraphBuilder, tensor
from textgen.training.network import Network

TEXTGEN_CONTRACT = 1

TEMPERATURE, TOP_P = 0.8, 0.9
VOCABULARY, BOUNDARY = 66, 0

_FLOAT = onnx.TensorProto.FLOAT
_NO_BOUNDARY = np.where(np.arange(VOCABULARY) == BOUNDARY, -np.inf, 0.0).astype(np.float32)[None]
"""What is added to logits, (1, V): the texts do not end."""

Write = Callable[[int], np.ndarray]
"""Writes so many symbols a stream, from the boundary on: the ids (T, B)."""


class MGU(Cell):
    """MGU: one gate that both forgets and resets (Zhou et al. 2016, arXiv 1603.09420)."""

    output_bound = 1.0

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        width = layer.input_size + layer.hidden_size
        self.forget = nn.Linear(width, layer.hidden_size)
        self.candidate = nn.Linear(width, layer.hidden_size)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        f = torch.sigmoid(self.forget(torch.cat([h, x], dim=-1)))
        new = torch.tanh(self.candidate(torch.cat([f * h, x], dim=-1)))
        h = (1 - f) * h + f * new
        return h, (h,)


class PlainLSTM(Cell):
    """The LSTM as textbooks spell it, a linear map a gate: the bundled cell's arithmetic."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer)
        width = layer.input_size + layer.hidden_size
        self.input_gate = nn.Linear(width, layer.hidden_size)
        self.forget_gate = nn.Linear(width, layer.hidden_size)
        self.candidate = nn.Linear(width, layer.hidden_size)
        self.output_gate = nn.Linear(width, layer.hidden_size)

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"h": (self.layer.hidden_size,), "c": (self.layer.hidden_size,)}

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        seen = torch.cat([x, h], dim=-1)
        i = torch.sigmoid(self.input_gate(seen))
        f = torch.sigmoid(self.forget_gate(seen))
        o = torch.sigmoid(self.output_gate(seen))
        c = f * c + i * torch.tanh(self.candidate(seen))
        h = o * torch.tanh(c)
        return h, (h, c)


@hookimpl
def textgen_cells() -> dict[str, type[Cell]]:
    return {"mgu": MGU, "plain-lstm": PlainLSTM}


_MODULES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "lstm": (nn.LSTM, nn.LSTMCell),
    "plain-lstm": (nn.LSTM, nn.LSTMCell),
    "gru": (nn.GRU, nn.GRUCell),
    "rnn": (nn.RNN, nn.RNNCell),
}
"""What torch has for a cell."""


class Stepper(Protocol):
    """A network that is stepped from Python."""

    def initial_state(self, streams: int, /) -> Any: ...

    def step(self, token: Any, state: Any, /) -> tuple[Any, Any]:
        """``token`` (B,) to logits (B, V) and the next state."""


def torch_cells(network: Network, cell: str) -> Stepper:
    """A stack of ``nn.LSTMCell`` and the like; the cell's own step where torch has none."""
    return TorchCells(network, cell) if cell in _MODULES else network


def torch_layers(network: Network, cell: str) -> Stepper | None:
    """``nn.LSTM`` and the like, a symbol a call; None where torch has none."""
    return TorchLayers(network, cell) if cell in _MODULES else None


class TorchCells:
    """``nn.Embedding``, a stack of ``nn.LSTMCell`` or the like, ``nn.Linear``."""

    def __init__(self, network: Network, cell: str) -> None:
        _, module = _MODULES[cell]
        self._embedding, self._head = network.embedding, network.head
        self._cells: list[Any] = []
        for own in network.stack():
            made = module(own.layer.input_size, own.layer.hidden_size)
            made.load_state_dict(_joined_weights(own))
            self._cells.append(made)

    def initial_state(self, streams: int, /) -> list[Any]:
        return [None] * len(self._cells)

    def step(self, token: Tensor, state: list[Any], /) -> tuple[Tensor, list[Any]]:
        output, following = self._embedding(token), []
        for cell, part in zip(self._cells, state, strict=True):
            after = cell(output, part)
            following.append(after)
            output = after[0] if isinstance(after, tuple) else after
        return self._head(output), following


class TorchLayers:
    """``nn.Embedding``, ``nn.LSTM`` or the like, ``nn.Linear``."""

    def __init__(self, network: Network, cell: str) -> None:
        module, _ = _MODULES[cell]
        self._embedding, self._head = network.embedding, network.head
        stack = network.stack()
        first = stack[0].layer
        made = module(first.input_size, first.hidden_size, len(stack))
        weights = {
            f"{name}_l{index}": weight
            for index, own in enumerate(stack)
            for name, weight in _joined_weights(own).items()
        }
        made.load_state_dict(weights)
        self._layers = made

    def initial_state(self, streams: int, /) -> None:
        return None

    def step(self, token: Tensor, state: Any, /) -> tuple[Tensor, Any]:
        output, following = self._layers(self._embedding(token)[None], state)
        return self._head(output[0]), following


def _joined_weights(cell: Cell) -> dict[str, Tensor]:
    """A cell's weights as torch's modules take them."""
    if "weight_ih" in cell.state_dict():
        return cell.state_dict()
    gates: list[Any] = [
        cell.get_submodule(name)
        for name in ("input_gate", "forget_gate", "candidate", "output_gate")
    ]
    weight = torch.cat([gate.weight for gate in gates]).detach()
    bias = torch.cat([gate.bias for gate in gates]).detach()
    inputs = cell.layer.input_size
    return {
        "weight_ih": weight[:, :inputs],
        "weight_hh": weight[:, inputs:],
        "bias_ih": bias,
        "bias_hh": torch.zeros_like(bias),
    }


def torch_loop(stepper: Stepper, noise: np.ndarray, top_p: float | None) -> Write:
    """Steps ``stepper`` from Python, the draw in torch; ``noise`` is (T, B)."""
    numbers = torch.from_numpy(noise)[:, :, None].contiguous()
    mask = torch.from_numpy(_NO_BOUNDARY)
    streams = noise.shape[1]

    @torch.inference_mode()
    def write(turns: int) -> np.ndarray:
        token, state = torch.full((streams,), BOUNDARY), stepper.initial_state(streams)
        ids = []
        for number in numbers[:turns]:
            logits, state = stepper.step(token, state)
            token = _drawn_by_torch(logits + mask, number, top_p)
            ids.append(token)
        return torch.stack(ids).numpy()

    return write


def _drawn_by_torch(logits: Tensor, noise: Tensor, top_p: float | None) -> Tensor:
    probabilities = torch.softmax(logits / TEMPERATURE, -1)
    if top_p is not None:
        ordered = probabilities.sort(descending=True).values
        before = ordered.cumsum(-1) - ordered
        lowest = ordered.masked_fill(before >= top_p, np.inf).amin(-1, keepdim=True)
        probabilities = probabilities * (probabilities >= lowest)
    sums = probabilities.cumsum(-1)
    return torch.searchsorted(sums, noise * sums[:, -1:], right=True)[:, 0]


def numpy_loop(stepper: Stepper, noise: np.ndarray, top_p: float | None) -> Write:
    """Steps ``stepper`` from Python, the draw in numpy; ``noise`` is (T, B)."""
    numbers = np.ascontiguousarray(noise[:, :, None])
    streams = noise.shape[1]

    def write(turns: int) -> np.ndarray:
        token, state = np.full(streams, BOUNDARY), stepper.initial_state(streams)
        ids = []
        for number in numbers[:turns]:
            logits, state = stepper.step(token, state)
            token = _drawn_by_numpy(logits + _NO_BOUNDARY, number, top_p)
            ids.append(token)
        return np.stack(ids)

    return write


def _drawn_by_numpy(logits: np.ndarray, noise: np.ndarray, top_p: float | None) -> np.ndarray:
    weights = np.exp((logits - logits.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE))
    probabilities = weights / weights.sum(axis=1, keepdims=True)
    if top_p is not None:
        ordered = np.sort(probabilities, axis=1)[:, ::-1]
        before = ordered.cumsum(axis=1) - ordered
        lowest = np.where(before < top_p, ordered, np.inf).min(axis=1, keepdims=True)
        probabilities = probabilities * (probabilities >= lowest)
    sums = probabilities.cumsum(axis=1)
    drawn: np.ndarray = (sums > noise * sums[:, -1:]).argmax(axis=1)
    return drawn


class OneStep:
    """The exported model in onnxruntime, a call a symbol."""

    def __init__(self, file: ModelFile, threads: int) -> None:
        self._session = _session(file.data, threads)
        self._states = file.info.states

    def initial_state(self, streams: int, /) -> list[np.ndarray]:
        return [state.array(streams) for state in self._states]

    def step(self, token: np.ndarray, state: list[np.ndarray], /) -> tuple[Any, list[np.ndarray]]:
        feed = {"token": token}
        for info, values in zip(self._states, state, strict=True):
            feed[info.name] = values
        logits, *following = self._session.run(None, feed)
        return logits, following


NumpyStep = Callable[[np.ndarray, Sequence[np.ndarray]], tuple[np.ndarray, ...]]
"""The input (B, D) and the state to the next state, whose first part is the output."""


class InNumpy:
    """The network spelled in numpy."""

    def __init__(self, network: Network, cell: str) -> None:
        self._embedding = network.embedding.weight.detach().numpy()
        self._head = _transposed(network.head.weight)
        self._bias = network.head.bias.detach().numpy()
        self._shapes = [list(own.state_shapes().values()) for own in network.stack()]
        self._cells = [_NUMPY[cell](own) for own in network.stack()]

    def initial_state(self, streams: int, /) -> list[Sequence[np.ndarray]]:
        return [
            [np.zeros((streams, *shape), np.float32) for shape in shapes] for shapes in self._shapes
        ]

    def step(
        self, token: np.ndarray, state: list[Sequence[np.ndarray]], /
    ) -> tuple[np.ndarray, list[Sequence[np.ndarray]]]:
        output = self._embedding[token]
        following: list[Sequence[np.ndarray]] = []
        for cell, part in zip(self._cells, state, strict=True):
            following.append(cell(output, part))
            output = following[-1][0]
        return output @ self._head + self._bias, following


def _numpy_lstm(cell: Cell) -> NumpyStep:
    weights = _joined_weights(cell)
    of_input, of_state = _transposed(weights["weight_ih"]), _transposed(weights["weight_hh"])
    bias = (weights["bias_ih"] + weights["bias_hh"]).numpy()
    size = cell.layer.hidden_size

    def step(x: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        h, c = state
        gates = x @ of_input + h @ of_state + bias
        kept = _sigmoid(gates[:, size : 2 * size]) * c
        c = kept + _sigmoid(gates[:, :size]) * np.tanh(gates[:, 2 * size : 3 * size])
        return _sigmoid(gates[:, 3 * size :]) * np.tanh(c), c

    return step


def _numpy_gru(cell: Cell) -> NumpyStep:
    weights = _joined_weights(cell)
    of_input, of_state = _transposed(weights["weight_ih"]), _transposed(weights["weight_hh"])
    bias_input, bias_state = weights["bias_ih"].numpy(), weights["bias_hh"].numpy()
    size = cell.layer.hidden_size

    def step(x: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        (h,) = state
        xs, hs = x @ of_input + bias_input, h @ of_state + bias_state
        gates = _sigmoid(xs[:, : 2 * size] + hs[:, : 2 * size])
        new = np.tanh(xs[:, 2 * size :] + gates[:, :size] * hs[:, 2 * size :])
        update = gates[:, size:]
        return ((1 - update) * new + update * h,)

    return step


def _numpy_rnn(cell: Cell) -> NumpyStep:
    weights = _joined_weights(cell)
    of_input, of_state = _transposed(weights["weight_ih"]), _transposed(weights["weight_hh"])
    bias = (weights["bias_ih"] + weights["bias_hh"]).numpy()

    def step(x: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        return (np.tanh(x @ of_input + state[0] @ of_state + bias),)

    return step


def _numpy_mgu(cell: Cell) -> NumpyStep:
    weights = cell.state_dict()
    forget = _transposed(weights["forget.weight"])
    candidate = _transposed(weights["candidate.weight"])
    bias_forget, bias_new = weights["forget.bias"].numpy(), weights["candidate.bias"].numpy()

    def step(x: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        (h,) = state
        f = _sigmoid(np.concatenate([h, x], axis=1) @ forget + bias_forget)
        new = np.tanh(np.concatenate([f * h, x], axis=1) @ candidate + bias_new)
        return ((1 - f) * h + f * new,)

    return step


_NUMPY: dict[str, Callable[[Cell], NumpyStep]] = {
    "lstm": _numpy_lstm,
    "plain-lstm": _numpy_lstm,
    "gru": _numpy_gru,
    "rnn": _numpy_rnn,
    "mgu": _numpy_mgu,
}


def _transposed(weight: Tensor) -> np.ndarray:
    """(K, N) in the order of its rows, which is the faster to multiply a row by (measured)."""
    return np.ascontiguousarray(weight.detach().numpy().T)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-values))
    return result


def numpy_threads(count: int) -> None:
    """Lets numpy's products run on so many threads, where its wheel brings OpenBLAS."""
    for library in Path(np.__file__).parents[1].glob("numpy.libs/*openblas*"):
        choose = getattr(ctypes.CDLL(str(library)), "scipy_openblas_set_num_threads64_", None)
        if choose is not None:
            choose(count)


def prototype(file: ModelFile, noise: np.ndarray, top_p: float | None, threads: int) -> Write:
    """The exported step as it is in the file, inside an ONNX Loop with temperature and filter:
    nothing merged, no table; ``noise`` is (T, B).

    With a filter it draws in the order of the probabilities, which saves it a second sum; so its
    text is another than that of those who draw in the order of the vocabulary.
    """
    session = _session(_prototype_graph(file, top_p is not None).SerializeToString(), threads)
    streams = noise.shape[1]
    feed: dict[str, Any] = {
        _TEMPERATURE: np.array(TEMPERATURE, np.float32),
        "first/token": np.full(streams, BOUNDARY),
    }
    if top_p is not None:
        feed[_TOP_P] = np.array(top_p, np.float32)
    for state in file.info.states:
        feed[f"first/{state.name}"] = state.array(streams)

    def write(turns: int) -> np.ndarray:
        given = {_TURNS: np.array(turns), _NOISE: noise[:turns, :, None], **feed}
        ids: np.ndarray = session.run(["ids"], given)[0]
        return ids

    return write


_TURNS, _NOISE, _TEMPERATURE, _TOP_P = "turns", "noise", "temperature", "top_p"


def _prototype_graph(file: ModelFile, filtered: bool) -> onnx.ModelProto:
    carried = [tensor("token", np.int64, ("batch",))]
    carried += [tensor(s.name, np.float32, ("batch", *s.shape)) for s in file.info.states]
    names = [value.name for value in carried]
    loop = helper.make_node(
        "Loop",
        [_TURNS, "", *(f"first/{name}" for name in names)],
        [*(f"last/{name}" for name in names), "ids"],
        body=_prototype_body(file, filtered, carried),
    )
    scalars = [_TEMPERATURE, _TOP_P] if filtered else [_TEMPERATURE]
    inputs = [
        tensor(_TURNS, np.int64, ()),
        tensor(_NOISE, np.float32, ("turns", "batch", 1)),
        *(tensor(name, np.float32, ()) for name in scalars),
        *(_renamed(value, f"first/{value.name}") for value in carried),
    ]
    ids = tensor("ids", np.int64, ("turns", "batch"))
    graph = helper.make_graph([loop], "prototype", inputs, [ids])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def _prototype_body(
    file: ModelFile, filtered: bool, carried: Sequence[onnx.ValueInfoProto]
) -> onnx.GraphProto:
    step = file.graph().graph
    body = GraphBuilder("prototype/")
    noise = body.op("Gather", _NOISE, "turn", axis=0)
    logits = body.op("Add", "logits", body.constant(_NO_BOUNDARY))
    probabilities = body.op("Softmax", body.op("Div", logits, _TEMPERATURE), axis=1)
    draw = _draw_of_the_likeliest if filtered else _draw_of_all
    ids = draw(body, probabilities, noise)
    goes_on = body.op("Identity", "goes_on")
    following = [_renamed(carried[0], ids)]
    following += [_renamed(value, f"{value.name}.next") for value in carried[1:]]
    return helper.make_graph(
        [*step.node, *body.nodes, helper.make_node("Identity", [ids], ["drawn"])],
        "turn",
        [tensor("turn", np.int64, ()), tensor("goes_on", np.bool_, ()), *carried],
        [tensor(goes_on, np.bool_, ()), *following, tensor("drawn", np.int64, ("batch",))],
        [*step.initializer, *body.initializers],
    )


def _draw_of_all(body: GraphBuilder, probabilities: str, noise: str) -> str:
    sums = body.op("CumSum", probabilities, body.constant(np.array(1)))
    total = body.op("Gather", sums, body.integers(-1), axis=1)
    above = body.op("Greater", sums, body.op("Mul", noise, total))
    return body.op("ArgMax", body.op("Cast", above, to=_FLOAT), axis=1, keepdims=0)


def _draw_of_the_likeliest(body: GraphBuilder, probabilities: str, noise: str) -> str:
    size = body.integers(VOCABULARY)
    ordered, symbols = body.ops("TopK", probabilities, size, outputs=2, axis=1)
    sums = body.op("CumSum", ordered, body.constant(np.array(1)))
    kept = body.op("Less", body.op("Sub", sums, ordered), _TOP_P)
    held = body.op("Where", kept, sums, body.scalar(0.0))
    total = body.op("ReduceMax", held, body.integers(1), keepdims=1)
    above = body.op("Greater", sums, body.op("Mul", noise, total))
    place = body.op("ArgMax", body.op("Cast", above, to=_FLOAT), axis=1, keepdims=1)
    return body.op("Squeeze", body.op("GatherElements", symbols, place, axis=1), body.integers(1))


def _renamed(value: onnx.ValueInfoProto, name: str) -> onnx.ValueInfoProto:
    renamed = onnx.ValueInfoProto()
    renamed.CopyFrom(value)
    renamed.name = name
    return renamed


def _session(data: bytes, threads: int) -> onnxruntime.InferenceSession:
    """As a user opens one: threads that wait spin."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def read_once(weights: int) -> Callable[[int], None]:
    """The limit: reads so many bytes once a turn, as any step must that needs all weights."""
    numbers = torch.ones(weights // 4)

    def read(turns: int) -> None:
        for _ in range(turns):
            torch.sum(numbers)

    return read
