"""Adoption: a state dict of torch's ``nn.LSTM``, ``nn.GRU`` or ``nn.RNN``, with an embedding and a
head of one's own, becomes a network.

V vocabulary, D input size, H hidden size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.training.network import Network

_LAYER = re.compile(r"^(?P<prefix>.*?)(?P<kind>weight|bias)_(?P<side>ih|hh)_l(?P<layer>\d+)$")
_OTHER = re.compile(r"_l\d+_reverse$|weight_hr_l\d+$")
_NEVER = -20.0
"""Added to the logit of a boundary that the weights do not know: it is not drawn."""


@dataclass(frozen=True)
class _Parts:
    """The weights by what they are for; biases that are not there are zeros."""

    cells: list[dict[str, Tensor]]
    embedding: Tensor | None
    """(V, D), or None where symbols are fed as 1-of-V."""
    head: Tensor
    """(V, H)"""
    bias: Tensor
    """(V,)"""


def adopt(
    weights: Mapping[str, Tensor], cell_class: type[Cell], symbols: Sequence[str]
) -> tuple[Network, Vocabulary]:
    """The network with these weights, and its vocabulary, whose i-th symbol is the i-th of
    ``symbols``.

    Layers are found by torch's names (``weight_ih_l0``, behind any prefix), embedding and head by
    their shapes. An empty symbol is the boundary; without one, a boundary is added that is read as
    the line feed, or else as the mean of all symbols, and never drawn. Raises UserError where
    something is missing, too many or of another shape.
    """
    parts = _parts(weights, len(symbols))
    vocabulary = Vocabulary(tuple(s.encode() for s in symbols), _boundary(symbols))
    if vocabulary.boundary == len(symbols):
        vocabulary = Vocabulary((*vocabulary.symbols, b""), vocabulary.boundary)
        parts = _with_boundary(parts, symbols.index("\n") if "\n" in symbols else None)
    network = Network(
        cell_class,
        vocabulary.size,
        hidden_size=parts.cells[0]["weight_hh"].shape[1],
        layers=len(parts.cells),
        embedding_size=0 if parts.embedding is None else parts.embedding.shape[1],
    )
    named = {
        f"cells.{i}.{name}": t for i, cell in enumerate(parts.cells) for name, t in cell.items()
    }
    named |= {"head.weight": parts.head, "head.bias": parts.bias}
    if parts.embedding is not None:
        named["embedding.weight"] = parts.embedding
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in named.items()}
    if found != expected:
        wrong = min(name for name in found | expected if found.get(name) != expected.get(name))
        raise UserError(
            f"The weights are no {cell_class.__name__}'s: {wrong} is {found.get(wrong)}, not "
            f"{expected.get(wrong)}.",
            "Name the cell that they are of: --cell lstm, gru or rnn.",
        )
    network.load_state_dict(named)
    return network, vocabulary


def _boundary(symbols: Sequence[str]) -> int:
    """The place of the empty symbol, or one past the end."""
    if len(set(symbols)) < len(symbols):
        raise UserError("A symbol stands twice in the vocabulary.", "Give each its own place.")
    return list(symbols).index("") if "" in symbols else len(symbols)


def _parts(weights: Mapping[str, Tensor], count: int) -> _Parts:
    layers: dict[int, dict[str, Tensor]] = {}
    others: dict[str, Tensor] = {}
    prefixes = set()
    for name, tensor in weights.items():
        found = _LAYER.match(name)
        if _OTHER.search(name):
            raise UserError(
                f"{name} is of a bidirectional or a projected layer, which cannot write text.",
                "Give the weights of a plain nn.LSTM, nn.GRU or nn.RNN.",
            )
        if found is None:
            others[name] = tensor.float()
            continue
        prefixes.add(found["prefix"])
        layer = layers.setdefault(int(found["layer"]), {})
        layer[f"{found['kind']}_{found['side']}"] = tensor.float()
    if len(prefixes) != 1 or sorted(layers) != list(range(len(layers))):
        raise UserError(
            f"There are the layers of {len(prefixes)} recurrent modules, and one is needed.",
            "Give the state dict of one nn.LSTM, nn.GRU or nn.RNN with its embedding and head.",
        )
    cells = [_with_biases(layers[i], i) for i in sorted(layers)]
    embedding, head, bias = _outside(others, count, cells)
    return _Parts(cells, embedding, head, bias)


def _with_biases(cell: dict[str, Tensor], layer: int) -> dict[str, Tensor]:
    for name in ("weight_ih", "weight_hh"):
        if name not in cell or cell[name].dim() != 2:
            raise UserError(f"The weights have no {name}_l{layer}.", "Give the whole state dict.")
    zeros = torch.zeros(cell["weight_ih"].shape[0])
    return {"bias_ih": zeros, "bias_hh": zeros, **cell}


def _outside(
    others: Mapping[str, Tensor], count: int, cells: Sequence[Mapping[str, Tensor]]
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Embedding, head and its bias, by shape; of two alike, the head is the one with a bias, or
    the later."""
    inputs, hidden = cells[0]["weight_ih"].shape[1], cells[-1]["weight_hh"].shape[1]
    tables = {name: t for name, t in others.items() if t.dim() == 2 and t.shape[0] == count}
    heads = [name for name, t in tables.items() if t.shape[1] == hidden]
    heads.sort(key=lambda name: _bias_of(name) in others)
    if not heads:
        raise UserError(
            f"No weights lead from {hidden} units to {count} symbols.",
            f"Give a head of shape ({count}, {hidden}), and a vocabulary of as many symbols.",
        )
    head = heads[-1]
    embeddings = [name for name, t in tables.items() if name != head and t.shape[1] == inputs]
    if not embeddings and inputs != count:
        raise UserError(
            f"No embedding leads from {count} symbols to {inputs} inputs.",
            f"Give one of shape ({count}, {inputs}); without one, {count} inputs are 1-of-{count}.",
        )
    left = others.keys() - {head, _bias_of(head), *embeddings[:1]}
    if left:
        raise UserError(
            f"There is nothing to do with the weights {min(left)}.",
            "Give an embedding, recurrent layers and a linear head, and nothing else.",
        )
    bias = others.get(_bias_of(head), torch.zeros(count))
    return (others[embeddings[0]] if embeddings else None), others[head], bias


def _bias_of(name: str) -> str:
    return name.removesuffix("weight") + "bias"


def _with_boundary(parts: _Parts, like: int | None) -> _Parts:
    """The parts with one more symbol, read as the symbol ``like``, and never drawn."""

    def row(table: Tensor) -> Tensor:
        return table.mean(dim=0, keepdim=True) if like is None else table[like : like + 1]

    cells, embedding = parts.cells, parts.embedding
    if embedding is None:
        columns = cells[0]["weight_ih"]
        grown = torch.cat([columns, row(columns.T).T], dim=1)
        cells = [{**cells[0], "weight_ih": grown}, *cells[1:]]
    else:
        embedding = torch.cat([embedding, row(embedding)])
    head = torch.cat([parts.head, parts.head.mean(dim=0, keepdim=True)])
    bias = torch.cat([parts.bias, parts.bias.mean().reshape(1) + _NEVER])
    return _Parts(cells, embedding, head, bias)
