"""That a cell's step exports, and computes in onnxruntime what it computes in torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from textgen import model_file
from textgen.conformance.rules import require
from textgen.contracts.cell import Cell
from textgen.contracts.options import build_options, options_dict
from textgen.contracts.tokenizer import Vocabulary
from textgen.export.exporter import parity, states_of
from textgen.export.int8_file import in_int8
from textgen.export.step_graph import build_step_graph
from textgen.model_file import ModelInfo
from textgen.runtime.chain import Chain
from textgen.runtime.loop_graph import FREE
from textgen.runtime.model import Model
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt
from textgen.training.network import Network


def check_export(
    cell_class: type[Cell],
    options: Mapping[str, Any] | None = None,
    *,
    hidden_size: int = 8,
    layers: int = 2,
    vocabulary_size: int = 11,
    embedding_size: int = 6,
) -> None:
    """Exports a small network of the cell and tries it, batches and lengths not seen at export
    included; the loop against single steps too, in float32 and in int8. Raises
    BrokenRuleError."""
    model, network = exported_model(
        cell_class,
        options,
        hidden_size=hidden_size,
        layers=layers,
        vocabulary_size=vocabulary_size,
        embedding_size=embedding_size,
    )
    for batch in (1, 3, 8, 16):
        found = parity(network, model.info, model.data, batch)
        require(
            found.holds,
            "the exported step computes what the network does",
            f"logits differ by {found.logits:.1e} of the largest at batch {batch}, states by "
            f"{found.states:.1e}",
            "an operation that the exporter translates differently",
        )
    _check_loop(model)
    _check_loop(in_int8(model, network))


def exported_model(
    cell_class: type[Cell],
    options: Mapping[str, Any] | None = None,
    *,
    hidden_size: int = 8,
    layers: int = 2,
    vocabulary_size: int = 11,
    embedding_size: int = 6,
    seed: int = 0,
    documents: str = "files",
) -> tuple[model_file.ModelFile, Network]:
    """A small untrained network of the cell with lively weights, and its model file in memory.

    Its symbols are the letters from ``a`` on; the first is the boundary.
    """
    chosen = build_options(cell_class.Options, options or {}, f"cell {cell_class.__name__}")
    torch.manual_seed(seed)
    network = Network(
        cell_class,
        vocabulary_size,
        hidden_size=hidden_size,
        layers=layers,
        embedding_size=embedding_size,
        cell_options=chosen,
    ).eval()
    scale = 0.3 * min(1.0, (8 / hidden_size) ** 0.5)  # or wide ones would be chaotic
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    symbols = (b"", *(chr(ord("a") + i).encode() for i in range(vocabulary_size - 1)))
    vocabulary = Vocabulary(symbols, 0)
    info = ModelInfo(
        cell=cell_class.__name__.lower(),
        cell_distribution="",
        cell_options=options_dict(chosen),
        input="embedding" if embedding_size else "one-hot",
        embedding_size=embedding_size,
        hidden_size=hidden_size,
        layers=layers,
        states=states_of(network),
        vocabulary=vocabulary,
        tokenizer="characters",
        tokenizer_distribution="",
        tokenizer_data={},
        documents=documents,
        split={},
        corpus={"name": "letters", "sha256": "", "licence": ""},
        losses={},
        training={},
        toolkit="",
    )
    data = model_file.seal(build_step_graph(network), info)
    return model_file.parse(data), network


def _check_loop(file: model_file.ModelFile) -> None:
    """The same ids in the loop, stepwise, alone and among others: batches of 1, 3, 8 and 16."""
    model = Model(file, None, lambda name: (_ for _ in ()).throw(KeyError(name)))
    chain = Chain([], file.info.vocabulary, ends=True)
    streams, turns = 16, 40
    forced = np.full((turns, streams), FREE, np.int64)
    random = noise(7, np.arange(streams), np.arange(turns))
    loop, steps = model.engine(chain), model.engine(chain, stepwise=True)
    start = read_prompt(loop, chain, model.start(chain, streams), np.array([1, 2]))
    together, _ = loop.write(start, chain, forced, random)
    stepwise, _ = steps.write(start, chain, forced, random)
    batches = np.split(np.arange(streams), [1, 4, 12, 13, 14, 15])  # of 1, 3, 8 and 1 rows
    parts = [
        loop.write(start.rows(rows), chain, forced[:, rows], random[:, rows])[0] for rows in batches
    ]
    apart = np.concatenate(parts, axis=1)
    for what, found in (("stepwise", stepwise), ("alone and in smaller batches", apart)):
        differing = int((found != together).sum())
        require(
            differing == 0,
            f"{what} the same ids come as among {streams} in the loop, in {file.info.weights}",
            f"{differing} of {found.size} differ",
            "a product whose weights are computed in the step, not constant",
        )
