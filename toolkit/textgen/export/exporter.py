"""Export: weights become a model file, which is kept only when it computes what they do."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from textgen import model_file
from textgen.contracts.errors import TextgenError
from textgen.contracts.options import options_dict
from textgen.corpus.packed import PackedCorpus
from textgen.export.step_graph import build_step_graph, frozen
from textgen.model_file import ModelFile, ModelInfo, StateInfo
from textgen.training.network import Network

PARITY = 1e-5
"""Largest difference of a logit, relative to the largest of them (or 1)."""

STATE_PARITY = 1e-4
"""The same of a state's numbers: sums are rounded more than what becomes of them shows."""

_BATCHES = (1, 3, 8)
_ALONE = 4
"""Steps between those that each row also takes by itself."""


@dataclass(frozen=True)
class Parity:
    """How closely a file computes what its network does, over sampled steps."""

    logits: float
    """The largest relative difference of a logit from torch's, a step being taken from the same
    state, by some rows also alone. Infinite where something is not a number."""
    states: float
    """The same of the next states."""
    drift: float
    """The largest relative difference of a logit where each side goes on from its own states. A
    network may be chaotic, and make much of the last bit: this tells, and decides nothing."""

    @property
    def holds(self) -> bool:
        return self.logits <= PARITY and self.states <= STATE_PARITY

    def __or__(self, other: Parity) -> Parity:
        """The worse of both."""
        return Parity(
            max(self.logits, other.logits),
            max(self.states, other.states),
            max(self.drift, other.drift),
        )


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how closely it computes what the network does."""

    file: ModelFile
    parity: Parity
    """The worst of several batches."""


def describe(
    network: Network,
    corpus: PackedCorpus,
    *,
    cell: str,
    cell_distribution: str,
    cell_options: Any,
    losses: Mapping[str, Any],
    training: Mapping[str, Any],
) -> ModelInfo:
    """What the model file will say of itself."""
    return ModelInfo(
        cell=cell,
        cell_distribution=cell_distribution,
        cell_options=options_dict(cell_options),
        input="embedding" if network.embedding_size else "one-hot",
        embedding_size=network.embedding_size,
        hidden_size=network.hidden_size,
        layers=len(network.cells),
        states=states_of(network),
        vocabulary=corpus.vocabulary,
        tokenizer=corpus.tokenizer_name,
        tokenizer_distribution=corpus.tokenizer_distribution,
        tokenizer_data=dict(corpus.tokenizer.to_json()),
        tokenizer_options=dict(corpus.tokenizer_options),
        documents=corpus.documents,
        split=dict(corpus.split),
        replacements=corpus.replacements,
        corpus={
            "name": Path(corpus.name).name,
            "sha256": corpus.sha256,
            "licence": corpus.licence,
        },
        losses=dict(losses),
        training={
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            **training,
        },
        toolkit=importlib.metadata.version("textgen-toolkit"),
    )


def export(network: Network, info: ModelInfo, path: Path) -> ExportReport:
    """Writes the model file of ``network`` to ``path``, having checked it against the network.

    Raises TextgenError, and leaves ``path`` as it was, where a weight is not a number, where the
    step does not export, and where the file's logits differ (see ``parity``).
    """
    data, found = checked(network, info)
    return ExportReport(model_file.write(path, data), found)


def checked(network: Network, info: ModelInfo) -> tuple[bytes, Parity]:
    """The bytes of the model file, and how closely they compute what the network does.

    Raises TextgenError as ``export`` does.
    """
    network = frozen(network)
    _refuse_not_finite(network)
    data = model_file.seal(build_step_graph(network), info)
    found = Parity(0.0, 0.0, 0.0)
    for batch in _BATCHES:
        found |= parity(network, info, data, batch)
    if not found.holds:
        raise TextgenError(
            f"The exported step differs from the network by {found.logits:.1e} of the largest "
            f"logit ({PARITY:.0e} is allowed) and by {found.states:.1e} of the largest number in a "
            f"state ({STATE_PARITY:.0e} is allowed). Nothing was written.",
            "check_export of textgen.conformance finds which promise the cell breaks.",
        )
    return data, found


def parity(network: Network, info: ModelInfo, data: bytes, batch: int, steps: int = 40) -> Parity:
    """Compares the sealed file ``data`` in onnxruntime with ``network`` (in eval mode).

    Symbols are sampled, not the most likely: greedy texts fall into short cycles.
    """
    session = _session(data)
    random = np.random.default_rng(batch)
    token = np.full(batch, info.vocabulary.boundary, np.int64)
    state = {state.name: state.array(batch) for state in info.states}
    free = network.initial_state(batch)
    worst = Parity(0.0, 0.0, 0.0)
    with torch.inference_mode():
        for turn in range(steps):
            found = _stepped(session, token, state)
            expected = _stepped_by(network, token, state)
            worst |= _compared(found, expected)
            for row in range(batch if turn % _ALONE == 0 else 0):
                one = slice(row, row + 1)
                alone = _stepped(session, token[one], {n: v[one] for n, v in state.items()})
                worst |= _compared(alone, [values[one] for values in expected])
            logits, free = network.step(_tensor(token, network), free)
            worst |= Parity(0.0, 0.0, drift=_difference(found[0], logits.cpu().numpy()))
            token = _sampled(found[0], random)
            state = dict(zip(state, found[1:], strict=True))
    return worst


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of parameters that only the initial state uses
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _stepped(
    session: onnxruntime.InferenceSession, token: np.ndarray, state: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Logits and next states in onnxruntime."""
    results: list[np.ndarray] = session.run(None, {"token": token, **state})
    return results


def _stepped_by(
    network: Network, token: np.ndarray, state: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Logits and next states in torch."""
    before = tuple(_tensor(values, network) for values in state.values())
    logits, after = network.step(_tensor(token, network), before)
    return [tensor.cpu().numpy() for tensor in (logits, *after)]


def _tensor(values: np.ndarray, network: Network) -> torch.Tensor:
    return torch.tensor(values, device=network.head.weight.device)


def _compared(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> Parity:
    """Of logits and next states."""
    logits, *states = map(_difference, found, expected)
    return Parity(logits, max(states, default=0.0), 0.0)


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest number expected (or 1)."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    scale = float(np.abs(expected).max(initial=1.0))
    largest = float(np.abs(found - expected).max(initial=0.0)) / scale
    return math.inf if math.isnan(largest) else largest


def _sampled(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.gumbel(size=logits.shape)
    chosen: np.ndarray = (logits + noise).argmax(axis=1)
    return chosen


def _refuse_not_finite(network: Network) -> None:
    for name, parameter in network.named_parameters():
        if not torch.isfinite(parameter).all():
            raise TextgenError(
                f"The weights {name} hold something that is not a number. Nothing was written.",
                "Train again with a smaller --learning-rate.",
            )


def states_of(network: Network) -> tuple[StateInfo, ...]:
    """The network's states with what they are at first."""
    states = []
    shapes = network.state_shapes()
    for (name, shape), tensor in zip(shapes.items(), network.initial_state(1), strict=True):
        values = tensor.detach().cpu().numpy()[0].astype(np.float32)
        constant = values.size > 0 and (values == values.flat[0]).all()
        initial = float(values.flat[0]) if constant else values.tolist()
        states.append(StateInfo(name, tuple(shape), initial))
    return tuple(states)
