"""Grafting: the weights of one network go on in another, which has other symbols.

Symbols are matched by value. One that the weights do not know begins as the mean of those they know
(Hewitt, Initializing New Word Embeddings for Pretrained Language Models, 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.training.network import Network


@dataclass(frozen=True)
class Scion:
    """Weights by their torch names, and the symbols that they are of."""

    weights: Mapping[str, Tensor]
    vocabulary: Vocabulary
    name: str
    """Where they are from: a base name."""


def graft(scion: Scion, vocabulary: Vocabulary, build: Callable[[int], Network]) -> Network:
    """A network over ``vocabulary`` that goes on from the scion's weights.

    ``build`` makes a fresh network of the scion's sizes for a number of symbols. Raises UserError
    where the weights do not fit into it.
    """
    network = build(vocabulary.size)
    axes = _vocabulary_axes(network, build(vocabulary.size + 1))
    places = torch.tensor(_places(scion.vocabulary, vocabulary))
    weights = _with_twins(scion.weights, network)
    expected = network.state_dict()
    if weights.keys() != expected.keys():
        raise _misfit(scion, min(weights.keys() ^ expected.keys()))
    grafted = {}
    for name, values in weights.items():
        axis, shape = axes.get(name), list(expected[name].shape)
        if axis is not None:
            shape[axis] = scion.vocabulary.size
        if list(values.shape) != shape:
            raise _misfit(scion, name)
        grafted[name] = values if axis is None else _regrown(values, axis, places)
    network.load_state_dict(grafted)
    return network


def unknown_symbols(scion: Scion, vocabulary: Vocabulary) -> list[bytes]:
    """The symbols of ``vocabulary`` that the scion does not know."""
    places = _places(scion.vocabulary, vocabulary)
    return [s for s, place in zip(vocabulary.symbols, places, strict=True) if place < 0]


def _places(old: Vocabulary, new: Vocabulary) -> list[int]:
    """Where each of the new symbols stands among the old, or -1. The boundary is the boundary."""
    known = {symbol: i for i, symbol in enumerate(old.symbols) if i != old.boundary}
    places = [known.get(symbol, -1) for symbol in new.symbols]
    places[new.boundary] = old.boundary
    return places


def _vocabulary_axes(network: Network, larger: Network) -> dict[str, int]:
    """The axis of each weight that counts symbols: the one that grows with their number."""
    axes = {}
    for (name, one), other in zip(
        network.state_dict().items(), larger.state_dict().values(), strict=True
    ):
        grown = [axis for axis in range(one.dim()) if one.shape[axis] != other.shape[axis]]
        if grown:
            axes[name] = grown[0]
    return axes


def _regrown(values: Tensor, axis: int, places: Tensor) -> Tensor:
    """``values`` with the symbols of ``axis`` at their new ``places``."""
    mean = values.mean(dim=axis, keepdim=True)
    found = values.index_select(axis, places.clamp(min=0))
    known = (places >= 0).view([-1 if i == axis else 1 for i in range(values.dim())])
    return torch.where(known, found, mean)


def _with_twins(weights: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """All the names of weights that have several; files hold one of them."""
    found = dict(weights)
    names: dict[int, str] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        twin = names.setdefault(id(parameter), name)
        for one, other in ((name, twin), (twin, name)):
            if one in found:
                found.setdefault(other, found[one])
    return found


def _misfit(scion: Scion, name: str) -> UserError:
    return UserError(
        f"The weights of {scion.name} do not fit: {name} is missing, one too many, or of "
        "another shape.",
        "They go on in a network of the same cell and sizes; see textgen show.",
    )
