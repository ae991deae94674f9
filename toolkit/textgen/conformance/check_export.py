"""That a cell's step exports, and computes in onnxruntime what it computes in torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch

from textgen import model_file
from textgen.conformance.rules import Finding, Findings, enforce, in_turn
from textgen.contracts.cell import Cell
from textgen.contracts.options import build_options, options_dict
from textgen.contracts.tokenizer import Vocabulary
from textgen.export.exporter import PARITY, STATE_PARITY, Parity, parity, states_of
from textgen.export.int8_file import in_int8
from textgen.export.step_graph import build_step_graph
from textgen.model_file import ModelInfo
from textgen.runtime.chain import Chain
from textgen.runtime.loop_graph import FREE
from textgen.runtime.model import Model
from textgen.runtime.noise import noise
from textgen.runtime.writer import read_prompt
from textgen.training.network import Network

_PRODUCTS = frozenset({"MatMul", "Gemm", "Einsum", "Conv"})


def check_export(
    cell_class: type[Cell], options: Mapping[str, Any] | None = None, **sizes: Any
) -> None:
    """Exports a small network of the cell and tries it, batches and lengths not seen at export
    included; the loop against single steps too, in float32 and in int8.

    ``sizes`` are those of ``exported_model``. ``check_cell`` does this too. Raises
    BrokenRuleError.
    """
    enforce(examine_export(cell_class, options, **sizes))


def examine_export(
    cell_class: type[Cell], options: Mapping[str, Any] | None = None, **sizes: Any
) -> Findings:
    """The same, rule by rule, and what of sameness is promised for models of the cell.

    Raises UserError for options that the cell does not have.
    """
    build_options(cell_class.Options, options or {}, f"cell {cell_class.__name__}")
    return in_turn(export_parts(cell_class, options, **sizes))


def export_parts(
    cell_class: type[Cell], options: Mapping[str, Any] | None, **sizes: Any
) -> Iterator[Findings]:
    """The parts of the examination."""
    model, network = exported_model(cell_class, options, **sizes)
    yield _parity(model, network)
    varying = varying_products(model.graph())
    whole = in_int8(model, network)
    yield _sameness(model, varying)
    yield _sameness(whole, varying)
    yield _promise(varying)


def _parity(model: model_file.ModelFile, network: Network) -> Findings:
    worst = Parity(0.0, 0.0, 0.0)
    for batch in (1, 3, 8, 16):
        worst |= parity(network, model.info, model.data, batch)
    yield Finding(
        worst.holds,
        "the exported step computes what the network does",
        f"relative differences: logits {worst.logits:.1e} ({PARITY:.0e} is allowed), states "
        f"{worst.states:.1e} ({STATE_PARITY:.0e} is allowed)",
        "an operation that the exporter translates differently",
    )


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


def varying_products(step: onnx.ModelProto) -> list[str]:
    """The products of a step graph none of whose factors is constant, for people.

    A product with constant weights is computed row by row in the same way whatever the batch; of
    others that is not known.
    """
    constant = {tensor.name for tensor in step.graph.initializer}
    varying = []
    for node in step.graph.node:
        factors = [name for name in node.input if name]
        if all(name in constant for name in factors):
            constant.update(node.output)
        elif node.op_type in _PRODUCTS and not any(name in constant for name in factors):
            varying.append(f"{node.op_type} of {' and '.join(factors)}")
    return varying


def _sameness(file: model_file.ModelFile, varying: list[str]) -> Findings:
    """The same ids in the loop, stepwise, in parts, alone and among others: batches of 1, 3, 8, 16.

    Where a product varies, they are told but not asked for.
    """
    model = Model(file, None, lambda name: (_ for _ in ()).throw(KeyError(name)))
    chain = Chain([], file.info.vocabulary, ends=True)
    streams, turns, cut = 16, 40, 15
    forced = np.full((turns, streams), FREE, np.int64)
    random = noise(7, np.arange(streams), np.arange(turns))
    loop, steps = model.engine(chain), model.engine(chain, stepwise=True)
    start = read_prompt(loop, chain, model.start(chain, streams), np.array([1, 2]))
    together, _ = loop.write(start, chain, forced, random)
    stepwise, _ = steps.write(start, chain, forced, random)
    first, middle = loop.write(start, chain, forced[:cut], random[:cut])
    second, _ = loop.write(middle, chain, forced[cut:], random[cut:])
    batches = np.split(np.arange(streams), [1, 4, 12, 13, 14, 15])  # of 1, 3, 8 and 1 rows
    apart = [
        loop.write(start.rows(rows), chain, forced[:, rows], random[:, rows])[0] for rows in batches
    ]
    for what, found in (
        ("stepwise", stepwise),
        ("in parts", np.concatenate([first, second])),
        ("alone and in smaller batches", np.concatenate(apart, axis=1)),
    ):
        differing = int((found != together).sum())
        yield Finding(
            differing == 0,
            f"{what} the same ids come as among {streams} in the loop, in {file.info.weights}",
            f"{differing} of {found.size} differ",
            "a product whose weights are computed in the step, not constant",
            promise=bool(varying),
        )


def _promise(varying: list[str]) -> Findings:
    yield Finding(
        not varying,
        "on one machine a seed gives the same ids bit for bit: alone or batched, stepwise or in "
        "the loop, in float32 and int8",
        "; ".join(varying) or "every product has constant weights",
        "Of such a product the last bit may depend on the batch, and then an id where the draw is "
        "that close.",
        promise=True,
    )
