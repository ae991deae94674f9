"""Weights trained elsewhere become a model file."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Tokenizer
from textgen.export.exporter import ExportReport, export, states_of
from textgen.model_file import ModelInfo
from textgen.training.adoption import adopt


def export_adopted(
    weights: Mapping[str, Tensor],
    symbols: Sequence[str],
    path: Path,
    *,
    cell: str,
    cell_class: type[Cell],
    cell_distribution: str,
    tokenizer: type[Tokenizer],
    tokenizer_distribution: str,
    name: str,
) -> ExportReport:
    """Writes the model file of weights by torch's names; ``name`` is what they are called.

    Raises UserError where they are no such network's (see ``adopt``).
    """
    network, vocabulary = adopt(weights, cell_class, symbols)
    info = ModelInfo(
        cell=cell,
        cell_distribution=cell_distribution,
        cell_options={},
        input="embedding" if network.embedding_size else "one-hot",
        embedding_size=network.embedding_size,
        hidden_size=network.hidden_size,
        layers=len(network.cells),
        states=states_of(network),
        vocabulary=vocabulary,
        tokenizer="characters",
        tokenizer_distribution=tokenizer_distribution,
        tokenizer_data=dict(tokenizer.from_json(vocabulary, {}).to_json()),
        documents="none",
        split={},
        corpus={"name": name, "sha256": "unknown", "licence": ""},
        losses={},
        training={"parameters": sum(p.numel() for p in network.parameters())},
        toolkit=importlib.metadata.version("textgen-toolkit"),
    )
    return export(network, info, path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, by name. Raises UserError for any other file."""
    try:
        return load(path.read_bytes())
    except OSError as error:
        raise UserError(
            f"The weights {path} could not be read: {error.strerror}.", "Check the path."
        ) from None
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(
            f"{path} is no safetensors file: {error}.",
            "Write one with safetensors.torch.save_file(model.state_dict(), 'w.safetensors'); a "
            "pickle (.pt, .pth) could run any program, and is never opened.",
        ) from None


def read_symbols(path: Path) -> list[str]:
    """The symbols of a vocabulary: a JSON list of characters, or a text of each once, in order."""
    try:
        text = path.read_bytes().decode("utf-8")
        symbols = json.loads(text) if path.suffix == ".json" else list(text)
    except OSError as error:
        raise UserError(
            f"The vocabulary {path} could not be read: {error.strerror}.", "Check the path."
        ) from None
    except ValueError as error:
        raise UserError(f"The vocabulary {path} is not readable: {error}.", _FORM) from None
    if not isinstance(symbols, list) or not all(_is_character(symbol) for symbol in symbols):
        raise UserError(f"The vocabulary {path} is no list of characters.", _FORM)
    return symbols


_FORM = "It is a text of each character once, or a .json list of them, in the order of the weights."


def _is_character(symbol: object) -> bool:
    """One character, or the empty symbol, which is the boundary."""
    return isinstance(symbol, str) and len(symbol) <= 1 and not "\ud800" <= symbol <= "\udfff"
