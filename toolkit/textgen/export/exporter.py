"""Export: weights become a model file, which is kept only when it computes what they do."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping
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

_BATCHES = (1, 3, 8)
_STEPS = 40


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how closely it computes what the network does."""

    file: ModelFile
    difference: float
    """The largest relative difference of a logit from torch's."""


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
        documents=corpus.documents,
        split=dict(corpus.split),
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
    network = frozen(network)
    _refuse_not_finite(network)
    data = model_file.seal(build_step_graph(network), info)
    differences = {batch: parity(network, info, data, batch) for batch in _BATCHES}
    worst = max(differences, key=differences.__getitem__)
    if not differences[worst] <= PARITY:
        raise TextgenError(
            f"The exported step differs from the network by {differences[worst]:.1e} of the "
            f"largest logit (batch {worst}, at most {PARITY:.0e} is allowed). Nothing was written.",
            "textgen plugins check CELL finds which promise the cell breaks.",
        )
    return ExportReport(model_file.write(path, data), differences[worst])


def parity(network: Network, info: ModelInfo, data: bytes, batch: int, steps: int = 40) -> float:
    """The largest difference of the file's logits from the network's, relative to the largest
    logit of a step (or 1); infinite where one of them is not a number.

    Symbols are sampled, not the most likely: greedy texts fall into short cycles. Each side keeps
    its own state, so that a drift shows. Half-way the rows part: each goes on alone from a copy of
    its state, through the same symbols, and must do as it did among the others.
    """
    session = _session(data)
    random = np.random.default_rng(batch)
    token = np.full(batch, info.vocabulary.boundary, np.int64)
    ours = {state.name: state.array(batch) for state in info.states}
    device = network.head.weight.device
    theirs = network.initial_state(batch)
    half, parted = steps // 2, ours
    tokens, references, worst = [], [], 0.0
    with torch.inference_mode():
        for turn in range(steps):
            parted = ours if turn == half else parted
            logits, ours = _stepped(session, token, ours)
            expected, theirs = network.step(torch.from_numpy(token).to(device), theirs)
            tokens.append(token)
            references.append(expected.cpu().numpy())
            worst = max(worst, _difference(logits, references[-1]))
            token = _sampled(references[-1], random)
    for row in range(batch):
        alone = {name: values[row : row + 1].copy() for name, values in parted.items()}
        for turn in range(half, steps):
            logits, alone = _stepped(session, tokens[turn][row : row + 1], alone)
            worst = max(worst, _difference(logits, references[turn][row : row + 1]))
    return worst


def _session(data: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of parameters that only the initial state uses
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _stepped(
    session: onnxruntime.InferenceSession, token: np.ndarray, state: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    logits, *following = session.run(None, {"token": token, **state})
    return logits, dict(zip(state, following, strict=True))


def _difference(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape or not np.isfinite(found).all():
        return math.inf
    largest = float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))
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
                "Train with a smaller --learning-rate, or export an earlier checkpoint.",
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
