"""Export: weights become a model file, which is kept only when it computes what they do."""

from __future__ import annotations

import importlib.metadata
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
from textgen.export.step_graph import build_step_graph
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

    Sampled steps at several batches are compared (design: 1e-5 of the largest logit). Raises
    TextgenError, and leaves ``path`` as it was, where they differ.
    """
    was_training = network.training
    network.eval()
    try:
        data = model_file.seal(build_step_graph(network, info.vocabulary), info)
        difference = max(parity(network, info, data, batch) for batch in _BATCHES)
    finally:
        network.train(was_training)
    if not difference <= PARITY:
        raise TextgenError(
            f"The exported step differs from the network by {difference:.1e} of the largest "
            f"logit; at most {PARITY:.0e} is allowed. Nothing was written.",
            "textgen plugins check CELL finds which promise the cell breaks.",
        )
    return ExportReport(model_file.write(path, data), difference)


def parity(network: Network, info: ModelInfo, data: bytes, batch: int) -> float:
    """The largest relative difference over sampled steps of ``batch`` rows, each side with its own
    state, so that a drift would show."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(batch)
    token = np.full(batch, info.vocabulary.boundary, np.int64)
    ours = {state.name: state.array(batch) for state in info.states}
    device = network.head.weight.device
    theirs = network.initial_state(batch)
    worst = 0.0
    with torch.inference_mode():
        for _ in range(_STEPS):
            logits, *following = session.run(None, {"token": token, **ours})
            ours = dict(zip(ours, following, strict=True))
            expected, theirs = network.step(torch.from_numpy(token).to(device), theirs)
            reference = expected.cpu().numpy()
            scale = max(1.0, float(np.abs(reference).max()))
            worst = max(worst, float(np.abs(logits - reference).max()) / scale)
            token = _sampled(reference, random)
    return worst


def _sampled(logits: np.ndarray, random: np.random.Generator) -> np.ndarray:
    noise = random.gumbel(size=logits.shape)
    chosen: np.ndarray = (logits + noise).argmax(axis=1)
    return chosen


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
