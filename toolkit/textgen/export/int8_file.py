"""Model files with int8 weights, of 8 or 4 bits in the file: made from a checked float32 file, and
measured against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textgen import model_file
from textgen.export.exporter import checked
from textgen.export.quantize import quantized
from textgen.export.step_graph import frozen
from textgen.model_file import ModelFile, ModelInfo
from textgen.runtime.model import Model
from textgen.training.network import Network


def export_int8(
    network: Network, info: ModelInfo, path: Path, texts: Sequence[np.ndarray], *, bits: int = 8
) -> ModelFile:
    """Writes the model file of ``network`` with int8 weights of so many ``bits`` to ``path``.

    ``texts`` are ids of held-out texts, by which both files are measured: the losses ``float32``
    and ``int8`` (or ``int4``) go into the file. Raises TextgenError, and leaves ``path`` as it was,
    where the float32 file cannot be made.
    """
    plain = model_file.parse(checked(network, info)[0])
    file = in_int8(plain, network, bits=bits)
    described = file.info
    losses = {"float32": _loss(plain, texts), described.weights: _loss(file, texts)}
    if losses["float32"]["symbols"]:
        described = replace(described, losses={**info.losses, **losses})
    return model_file.write(path, model_file.seal(file.graph(), described))


def in_int8(file: ModelFile, network: Network, *, bits: int = 8) -> ModelFile:
    """The float32 file of ``network`` with int8 weights of so many ``bits``, in memory."""
    graph = quantized(file.graph(), output_bounds(network), bits=bits)
    return model_file.parse(model_file.seal(graph, replace(file.info, weights=f"int{bits}")))


def output_bounds(network: Network) -> dict[str, float]:
    """The bounds of the states that are their cell's output, where the cell declares one."""
    network = frozen(network)
    bounds: dict[str, float] = {}
    for index, cell in enumerate(network.stack()):
        bound = cell.output_bound
        if bound is None:
            continue
        state = cell.initial_state(1)
        output, following = cell.step(torch.zeros(1, cell.layer.input_size), state)
        for name, first, after in zip(cell.state_shapes(), state, following, strict=True):
            if after is output and float(first.abs().max()) <= bound:
                bounds |= dict.fromkeys(
                    (f"layer{index}.{name}", f"layer{index}.{name}.next"), bound
                )
    return bounds


def _loss(file: ModelFile, texts: Sequence[np.ndarray]) -> dict[str, Any]:
    model = Model(file, None, _no_samplers, provider="cpu")
    found = model.score_ids(texts)
    symbols = sum(map(len, found))
    nats = sum(float(part.sum(dtype=np.float64)) for part in found) / max(1, symbols)
    return {"nats": nats, "bits": nats / math.log(2), "symbols": symbols}


def _no_samplers(name: str) -> Any:
    raise AssertionError(f"scoring asks for no sampler, and not for {name}")
