"""What a training can begin from: a run, or a model file, with the settings that shape it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import numpy_helper
from torch import from_numpy

from textgen import model_file, runs, shelf
from textgen.contracts.cell import Cell
from textgen.contracts.errors import UserError
from textgen.contracts.tokenizer import Vocabulary
from textgen.model_file import ModelFile
from textgen.registry import Registry
from textgen.training.checkpoint import load_weights
from textgen.training.grafting import Scion, graft, unknown_symbols
from textgen.training.network import Network, build_network
from textgen.training.run_folder import RUNS, RunFolder, find_run
from textgen.training.settings import build_settings, settings_dict

SHAPING = (
    "hidden_size",
    "layers",
    "embedding_size",
    "connection",
    "layer_norm",
    "tie_weights",
)
"""Settings that are the network's, and so those of the weights that go on."""


@dataclass(frozen=True)
class Beginning:
    """Weights, and what the network is that they are of."""

    scion: Scion
    cell: str
    cell_options: Mapping[str, Any]
    settings: Mapping[str, Any]
    """The shaping ones."""

    def shape(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The settings ``given`` with those of the weights. Raises UserError where they differ."""
        for name, value in self.settings.items():
            wanted = given.get(name)
            if wanted is not None and wanted != value:
                raise UserError(
                    f"The weights of {self.scion.name} have {name} {value}, not {wanted}.",
                    f"Leave out --{name.replace('_', '-')}.",
                )
        return {**given, **self.settings}

    def cell_for(self, wanted: str | type[Cell] | None) -> str | type[Cell]:
        """The weights' cell, or the class ``wanted``, whose name is all that is known of it.

        Raises UserError where another is wanted.
        """
        name = self.cell.rpartition(":")[2]
        if wanted is None:
            return self.cell
        asked = wanted.rpartition(":")[2] if isinstance(wanted, str) else wanted.__name__.lower()
        if asked != name:
            raise UserError(
                f"The weights of {self.scion.name} are of the cell {name}, not {asked}.",
                "Leave out --cell.",
            )
        return wanted

    def greeting(self, vocabulary: Vocabulary) -> str:
        """A sentence on which symbols the weights know."""
        new = [s.decode("utf-8", "replace") for s in unknown_symbols(self.scion, vocabulary)]
        if not new:
            return f"Going on from {self.scion.name}, which knows every symbol."
        seen = (repr(symbol) if symbol.isspace() else symbol for symbol in new[:20])
        shown = " ".join(seen) + (" ..." if len(new) > 20 else "")
        return (
            f"Going on from {self.scion.name}. {len(new)} of {vocabulary.size} symbols are new to "
            f"it, and begin as the mean of those it knows: {shown}"
        )


def find_beginning(name: str, folder: Path, registry: Registry) -> Beginning:
    """The run ``name`` (its weights kept so far), or the model file of that path or name.

    Raises UserError where there is neither, and for a file whose weights are whole numbers.
    """
    try:
        run = find_run(name, folder / RUNS)
    except UserError:
        path = shelf.find(name, folder / shelf.EXPORTED)
        return _of_file(model_file.read(path), path.name)
    return _of_run(run, registry)


def network_of_file(path: Path, registry: Registry) -> Network:
    """The network in a model file, as it was trained. Raises UserError as ``find_beginning``."""
    file = model_file.read(path)
    begun = _of_file(file, path.name)
    cell = runs.choose_cell(begun.cell, begun.cell_options, registry)
    settings = build_settings(begun.settings)
    return graft(
        begun.scion,
        file.info.vocabulary,
        lambda size: build_network(size, cell.cell_class, cell.options, settings),
    )


def _of_run(run: RunFolder, registry: Registry) -> Beginning:
    setup = runs.read_setup(run, None, registry)
    network = runs.fresh_network(setup)
    load_weights(network, run.weights)
    scion = Scion(network.state_dict(), setup.corpus.vocabulary, run.name)
    shaping = {k: v for k, v in settings_dict(setup.settings).items() if k in SHAPING}
    cell = run.description()["cell"]
    return Beginning(scion, _full(cell["distribution"], cell["name"]), cell["options"], shaping)


def _of_file(file: ModelFile, name: str) -> Beginning:
    info = file.info
    if info.weights != "float32":
        raise UserError(
            f"The weights of {name} are {info.weights}: too coarse to learn from.",
            "Begin from the run, or from the file exported without --int8.",
        )
    weights = {
        tensor.name: from_numpy(numpy_helper.to_array(tensor).copy())
        for tensor in file.graph().graph.initializer
        if not tensor.name.startswith("constant_")
    }
    told = info.training.get("settings", {})
    shaping = {k: told[k] for k in SHAPING if k in told} | {
        "hidden_size": info.hidden_size,
        "layers": info.layers,
        "embedding_size": info.embedding_size,
    }
    cell = _full(info.cell_distribution, info.cell)
    return Beginning(Scion(weights, info.vocabulary, name), cell, info.cell_options, shaping)


def _full(distribution: str, name: str) -> str:
    """The cell's full name, which no other distribution can have."""
    return f"{distribution}:{name}" if distribution else name
